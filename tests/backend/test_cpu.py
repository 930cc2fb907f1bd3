"""NumPy on the CPU."""

from __future__ import annotations

import numpy as np
import pytest

from gpulr.backend import select
from gpulr.backend.cpu import SHORT


@pytest.mark.parametrize("n", [1, 31, SHORT, SHORT + 1])
@pytest.mark.parametrize("n_vectors", [1, 3])
@pytest.mark.parametrize("stored", ["f4", "f8"])
def test_a_sum_of_columns_has_the_same_bits_beside_any_others(rng, n, n_vectors, stored):
    backend = select("numpy")
    x, vectors = rng.standard_normal((n, 9)), rng.standard_normal((n_vectors, n, 9)).astype(stored)
    c, several = rng.standard_normal((n_vectors, 9)), rng.standard_normal(9)
    for factor in (1.0, 0.5, several):
        combined = backend.combine(x, c, list(vectors), factor)
        expected = factor * x + (c[:, None, :] * vectors).sum(axis=0)
        np.testing.assert_allclose(combined, expected, rtol=1e-12, atol=1e-12)
        assert combined.dtype == np.float64
        for j in range(9):
            one = slice(j, j + 1)
            alone = [np.ascontiguousarray(v[:, one]) for v in vectors]
            own = factor if isinstance(factor, float) else factor[one]
            found = backend.combine(np.ascontiguousarray(x[:, one]), c[:, one], alone, own)
            assert np.array_equal(found, combined[:, one])


def test_what_is_no_number_shows_where_it_is_alone():
    x, v = np.ones((5, 3)), np.ones((5, 3))
    v[2, 1], x[3, 2] = np.nan, np.inf
    found = select("numpy").combine(x, np.full((1, 3), -1.0), [v])
    expected = np.zeros((5, 3))
    expected[2, 1], expected[3, 2] = np.nan, np.inf
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "f2", "f4", "f8"])
@pytest.mark.parametrize("layout", ["rows", "columns", "every other"])
def test_rows_are_taken_block_by_block_as_numpy_takes_them(rng, monkeypatch, dtype, layout):
    backend = select("numpy")
    monkeypatch.setattr(type(backend), "block_bytes", 300)
    X = rng.uniform(-3, 3, (70, 6)).astype(dtype)
    X = {"rows": X, "columns": np.asfortranarray(X), "every other": X[::2, ::2]}[layout]
    for index in (rng.integers(0, 35, 41), np.array([-1, 3, -35]), np.array([], np.int64)):
        np.testing.assert_array_equal(backend.take_rows(X, index), X[index], strict=True)
    for beyond in (len(X), -len(X) - 1):
        with pytest.raises(IndexError):
            backend.take_rows(X, np.array([0, beyond]))
