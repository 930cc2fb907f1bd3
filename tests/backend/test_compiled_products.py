"""Compiled products: against float64, of every tile, on awkward memory, and to the same bits."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import pytest

from gpulr.backend import compiled_functions, compiled_rows, select
from helpers import python

STORAGE = {"bool": (0, 2), "uint8": (0, 256), "int8": (-128, 128)}
STORAGE |= dict.fromkeys(("float16", "float32", "float64"))
VECTORS = [(64, 32), (32, 16), (16, 32), (16, 16)]  # bytes and registers: AVX-512, AVX, NEON, SSE
COLUMNS = (1, 3, 7, 10, 15, 23)
GUARD = -77.0


def sample(rng, storage, *shape):
    if STORAGE[storage] is None:
        return rng.uniform(-2, 3, shape).astype(storage)
    return rng.integers(*STORAGE[storage], shape).astype(storage)


def factors(rng, X, compute, n_columns=23):
    """Return W (n_features, n_columns) and A (n_columns, n_rows)."""
    W = rng.normal(size=(X.shape[1], n_columns)).astype(compute)
    return W, rng.normal(size=(n_columns, X.shape[0])).astype(compute)


def assert_products(rows, X, W, A, columns=(10,)):
    """Compare rows @ W and A @ rows, of so many first columns, with float64 products of X."""
    X = X.astype(W.dtype).astype(np.float64)
    Z, Z_room, G, G_room = X @ W, np.abs(X) @ np.abs(W), A @ X, np.abs(A) @ np.abs(X)
    # A sum of rounded terms: its error is that of the terms' sizes. Measured: 1 to 4 roundings.
    rounding = 12 * np.finfo(W.dtype).eps
    for k in columns:
        for actual, expected, room in (
            (rows @ W[:, :k], Z[:, :k], Z_room[:, :k]),
            (A[:k] @ rows, G[:k], G_room[:k]),
        ):
            assert actual.dtype == W.dtype
            assert actual.shape == expected.shape
            assert np.all(np.abs(actual - expected) <= rounding * room)


def compiled(X, compute="float32"):
    assert compiled_rows.fits(X, compute)
    return compiled_rows.CompiledRows(X, np.dtype(compute))


@pytest.mark.covering
@pytest.mark.parametrize("compute", ["float32", "float64"])
@pytest.mark.parametrize("storage", STORAGE)
def test_products_of_every_shape(compiled_products, rng, storage, compute):
    assert set(STORAGE) == set(compiled_products.STORAGE) - {"bfloat16"}  # see test_halves.py
    itemsize = np.dtype(storage).itemsize
    for n_features in (64 // np.dtype(compute).itemsize, 17, 33, 785):
        sub_block = max(8, compiled_products.SUB_BLOCK_BYTES // itemsize // n_features // 8 * 8)
        for n_rows in (8, 9, 513, 2 * sub_block + 9):
            X = sample(rng, storage, n_rows, n_features)
            assert_products(compiled(X, compute), X, *factors(rng, X, compute), COLUMNS)


@pytest.mark.covering
@pytest.mark.parametrize("compute", ["float32", "float64"])
@pytest.mark.parametrize("storage", STORAGE)
def test_products_of_wide_rows(compiled_products, rng, storage, compute):
    for n_features in (1025, 1541, 2304):  # of panels whose last one is shorter than a vector, too
        for n_rows in (8, 9, 61):
            X = sample(rng, storage, n_rows, n_features)
            assert_products(compiled(X, compute), X, *factors(rng, X, compute), COLUMNS)


@pytest.mark.parametrize("compute", ["float32", "float64"])
@pytest.mark.parametrize("n_features", [1025, 1536, 1537, 5000])
def test_copies_of_wide_rows_fit_their_space(compiled_products, n_features, compute):
    panel = compiled_products.panel(n_features)
    assert panel % 128 == 0
    assert compiled_products.PANEL // 2 <= panel <= compiled_products.PANEL
    rows = compiled(np.ones((8, n_features), compute), compute)
    assert rows._sub_block * panel * rows.dtype.itemsize <= compiled_products.PANEL_BYTES
    size = compiled_products.MARGIN + rows._sub_block * (panel + compiled_products.MARGIN)
    assert size <= compiled_products.COPIED == rows._space()


@pytest.mark.covering
@pytest.mark.parametrize("compute", ["float32", "float64"])
@pytest.mark.parametrize("vectors", VECTORS, ids=str)
def test_tiles_of_other_cpus(compiled_products, uncompiled, rng, monkeypatch, vectors, compute):
    # LLVM makes vectors that this CPU lacks of those that it has.
    monkeypatch.setattr("gpulr.backend.compiled_loops.vector_registers", lambda: vectors)
    for storage in ("uint8", "float32"):
        for n_features, n_rows in ((16, 300), (31, 300), (785, 300), (1043, 50)):
            X = sample(rng, storage, n_rows, n_features)
            assert_products(compiled(X, compute), X, *factors(rng, X, compute), (2, 10, 23))
    tile = compiled_functions.products_for(10, "uint8", compute).tile
    assert tile.lanes * np.dtype(compute).itemsize == vectors[0]


@pytest.mark.parametrize(("width", "registers"), VECTORS)
@pytest.mark.parametrize("itemsize", [4, 8])
def test_tiles_fit_the_registers(compiled_products, monkeypatch, width, registers, itemsize):
    monkeypatch.setattr("gpulr.backend.compiled_loops.vector_registers", lambda: (width, registers))
    for n_columns in range(1, 200):
        tile = compiled_products.Tile.of(n_columns, itemsize)
        assert tile.lanes * itemsize == width
        assert 1 <= tile.depth <= compiled_rows.LEAST_ROWS
        assert tile.depth * tile.columns + tile.depth + 1 <= registers
        groups = -(-n_columns // tile.columns)
        assert 0 <= groups * tile.columns - n_columns < groups  # as even as can be
        assert (
            compiled_products.Tile.of(tile.columns, itemsize) == tile
        )  # what it is compiled and kept for


def unaligned(X):
    return np.frombuffer(b"?" + X.tobytes(), X.dtype, offset=1).reshape(X.shape)


VIEWS = {
    "rows of a wider array": lambda X: X[:, :50],
    "columns in its middle": lambda X: X[:, 13:80],
    "rows in its middle": lambda X: X[37:90],
    "every third row": lambda X: X[1::3],
    "no multiple of its entries": unaligned,
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("storage", ["uint8", "float32", "float64"])
def test_rows_that_are_a_view(compiled_products, rng, storage, view):
    X = VIEWS[view](sample(rng, storage, 101, 83))
    assert_products(compiled(X), X, *factors(rng, X, "float32"), (3, 10))


@pytest.mark.parametrize("n_columns", [3, 4, 5, 8])
def test_only_the_result_is_written(compiled_products, rng, n_columns):
    products = compiled_products.compile_products(3, "uint8", "float32")
    for n_rows, n_features in product((8, 13, 700), (16, 17, 130, 400)):
        X = sample(rng, "uint8", n_rows, n_features)
        W, A = factors(rng, X, "float32", n_columns)
        ld = n_features + 5
        sizes = (X.ctypes.data, n_rows, n_features, n_features, n_columns)

        WT = np.full((n_columns, ld), np.nan, np.float32)  # what is beyond the features is not read
        WT[:, :n_features] = W.T
        Z = np.full((n_rows + 20, n_columns), GUARD, np.float32)
        b = np.arange(n_columns, dtype=np.float32)
        addresses = WT.ctypes.data, ld, Z[10:].ctypes.data, b.ctypes.data
        products.margins(*sizes, *addresses, 0, 0)
        np.testing.assert_allclose(Z[10:-10], X @ np.float64(W) + b, rtol=1e-4, atol=0.1)
        Z[10:-10] = GUARD
        assert np.all(Z == GUARD)

        DT = np.full((n_columns + 2, ld), GUARD, np.float32)  # what is there is added to
        R = A.T.copy()
        products.gradient(*sizes, DT[1:].ctypes.data, ld, R.ctypes.data)
        D = DT[1:-1, :n_features]
        np.testing.assert_allclose(D - GUARD, np.float64(A) @ X, rtol=1e-4, atol=0.1)
        D[...] = GUARD
        assert np.all(DT == GUARD)


BETWEEN_PROTECTED_PAGES = """
import ctypes, mmap
import numpy as np
from numpy.lib.stride_tricks import as_strided
from gpulr.backend import compiled_functions, select

mprotect = ctypes.CDLL(None, use_errno=True).mprotect
mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
kept = []

def guarded(shape, dtype, stride, at_end):
    # An array that begins, or ends, where memory does that may be touched.
    itemsize = np.dtype(dtype).itemsize
    size = ((shape[0] - 1) * stride + shape[1]) * itemsize
    pages = -(-size // mmap.PAGESIZE)
    memory = mmap.mmap(-1, (pages + 2) * mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for page in (0, pages + 1):
        assert not mprotect(start + page * mmap.PAGESIZE, mmap.PAGESIZE, 0)
    kept.append(memory)
    first = (pages + 1) * mmap.PAGESIZE - size if at_end else mmap.PAGESIZE
    flat = np.frombuffer(memory, dtype, size // itemsize, first)
    return as_strided(flat, shape, (stride * itemsize, itemsize))

def run(storage, n_rows, n_features, n_columns, gap, at_end, wide=False):
    X = guarded((n_rows, n_features), storage, n_features + gap, at_end)
    WT = guarded((n_columns, n_features), "float32", n_features + gap, at_end)
    Z = guarded((n_rows, n_columns), "float32", n_columns, at_end)
    X[...], WT[...], Z[...] = 1, 1, 0
    products = compiled_functions.products_for(3, storage, "float32", wide=wide)
    sizes = X.ctypes.data, n_rows, n_features + gap, n_features, n_columns
    b = guarded((1, n_columns), "float32", n_columns, at_end)
    b[...] = 1
    ahead = 4 * (n_features + gap)
    addresses = WT.ctypes.data, n_features + gap, Z.ctypes.data, b.ctypes.data
    products.margins(*sizes, *addresses, ahead, ahead)
    assert np.all(Z == n_features + 1)
    Z[...] = n_features
    products.gradient(*sizes, WT.ctypes.data, n_features + gap, Z.ctypes.data)
    assert np.all(WT == 1 + n_rows * n_features)
    kept.clear()

for at_end in (False, True):
    for storage in ("uint8", "float32", "float64"):
        for n_rows in (8, 9, 13, 300):
            for n_features in (16, 17, 31, 130, 400):
                for n_columns in (3, 4, 8):
                    for gap in (0, 7):
                        run(storage, n_rows, n_features, n_columns, gap, at_end)
        for n_columns in (3, 8):
            run(storage, 61, 1541, n_columns, 7, at_end, wide=True)
print("done")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="protects pages as on Linux")
def test_nothing_beyond_the_operands_is_touched(compiled_products):
    assert python(BETWEEN_PROTECTED_PAGES).strip() == "done"


@pytest.mark.covering
@pytest.mark.parametrize("shape", [(500, 785), (90, 1600)])
@pytest.mark.parametrize("compute", ["float32", "float64"])
@pytest.mark.parametrize("storage", ["uint8", "float32", "float64"])
def test_the_bits_of_a_column_are_its_own(
    compiled_products, uncompiled, rng, monkeypatch, storage, compute, shape
):
    X = sample(rng, storage, *shape)
    rows, (W, A) = compiled(X, compute), factors(rng, X, compute)
    monkeypatch.setattr(compiled_functions, "WASTE", np.inf)  # whatever is at hand is used

    def assert_same_bits(columns):
        np.testing.assert_array_equal(rows @ W[:, columns], Z[:, columns])
        np.testing.assert_array_equal(A[columns] @ rows, G[columns])

    alone = [(rows @ W[:, [j]], A[[j]] @ rows) for j in range(23)]
    Z, G = np.hstack([z for z, _ in alone]), np.vstack([g for _, g in alone])
    for width in (2, 3, 7, 10, 1):
        kinds = [()] if shape[1] < 1024 else [("wide",), ("wide", "copied")]
        at_hand = {
            (storage, compute, *kind): {
                width: compiled_products.compile_products(
                    width, storage, compute, **dict.fromkeys(kind, True)
                )
            }
            for kind in kinds
        }
        monkeypatch.setattr(compiled_functions, "_compiled", at_hand)
        choices = [slice(0, 1), slice(4, 6), slice(3, 13), slice(22, None, -2), slice(0, 23)]
        for columns in choices:
            assert_same_bits(columns)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(assert_same_bits, 4 * choices))
        assert len(at_hand) == len(kinds)
        assert all(list(each) == [width] for each in at_hand.values())


@pytest.mark.parametrize("storage", ["uint8", "float32"])
def test_the_bits_of_a_margin_are_its_rows_own(compiled_products, rng, storage):
    for n_features in (400, 1600):
        X = sample(rng, storage, 700, n_features)
        W, _ = factors(rng, X, "float32")
        Z = compiled(X) @ W
        for rows in (slice(0, 8), slice(1, 12), slice(300, 701), slice(5, 700, 7)):
            np.testing.assert_array_equal(compiled(X[rows]) @ W, Z[rows])


@pytest.mark.covering
@pytest.mark.parametrize("compute", ["float32", "float64"])
@pytest.mark.parametrize("storage", ["float16", "float32", "float64"])
def test_centred_rows_are_as_rows_that_were_shifted(compiled_products, rng, storage, compute):
    for n_rows, n_features in ((8, 17), (300, 131), (700, 784), (90, 1600)):
        X = (1_000.0 + sample(rng, storage, n_rows, n_features)).astype(storage)
        center = X.mean(axis=0, dtype=np.float64).astype(compute)
        rows = compiled_rows.CompiledRows(X, np.dtype(compute), center)
        shifted = compiled((X.astype(np.result_type(X, center)) - center).astype(compute), compute)
        W, A = factors(rng, X, compute)
        np.testing.assert_array_equal(rows @ W, shifted @ W)
        assert_products(rows, shifted.X, W, A, COLUMNS)  # sums of other sub-blocks


def test_which_centres_are_taken_without_a_copy(compiled_products, rng):
    backend = select("numpy")
    X, center = sample(rng, "float64", 50, 140), np.ones(140, np.float32)
    for rows, c, taken in (
        (X, center, True),
        (X.astype(np.float16), center, True),
        (X.astype(np.float16), center.astype(np.float64), False),  # would be rounded
        (X.astype(np.uint8), center, False),
    ):
        operand = backend.operand(rows, np.float32, c)
        assert (operand.X is rows) == taken
        W = rng.normal(size=(140, 2)).astype(np.float32)
        expected = (np.float64(rows) - 1.0) @ np.float64(W)
        np.testing.assert_allclose(operand @ W, expected, rtol=1e-4, atol=1e-3)
