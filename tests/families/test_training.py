"""train(): what it accepts, what it does with scale and C, what it records and warns of."""

from __future__ import annotations

import tracemalloc
from datetime import date
from decimal import Decimal

import numpy as np
import pytest

import gpulr
from gpulr.backend import NumPyBackend, threads, to_host
from gpulr.families.prepare import prepare
from gpulr.families.reading import read_inputs
from gpulr.families.settings import Settings
from gpulr.solvers import lbfgs
from helpers import assert_close

FEW = {"max_iter": 20, "tol": 0}


class Frame:
    """A table that is an array on request only, as pandas' is."""

    def __init__(self, values):
        self._values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self._values, dtype=dtype)


def objects(*labels):
    array = np.empty(len(labels), dtype=object)
    array[:] = labels
    return array


LABELS = {
    "str": np.array(["cat", "dog", "Ærø"]),
    "object": np.array(["a", "bb", "ccc"], dtype=object),
    "StringDType": np.array(["a", "bb", "ccc"], dtype=np.dtypes.StringDType()),
    "object int": np.array([1, 5, 7], dtype=object),
    "uint8": np.array([0, 7, 255], dtype=np.uint8),
    "negative": np.array([-3, -1, 10]),
    "float": np.array([-1.0, 0.0, 2.0]),
    "object float": np.array([-1.0, 0.0, 2.0], dtype=object),
    "bytes": np.array([b"a", b"bb", b"\xff"]),
    "days": np.array(["2020-01-03", "2020-01-01", "2020-01-02"], "M8[D]"),
    "nanoseconds": np.array([3, 1, 2], "M8[ns]"),
    "durations": np.array([3, 1, 2], "m8[s]"),
    "dates": objects(date(2020, 1, 3), date(2020, 1, 1), date(2020, 1, 2)),
    "decimals": objects(Decimal("0.3"), Decimal("0.1"), Decimal("0.2")),
    "tuples": objects((0, "b"), (0, "a"), (-1, "c")),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_any_kind(blobs, kind):
    X, codes = blobs
    labels = LABELS[kind]
    model = gpulr.train(X, labels[codes], **FEW)
    order = np.argsort(labels.astype(model.classes.dtype))
    assert model.classes.tolist() == labels[order].tolist()
    if labels.dtype.kind not in "OT":
        assert model.classes.dtype == labels.dtype
    expected = gpulr.train(X, codes, **FEW)
    np.testing.assert_array_equal(model.weights, expected.weights[:, order])
    assert model.score(X, labels[codes]) == expected.score(X, codes)
    assert model.predict(X).tolist() == labels[expected.predict(X)].tolist()


def test_types_of_labels(blobs):
    X, codes = blobs
    assert gpulr.train(X, (codes > 0).astype(object), **FEW).classes.dtype == bool
    model = gpulr.train(X, LABELS["dates"][codes], **FEW)
    for others in (LABELS["decimals"], LABELS["days"], LABELS["str"]):
        with pytest.raises(gpulr.DataError, match="labels that this model was not trained on"):
            model.evaluate(X, others[codes])
    days = LABELS["nanoseconds"]
    weighted = gpulr.train(X, days[codes], class_weight={days[0]: 3.0}, **FEW)
    expected = gpulr.train(X, days[codes], sample_weight=np.where(codes == 0, 3.0, 1.0), **FEW)
    np.testing.assert_array_equal(weighted.weights, expected.weights)


def test_labels_in_a_column_a_list_or_on_a_device(put, blobs):
    X, y = blobs
    expected = gpulr.train(put(X), y, **FEW)
    for labels in (y[:, np.newaxis], y.tolist(), put(y), Frame(y)):
        model = gpulr.train(put(X), labels, **FEW)
        np.testing.assert_array_equal(to_host(model.weights), to_host(expected.weights))


@pytest.mark.parametrize(
    "labels", [[False, True], ["no", "yes"], [8, 9]], ids=["bool", "str", "int"]
)
def test_two_classes_give_one_column_for_the_second(put, blobs, labels):
    X, codes = blobs
    y = np.array(labels)[(codes > 0).astype(int)]
    model = gpulr.train(put(X), y, tol=1e-3)
    assert model.n_models == 1
    assert tuple(model.weights.shape) == (4, 1)
    assert tuple(model.intercept.shape) == (1,)
    assert model.classes.tolist() == labels
    three = gpulr.train(put(X), codes, tol=1e-3)
    np.testing.assert_allclose(
        to_host(model.weights)[:, 0], -to_host(three.weights)[:, 0], atol=0.05
    )
    assert model.score(put(X), y) > 0.85


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float32", "float64"])
def test_device_in_device_out(put, rng, dtype):
    codes = np.arange(80) % 4
    X = (rng.random((80, 4)) + np.eye(4)[codes] > 1).astype(dtype)
    here = put(X)
    model = gpulr.train(here, codes, tol=1e-3)
    reference = gpulr.train(X, codes, tol=1e-3)
    assert model.backend == gpulr.backend.backend_of(here).name
    assert_close(model.weights, reference.weights, like=here, dtype="float32", atol=1e-4)
    assert_close(model.intercept, reference.intercept, like=here, dtype="float32", atol=1e-4)
    assert_close(
        model.predict_proba(here), reference.predict_proba(X), like=here, dtype="float32", atol=1e-4
    )
    assert model.data["feature_range"] == [0.0, 1.0]
    assert model.data["dtype"] == dtype
    assert isinstance(model.history.cost, np.ndarray)
    assert model.device == gpulr.backend.backend_of(here).device_name


@pytest.mark.parametrize("batched", [True, False])
def test_the_history_tells_what_curvature_each_model_went_by(rng, monkeypatch, batched):
    X, y = rng.normal(size=(900, 40)), np.arange(900) % 3
    settings = {"batched": batched, "max_iter": 8, "tol": 0}
    few = gpulr.train(X[:, :5], y, **settings).history
    assert (few.refreshes.tolist(), few.curvature) == ([-1] * 3, ["exact"] * 3)
    assert repr(few).endswith("curvature: 3 exact)")
    descent = gpulr.train(X, y, solver="gd", **settings).history
    assert descent.refreshes is None
    assert descent.curvature is None
    assert repr(descent).endswith("refreshes=None)")

    def second(pool, before, norm, n, tol, known=None):  # pays for one of three, alone or not
        flags = norm == shared.gradient_norm[2, 1]  # looked at before the third iteration
        return flags, np.zeros(int(flags.sum()), np.int64)

    never = lambda pool, before, *_: (np.zeros(len(before), np.bool_), None)  # noqa: E731
    monkeypatch.setattr(lbfgs, "worthwhile", never)
    shared = gpulr.train(X, y, **settings).history
    assert shared.curvature == ["shared"] * 3
    monkeypatch.setattr(lbfgs, "worthwhile", second)
    own = gpulr.train(X, y, **settings).history
    assert own.refreshes.tolist() == [0, 1, 0]
    assert repr(own).endswith("curvature: 1 own, 2 shared)")


@pytest.mark.parametrize("dtype", ["float32", "float64", np.float32, np.dtype("float64"), float])
def test_weights_have_the_compute_dtype(put, blobs, dtype):
    X, y = blobs
    model = gpulr.train(put(X), y, dtype=dtype, **FEW)
    name = np.dtype(dtype).name
    assert str(model.weights.dtype).endswith(name)
    assert str(model.intercept.dtype).endswith(name)
    assert model.settings["dtype"] == name
    assert str(model.decision_function(put(X)).dtype).endswith(name)


def test_a_problem_of_some_models(put, blobs):
    X, y = blobs
    C, some = np.array([0.5, 1.0, 2.0]), np.array([2, 0])
    sets = np.stack([np.arange(len(X)) % 2, np.arange(len(X)) % 3], axis=1).astype(np.uint8)
    asked = {"requested": "auto", "n_passes": 1, "C": C}
    with prepare(read_inputs(put(X), y, None), Settings(), **asked) as data:
        for weight_sets, columns in ((None, some), (put(sets), np.array([2, 0, 5, 3]))):
            whole = data.problem(C, weight_sets=weight_sets)
            part = data.problem(C, weight_sets=weight_sets, models=some)
            assert part.n_models == len(columns)
            theta = np.random.default_rng(0).normal(size=(X.shape[1] + 1, whole.n_models))
            expected, got = whole.evaluate(put(theta)), part.evaluate(put(theta[:, columns]))
            for each, of_all in zip(got, expected, strict=True):
                np.testing.assert_allclose(
                    to_host(each), to_host(of_all)[..., columns], rtol=1e-5, atol=1e-7
                )


# ---- images, scale, C --------------------------------------------------------------------------


def test_images_are_flattened_and_their_shape_is_kept(put, rng):
    images, y = rng.random((30, 4, 3)), np.arange(30) % 3
    model = gpulr.train(put(images), y, **FEW)
    assert model.image_shape == (4, 3)
    flat = gpulr.train(put(images.reshape(30, 12)), y, **FEW)
    assert flat.image_shape is None
    np.testing.assert_array_equal(to_host(model.weights), to_host(flat.weights))
    predicted = to_host(model.predict(put(images)))
    np.testing.assert_array_equal(predicted, to_host(model.predict(put(images.reshape(30, 12)))))
    assert gpulr.train(images[..., np.newaxis], y, **FEW).image_shape == (4, 3, 1)


@pytest.mark.parametrize("shape", [(4, 3), [4, 3], np.array([4, 3])], ids=repr)
def test_image_shape_may_be_given(rng, tmp_path, shape):
    model = gpulr.train(rng.random((30, 12)), np.arange(30) % 3, image_shape=shape, **FEW)
    model.save(tmp_path / "model.safetensors")
    for each in (model, gpulr.load(tmp_path / "model.safetensors")):
        assert each.image_shape == (4, 3)


def test_uint8_is_scaled_by_1_255_unless_told_otherwise(put, rng):
    X, y = rng.integers(0, 256, (60, 5)).astype(np.uint8), np.arange(60) % 3
    settings = {"max_iter": 40, "tol": 0}
    auto = gpulr.train(put(X), y, **settings)
    assert auto.scale == auto.settings["scale"] == 1 / 255
    as_float = gpulr.train(put((X / 255).astype(np.float32)), y, **settings)
    assert as_float.scale == 1.0
    weights, scaled = to_host(auto.weights), to_host(as_float.weights) / 255
    np.testing.assert_allclose(weights, scaled, atol=1e-4 * np.abs(scaled).max())
    # weights apply to X as it was passed
    Z = X @ weights.astype(np.float64) + to_host(auto.intercept)
    np.testing.assert_allclose(to_host(auto.decision_function(put(X))), Z, atol=1e-5)

    settings["max_iter"] = 3
    for scale, factor in ((None, 1.0), (1, 1.0), (0.5, 0.5), (np.float32(0.25), 0.25)):
        assert gpulr.train(put(X), y, scale=scale, **settings).scale == factor


@pytest.mark.parametrize("solver", ["gd", "nesterov"])
def test_scale_is_folded_into_the_weights(put, rng, solver):
    X, y = rng.normal(size=(60, 4)), np.arange(60) % 3
    settings = {"solver": solver, "C": 0.5, "max_iter": 50, "tol": 0, "dtype": "float64"}
    model = gpulr.train(put(X), y, scale=0.2, learning_rate=0.7, **settings)
    scaled = gpulr.train(put(X * 0.2), y, scale=None, learning_rate=0.7, **settings)
    np.testing.assert_allclose(to_host(model.weights), to_host(scaled.weights) * 0.2, rtol=1e-9)
    np.testing.assert_allclose(to_host(model.intercept), to_host(scaled.intercept), rtol=1e-9)
    np.testing.assert_allclose(model.history.cost, scaled.history.cost, rtol=1e-12)
    np.testing.assert_allclose(model.history.gradient_norm, scaled.history.gradient_norm, rtol=1e-9)


def test_each_model_may_have_its_own_C(put, blobs):
    X, y = blobs
    settings = {"tol": 1e-5, "max_iter": 5000, "dtype": "float64"}
    C = np.array([0.01, 1.0, 30.0])
    model = gpulr.train(put(X), y, C=C, **settings)
    assert model.settings["C"] == C.tolist()
    for j, c in enumerate(C):
        one = gpulr.train(put(X), y, C=c, **settings)
        assert one.settings["C"] == c
        np.testing.assert_allclose(
            to_host(model.weights)[:, j], to_host(one.weights)[:, j], rtol=1e-8
        )
    on_device = gpulr.train(put(X), y, C=put(C), **settings)
    np.testing.assert_array_equal(to_host(on_device.weights), to_host(model.weights))


@pytest.mark.parametrize(
    ("solver", "standardize"), [("lbfgs", False), ("lbfgs", True), ("nesterov", True)]
)
def test_uint8_rows_are_never_copied_whole_to_float(rng, monkeypatch, solver, standardize):
    monkeypatch.setattr(threads, "thread_count", lambda: 2)  # each has a block of floats
    X = rng.integers(0, 256, (20_000, 784)).astype(np.uint8)  # 15.7 MB; as float32, 63 MB
    y = np.arange(len(X)) % 3
    settings = {"solver": solver, "standardize": standardize}
    gpulr.train(X[:100], y[:100], **settings, **FEW)  # lazy imports are not counted
    tracemalloc.start()
    try:
        gpulr.train(X, y, max_iter=2, tol=0, **settings).predict(X)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    extra = 28e6 if solver == "lbfgs" else 0  # a sample of the rows, and their covariance
    assert peak < 2 * NumPyBackend.block_bytes + 8e6 + extra < X.nbytes * 4


# ---- data sets ---------------------------------------------------------------------------------


def test_no_data_means_the_default_data(blobs, monkeypatch):
    X, y = blobs
    data = gpulr.datasets.Dataset(X, y, image_shape=(2, 2), name="stand-in", source="a test")
    monkeypatch.setattr(gpulr.datasets, "load_default", lambda: data)
    model = gpulr.train(**FEW)
    assert model.image_shape == (2, 2)
    assert (model.data["name"], model.data["source"]) == ("stand-in", "a test")
    np.testing.assert_array_equal(model.weights, gpulr.train(X, y, **FEW).weights)
    np.testing.assert_array_equal(model.weights, gpulr.train(data, **FEW).weights)
    for shape in ((4, 1), np.array([4, 1])):
        assert gpulr.train(data, image_shape=shape, **FEW).image_shape == (4, 1)


def test_digits_are_learnt(digits):
    X, y, X_test, y_test = digits
    model = gpulr.train(X, y)
    assert model.converged
    result = model.evaluate(X_test, y_test)
    assert result.accuracy > 0.94
    assert result.mean_binary_accuracy > 0.98


@pytest.mark.slow
@pytest.mark.mnist
def test_the_default_run_on_mnist_reaches_its_accuracy(real_mnist):
    model = gpulr.train(real_mnist)
    assert model.converged
    result = model.evaluate(real_mnist.X_test, real_mnist.y_test)
    assert result.accuracy >= 0.91
    assert result.mean_binary_accuracy >= 0.975
    assert model.image_shape == (28, 28)
    assert model.scale == 1 / 255


# ---- what a model records, and what training warns of -------------------------------------------


def test_the_model_records_what_it_was_trained_with(blobs):
    X, y = blobs
    model = gpulr.train(X, y, solver="gd", C=2, learning_rate=0.5, **FEW)
    own = {"solver": "gd", "C": 2.0, "learning_rate": 0.5, "max_iter": 20, "tol": 0.0}
    others = {"scale": 1.0, "standardize": False, "dtype": "float32", "fit_intercept": True}
    weights = {"sample_weight": False, "class_weight": None}
    assert model.settings == own | others | weights | {"batched": True}
    assert (model.backend, model.device, model.fallback_reason) == ("numpy", "cpu", None)
    assert model.versions["gpulr"] == gpulr.__version__
    assert model.versions["numpy"] == np.__version__
    assert model.data["n_samples"] == 90
    assert model.data["name"] == "arrays"
    np.testing.assert_allclose(model.data["feature_range"], [X.min(), X.max()])


def test_not_converging_warns_once_with_names_and_norms(blobs):
    X, y = blobs
    names = np.array(["ant", "bee", "cat"])
    norms = gpulr.train(X, y, solver="gd", max_iter=15, tol=0).history.gradient_norm[-1]
    tol = float(np.sort(norms)[:2].mean())  # one of them reaches it
    with pytest.warns(gpulr.ConvergenceWarning) as caught:
        model = gpulr.train(X, names[y], solver="gd", max_iter=15, tol=tol)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert caught[0].filename == __file__
    assert model.history.converged.tolist() == (norms == norms.min()).tolist()
    assert "2 of 3 models" in message
    assert f"tol={tol:g} (in 15 iterations)" in message
    for name, norm, converged in zip(names, norms, model.history.converged, strict=True):
        assert (f"{name} ({norm:.1e})" in message) != converged
    assert "raise max_iter" in message
    assert gpulr.train(X, y, tol=0.01).converged  # without a warning
    assert not gpulr.train(X, y, **FEW).converged


@pytest.mark.parametrize("batched", [True, False])
def test_two_classes_are_named_by_the_second(blobs, batched):
    X, y = blobs
    with pytest.warns(gpulr.ConvergenceWarning, match=r"1 of 1 models.*: True \("):
        gpulr.train(X, y > 0, max_iter=1, batched=batched)


def test_many_models_are_not_all_named(rng):
    y = np.arange(60) % 20
    with pytest.warns(gpulr.ConvergenceWarning, match=r"20 of 20 .*9 \([^)]*\), …") as caught:
        gpulr.train(rng.normal(size=(60, 3)), y, max_iter=1)
    assert "19 (" not in str(caught[0].message)
