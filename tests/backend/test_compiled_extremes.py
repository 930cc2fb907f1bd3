"""Extremes of features: exactly NumPy's, of every storage type and shape."""

from __future__ import annotations

import numpy as np
import pytest

from gpulr.backend import compiled_functions, compiled_rows, select
from gpulr.backend.base import Backend

STORAGE = ("bool", "uint8", "int8", "float16", "float32", "float64")
VIEWS = {
    "all": lambda X: X,
    "columns in its middle": lambda X: X[:, 13:80],
    "every third row": lambda X: X[1::3],
    "one row": lambda X: X[7:8],
}


@pytest.fixture
def extremes(compiled_products):
    """Return what finds them compiled."""

    def extremes(X):
        function = compiled_rows.extremes_function(X)
        assert function is not None
        return function(X)

    return extremes


def sample(rng, storage, n_rows, n_features):
    return (60 * rng.standard_normal((n_rows, n_features))).astype(storage)


@pytest.mark.parametrize("storage", STORAGE)
def test_every_shape(extremes, rng, storage):
    for n_features in (16, 17, 63, 64, 65, 803):
        for n_rows in (1, 2, 300, 2_500):
            X = sample(rng, storage, n_rows, n_features)
            least, most = extremes(X)
            np.testing.assert_array_equal(least, X.min(axis=0)[np.newaxis])
            np.testing.assert_array_equal(most, X.max(axis=0)[np.newaxis])


@pytest.mark.parametrize("view", VIEWS)
def test_rows_that_are_a_view(extremes, rng, view):
    X = VIEWS[view](sample(rng, "float32", 101, 83))
    least, most = extremes(X)
    np.testing.assert_array_equal(least[0], X.min(axis=0))
    np.testing.assert_array_equal(most[0], X.max(axis=0))


@pytest.mark.parametrize("storage", ["float16", "float32", "float64"])
def test_what_is_not_finite_shows(extremes, rng, storage):
    X = sample(rng, storage, 700, 150)
    X[0, 3] = X[350, 70] = X[699, 149] = np.nan
    X[350, 5], X[351, 5] = np.inf, -np.inf
    least, most = extremes(X)
    for found in (least, most):
        assert np.flatnonzero(np.isnan(found)).tolist() == [3, 70, 149]
    assert (least[0, 5], most[0, 5]) == (-np.inf, np.inf)


def test_where_they_are_used(compiled_products, rng, monkeypatch):
    backend, calls = select("numpy"), []
    original = Backend.extremes
    monkeypatch.setattr(Backend, "extremes", lambda self, X: calls.append(1) or original(self, X))
    X = sample(rng, "float32", 50, 40)
    for rows, portable in ((X, 0), (X[:, ::2], 1), (X[:, :15], 1), (X.astype(np.int64), 1)):
        calls.clear()
        least, most = backend.extremes(rows)
        assert len(calls) == portable
        np.testing.assert_array_equal(least[0], rows.min(axis=0))
        np.testing.assert_array_equal(most[0], rows.max(axis=0))
    # Nobody waits for a compiler that is still being loaded, but for what takes longer by itself.
    monkeypatch.setattr("gpulr.backend.cpu.compiler_at_hand", lambda: False)
    for rows, portable in ((X, 1), (X.astype(np.float16), 0)):
        calls.clear()
        backend.extremes(rows)
        assert len(calls) == portable


def test_a_function_that_is_wrong_is_not_used(compiled_products, rng, monkeypatch):
    from gpulr.backend.compiled_extremes import Extremes

    right = Extremes.__call__
    monkeypatch.setattr(Extremes, "__call__", lambda self, X: right(self, X[:-1]))
    compiled_functions.extremes_of.cache_clear()
    try:
        assert compiled_rows.extremes_function(sample(rng, "float32", 50, 40)) is None
    finally:
        compiled_functions.extremes_of.cache_clear()
