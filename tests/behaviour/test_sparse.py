"""Sparse X: the numbers of the dense X, without making it dense."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

import gpulr
from gpulr import backend
from gpulr.backend import probes, selection
from gpulr.solvers import SOLVERS
from helpers import assert_optimal, stacked, targets

EXACT = {"tol": 1e-9, "dtype": "float64"}
FORMATS = {
    f"{name}_{kind}": getattr(sparse, f"{name}_{kind}")
    for name in ("csr", "csc", "coo", "lil", "bsr", "dok")
    for kind in ("array", "matrix")
}


@pytest.fixture
def counts(rng):
    """Rows of small whole numbers, most of them 0, some rows empty: X (200, 15) and y."""
    y = rng.permutation(np.arange(200) % 3)
    X = rng.poisson(0.3 + 0.7 * np.eye(3, 15)[y]) * (rng.random((200, 15)) < 0.6)
    X[::17] = 0
    return X, y


def assert_same_parameters(model, expected, rtol=1e-5):
    for name in ("weights", "intercept"):
        found, like = getattr(model, name), getattr(expected, name)
        np.testing.assert_allclose(found, like, rtol=rtol, atol=1e-6)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("standardize", [False, True])
def test_any_format_equals_dense(counts, form, standardize):
    X, y = counts
    rows = FORMATS[form](X)
    model = gpulr.train(rows, y, standardize=standardize, **EXACT)
    dense = gpulr.train(X, y, standardize=standardize, **EXACT)
    assert model.converged
    assert model.backend == "numpy"
    assert_same_parameters(model, dense)
    assert model.data["feature_range"] == dense.data["feature_range"]
    Z = dense.decision_function(X)
    np.testing.assert_allclose(model.decision_function(rows), Z, atol=1e-5)
    np.testing.assert_allclose(model.decision_function(X), Z, atol=1e-5)
    np.testing.assert_array_equal(model.predict(rows), dense.predict(X))
    confusion = model.evaluate(rows, y).confusion
    np.testing.assert_array_equal(confusion, dense.evaluate(X, y).confusion)
    probabilities = model.predict_proba(rows, normalize=True)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


@pytest.mark.parametrize("kind", ["float32", "float64", "int64", "int32", "uint8", "int8", "bool"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_dtype(counts, kind, dtype):
    X, y = counts
    X = X.astype(kind)
    tol = 1e-9 if dtype == "float64" else 1e-5
    model = gpulr.train(sparse.csr_array(X), y, scale=None, tol=tol, dtype=dtype)
    rounding = 1e-12 if dtype == "float64" else 1e-6
    assert_optimal(X, targets(y), stacked(model), 1.0, tol=1.1 * tol, rounding=rounding)
    assert model.data["dtype"] == kind


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_step_by_step(counts, solver):
    X, y = counts
    settings = {"solver": solver, "max_iter": 15, "tol": 0, "dtype": "float64"}
    model = gpulr.train(sparse.csr_array(X), y, **settings)
    dense = gpulr.train(X, y, **settings)
    np.testing.assert_allclose(model.history.cost, dense.history.cost, rtol=1e-8)
    np.testing.assert_allclose(model.weights, dense.weights, rtol=1e-4, atol=1e-6)


def test_weighted_and_uint8_is_scaled(counts, rng):
    X, y = counts
    s = rng.exponential(size=200)
    model = gpulr.train(sparse.csr_array(X), y, sample_weight=s, **EXACT)
    assert_optimal(X, targets(y), stacked(model), 1.0, tol=1e-9, s=s)
    with pytest.warns(gpulr.ScaleWarning, match="goes up to 5 only.*scale=1/5"):
        model = gpulr.train(sparse.csr_array(X.astype(np.uint8)), y, **EXACT)
    assert model.scale == 1 / 255
    assert_optimal(X / 255, targets(y), stacked(model), 1.0, tol=1e-9)


@pytest.mark.parametrize("index", ["int32", "int64"])
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("standardize", [False, True])
def test_index_dtypes_and_read_only_arrays(counts, index, frozen, standardize):
    X, y = counts
    rows = sparse.csr_array(X)
    rows.indices, rows.indptr = rows.indices.astype(index), rows.indptr.astype(index)
    for array in (rows.data, rows.indices, rows.indptr):
        array.flags.writeable = not frozen
    model = gpulr.train(rows, y, standardize=standardize, **EXACT)
    assert_same_parameters(model, gpulr.train(X, y, standardize=standardize, **EXACT))
    model.predict(rows)


@pytest.mark.parametrize("frozen", [False, True])
def test_unsorted_indices_and_duplicates_are_understood_and_left_alone(rng, frozen):
    # Row 0 holds 1 + 2 in column 3 and 5 in column 1.
    data, indices = np.array([1.0, 5.0, 2.0, 4.0, 1.0]), np.array([3, 1, 3, 0, 2])
    arrays = data, indices, np.array([0, 3, 4, 4, 5])
    for array in arrays:
        array.flags.writeable = not frozen
    X = sparse.csr_array(arrays, shape=(4, 4))
    before = [X.data.copy(), X.indices.copy(), X.indptr.copy()]
    model = gpulr.train(X, [0, 1, 0, 1], standardize=True)
    dense = np.array([[0, 5.0, 0, 3.0], [4.0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1.0, 0]])
    assert_same_parameters(model, gpulr.train(dense, [0, 1, 0, 1], standardize=True), rtol=1e-3)
    assert model.data["feature_range"] == [0.0, 5.0]
    for array, was in zip((X.data, X.indices, X.indptr), before, strict=True):
        np.testing.assert_array_equal(array, was)


def test_nothing_but_zeros():
    model = gpulr.train(sparse.csr_array((6, 3)), [0, 1] * 3, standardize=True)
    assert model.converged
    assert not model.weights.any()


def test_memory_stays_far_below_the_dense_rows(rng):
    X = sparse.random_array(
        (20_000, 2000), density=0.001, random_state=rng, format="csr", dtype=np.float32
    )
    y = np.asarray(X[:, :100].sum(axis=1) > 0.1).astype(int)
    gpulr.train(X[:50], np.arange(50) % 2, standardize=True, max_iter=1, tol=0)
    for standardize in (False, True):
        tracemalloc.start()
        try:
            model = gpulr.train(X, y, standardize=standardize, tol=1e-3)
            model.predict(X)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert model.converged
        assert peak < 50e6 < 4 * 20_000 * 2000 / 3


@pytest.mark.parametrize("library", ["numpy", "compiled"], indirect=True)
@pytest.mark.parametrize(
    ("kind", "index"), [("float32", "int64"), ("uint8", "int32"), ("bool", "int64")]
)
def test_what_is_stored_is_not_widened(library, monkeypatch, rng, kind, index):
    n, each = 20_000, 50  # a million entries: 4 MB of float32
    data = np.ones(n * each, kind)
    indices = 2 * np.arange(each) + rng.integers(0, 2, (n, each))
    parts = data, indices.ravel(), each * np.arange(n + 1)
    X, y = sparse.csr_array(parts, shape=(n, 2 * each)), np.arange(n) % 3
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    monkeypatch.setattr(backend.NumPyBackend, "block_bytes", 2**19)
    settings = {"scale": None, "max_iter": 2, "tol": 0}
    gpulr.train(X[:50], y[:50], **settings)
    tracemalloc.start()
    try:
        gpulr.train(X, y, **settings).predict(X)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * X.nnz, peak


def test_a_gpu_that_cannot_take_it_says_so(counts):
    X, _ = counts
    elsewhere = backend.Backend("another", np)
    with pytest.raises(gpulr.DataError, match=r'another cannot take.*backend="numpy".*toarray'):
        elsewhere.asarray(sparse.csr_array(X))


@pytest.mark.usefixtures("unprobed")
def test_the_gpu_is_not_chosen_for_it(counts, monkeypatch):
    X, y = counts
    usable = backend.BackendStatus("cupy", True, ())
    monkeypatch.setitem(backend.BACKENDS, "cupy", (backend.CuPyBackend, lambda: usable))
    monkeypatch.setattr(selection, "AUTO_MIN_FLOPS", 0)
    monkeypatch.setattr(probes, "installed", lambda name: True)
    monkeypatch.setattr(selection, "_new", new_without_a_gpu)
    assert gpulr.train(sparse.csr_array(X), y).backend == "numpy"
    with pytest.raises(gpulr.DataError, match=r"sparse, which cupy cannot take"):
        gpulr.train(sparse.csr_array(X), y, backend="cupy")


def new_without_a_gpu(name):
    return backend.backend_of(None) if name == "numpy" else backend.Backend(name, np)


# ---- parts that do not fit together --------------------------------------------------------------


COMPRESSED = [
    *(f"X.indices[{at}] = {n}" for at in (0, 3, -1) for n in (12, 10**6, -1, 2**31 - 1)),
    *(f"X.indptr[{at}] = {n}" for at in (0, 3, -1) for n in (10**6, -(2**31))),
    *(f"X.{name} = X.{name}[:-1]" for name in ("data", "indices", "indptr")),
    "X.indices = X.indices * 1.0",
    "X = sparse.csr_array((12, 5)); X.indptr[4] = 10**6",  # nothing stored, and rows say otherwise
]
DAMAGE = {
    "csr": COMPRESSED,
    "csc": COMPRESSED,
    "bsr": COMPRESSED,
    "coo": [
        *(f"X.coords[{axis}][3] = {n}" for axis, n in ((0, 12), (1, 5), (0, -1), (1, 10**6))),
        "X.data = X.data[:-1]",
    ],
    "dia": ["X.offsets = X.offsets[:-1]"],
    "lil": [
        "X.rows[3], X.data[3] = [4, 5], [1.0, 2.0]",
        "X.rows[3], X.data[3] = [1], [1.0] * 1000",
        "X.rows[3], X.data[3] = [1] * 1000, [1.0]",
        "X.rows[3], X.data[3] = None, []",
        "X.rows = X.rows[:2]",
    ],
    "dok": [f"X._dict[{key}] = 1.0" for key in ("12, 0", "0, -1", "0, 10**6")],
}


def damaged(form):
    """Yield sparse matrices of one format whose parts were changed after they were made."""
    dense = np.arange(60.0).reshape(12, 5) * (np.arange(60).reshape(12, 5) % 3 > 0)
    for damage in DAMAGE[form]:
        names = {"X": getattr(sparse, f"{form}_array")(dense), "sparse": sparse}
        exec(damage, names)
        yield names["X"]


@pytest.mark.parametrize("form", DAMAGE)
def test_damaged_matrices_are_refused_before_compiled_code_follows_them(form):
    y = np.arange(12) % 3
    rows = np.random.default_rng(0).normal(size=(12, 5))
    model = gpulr.train(rows, y, max_iter=1, tol=0)
    labels = gpulr.train(rows, np.eye(12, 5), max_iter=1, tol=0)
    fitted = gpulr.OneVsAllLogisticRegression(tol=1.0).fit(rows, y)
    for X in damaged(form):
        for call in (
            lambda X=X: gpulr.train(X, y),
            lambda X=X: model.predict(X),
            lambda X=X: gpulr.OneVsAllLogisticRegression().fit(X, y),
            lambda X=X: fitted.predict(X),
            lambda X=X: gpulr.train(rows, X),
            lambda X=X: labels.evaluate(rows, X),
        ):
            with pytest.raises(gpulr.DataError, match=r"sparse matrix that cannot be read.*anew"):
                call()


def test_what_a_matrix_has_noted_of_its_indices_is_not_trusted(counts):
    X, y = counts
    made = sparse.csr_array(X.astype(float))
    assert made.has_canonical_format
    made.indices[: made.indptr[1]] = made.indices[: made.indptr[1]][::-1].copy()
    made.indices[made.indptr[1] : made.indptr[2]] = 0  # all in one column
    dense = np.zeros(X.shape)
    places = np.repeat(np.arange(200), np.diff(made.indptr)), made.indices
    np.add.at(dense, places, made.data)
    model = gpulr.train(made, y, standardize=True, **EXACT)
    assert_same_parameters(model, gpulr.train(dense, y, standardize=True, **EXACT))
