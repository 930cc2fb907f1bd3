"""Compiled products of sparse rows: against dense float64 ones, of every number of columns."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import gpulr
from gpulr.backend import backend_of, compiled_rows

COLUMNS = (1, 2, 7, 8, 16, 20, 33, 64, 90, 130)


@pytest.fixture
def products(compiled_products, monkeypatch):
    """Return what compiles the functions for vectors of so many bytes."""
    from gpulr.backend import compiled_sparse

    def compiled(stored, compute, width=None, index="int32"):
        if width is not None:
            monkeypatch.setattr(
                "gpulr.backend.compiled_loops.vector_registers", lambda: (width, 32)
            )
        return compiled_sparse.compile_functions(stored, compute, index)

    return compiled


def rows(rng, n, p, dtype="float32"):
    """Return CSR rows of which some, and some columns, are empty."""
    X = rng.standard_normal((n, p)) * (rng.random((n, p)) < 0.2)
    X[n // 3] = 0.0
    X[:, p // 2] = 0.0
    if np.dtype(dtype).kind != "f":  # some of the largest numbers, and of the least
        limits = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        X = np.where(
            X > 0.7, min(2**24, limits[1]), np.where(X < -0.7, max(-(2**24), limits[0]), X)
        )
    return sparse.csr_array(X.astype(dtype))


@pytest.mark.parametrize("width", [64, 32, 16])  # AVX-512, AVX, NEON and SSE
@pytest.mark.parametrize(
    ("stored", "compute"),
    [("float32", "float32"), ("float64", "float32"), ("float64", "float64")],
)
def test_they_are_right(products, rng, width, stored, compute):
    from gpulr.backend.compiled_sparse import SparseRows

    functions, eps = products(stored, compute, width), np.finfo(compute).eps
    X = rows(rng, 40, 30, stored)
    for k in COLUMNS:
        for part in (slice(0, 40), slice(7, 33), slice(39, 40)):
            block, dense = SparseRows(functions, X, part, compute), X.toarray()[part]
            W = rng.standard_normal((30, k)).astype(compute)
            R = rng.standard_normal((len(dense), k)).astype(compute)
            Z, G = block @ W, (R.T @ block).T
            assert Z.dtype == G.dtype == compute
            size = np.abs(dense) @ np.abs(np.float64(W))
            assert np.all(np.abs(Z - dense @ np.float64(W)) <= 20 * eps * size)
            size = np.abs(dense.T) @ np.abs(np.float64(R))
            assert np.all(np.abs(G - dense.T @ np.float64(R)) <= 20 * eps * size)
            S = block.sums(W)
            assert S.dtype == np.float64
            stored_size = np.abs(dense.astype(compute)) @ np.abs(np.float64(W))
            exact = np.float64(dense.astype(compute)) @ np.float64(W)
            assert np.all(np.abs(S - exact) <= 1e-14 * stored_size)
            out = np.empty_like(Z)
            b = W[0]
            assert block.affine(W, b, out) is out
            np.testing.assert_array_equal(out, Z + b)


def test_a_columns_bits_do_not_depend_on_the_others(compiled_products, rng):
    X = rows(rng, 200, 300)
    block = compiled_rows.sparse_rows(X, slice(0, 200), np.float32)
    W, R = (rng.standard_normal((n, 90)).astype(np.float32) for n in (300, 200))
    Z, G = block @ W, (R.T @ block).T
    for k in COLUMNS[:-1]:
        np.testing.assert_array_equal(block @ W[:, :k], Z[:, :k])
        np.testing.assert_array_equal((R[:, :k].T @ block).T, G[:, :k])
        np.testing.assert_array_equal(block.sums(W[:, :k]), block.sums(W)[:, :k])


def test_what_is_not_finite_stays_where_it_is(compiled_products, rng):
    X = rows(rng, 60, 40)
    X.data[5] = np.nan
    row = np.searchsorted(X.indptr, 5, side="right") - 1
    block = compiled_rows.sparse_rows(X, slice(0, 60), np.float32)
    W, R = (np.ones((n, 20), np.float32) for n in (40, 60))
    assert np.flatnonzero(np.isnan(block @ W).any(axis=1)).tolist() == [row]
    assert np.flatnonzero(np.isnan(block.sums(W)).any(axis=1)).tolist() == [row]
    assert np.flatnonzero(np.isnan(R.T @ block).any(axis=0)).tolist() == [X.indices[5]]


STORED = ("bool", *(f"{sign}int{bits}" for bits in (8, 16, 32, 64) for sign in ("", "u")))


@pytest.mark.covering
@pytest.mark.parametrize("index", ["int32", "int64"])
@pytest.mark.parametrize("stored", ["float32", *STORED])
def test_they_read_what_is_stored_as_it_is(products, rng, stored, index):
    from gpulr.backend.compiled_sparse import SparseRows

    functions, X = products(stored, "float32", index=index), rows(rng, 40, 30, stored)
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    block, dense = SparseRows(functions, X, slice(7, 33), "float32"), X.toarray()[7:33]
    dense = dense.astype(np.float64)
    for k in (1, 20):
        W, R = (rng.standard_normal((n, k)).astype(np.float32) for n in (30, 26))
        for found, a, b in ((block @ W, dense, W), ((R.T @ block).T, dense.T, R)):
            size = np.abs(a) @ np.abs(np.float64(b))
            assert np.all(np.abs(found - a @ np.float64(b)) <= 2e-6 * size)
        assert np.all(np.abs(block.sums(W) - dense @ W) <= 1e-14 * (np.abs(dense) @ np.abs(W)))


@pytest.mark.parametrize("kind", ["strided", "indices of two kinds", "big-endian", "float16"])
def test_others_go_to_scipy(compiled_products, rng, kind):
    X = rows(rng, 60, 40)
    if kind == "indices of two kinds":
        X.indptr = X.indptr.astype(np.int64)
    elif kind == "strided":  # SciPy takes every other entry of an array as it is
        parts = (np.repeat(part, 2)[::2] for part in (X.data, X.indices, X.indptr))
        X = sparse.csr_array(tuple(parts), shape=X.shape)
    else:
        X.data = X.data.astype({"big-endian": ">f4", "float16": "f2"}[kind])
    assert compiled_rows.sparse_rows(X, slice(0, 60), np.float32) is None
    if kind in ("indices of two kinds", "strided"):
        block = backend_of(None).sparse_operand(X, slice(3, 9), np.float32)
        W = rng.standard_normal((40, 3)).astype(np.float32)
        np.testing.assert_allclose(block @ W, X.toarray()[3:9] @ W, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_finds_what_dense_rows_have(compiled_products, rng, dtype):
    X, y = rows(rng, 300, 60), np.arange(300) % 3
    X = sparse.csr_array(X + sparse.csr_array(np.eye(3)[y] @ rng.standard_normal((3, 60)) * 0.1))
    X = X.astype(np.float32)
    model = gpulr.train(X, y, dtype=dtype, tol=1e-6, standardize=True)
    dense = gpulr.train(X.toarray(), y, dtype=dtype, tol=1e-6, standardize=True)
    np.testing.assert_allclose(model.weights, dense.weights, atol=1e-4)
