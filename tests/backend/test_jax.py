"""JAX's arrays: who computes with them, what comes back, and how little JAX compiles for it.

On this CPU NumPy computes; where a test says ``apart``, JAX multiplies as on a device of its own.
"""

from __future__ import annotations

import types

import numpy as np
import pytest

import gpulr
from everything import assert_as_on_numpy, everything
from gpulr.backend import backend_of, select, to_host
from gpulr.backend.jax import JAXBackend, JAXProducts, PaddedOperand
from gpulr.backend.selection import _training
from helpers import python

jax = pytest.importorskip("jax", reason="JAX is not installed")
jnp = pytest.importorskip("jax.numpy", reason="JAX is not installed")

_heard: list[str] = []


def _hear(event, seconds, **about):
    if event.endswith("backend_compile_duration"):
        _heard.append(str(about.get("fun_name")))


jax.monitoring.register_event_duration_secs_listener(_hear)


@pytest.fixture
def compiled():
    """What JAX has compiled in this test, by name."""
    _heard.clear()
    return _heard


@pytest.fixture(params=[False, True], ids=["x64 off", "x64 on"])
def x64(request):
    with jax.enable_x64(request.param):
        yield request.param


@pytest.fixture
def apart(monkeypatch):
    """NumPy cannot compute with JAX's arrays as they are."""
    monkeypatch.setattr(JAXBackend, "same_memory", None)


def drawn(rng, n=600, n_features=30, k=3):
    y = rng.integers(0, k, n)
    return (rng.normal(size=(n, n_features)) + np.eye(k, n_features)[y]).astype(np.float32), y


# ---- on the CPU, where NumPy computes -----------------------------------------------------------


def test_nothing_is_compiled_on_the_cpu(digits, compiled, x64):
    X, y = digits[:2]
    rows, labels = jnp.asarray(X), jnp.asarray(y)
    expected = gpulr.train(X, y)
    backend_of(rows)  # for which array-api-compat imports what it needs
    compiled.clear()
    model = gpulr.train(rows, labels)
    proba, predicted = model.predict_proba(rows, normalize=True), model.predict(rows)
    model.evaluate(rows, labels)
    gpulr.search(rows, labels, Cs=[0.1, 1.0], cv=2).model.decision_function(rows)
    gpulr.bootstrap(rows, labels, n=2, random_state=0).proba_interval(rows)
    assert not compiled
    assert (model.backend, model.fallback_reason) == ("numpy", None)
    for found, wanted in (
        (model.weights, expected.weights),
        (proba, expected.predict_proba(X, normalize=True)),
        (predicted, expected.predict(X)),
    ):
        assert isinstance(found, jax.Array)
        assert found.device == rows.device
        np.testing.assert_array_equal(np.asarray(found), wanted)


def test_estimators_compile_next_to_nothing(digits, compiled):
    X, y = digits[:2]
    rows = jnp.asarray(X)
    compiled.clear()
    estimator = gpulr.OneVsAllLogisticRegression().fit(rows, y)
    for name in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        assert isinstance(getattr(estimator, name)(rows), jax.Array)
    assert set(compiled) <= {"jit(transpose)"}  # coef_ is weights.T
    assert isinstance(estimator.coef_, jax.Array)


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "float16", "int8", "uint8", "bool"])
def test_numbers_of_any_kind(rng, kind, x64):
    X, y = drawn(rng)
    rows = jnp.asarray(np.abs(X) * 10).astype(getattr(jnp, kind))
    host = np.asarray(rows)
    for labels in (y, y > 0, np.array([2**40, 2, 3])[y]):
        model = gpulr.train(rows, labels, standardize=True)
        expected = gpulr.train(host, labels, standardize=True)
        np.testing.assert_array_equal(np.asarray(model.weights), expected.weights)
        np.testing.assert_array_equal(to_host(model.predict(rows)), expected.predict(host))
    assert model.weights.dtype == jnp.float32


def test_float64_is_had_where_it_is_switched_on(rng):
    X, y = drawn(rng)
    with jax.enable_x64(True):
        rows = jnp.asarray(X.astype(np.float64))
        model = gpulr.train(rows, y, dtype="float64")
        assert model.weights.dtype == jnp.float64
        assert gpulr.OneVsAllLogisticRegression().fit(rows, y).coef_.dtype == jnp.float64
        expected = gpulr.train(X.astype(np.float64), y, dtype="float64")
        np.testing.assert_array_equal(np.asarray(model.weights), expected.weights)
    with pytest.raises(gpulr.ParameterError, match="no float64"):
        gpulr.train(jnp.asarray(X), y, dtype="float64")


def test_rows_are_read_where_they_are_and_results_are_jaxs_own(rng):
    rows = jnp.asarray(drawn(rng)[0])
    here = select(X=rows)
    assert here.name == "numpy"
    view = here.asarray(rows)
    assert not view.flags.owndata
    assert not view.flags.writeable
    assert view.ctypes.data == rows.unsafe_buffer_pointer()
    host = np.zeros((64, 64), np.float32)  # as aligned as JAX wants it
    back = backend_of(rows).asarray(host)
    host += 1.0
    assert not np.asarray(back).any()


def test_what_jax_traces_has_no_values(rng):
    X, y = drawn(rng)
    model = gpulr.train(X, y)
    with pytest.raises(gpulr.DataError, match="traced by JAX"):
        jax.jit(model.predict_proba)(jnp.asarray(X))


SPREAD = """
import jax, numpy as np, jax.numpy as jnp, gpulr
jax.config.update("jax_num_cpu_devices", 2)
first, second = jax.devices()
rng = np.random.default_rng(0)
X = rng.normal(size=(64, 4)).astype(np.float32)
y = (X[:, 0] > 0).astype(int)
expected = gpulr.train(X, y)
mesh = jax.sharding.Mesh(np.array([first, second]), "rows")
there = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("rows"))
rows = jax.device_put(X, there)
model = gpulr.train(rows, y)
assert "spread over" in model.fallback_reason, model.fallback_reason
for rows in (rows, jax.device_put(X, second)):
    model = gpulr.train(rows, y)
    np.testing.assert_array_equal(np.asarray(model.weights), expected.weights)
    np.testing.assert_array_equal(np.asarray(model.predict(rows)), expected.predict(X))
assert model.weights.device == second
print("done")
"""


@pytest.mark.slow
def test_arrays_on_several_devices():
    assert python(SPREAD).strip() == "done"


# ---- on a device of its own ---------------------------------------------------------------------


def test_products_are_compiled_once(rng, compiled, apart):
    X, y = drawn(rng, 700, 31)
    rows = jnp.asarray(X)
    expected = gpulr.train(X, y)
    gpulr.train(rows[:50], y[:50])  # what looks at arrays of this dtype is compiled, too
    compiled.clear()
    model = gpulr.train(rows, y)
    assert model.backend == "jax"
    assert isinstance(select(X=rows), JAXProducts)
    # Extremes and moments, the covariance's product and sums, X W and Rᵀ X.
    assert len(compiled) <= 10, compiled
    np.testing.assert_allclose(np.asarray(model.weights), expected.weights, rtol=2e-5, atol=2e-6)
    compiled.clear()
    gpulr.train(rows + 0.0, y[::-1].copy())
    assert set(compiled) <= {"jit(add)"}


@pytest.mark.parametrize("standardize", [False, True])
def test_a_device_trains_as_numpy_does(rng, standardize, apart):
    X, y = drawn(rng)
    for given in (X, (X * 20 + 128).clip(0, 255).astype(np.uint8), X.astype(np.float16)):
        rows = jnp.asarray(given)
        model = gpulr.train(rows, y, standardize=standardize)
        expected = gpulr.train(given, y, standardize=standardize)
        np.testing.assert_allclose(np.asarray(model.weights), expected.weights, 2e-5, 2e-6)
        assert isinstance(model.predict_proba(rows), jax.Array)
        assert isinstance(gpulr.train(rows, y > 0).predict(rows), jax.Array)  # without int64
        assert np.mean(np.asarray(model.predict(rows)) == expected.predict(given)) > 0.998


@pytest.mark.slow
def test_everything_on_a_device(three_digits, apart):
    X, y = three_digits
    with jax.enable_x64(True):
        rows = jnp.asarray(X)
        assert_as_on_numpy(everything(rows, jnp.asarray(y)), everything(X, y), rows)


def test_float64_is_multiplied_there_where_it_is_had(rng, apart):
    X, y = drawn(rng)
    X = X.astype(np.float64)
    with jax.enable_x64(True):
        here = select(X=jnp.asarray(X))
        rows = here.place(jnp.asarray(X))
        assert isinstance(here.operand(rows, np.float64), PaddedOperand)
        weights = gpulr.train(jnp.asarray(X), y, dtype="float64", tol=1e-9).weights
    expected = gpulr.train(X, y, dtype="float64", tol=1e-9).weights
    np.testing.assert_allclose(np.asarray(weights), expected, rtol=1e-7, atol=1e-9)


def test_shapes_are_few(rng, compiled, apart, monkeypatch, as_if_large):
    """Models leave the matrix as they converge, and blocks depend on how many are left."""
    monkeypatch.setattr(JAXProducts, "block_bytes", 2**16)
    X, y = drawn(rng, 1500, 20, 12)
    rows, C = jnp.asarray(X), np.logspace(-3, 4, 12)
    model = gpulr.train(rows, y, C=C, tol=1e-6)
    assert len(set(model.history.n_iter.tolist())) > 2
    # Numbers of columns: 12, 8, 6, …, 1; and blocks of two lengths.
    products = sum(name == "jit(matmul)" for name in compiled)
    assert products <= 2 * 2 * 8, compiled
    expected = gpulr.train(X, y, C=C, tol=1e-6).weights
    np.testing.assert_allclose(np.asarray(model.weights), expected, 1e-3, 1e-4)


def test_products_are_of_float32_itself(apart):
    """Not of what TPUs and newer GPUs round it to."""
    with backend_of(jnp.zeros(1)).activate():
        assert jax.config.jax_default_matmul_precision == "highest"
    assert jax.config.jax_default_matmul_precision is None


def device(platform, version="", **more):
    client = types.SimpleNamespace(platform_version=version)
    return types.SimpleNamespace(platform=platform, client=client, **more)


def test_who_computes_where(no_cupy):
    """Of devices that are not here: what JAX says of them decides."""
    x = jnp.zeros((2, 2))
    card = device("gpu", "PJRT C API\ncuda 12090", local_hardware_id=1)
    for where, same in (
        (x.device, ("numpy", None)),
        (card, ("cupy", 1)),
        (device("gpu", "PJRT C API\nrocm 60400"), None),
        (device("tpu"), None),
        (types.SimpleNamespace(), None),  # a sharding, of several devices
    ):
        here = JAXBackend("jax", jnp, where)
        assert here.same_memory == same
        chosen = _training(here, "auto")
        if where is x.device or here.fault:
            assert chosen.name == "numpy"
            assert chosen.fallback_reason == (here.fault or None)
        else:  # also where CuPy would, which is not here
            assert isinstance(chosen, JAXProducts)
    assert here.fault.startswith("the array is spread over devices")


def test_memory_is_what_jax_may_take():
    known = {"bytes_in_use": 100, "bytes_limit": 1000}
    here = JAXBackend("jax", jnp, device("tpu", memory_stats=lambda: known))
    assert here.memory() == (900, 1000)
    assert JAXBackend("jax", jnp, device("tpu", memory_stats=dict)).memory() is None


def test_results_of_cupy_stay_on_the_card(monkeypatch):
    came = []
    card = device("gpu", "cuda 12090", local_hardware_id=1)
    here = JAXBackend("jax", types.SimpleNamespace(from_dlpack=came.append), card)
    monkeypatch.setattr("gpulr.backend.base.library_of", lambda x: "cupy")
    for index in (0, 1):
        made = types.SimpleNamespace(__dlpack_device__=lambda index=index: (2, index))
        assert here.shared(made) is (None if index else made)
    assert came == [made]


def test_memory_that_runs_out_is_known(apart):
    here = backend_of(jnp.zeros(1))
    assert here.ran_out(RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 64 bytes."))
    assert not here.ran_out(RuntimeError("INVALID_ARGUMENT"))
