"""What models see of the rows: shifted, and scaled."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import reduce

import numpy as np
import pytest
from scipy import sparse

from gpulr.backend import Backend, backend_of, to_host
from gpulr.core.rows import Rows, standardized
from gpulr.validation.arrays import check_rows
from sources import Slices, SparseSlices

LAST_BITS = 1e-3  # of margins of some hundreds: sums may go by which other rows are multiplied


@pytest.mark.parametrize("block_bytes", [300, 2**20])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_standardized_has_mean_and_deviation_of_each_feature(
    put, rng, monkeypatch, dtype, block_bytes
):
    X = rng.uniform(0, 256, (123, 6)).astype(dtype)
    X[:, 2] = 7  # constant
    if dtype == "float64":
        X[:, 4] += 1e6
    there = put(X)
    backend = backend_of(there)
    monkeypatch.setattr(type(backend), "block_bytes", block_bytes)
    rows = standardized(there, backend, backend.xp.float32)
    seen = X.astype(np.float64)
    deviation = seen.std(axis=0)
    scale = np.divide(1.0, deviation, out=np.zeros(6), where=deviation > 0.0)
    np.testing.assert_allclose(to_host(rows.center)[:, 0], seen.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(to_host(rows.scale)[:, 0], scale, rtol=1e-9)


@pytest.mark.parametrize("dtype", ["uint8", "bool", "float32", "float64"])
def test_extremes_are_those_of_numpy(put, rng, dtype):
    X = rng.uniform(-3, 3, (37, 6)).astype(dtype)
    if X.dtype.kind == "f":
        X[5, 2], X[6, 3] = np.nan, np.inf
    there = put(X)
    least, most = Backend.extremes(backend_of(there), there)
    np.testing.assert_array_equal(to_host(least), X.min(axis=0, keepdims=True))
    np.testing.assert_array_equal(to_host(most), X.max(axis=0, keepdims=True))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "bool", "float32", "float64"])
def test_the_longest_row(rng, dtype):
    X = rng.integers(0 if dtype == "uint8" else -128, 128, (37, 6))
    X[3] = X[3].clip(None, 0) if dtype == "uint8" else -128  # of which int8 has no opposite
    X = X.astype(dtype)
    scale = rng.uniform(0.5, 2.0, (6, 1))
    rows = Rows(sparse.csr_array(X), scale, None, backend_of(None), np.float32)
    expected = (np.abs(X.astype(np.float64)) @ scale).max()
    np.testing.assert_allclose(rows.longest, expected, rtol=1e-12)
    assert replace(rows, X=X).longest == math.inf


@pytest.mark.parametrize("n_blocks", [1, 2, 3, 7])
def test_blocks_are_added_up_in_their_order_and_left_as_they_are(put, rng, n_blocks):
    there = put(np.ones((n_blocks, 1), np.float32))
    backend = backend_of(there)
    rows = Rows(there, 1.0, None, backend, backend.xp.float32)
    wide = rng.standard_normal((n_blocks, 4)) * 10.0 ** rng.integers(0, 9, (n_blocks, 1))
    narrow = rng.standard_normal((n_blocks, 3, 2)).astype(np.float32)
    given = [(backend.asarray(w), backend.asarray(n)) for w, n in zip(wide, narrow, strict=True)]
    blocks = [slice(i, i + 1) for i in range(n_blocks)]
    found = rows.sum(lambda block: given[block.start], blocks)
    for total, parts in zip(found, (wide, narrow), strict=True):
        expected = reduce(np.add, parts.astype(np.float64))
        np.testing.assert_array_equal(to_host(total), expected, strict=True)
    for i, (w, n) in enumerate(given):
        np.testing.assert_array_equal(to_host(w), wide[i])
        np.testing.assert_array_equal(to_host(n), narrow[i])


@pytest.mark.parametrize("n_models", [1, 3])
@pytest.mark.parametrize("kind", ["dense", "CSR"])
def test_margins_of_some_rows_of_a_file_are_read_in_its_order(rng, monkeypatch, kind, n_models):
    backend = backend_of(None)
    monkeypatch.setattr(type(backend), "block_bytes", 3_000)
    X = (rng.integers(0, 200, (300, 9)) * (rng.random((300, 9)) < 0.5)).astype(np.float32)
    slices = Slices(X) if kind == "dense" else SparseSlices(sparse.csr_array(X))
    memory, file = (
        Rows(of, 1.0, None, backend, np.float32)
        for of in (X if kind == "dense" else slices.X, check_rows(slices))
    )
    thetas = [rng.standard_normal((10, n_models)) for _ in range(3)]
    some, late = np.flatnonzero(rng.random(300) < 0.4), np.arange(200, 260)
    for index, most in ((some, 300), (late, 150), (rng.permutation(300), np.inf), (None, 300)):
        slices.n_read = 0
        found = list(file.host_margins(iter(thetas), index))
        for Z, expected in zip(found, memory.host_margins(iter(thetas), index), strict=True):
            np.testing.assert_allclose(Z, expected, rtol=0, atol=LAST_BITS, strict=True)
        assert slices.n_read <= most  # once for all parameters, and no more than is needed


@pytest.mark.parametrize("kind", ["uint8", "float32", "float64", "columns first", "CSR"])
@pytest.mark.parametrize("n_models", [1, 3])
@pytest.mark.parametrize("centered", [False, True])
def test_margins_of_some_rows_are_among_those_of_all(rng, monkeypatch, kind, n_models, centered):
    backend = backend_of(None)
    X = rng.integers(0, 200, (300, 9)) * (rng.random((300, 9)) < 0.5)
    X = X.astype(kind if hasattr(np, kind) else np.float32)
    X = {"columns first": np.asfortranarray, "CSR": sparse.csr_array}.get(kind, np.asarray)(X)
    center = rng.uniform(50, 100, (9, 1)) if centered else None
    rows = Rows(X, rng.uniform(0.1, 1.0, (9, 1)), center, backend, np.float32)
    thetas = [rng.standard_normal((10, n_models)) for _ in range(5)]
    whole = [rows.margins(theta) for theta in thetas]
    read: list[int] = []

    def gathered(self, X, index):
        read.append(len(index))
        return take_rows(self, X, index)

    take_rows = type(backend).take_rows
    monkeypatch.setattr(type(backend), "take_rows", gathered)
    some = np.flatnonzero(rng.random(300) < 0.4)
    for index in (some, rng.permutation(300), np.array([7, 7, 8, 3]), np.arange(20, 90), None):
        read.clear()
        found = list(rows.host_margins(iter(thetas), index))
        for Z, every in zip(found, whole, strict=True):
            expected = every if index is None else every[index]
            np.testing.assert_allclose(Z, expected, rtol=0, atol=LAST_BITS, strict=True)
        neighbours = index is None or len(index) == 70
        assert sum(read) == (0 if neighbours else len(index))  # once for all parameters
    # Two parameters at a time, of blocks of some twenty rows.
    monkeypatch.setattr("gpulr.core.rows.MARGIN_BYTES", 2 * n_models * (4 * len(some) + 80))
    monkeypatch.setattr(type(backend), "block_bytes", 4 * 20 * (18 + 6 * n_models))
    read.clear()
    for Z, every in zip(rows.host_margins(thetas, some), whole, strict=True):
        np.testing.assert_allclose(Z, every[some], rtol=0, atol=LAST_BITS)
    assert sum(read) == 3 * len(some)
    assert max(read) <= 40
