"""Rows of 16 bits, float16 and bfloat16: what is made of them has the bits of wider rows."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from gpulr.backend import compiled_functions, compiled_rows, select, widening
from gpulr.validation.arrays import finite_rows

F4, F8 = np.dtype(np.float32), np.dtype(np.float64)
needs_ml_dtypes = pytest.mark.skipif(
    importlib.util.find_spec("ml_dtypes") is None, reason="ml_dtypes is not installed"
)
EACH_HALF = pytest.mark.parametrize(
    "storage", ["float16", pytest.param("bfloat16", marks=needs_ml_dtypes)]
)
LAYOUTS = {
    "C order": lambda X: X,
    "Fortran order": np.asfortranarray,
    "every other number": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "backwards": lambda X: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
    "rows of a wider array": lambda X: np.hstack([X, X])[:, : X.shape[1]],
    "read-only": lambda X: np.frombuffer(X.tobytes(), X.dtype).reshape(X.shape),
}


def half(storage):
    """Return the dtype of that name, which NumPy knows once ml_dtypes is imported."""
    if storage == "bfloat16":
        import ml_dtypes  # noqa: F401
    return np.dtype(storage)


def sample(rng, storage, *shape):
    return rng.uniform(-2, 3, shape).astype(half(storage))


def operand(X, dtype=F4, center=None):
    assert compiled_rows.readable(X, dtype)
    return compiled_rows.CompiledRows(X, dtype, center)


def numbers(rng, dtype, *shape):
    return rng.standard_normal(shape).astype(dtype)


# ---- products ---------------------------------------------------------------------------------


@EACH_HALF
@pytest.mark.parametrize("dtype", [F4, F8], ids=str)
@pytest.mark.parametrize("shape", [(8, 17), (61, 785), (90, 1600)], ids=str)
@pytest.mark.parametrize("centred", [False, True])
def test_products_have_the_bits_of_wider_rows(
    compiled_products, rng, storage, dtype, shape, centred
):
    X = sample(rng, storage, *shape)
    center = X[:5].astype(dtype).mean(axis=0) if centred else None
    rows, wide = operand(X, dtype, center), operand(X.astype(dtype), dtype, center)
    for k in (10, 20):
        W, A = numbers(rng, dtype, shape[1], k), numbers(rng, dtype, k, shape[0])
        np.testing.assert_array_equal(rows @ W, wide @ W)
        np.testing.assert_array_equal(A @ rows, A @ wide)


@EACH_HALF
def test_rows_are_centred_as_they_are(compiled_products, rng, storage):
    backend, X = select("numpy"), sample(rng, storage, 50, 140)
    for center in (None, np.ones(140, F4)):
        assert backend.operand(X, F4, center).X is X


@EACH_HALF
def test_a_column_has_its_bits_beside_any_others(compiled_products, rng, storage):
    rows = operand(sample(rng, storage, 300, 400))
    W, A = numbers(rng, F4, 400, 37), numbers(rng, F4, 37, 300)
    Z, G = rows @ W, A @ rows
    for columns in (slice(3, 4), slice(0, 10), slice(20, 37)):
        np.testing.assert_array_equal(rows @ W[:, columns], Z[:, columns])
        np.testing.assert_array_equal(A[columns] @ rows, G[columns])


@EACH_HALF
@pytest.mark.parametrize("k", [10, 29])
def test_a_pass_has_the_bits_of_wider_rows(compiled_products, rng, storage, k):
    backend = select("numpy")
    X, W, b = sample(rng, storage, 400, 300), numbers(rng, F4, 300, k), numbers(rng, F4, k)
    Y = (rng.random((400, k)) < 0.3).astype(F4)
    found, expected = (
        backend.propagate(backend.operand(rows, F4), W, b, Y) for rows in (X, X.astype(F4))
    )
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


# ---- conversions ------------------------------------------------------------------------------


@EACH_HALF
@pytest.mark.parametrize("dtype", [F4, F8], ids=str)
def test_every_number_is_converted_exactly(compiled_products, storage, dtype, monkeypatch):
    X = np.arange(2**16, dtype=np.uint16).view(half(storage)).reshape(256, 256)
    with np.errstate(invalid="ignore"):  # ml_dtypes complains of some NaN
        expected = X.astype(dtype)
    assert np.isnan(expected).any()
    assert np.isinf(expected).any()
    calls = []
    copy = np.copyto
    monkeypatch.setattr(np, "copyto", lambda out, x, **more: calls.append(x.dtype) or copy(out, x))
    for rows, numbers in ((X, expected), (X[:, :255], expected[:, :255]), (X.T, expected.T)):
        for part in (slice(None), slice(3, 4), slice(5, 200)):
            out = np.full(rows[part].shape, 7, dtype)
            widening.convert(rows[part], out)
            np.testing.assert_array_equal(out, numbers[part])
    assert set(calls) == {np.dtype(np.uint16)}  # of rows that are not contiguous


@EACH_HALF
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(3, 2), (40, 5), (90, 150)], ids=str)
def test_what_is_made_of_any_layout(rng, storage, layout, shape):
    backend = select("numpy")
    X = sample(rng, storage, *shape)
    rows, wide = LAYOUTS[layout](X), X.astype(F4)
    W, A = numbers(rng, F4, shape[1], 3), numbers(rng, F4, 3, shape[0])
    center = wide[0] + np.float32(0.3)
    for c in (None, center):
        np.testing.assert_array_equal(
            backend.as_compute(rows, F4, c), wide if c is None else wide - c
        )
        product, back = (backend.operand(rows, F4, c) for _ in range(2))
        expected = wide if c is None else wide - c
        np.testing.assert_allclose(product @ W, expected @ W, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(A @ back, A @ expected, rtol=1e-4, atol=1e-4)
    for found, expected in zip(backend.extremes(rows), (wide.min(0), wide.max(0)), strict=True):
        np.testing.assert_array_equal(found[0], expected)
    np.testing.assert_array_equal(backend.take_rows(rows, np.array([2, 0])), rows[[2, 0]])


@EACH_HALF
def test_extremes_are_found_as_they_are(compiled_products, rng, storage):
    X = sample(rng, storage, 50, 40)
    found = compiled_rows.extremes_function(X)(X)
    for part, expected in zip(found, (X.min(axis=0), X.max(axis=0)), strict=True):
        np.testing.assert_array_equal(part[0], expected)


@EACH_HALF
@pytest.mark.parametrize("layout", ["C order", "Fortran order"])
@pytest.mark.parametrize("n_features", [5, 70])
def test_what_is_not_finite_shows(rng, storage, layout, n_features):
    backend = select("numpy")
    X = sample(rng, storage, 300, n_features)
    X[7, 3], X[8, 4], X[9, 4] = np.nan, np.inf, -np.inf
    rows = LAYOUTS[layout](X)
    for found, infinity in zip(backend.extremes(rows), (-np.inf, np.inf), strict=True):
        assert np.flatnonzero(np.isnan(found)).tolist() == [3]
        assert found[0, 4] == infinity
    with np.errstate(invalid="ignore"):
        Z = backend.operand(rows, F4) @ np.ones((n_features, 2), F4)
    assert np.flatnonzero(~np.isfinite(Z).all(axis=1)).tolist() == [7, 8, 9]
    with pytest.raises(Exception, match=r"NaN or infinity \(first in row 7\)"):
        finite_rows(rows, backend, F4)
    finite_rows(rows[:7], backend, F4)


def test_a_cpu_that_does_not_convert_halves_leaves_them_to_numpy(
    compiled_products, uncompiled, rng, monkeypatch
):
    types = compiled_products.storage_types() - {"float16"}
    monkeypatch.setattr(compiled_products, "storage_types", lambda: types)
    compiled_functions.widening_of.cache_clear()
    try:
        X = sample(rng, "float16", 300, 50)
        assert not compiled_rows.fits(X, F4)
        assert compiled_functions.widening_of(X.dtype, F4) is None
        backend, W = select("numpy"), numbers(rng, F4, 50, 3)
        np.testing.assert_array_equal(backend.as_compute(X, F4), X.astype(F4))
        expected = X.astype(F4) @ W
        np.testing.assert_allclose(backend.operand(X, F4) @ W, expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(backend.extremes(X)[1][0], X.max(axis=0))
    finally:
        compiled_functions.widening_of.cache_clear()


def test_a_conversion_that_is_wrong_is_not_used(compiled_products, monkeypatch):
    from gpulr.backend.compiled_widening import Widening

    right = Widening.__call__
    monkeypatch.setattr(Widening, "__call__", lambda self, X, out: right(self, X[:-1], out))
    compiled_functions.widening_of.cache_clear()
    try:
        assert compiled_functions.widening_of(np.dtype(np.float16), F4) is None
    finally:
        compiled_functions.widening_of.cache_clear()
