"""PyTorch's tensors: who computes with them, that nothing is copied, and what comes back.

There is no GPU here: tensors say that they are on one, a stand-in for CuPy takes them, and the CPU
claims to lack what other devices lack.
"""

from __future__ import annotations

import sys

import numpy as np
import pytest

import gpulr
from gpulr import backend
from gpulr.backend import TorchBackend, backend_of, computing_with, select, to_host, torch_devices
from gpulr.backend.device_products import DeviceProducts, DeviceRows
from gpulr.backend.selection import AUTO_MIN_FLOPS
from gpulr.estimators.logistic_regression import OneVsAllLogisticRegression
from helpers import found_anew, python
from sources import Slices

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.fixture(autouse=True)
def _tried_anew(unprobed):
    """Devices are tried out anew."""
    with found_anew(torch_devices.try_out, torch_devices.has_float64):
        yield


@pytest.fixture
def itself(monkeypatch):
    """PyTorch computes itself on the CPU, as it does on devices that nobody shares."""
    monkeypatch.setattr(TorchBackend, "same_memory", None)


@pytest.fixture
def multiplies(itself, monkeypatch):
    """The CPU has no float64, as Apple's GPUs."""
    monkeypatch.setattr(torch_devices, "has_float64", lambda device: False)


# ---- the CPU ------------------------------------------------------------------------------------


DTYPES = ("float32", "float64", "float16", "bfloat16", "uint8", "int8", "int64", "bool")


@pytest.mark.parametrize("name", DTYPES)
def test_numpy_computes_with_the_memory_of_a_tensor(name):
    tensor = torch.arange(12).reshape(3, 4).to(getattr(torch, name))
    with computing_with(tensor) as (here, rows):
        assert here.name == "numpy"
        if name == "bfloat16":
            pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
        assert rows.ctypes.data == tensor.data_ptr()
        assert rows.dtype.name == name
    np.testing.assert_array_equal(rows.astype(float), tensor.to(torch.float64).numpy())
    every_other = tensor[::2, 1::2]
    with computing_with(every_other) as (_, rows):
        assert rows.ctypes.data == every_other.data_ptr()
        assert rows.shape == (2, 2)


def test_training_copies_no_rows(monkeypatch, blobs):
    X, y = torch.from_numpy(blobs[0]), blobs[1]
    placed = []
    place = backend.NumPyBackend.place
    monkeypatch.setattr(
        backend.NumPyBackend, "place", lambda *a, **b: placed.append(place(*a, **b)) or placed[-1]
    )
    model = gpulr.train(X, y)
    assert placed[0].ctypes.data == X.data_ptr()
    assert (model.backend, model.device, model.fallback_reason) == ("numpy", "cpu", None)
    expected = gpulr.train(blobs[0], y)
    assert torch.equal(model.weights, torch.from_numpy(expected.weights))
    assert type(model.predict(X)) is torch.Tensor
    for name in ("decision_function", "predict_proba"):
        found, wanted = getattr(model, name)(X), getattr(expected, name)(blobs[0])
        assert torch.equal(found, torch.from_numpy(wanted))


@pytest.mark.parametrize("asked", ["argument", "environment"])
def test_who_asks_for_torch_on_a_cpu_is_told_that_numpy_computes(asked, monkeypatch, blobs):
    monkeypatch.setenv("GPULR_FALLBACK", "error")
    if asked == "environment":
        monkeypatch.setenv("GPULR_BACKEND", "torch")
    requested = "torch" if asked == "argument" else "auto"
    X, y = blobs
    expected = gpulr.train(X, y, backend="numpy")
    for rows in (X, torch.from_numpy(X)):
        model = gpulr.train(rows, y, backend=requested)
        assert type(model.weights) is type(rows)
        np.testing.assert_array_equal(to_host(model.weights), expected.weights)
        assert model.backend == "numpy"
        assert "torch's arrays as they are" in model.fallback_reason
    assert gpulr.train(torch.from_numpy(X), y, backend="numpy").fallback_reason is None


def test_results_are_tensors_for_tensors(blobs, tmp_path):
    X, y = torch.from_numpy(blobs[0]), torch.from_numpy(blobs[1])
    search = gpulr.search(X, y, Cs=[0.1, 1.0], cv=3)
    bootstrap = gpulr.bootstrap(X, y, n=4, random_state=0)
    estimator = OneVsAllLogisticRegression(standardize=True).fit(X, y)
    model = gpulr.train(X, y, standardize=True)
    found = {
        "weights": model.weights,
        "center": model.center,
        "searched": search.model.weights,
        "interval": bootstrap.coef_interval()[0],
        "probability": bootstrap.proba_interval(X)[1],
        "coef_": estimator.coef_,
        "intercept_": estimator.intercept_,
        "n_iter_": estimator.n_iter_,
        "predict": estimator.predict(X),
        "log": estimator.predict_log_proba(X),
        "out of fold": gpulr.cross_val_predict(X, y, cv=3),
        "normalised": model.predict_proba(X, normalize=True),
    }
    assert {name: type(each) for name, each in found.items()} == dict.fromkeys(found, torch.Tensor)
    assert found["predict"].dtype == torch.int64
    model.save(tmp_path / "m.safetensors")
    loaded = gpulr.load(tmp_path / "m.safetensors")
    assert type(loaded.weights) is np.ndarray
    assert torch.equal(loaded.predict_proba(X), model.predict_proba(X))
    assert type(model.predict_proba(blobs[0])) is np.ndarray
    assert gpulr.train(X, y, start=model, max_iter=3).weights.shape == (4, 3)


def test_labels_that_are_text_or_several(blobs, rng):
    X = torch.from_numpy(blobs[0])
    words = np.array(["a", "b", "c"])[blobs[1]]
    assert gpulr.train(X, words).predict(X).dtype.kind == "U"
    Y = torch.from_numpy(rng.integers(0, 2, (90, 4)))
    model = gpulr.train(X, Y)
    assert model.predict(X).dtype == torch.uint8
    assert model.evaluate(X, Y).label_accuracy.shape == (4,)


THREADS = """
import multiprocessing, threading
import numpy as np, torch, gpulr
rng = np.random.default_rng(0)
y = np.arange(90_000) % 3
X = torch.from_numpy((rng.normal(size=(90_000, 4)) + 2 * np.eye(3, 4)[y]).astype(np.float32))
torch.exp(X).sum()  # starts its threads
model = gpulr.train(X, y)
P = model.predict_proba(X)
Y = torch.from_numpy(np.eye(3)[y])
labels = gpulr.train(X, Y).predict(X)
found = [None] * 3
def work(i):
    found[i] = gpulr.train(X, y).weights
threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
[t.start() for t in threads], [t.join() for t in threads]
assert all(torch.equal(each, model.weights) for each in found)
def child(queue):
    # Where PyTorch's own threads, which a child does not have, would be waited for for ever.
    queue.put([np.array_equal(gpulr.train(X, Y).predict(X).numpy(), labels.numpy()),
               np.array_equal(model.predict_proba(X).numpy(), P.numpy())])
if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=child, args=(queue,))
    process.start()
    print(queue.get(timeout=50))
    process.join(5)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork on Windows")
def test_threads_and_forks():
    assert python(THREADS).strip().endswith("[True, True]")


# ---- gradients ----------------------------------------------------------------------------------


@pytest.fixture(params=["plain", "standardized", "two classes", "labels"])
def differentiable(request, blobs, rng):
    """A float64 model, and rows of which one lies on all of its borders."""
    X, y = blobs[0].astype(np.float64), blobs[1]
    if request.param == "two classes":
        y = y > 0
    if request.param == "labels":
        y = rng.integers(0, 2, (90, 3))
    model = gpulr.train(X, y, dtype="float64", standardize=request.param == "standardized")
    return model, torch.tensor(X[:4], requires_grad=True)


def test_margins_and_probabilities_can_be_differentiated_by_the_rows(differentiable):
    model, rows = differentiable
    assert torch.autograd.gradcheck(model.decision_function, rows)
    assert torch.autograd.gradcheck(model.predict_proba, rows)
    if not model.multilabel:
        assert torch.autograd.gradcheck(lambda X: model.predict_proba(X, normalize=True), rows)
    estimator = OneVsAllLogisticRegression()
    estimator.__dict__ |= {"coef_": model.weights.T, "intercept_": model.intercept}
    estimator.classes_ = np.arange(model.n_models) if model.n_models > 1 else model.classes
    assert torch.autograd.gradcheck(estimator.predict_log_proba, rows)
    assert torch.autograd.gradcheck(estimator.decision_function, rows)


def test_gradients_are_those_of_the_formula_also_where_a_margin_is_zero(blobs):
    model = gpulr.train(*blobs, fit_intercept=False)
    rows = torch.zeros(1, 4, requires_grad=True)
    model.predict_proba(rows).sum().backward()
    torch.testing.assert_close(rows.grad[0], torch.from_numpy(model.weights).sum(axis=1) / 4)


@pytest.mark.parametrize("trace", [torch.func.jacrev, torch.vmap])
def test_what_torch_func_traces_has_no_values(blobs, trace):
    model, rows = gpulr.train(*blobs), torch.from_numpy(blobs[0][:3])
    model.decision_function(rows)  # tensors that look the same have been computed with
    with pytest.raises(gpulr.DataError, match=r"traced by torch\.func.*X\.requires_grad_\(\)"):
        trace(lambda X: model.decision_function(X.reshape(-1, rows.shape[1])))(rows)


def test_bytes_scaled_to_one(images):
    model = gpulr.train(*images, dtype="float64")
    assert model.scale == pytest.approx(1 / 255)
    rows = torch.tensor(images[0][:3].astype(np.float64), requires_grad=True)
    assert torch.autograd.gradcheck(model.predict_proba, rows, eps=1e-3)
    model.decision_function(rows)[:, 0].sum().backward()
    np.testing.assert_allclose(rows.grad[1].numpy(), model.weights[:, 0], rtol=1e-12)


def test_no_gradient_without_being_asked(blobs):
    model = gpulr.train(*blobs)
    rows = torch.from_numpy(blobs[0]).requires_grad_()
    found = model.decision_function(rows)
    assert found.requires_grad
    plain = torch.from_numpy(model.decision_function(blobs[0]))
    torch.testing.assert_close(found.detach(), plain, rtol=1e-4, atol=1e-5)
    for quiet in (torch.no_grad, torch.inference_mode):
        with quiet():
            assert torch.equal(model.decision_function(rows), plain)
            assert not model.predict_proba(rows).requires_grad
    trained = gpulr.train(rows, blobs[1])
    assert not trained.weights.requires_grad
    trained.weights.requires_grad_()  # which are constants all the same
    assert not trained.decision_function(rows.detach()).requires_grad
    trained.decision_function(rows).sum().backward()
    assert trained.weights.grad is None


def test_a_model_that_was_trained_in_inference_mode_has_gradients(blobs):
    with torch.inference_mode():
        model = gpulr.train(torch.from_numpy(blobs[0]), blobs[1], standardize=True)
    rows = torch.from_numpy(blobs[0]).requires_grad_()
    model.predict_proba(rows).sum().backward()
    assert rows.grad.abs().max() > 0.0


# ---- computing by PyTorch itself ----------------------------------------------------------------


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("name", ["float32", "float64", "float16", "bfloat16", "uint8"])
def test_torch_trains_as_numpy_does(itself, images, name, standardize):
    X = torch.from_numpy(images[0]).to(getattr(torch, name))
    settings = {"tol": 1e-6} | ({"standardize": True} if standardize else {"scale": 1 / 255})
    model = gpulr.train(X, images[1], **settings)
    assert (model.backend, model.fallback_reason) == ("torch", None)
    assert model.versions["torch"] == torch.__version__
    expected = gpulr.train(X.to(torch.float64).numpy(), images[1], **settings)
    np.testing.assert_allclose(model.weights.numpy(), expected.weights, rtol=2e-3, atol=2e-5)
    P = model.predict_proba(X, normalize=True)
    assert P.dtype == torch.float32
    wanted = expected.predict_proba(X.to(torch.float64).numpy(), normalize=True)
    np.testing.assert_allclose(P.numpy(), wanted, atol=2e-3)


def test_rows_of_numpy_are_brought_to_the_device(itself, images):
    model = gpulr.train(*images, backend="torch")
    assert model.backend == "torch"
    assert type(model.weights) is np.ndarray
    assert torch_devices.best_device() == torch.device("cpu")
    np.testing.assert_allclose(model.weights, gpulr.train(*images).weights, atol=1e-5)


def test_autocast_does_not_round_products(itself, blobs):
    X = torch.from_numpy(blobs[0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with backend_of(X).activate():
            assert (X @ X.T).dtype == torch.float32
        assert (X @ X.T).dtype == torch.bfloat16
        model = gpulr.train(X, blobs[1])
    np.testing.assert_allclose(model.weights.numpy(), gpulr.train(*blobs).weights, atol=1e-4)


def test_the_precision_of_networks_is_not_that_of_products(itself):
    here, matmul = backend_of(torch.ones(1)), torch.backends.cuda.matmul
    try:
        torch.set_float32_matmul_precision("high")
        with here.activate(), here.activate():
            assert torch.get_float32_matmul_precision() == "highest"
            assert not matmul.allow_tf32
        assert torch.get_float32_matmul_precision() == "high"
        torch.set_float32_matmul_precision("highest")
        if hasattr(matmul, "fp32_precision"):
            matmul.fp32_precision = "tf32"
            with here.activate(), here.activate():
                assert matmul.fp32_precision == "ieee"
            assert matmul.fp32_precision == "tf32"
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has"),
            2**31,
        ),
        (
            RuntimeError(
                "MPS backend out of memory (MPS allocated: 18.09 GB). Tried to allocate "
                "1.50 KB on private pool."
            ),
            1536,
        ),
        (
            RuntimeError(
                "DefaultCPUAllocator: can't allocate memory: you tried to allocate 400 bytes."
                " Error code 12"
            ),
            400,
        ),
    ],
)
def test_memory_that_runs_out(itself, error, wanted):
    here = backend_of(torch.ones(2))
    with pytest.raises(gpulr.DeviceMemoryError) as caught, here.activate():
        raise error
    assert caught.value.needed == wanted
    with pytest.raises(RuntimeError, match="another"), here.activate():
        raise RuntimeError("another")


def test_blocks_are_cut_where_memory_runs_out(itself, blobs, monkeypatch):
    X = torch.from_numpy(np.repeat(blobs[0], 40, axis=0))
    operand = TorchBackend.operand

    def small(self, block, *arguments):
        if block.shape[0] > 1000:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB.")
        return operand(self, block, *arguments)

    model = gpulr.train(*blobs)
    expected = model.decision_function(X)
    monkeypatch.setattr(TorchBackend, "operand", small)
    torch.testing.assert_close(model.decision_function(X), expected, rtol=1e-5, atol=1e-5)


def test_a_device_that_has_failed(itself, monkeypatch):
    def broken():
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch.cpu, "synchronize", broken)
    lost = pytest.raises(gpulr.DeviceLostError, match="illegal memory")
    with lost, backend_of(torch.ones(2)).activate():
        raise RuntimeError("some kernel")


# ---- devices that multiply ----------------------------------------------------------------------


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16", "uint8", "int32"])
def test_what_has_no_float64_multiplies(multiplies, images, name, standardize, monkeypatch):
    products = []
    monkeypatch.setattr(torch.Tensor, "__matmul__", _counted(products, torch.Tensor.__matmul__))
    X = torch.from_numpy(images[0]).to(getattr(torch, name))
    assert isinstance(select(X=X), DeviceProducts)
    settings = {"tol": 1e-6} | ({"standardize": True} if standardize else {"scale": 1 / 255})
    model = gpulr.train(X, images[1], **settings)
    assert (model.backend, model.fallback_reason) == ("torch", None)
    assert model.converged
    assert {"torch", "numpy"} <= set(model.versions)
    # In float32, and as many as passes go through the rows.
    assert {dtype for _, dtype in products} == {torch.float32}
    assert len([shape for shape, _ in products if 1201 in shape]) >= model.n_iter
    expected = gpulr.train(X.to(torch.float64).numpy(), images[1], **settings)
    np.testing.assert_allclose(model.weights.numpy(), expected.weights, rtol=2e-3, atol=2e-5)
    wanted = expected.predict_proba(X.to(torch.float64).numpy())
    np.testing.assert_allclose(model.predict_proba(X).numpy(), wanted, atol=2e-3)


def _counted(products, function):
    def matmul(a, b):
        products.append((tuple(a.shape) + tuple(b.shape), a.dtype))
        return function(a, b)

    return matmul


def test_all_families_on_what_multiplies(multiplies, blobs, rng):
    X, y = torch.from_numpy(blobs[0]), torch.from_numpy(blobs[1])
    weight = rng.random(90)
    model = gpulr.train(X, y, sample_weight=weight, class_weight="balanced", tol=1e-6)
    expected = gpulr.train(*blobs, sample_weight=weight, class_weight="balanced", tol=1e-6)
    np.testing.assert_allclose(model.weights.numpy(), expected.weights, atol=1e-4)
    search, wanted = (gpulr.search(rows, y, Cs=[0.1, 1.0], cv=3) for rows in (X, blobs[0]))
    assert search.best_C == wanted.best_C
    np.testing.assert_allclose(search.scores, wanted.scores, atol=1e-2)
    assert type(gpulr.bootstrap(X, y, n=3, random_state=0).proba_interval(X)[0]) is torch.Tensor
    for solver in ("gd", "nesterov"):
        found = gpulr.train(X, y, solver=solver, max_iter=30, tol=0)
        wanted = gpulr.train(*blobs, solver=solver, max_iter=30, tol=0)
        np.testing.assert_allclose(found.weights.numpy(), wanted.weights, atol=1e-4)
    estimator = OneVsAllLogisticRegression().fit(X.to(torch.int64), y)
    assert estimator.coef_.dtype == torch.float32
    with pytest.raises(gpulr.ParameterError, match="torch has no float64 on cpu"):
        gpulr.train(X, y, dtype="float64")
    # Rows of the host stay there where the device would round them before they are centred.
    rows = blobs[0].astype(np.float64) + 1e6
    wanted = gpulr.train(rows, y, standardize=True)
    for wide in (rows, Slices(rows)):
        found = gpulr.train(wide, y, backend="torch", standardize=True)
        np.testing.assert_array_equal(found.weights, wanted.weights)


def test_rows_that_do_not_fit_are_streamed_to_what_multiplies(multiplies, images, monkeypatch):
    from gpulr.backend.memory import Memory

    monkeypatch.setattr(TorchBackend, "block_bytes", 2**14)
    monkeypatch.setattr(TorchBackend, "memory", lambda self: Memory(2**15, 2**16))
    X = images[0].astype(np.float32)
    there = DeviceProducts(backend_of(torch.ones(1)))
    assert type(there.place(X, rounds_to=np.float32, column_bytes=1).rows) is backend.HostRows
    expected = gpulr.train(X, images[1], scale=1 / 255)
    for rows in (X, Slices(X), Slices(X, 100)):
        model = gpulr.train(rows, images[1], backend="torch", scale=1 / 255)
        np.testing.assert_allclose(model.weights, expected.weights, atol=1e-5)


def test_nan_is_found_in_rows_on_what_multiplies(multiplies, blobs):
    X = torch.from_numpy(blobs[0].copy())
    X[7, 1] = torch.nan
    with pytest.raises(gpulr.DataError, match=r"NaN or infinity \(first in row 7\)"):
        gpulr.train(X, blobs[1])
    assert np.asarray(DeviceRows(X)).shape == (90, 4)


def test_factorisations_that_a_device_cannot_do_are_the_hosts(itself, blobs, monkeypatch):
    def missing(matrix):
        raise NotImplementedError("aten::_linalg_eigh is not implemented for the XPU device")

    X = torch.from_numpy(blobs[0])
    monkeypatch.setattr(torch.linalg, "eigh", missing)
    assert "eigh is not implemented" in backend_of(X).trial.lack
    assert isinstance(select(X=X), DeviceProducts)
    np.testing.assert_allclose(
        gpulr.train(X, blobs[1]).weights.numpy(), gpulr.train(*blobs).weights, atol=1e-5
    )


# ---- devices that are wrong ---------------------------------------------------------------------


def test_wrong_products_are_found_and_said(itself, blobs, monkeypatch):
    matmul = torch.Tensor.__matmul__

    def wrong(a, b):  # where rows are not one after the other, as once on Apple's GPUs
        return matmul(a, b) if a.is_contiguous() and b.is_contiguous() else 0.0 * matmul(a, b)

    monkeypatch.setattr(torch.Tensor, "__matmul__", wrong)
    X = torch.from_numpy(blobs[0])
    model = gpulr.train(X, blobs[1])
    assert model.backend == "numpy"
    assert "matrix products on cpu are wrong" in model.fallback_reason
    assert torch.equal(model.weights, torch.from_numpy(gpulr.train(*blobs).weights))
    assert type(model.predict_proba(X)) is torch.Tensor
    checks = dict(gpulr.backends()["torch"].checks)
    assert "wrong" in checks["cpu"]


def test_products_in_tf32_are_wrong(itself, monkeypatch):
    matmul = torch.Tensor.__matmul__

    def rounded(x):
        return (x.contiguous().view(torch.int32) + 0x1000 & ~0x1FFF).view(torch.float32)

    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda a, b: matmul(rounded(a), rounded(b)))
    assert "wrong" in torch_devices.try_out("cpu").fault


# ---- the probe, and auto ------------------------------------------------------------------------


def test_the_probe_lists_devices():
    status = gpulr.backends()["torch"]
    assert status.usable
    checks = dict(status.checks)
    assert checks["import torch"] == torch.__version__
    assert checks["cpu"] == "NumPy computes, over the same memory"
    if len(checks) == 2:
        assert status.device == "cpu"


def test_without_torch(monkeypatch, blobs):
    monkeypatch.setattr(backend.probes, "installed", lambda name: False)
    status = gpulr.backends()["torch"]
    assert not status.usable
    assert "not installed" in status.reason
    assert ".[torch]" in status.remedy
    with pytest.warns(gpulr.BackendFallbackWarning, match=r"'torch' cannot be used.*\.\[torch\]"):
        assert gpulr.train(*blobs, backend="torch").backend == "numpy"


def test_a_torch_that_cannot_be_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "array_api_compat.torch", None)
    status = gpulr.backends()["torch"]
    assert not status.usable
    assert "import torch failed" in status.reason


def test_auto_looks_at_torch_only_where_it_is_loaded(monkeypatch):
    tried = []
    monkeypatch.setattr(backend.probes, "installed", lambda name: name == "torch")
    status = backend.BackendStatus("torch", True, (), device="A card (cuda:0)")
    probes = backend.BACKENDS | {"torch": (TorchBackend, lambda: tried.append(1) or status)}
    monkeypatch.setattr(backend.selection, "BACKENDS", probes)
    monkeypatch.setattr(TorchBackend, "same_memory", None)
    monkeypatch.setattr(torch_devices, "best_device", lambda: torch.device("cpu"))
    assert select("auto", flops=AUTO_MIN_FLOPS).name == "torch"
    assert tried == [1]
    backend.probe.cache_clear()
    assert select("auto", flops=AUTO_MIN_FLOPS * 0.9).name == "numpy"
    monkeypatch.delitem(sys.modules, "torch")
    assert select("auto", flops=AUTO_MIN_FLOPS).name == "numpy"
    assert tried == [1]


def test_auto_does_not_take_a_torch_without_a_gpu(no_cupy):
    if torch_devices.devices() != ["cpu"]:
        pytest.skip("PyTorch has a GPU here")
    assert select("auto").name == "numpy"


def test_auto_prefers_cupy(install):
    install()
    assert select("auto").name == "cupy"


QUIET = """
import sys, numpy as np, gpulr
rng = np.random.default_rng(0)
X, y = rng.normal(size=(60, 3)), np.arange(60) % 3
gpulr.search(X, y, Cs=[1, 2], cv=2).model.predict_proba(X)
gpulr.OneVsAllLogisticRegression().fit(X, y).predict(X)
gpulr.train(X.astype(np.float16), y)
print(sorted({"torch", "ml_dtypes", "array_api_compat.torch"} & set(sys.modules)))
"""


def test_nothing_loads_torch_unasked():
    assert python(QUIET).strip() == "[]"
