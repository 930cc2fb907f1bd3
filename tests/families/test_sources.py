"""Every family over rows that are read block by block: what it says of the same rows in memory."""

from __future__ import annotations

import threading
import tracemalloc

import numpy as np
import pytest
from scipy import sparse

import gpulr
from gpulr import logistic
from gpulr.backend import NumPyBackend
from gpulr.errors import DataError
from sources import KINDS, Slices, SparseSlices, data, in_file


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch):
    monkeypatch.setattr(NumPyBackend, "block_bytes", 8_000)
    yield
    assert "gpulr-reader" not in {thread.name for thread in threading.enumerate()}


@pytest.fixture
def rows(rng):
    return data(rng, n=800)


def sparse_rows(rng, n=900, p=30):
    S = sparse.random_array((n, p), density=0.2, format="csr", random_state=rng, dtype=np.float32)
    return S, (S @ rng.normal(size=(p, 3)) + 0.3 * rng.normal(size=(n, 3))).argmax(axis=1)


SETTINGS = {
    "lbfgs": {},
    "standardize": {"standardize": True},
    "float64": {"dtype": "float64", "tol": 1e-8},
    "no intercept": {"fit_intercept": False},
    "gradient descent": {"solver": "gd", "max_iter": 20, "tol": 0},
    "nesterov": {"solver": "nesterov", "max_iter": 20, "tol": 0},
    "balanced": {"class_weight": "balanced"},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("chunk", [None, 37], ids=["uncut", "chunks"])
def test_training_is_as_in_memory(rows, settings, chunk, monkeypatch):
    X, y = rows
    monkeypatch.setattr("gpulr.validation.sources.LEAST_BYTES", 1)
    expected = gpulr.train(X, y, **settings)
    model = gpulr.train(Slices(X, chunk), y, **settings)
    assert model.n_iter == expected.n_iter
    if chunk is None:
        np.testing.assert_array_equal(model.weights, expected.weights)
        np.testing.assert_array_equal(model.intercept, expected.intercept)
    else:
        np.testing.assert_allclose(model.weights, expected.weights, rtol=1e-3, atol=1e-4)
    assert model.data == expected.data


def test_the_bits_are_the_same_in_each_run(rows, monkeypatch):
    X, y = rows
    monkeypatch.setattr("gpulr.validation.sources.LEAST_BYTES", 1)
    first, second = (gpulr.train(Slices(X, 37), y) for _ in range(2))
    np.testing.assert_array_equal(first.weights, second.weights)


def test_a_sample_is_the_same_as_in_memory(rows, monkeypatch):
    X, y = rows
    weight = np.arange(len(y)) % 3
    monkeypatch.setattr("gpulr.solvers.lbfgs.LBFGS.sample", 100)
    monkeypatch.setattr("gpulr.solvers.lbfgs.SAMPLE_BYTES", 0)
    monkeypatch.setattr("gpulr.solvers.exact_curvature.MOST", 0)
    both = [gpulr.train(of, y, sample_weight=weight) for of in (X, Slices(X))]
    np.testing.assert_array_equal(both[0].weights, both[1].weights)


@pytest.mark.parametrize("chunk", [None, 50], ids=["uncut", "chunks"])
def test_sparse_rows_are_trained_as_in_memory(rng, chunk, monkeypatch):
    S, y = sparse_rows(rng)
    monkeypatch.setattr("gpulr.core.rows.ENTRIES", 0)  # no copy by features
    for settings in ({}, {"standardize": True}, {"solver": "nesterov", "max_iter": 20, "tol": 0}):
        expected, model = (gpulr.train(of, y, **settings) for of in (S, SparseSlices(S, chunk)))
        np.testing.assert_array_equal(model.weights, expected.weights)
        for name in ("predict", "predict_proba", "decision_function"):
            found = getattr(model, name)(SparseSlices(S))
            np.testing.assert_array_equal(found, getattr(model, name)(S))


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_trained_on_and_predicted(kind, rows, tmp_path):
    X, y = rows
    file, model = in_file(kind, X, tmp_path), gpulr.train(X, y)
    np.testing.assert_allclose(gpulr.train(file, y).weights, model.weights, rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(model.predict(file), model.predict(X))
    assert str(model.evaluate(file, y)) == str(model.evaluate(X, y))
    estimator = gpulr.OneVsAllLogisticRegression().fit(file, y)
    assert estimator.n_features_in_ == X.shape[1]
    assert estimator.score(file, y) == estimator.score(X, y)
    np.testing.assert_array_equal(estimator.predict_proba(file), estimator.predict_proba(X))


def test_backed_sparse_rows_are_trained_on(rng, tmp_path):
    pytest.importorskip("anndata", reason="AnnData is not installed")
    S, y = sparse_rows(rng)
    model, expected = (gpulr.train(of, y) for of in (in_file("anndata", S, tmp_path), S))
    np.testing.assert_allclose(model.weights, expected.weights, rtol=1e-3, atol=1e-5)


FAMILIES = {
    "search": lambda X, y: gpulr.search(X, y, Cs=[0.1, 1.0], cv=3).scores,
    "bootstrap": lambda X, y: gpulr.bootstrap(X, y, n=5, random_state=0).coef,
    "permutation_test": lambda X, y: gpulr.permutation_test(X, y, n=5, cv=3).scores,
    "learning_curve": lambda X, y: gpulr.learning_curve(X, y, cv=3).test_scores,
    "cross_val_predict": lambda X, y: gpulr.cross_val_predict(X, y, cv=3),
    "estimator": lambda X, y: (
        gpulr.OneVsAllLogisticRegressionCV(Cs=[0.1, 1.0], cv=3).fit(X, y).coef_
    ),
}


@pytest.mark.covering
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_families_say_what_they_say_in_memory(family, kind, rows, rng):
    X, y = rows if kind == "dense" else sparse_rows(rng)
    source = Slices(X) if kind == "dense" else SparseSlices(X)
    np.testing.assert_allclose(family(source, y), family(X, y), rtol=1e-4, atol=1e-5)


def test_images_bytes_and_a_start(rng):
    X = rng.integers(0, 256, (300, 5, 4)).astype(np.uint8)
    y = X[:, 0, 0] > 128
    expected, model = (gpulr.train(of, y, scale=1 / 255) for of in (X, Slices(X)))
    np.testing.assert_array_equal(model.weights, expected.weights)
    assert model.image_shape == (5, 4)
    np.testing.assert_array_equal(model.predict(Slices(X)), expected.predict(X))
    again = gpulr.train(Slices(X), y, scale=1 / 255, start=model)
    assert again.n_iter <= 1


def test_columns_are_put_in_the_models_order(rows, tmp_path):
    xarray = pytest.importorskip("xarray", reason="xarray is not installed")
    pytest.importorskip("zarr", reason="zarr is not installed")
    X, y = rows
    names = [f"f{i}" for i in range(X.shape[1])]

    def file(order, name):
        of_unstable_type = pytest.warns(match="does not have a Zarr V3 specification")
        labelled = xarray.DataArray(
            X[:, order], dims=("row", "feature"), coords={"feature": [names[i] for i in order]}
        )
        with of_unstable_type:
            labelled.to_dataset(name="X").to_zarr(tmp_path / name, consolidated=False)
        return xarray.open_zarr(tmp_path / name, chunks=None, consolidated=False)["X"]

    order = np.arange(X.shape[1])
    model = gpulr.train(file(order, "a"), y)
    turned = file(order[::-1], "b")
    np.testing.assert_array_equal(model.predict(turned), model.predict(X))
    estimator = gpulr.OneVsAllLogisticRegression().fit(file(order, "c"), y)
    assert list(estimator.feature_names_in_) == names
    np.testing.assert_array_equal(estimator.predict(turned), model.predict(X))


def test_an_error_in_the_middle_names_the_rows(rows):
    X, y = rows
    model = gpulr.train(X, y)
    for call in (lambda of: gpulr.train(of, y), model.predict):
        with pytest.raises(DataError, match=r"Rows \d+ to \d+ of X cannot be read") as caught:
            call(Slices(X, broken_at=700))
        assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_numbers_that_are_not_finite_are_found(bad, kind, rows, rng):
    X, y = rows if kind == "dense" else sparse_rows(rng)
    model = gpulr.train(X, y)
    if kind == "dense":
        X[612, 3] = bad
    else:
        X.data[X.indptr[612]] = bad
    source = (Slices if kind == "dense" else SparseSlices)(X)
    for call in (lambda: gpulr.train(source, y), lambda: model.predict(source)):
        with pytest.raises(DataError, match=r"NaN or infinity \(first in row 612\)"):
            call()


def test_numbers_beyond_the_dtype_are_found(rows):
    X, y = rows
    X = X.astype(np.float64)
    X[500, 2] = 1e300
    with pytest.raises(DataError, match=r"too large to compute with \(first in row 500\)"):
        gpulr.train(Slices(X), y)


ANSWERS = {  # and how many arrays of margins they take at most
    "decision_function": (1.6, lambda model, X, y: model.decision_function(X)),
    "predict": (1.8, lambda model, X, y: model.predict(X)),
    "predict_proba": (1.6, lambda model, X, y: model.predict_proba(X)),
    "normalized": (1.6, lambda model, X, y: model.predict_proba(X, normalize=True)),
    "score": (2.4, lambda model, X, y: model.score(X, y)),
    "evaluate": (7.0, lambda model, X, y: model.evaluate(X, y)),
    "train": (3.0, lambda model, X, y: gpulr.train(X, y, max_iter=3, tol=0)),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_few_arrays_of_margins_are_made(answer, rng, monkeypatch):
    monkeypatch.undo()  # blocks are as long as ever
    n, k = 200_000, 10
    X, y = data(rng, n=n, p=4, k=k)
    model = gpulr.train(X[:5000], y[:5000], max_iter=3, tol=0)
    most, call = ANSWERS[answer]
    call(model, Slices(X[:5000]), y[:5000])
    tracemalloc.start()
    try:
        call(model, Slices(X), y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Blocks of 8 MiB would be as much as all of these rows.
    assert peak < most * 4 * n * k + 8 * 2**20


SLOW = (pytest.param(kind, marks=pytest.mark.slow) for kind in ("slices", "CSR"))
FAMILIES = {
    "search": lambda X, y: gpulr.search(X, y, Cs=[0.01, 1], cv=2, max_iter=2),
    "bootstrap": lambda X, y: gpulr.bootstrap(X, y, n=2, max_iter=2, tol=1e-4, random_state=0),
    "cross_val_predict": lambda X, y: gpulr.cross_val_predict(X, y, cv=2, max_iter=2),
    "learning_curve": lambda X, y: gpulr.learning_curve(X, y, cv=2, max_iter=2, train_sizes=[0.4]),
    "permutation_test": lambda X, y: gpulr.permutation_test(X, y, cv=2, max_iter=2, n=1),
}


@pytest.mark.filterwarnings("ignore::gpulr.errors.ConvergenceWarning")
@pytest.mark.parametrize("kind", ["memory map", "h5py chunks", *SLOW])
@pytest.mark.parametrize("family", FAMILIES)
def test_no_family_copies_its_rows(family, kind, rng, monkeypatch, tmp_path):
    monkeypatch.setattr(NumPyBackend, "block_bytes", 2**18)
    monkeypatch.setattr("gpulr.backend.cpu.COPIED", 2**20)
    monkeypatch.setattr("gpulr.solvers.lbfgs.SAMPLE_BYTES", 2**20)  # some 1,000 rows
    monkeypatch.setattr("gpulr.sources.source.RUN_BYTES", 2**18)
    X, _ = data(rng, n=40_000, p=120)
    score = X[:, :9].sum(axis=1) + rng.normal(size=len(X))
    y = (score > np.median(score)).astype(np.uint8)
    if kind == "CSR":
        rows = sparse.csr_array(np.where(X < 1.0, X, 0))
    elif kind == "memory map":
        np.save(tmp_path / "X.npy", X)
        rows = np.load(tmp_path / "X.npy", mmap_mode="r")
    else:
        rows = Slices(X, 512) if kind == "slices" else in_file(kind, X, tmp_path)
    call = FAMILIES[family]
    call(X[:3000], y[:3000])
    tracemalloc.start()
    try:
        call(rows, y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < X.nbytes / 3  # a fold is a half


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("k", [2, 10])
def test_probabilities_have_the_bits_of_those_of_all_rows_at_once(rng, monkeypatch, normalize, k):
    monkeypatch.undo()
    X, y = data(rng, n=100_003, p=4, k=k)
    model = gpulr.train(X[:5000], y[:5000], max_iter=3, tol=0)
    Z = model.decision_function(Slices(X))
    expected = np.exp(logistic.log_normalized(Z)) if normalize else logistic.sigmoid(Z)
    np.testing.assert_array_equal(model.predict_proba(Slices(X), normalize=normalize), expected)
