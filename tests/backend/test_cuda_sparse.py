"""Sparse rows on CuPy: against a stand-in for it and for its sparse matrices.

What a card and CuPy themselves do with these calls is for a card to find out.
"""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy import sparse

import gpulr
from fake_gpu import FakeArray
from gpulr.backend import backend_of, is_device_array, to_host
from gpulr.backend.cuda_kernels import kernels_of


@pytest.fixture
def machine(install, monkeypatch):
    """Install a stand-in for CuPy that compiles no kernels."""
    install()
    monkeypatch.setenv("GPULR_FUSED", "never")
    kernels_of.cache_clear()
    yield sys.modules["cupy"].machine
    kernels_of.cache_clear()


@pytest.fixture
def rows(rng):
    """Sparse rows, some of them empty, and a class of each."""
    y = rng.permutation(np.arange(200) % 3)
    X = rng.poisson(0.3 + 0.7 * np.eye(3, 15)[y]) * (rng.random((200, 15)) < 0.6)
    X[::17] = 0
    return sparse.csr_array(X.astype(np.float32)), y


def there(X):
    from cupyx.scipy.sparse import csr_matrix

    return csr_matrix(tuple(map(FakeArray, (X.data, X.indices, X.indptr))), shape=X.shape)


SETTINGS = {
    "as they are": {},
    "standardised": {"standardize": True},
    "in float64": {"dtype": "float64"},
    "weighted": {"sample_weight": np.linspace(0.5, 2.0, 200)},
    "by Nesterov's method": {"solver": "nesterov", "max_iter": 50, "tol": 0},
}


@pytest.mark.parametrize("settings", SETTINGS)
def test_training_finds_there_what_it_finds_on_the_host(machine, rows, settings):
    (X, y), settings = rows, {"scale": None, "tol": 1e-6} | SETTINGS[settings]
    expected = gpulr.train(X, y, **settings)
    model = gpulr.train(there(X), y, **settings)
    assert model.backend == "cupy"
    assert is_device_array(model.weights)
    np.testing.assert_allclose(to_host(model.weights), expected.weights, rtol=1e-3, atol=1e-4)
    Z = model.decision_function(there(X))
    assert isinstance(Z, FakeArray)
    np.testing.assert_allclose(to_host(Z), expected.decision_function(X), rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(to_host(model.predict(there(X))), expected.predict(X))
    np.testing.assert_allclose(model.decision_function(X), to_host(Z), rtol=1e-3, atol=1e-3)


@pytest.mark.usefixtures("as_if_large")
@pytest.mark.parametrize("weighted", [False, True])
def test_curvature_from_sparse_products(machine, rows, weighted):
    X, y = rows
    X = sparse.csr_array(X.multiply(np.where(np.arange(15) < 2, 1e-5, 1.0)).astype(np.float32))
    weight = np.linspace(0.5, 2.0, 200) if weighted else None
    settings = {"scale": None, "tol": 1e-5, "sample_weight": weight, "dtype": "float64"}
    expected, model = (gpulr.train(rows, y, **settings) for rows in (X, there(X)))
    np.testing.assert_allclose(to_host(model.weights), expected.weights, rtol=1e-2, atol=1e-3)


def test_many_features_without_eigenvectors(machine, rng, monkeypatch):
    from gpulr.solvers.curvature import SharedCurvature

    monkeypatch.setattr(SharedCurvature, "full_up_to", 10)
    monkeypatch.setattr("gpulr.solvers.exact_curvature.MOST", 0)
    X = sparse.random_array((90, 40), density=0.1, random_state=rng, format="csr")
    y = np.arange(90) % 3
    expected = gpulr.train(X, y, tol=1e-6)
    model = gpulr.train(there(X.astype(np.float32)), y, tol=1e-6)
    np.testing.assert_allclose(to_host(model.weights), expected.weights, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float32", "float64"])
def test_rows_of_the_host_are_sent_where_that_is_asked_for(machine, rows, dtype):
    X, y = rows
    X = sparse.csr_array(X > 0 if dtype == "bool" else X, dtype=dtype)
    expected = gpulr.train(X, y, scale=None, tol=1e-6)
    model = gpulr.train(X, y, scale=None, tol=1e-6, backend="cupy")
    assert model.backend == "cupy"
    assert type(model.weights) is np.ndarray
    np.testing.assert_allclose(model.weights, expected.weights, rtol=1e-3, atol=1e-4)
    assert gpulr.train(X, y, scale=None, max_iter=1, tol=0).backend == "numpy"


def test_indices_that_cupy_would_cut_off_are_refused(machine):
    X = sparse.csr_array((np.ones(2), np.array([0, 2**31]), np.array([0, 1, 2])))
    with pytest.raises(gpulr.DataError, match=r"2,147,483,647\. Use backend=.numpy.\.$"):
        backend_of(FakeArray(np.ones(1))).asarray(X)


def test_families_and_estimators_take_them(machine, rows):
    X, y = rows
    found = gpulr.search(there(X), y, Cs=[0.1, 1.0], cv=3, scale=None)
    expected = gpulr.search(X, y, Cs=[0.1, 1.0], cv=3, scale=None)
    np.testing.assert_allclose(found.scores, expected.scores, atol=0.02)
    found = gpulr.bootstrap(there(X), y, n=3, random_state=0, scale=None)
    expected = gpulr.bootstrap(X, y, n=3, random_state=0, scale=None)
    np.testing.assert_allclose(to_host(found.coef), expected.coef, atol=0.02)
    low, high = found.proba_interval(there(X))
    assert to_host(low).shape == to_host(high).shape == (200, 3)
    gpulr.cross_val_predict(there(X), y, cv=3, scale=None)
    gpulr.learning_curve(there(X), y, cv=2, train_sizes=[0.5, 1.0], scale=None)
    gpulr.permutation_test(there(X), y, cv=2, n=2, scale=None)
    for estimator in (
        gpulr.OneVsAllLogisticRegression(),
        gpulr.OneVsAllLogisticRegressionCV(Cs=2, cv=2),
    ):
        estimator.fit(there(X), y)
        assert isinstance(estimator.coef_, FakeArray)
        assert estimator.score(there(X), y) > 0.5


def test_labels_may_be_any_number(machine, rows):
    X, y = rows
    labels = np.eye(3)[y]
    expected = gpulr.train(X, labels, scale=None, tol=1e-6)
    model = gpulr.train(there(X), labels, scale=None, tol=1e-6)
    np.testing.assert_allclose(to_host(model.weights), expected.weights, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(to_host(model.predict(there(X))), expected.predict(X))
    assert model.score(there(X), labels) == expected.score(X, labels)


def test_they_come_to_the_host_where_that_is_asked_for(machine, rows):
    X, y = rows
    model = gpulr.train(there(X), y, scale=None, backend="numpy")
    assert model.backend == "numpy"
    expected = gpulr.train(X, y, scale=None).weights
    np.testing.assert_allclose(to_host(model.weights), expected, atol=1e-6)
    labels = sparse.csr_array(np.eye(3)[y], dtype=np.float32)
    model = gpulr.train(X, there(labels), scale=None)
    np.testing.assert_allclose(model.weights, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_there(machine, rows, value):
    X, y = rows
    model = gpulr.train(X, y, max_iter=1, tol=0)
    X.data[5] = value
    row = np.searchsorted(X.indptr, 5, side="right") - 1
    for call in (lambda: gpulr.train(there(X), y), lambda: model.predict(there(X))):
        with pytest.raises(gpulr.DataError, match=rf"NaN or infinity \(first in row {row}\)"):
            call()


def test_parts_that_do_not_fit_are_refused_there(machine, rows):
    X, y = rows
    for part, at, value in (("indices", 3, 15), ("indices", 3, -1), ("indptr", 4, 10**6)):
        broken = there(X.copy())
        getattr(broken, part).a[at] = value
        with pytest.raises(gpulr.DataError, match=r"sparse matrix that cannot be read.*anew"):
            gpulr.train(broken, y)


def test_the_callers_matrix_is_left_alone(machine):
    data, indices = np.array([1.0, 5.0, 2.0, 4.0, 1.0]), np.array([3, 1, 3, 0, 2])
    X = sparse.csr_matrix((data, indices, np.array([0, 3, 4, 4, 5])), shape=(4, 4))
    given, y = there(X), [0, 1, 0, 1]
    model = gpulr.train(given, y, scale=None)
    assert given.indices.a.tolist() == indices.tolist()
    expected = gpulr.train(X, y, scale=None).weights
    np.testing.assert_allclose(to_host(model.weights), expected, rtol=1e-3, atol=1e-4)


def test_extremes_are_those_of_all_entries(machine, rows):
    X, _ = rows
    X.data[::7] *= -1
    backend = backend_of(there(X))
    least, most = map(to_host, backend.sparse_extremes(there(X)))
    np.testing.assert_array_equal(least, X.toarray().min(axis=0))
    np.testing.assert_array_equal(most, X.toarray().max(axis=0))
