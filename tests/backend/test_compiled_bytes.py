"""Products of bytes by integer dot products: against float64, on awkward memory, to the same bits.

What :mod:`test_compiled_products` checks of all storage types is not repeated here.
"""

from __future__ import annotations

import numpy as np
import pytest

from gpulr.backend import compiled_rows, compiler, select
from helpers import python

COLUMNS = (1, 2, 5, 6, 10, 11, 16, 17, 27, 48)
SUB_BLOCK = 256


@pytest.fixture
def products(compiled_products):
    """Return the functions; skips where the processor has not the instructions."""
    from gpulr.backend import compiled_bytes

    if not compiled_bytes.usable():
        pytest.skip("this processor has no integer dot products of bytes")
    products = compiled_rows.byte_products()
    assert products is not None
    return products


def rows_of(X):
    rows = compiled_rows.compiled_rows(X, np.dtype(np.float32))
    assert isinstance(rows, compiled_rows.ByteRows)
    return rows


def sample(rng, n_rows, n_features, n_columns):
    """Return X, W and A = Rᵀ of normal numbers, whose columns differ in size by orders."""
    X = rng.integers(0, 256, (n_rows, n_features), dtype=np.uint8)
    size = np.float32(10.0) ** rng.integers(-6, 6, n_columns)
    W, R = (size * rng.standard_normal((n, n_columns)) for n in (n_features, n_rows))
    return X, W.astype(np.float32), np.ascontiguousarray(R.T.astype(np.float32))


def assert_right(found, factor, other, *, roundings=4):
    """Compare with a float64 product: each entry is off by some roundings of its terms' sizes."""
    factor, other = np.float64(factor), np.float64(other)
    room = np.abs(factor) @ np.abs(other)
    assert found.dtype == np.float32
    assert found.shape == room.shape
    room *= roundings * np.finfo(np.float32).eps
    assert np.all(np.abs(found - factor @ other) <= room)


@pytest.mark.parametrize("n_features", [48, 49, 63, 64, 66, 128, 131])
@pytest.mark.parametrize("n_rows", [8, 9, 11, SUB_BLOCK, SUB_BLOCK + 3, 2 * SUB_BLOCK + 9])
def test_products_of_every_shape(products, rng, n_rows, n_features):
    X, W, A = sample(rng, n_rows, n_features, max(COLUMNS))
    rows = rows_of(X)
    for k in COLUMNS:
        assert_right(rows @ W[:, :k], X, W[:, :k])
        assert_right(A[:k] @ rows, A[:k], X)


def test_they_are_as_accurate_as_float32(products, rng):
    X, W, A = sample(rng, 3_000, 784, 10)
    rows, plain = rows_of(X), compiled_rows.CompiledRows(X, np.dtype(np.float32))
    for found, other, exact in (
        (rows @ W, plain @ W, np.float64(X) @ W),
        (A @ rows, A @ plain, np.float64(A) @ X),
    ):
        axis = found.shape.index(10) ^ 1
        error, allowed = (np.sqrt(((Z - exact) ** 2).mean(axis)) for Z in (found, other))
        assert np.all(error <= 2 * allowed)  # measured: 0.5 to 1.7


def test_largest_sums(products):
    X = np.full((SUB_BLOCK + 8, 13_000), 255, np.uint8)
    for sign in (1.0, -1.0):
        W, A = np.full((13_000, 3), sign, np.float32), np.full((3, len(X)), sign, np.float32)
        assert_right(rows_of(X) @ W, X, W)
        assert_right(A @ rows_of(X), A, X)


VIEWS = {
    "rows of a wider array": lambda X: X[:, :50],
    "columns in its middle": lambda X: X[:, 13:80],
    "every third row": lambda X: X[1::3],
    "bits": lambda X: X > 99,
}


@pytest.mark.parametrize("view", VIEWS)
def test_rows_that_are_a_view(products, rng, view):
    X = VIEWS[view](sample(rng, 900, 83, 1)[0])
    _, W, A = sample(rng, *X.shape, 7)
    assert_right(rows_of(X) @ W, X, W)
    assert_right(A @ rows_of(X), A, X)
    assert_right(rows_of(X) @ W[:, ::2], X, W[:, ::2])
    assert_right(A[1:6:2] @ rows_of(X), A[1:6:2], X)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_survives_in_its_column(products, rng, odd):
    X, W, A = sample(rng, 700, 90, 12)
    Z, G = rows_of(X) @ W, A @ rows_of(X)
    W[40, 3] = A[5, 300] = odd
    spoilt_Z, spoilt_G = rows_of(X) @ W, A @ rows_of(X)
    reached = X[:, 40] > 0
    assert not np.isfinite(spoilt_Z[reached, 3]).any()
    assert not np.isfinite(spoilt_G[5, X[300] > 0]).any()
    for found, before, column in ((spoilt_Z.T, Z.T, 3), (spoilt_G, G, 5)):
        others = np.arange(12) != column
        np.testing.assert_array_equal(found[others], before[others])


def test_a_column_that_one_weight_dwarfs_is_left_to_float32(products, rng):
    X, W, _ = sample(rng, 300, 784, 12)
    X[::2, 17] = 0  # where the digits of the others would be all that is left
    W[17, 4] = 3e3 * np.abs(W[:, 4]).max()
    rows, plain = rows_of(X), compiled_rows.CompiledRows(X, np.dtype(np.float32))
    Z = super(compiled_rows.ByteRows, rows).affine(W, np.zeros(12, np.float32))
    assert np.flatnonzero(np.isnan(Z[0])).tolist() == [4]
    assert_right(rows @ W, X, W, roundings=12)
    np.testing.assert_array_equal((rows @ W)[:, [4]], plain @ W[:, [4]])
    np.testing.assert_array_equal(np.delete(rows @ W, 4, 1), np.delete(Z, 4, 1))


def test_zeros(products, rng):
    X, W, A = sample(rng, 300, 64, 5)
    W[:, 2], A[3] = 0.0, 0.0
    W[:, 3] *= np.float32(1e-30)  # beyond what weights of bytes mean
    for found, other in ((rows_of(X) @ W, W), ((A @ rows_of(X)).T, A.T)):
        assert np.isfinite(found).all()
        np.testing.assert_array_equal(found[:, ~other.any(axis=0)], 0.0)


def test_the_bits_of_a_column_are_its_own(products, rng):
    X, W, A = sample(rng, 600, 150, 40)
    Z, G = rows_of(X) @ W, A @ rows_of(X)
    for columns in (slice(0, 1), slice(4, 6), slice(3, 13), slice(7, 30), slice(39, None, -2)):
        np.testing.assert_array_equal(rows_of(X) @ W[:, columns], Z[:, columns])
        np.testing.assert_array_equal(A[columns] @ rows_of(X), G[columns])


def test_the_bits_of_a_margin_are_its_rows_own(products, rng):
    X, W, _ = sample(rng, 700, 150, 12)
    Z = rows_of(X) @ W
    for rows in (slice(0, 8), slice(1, 12), slice(300, 701), slice(5, 700, 7)):
        np.testing.assert_array_equal(rows_of(X[rows]) @ W, Z[rows])


def test_results_are_not_overwritten_by_the_next(products, rng):
    X, W, A = sample(rng, 300, 64, 5)
    Z, G = rows_of(X) @ W, A @ rows_of(X)
    kept = Z.copy(), G.copy()
    np.testing.assert_array_equal(rows_of(X) @ (2 * W), 2 * Z)
    np.testing.assert_array_equal((2 * A) @ rows_of(X), 2 * G)
    np.testing.assert_array_equal(Z, kept[0])
    np.testing.assert_array_equal(G, kept[1])


BETWEEN_PROTECTED_PAGES = """
import ctypes, mmap
import numpy as np
from gpulr.backend.compiled_rows import ByteRows, byte_products

mprotect = ctypes.CDLL(None, use_errno=True).mprotect
mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
kept = []

def guarded(shape, dtype, at_end):
    # An array that begins, or ends, where memory does that may be touched.
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    pages = -(-size // mmap.PAGESIZE)
    memory = mmap.mmap(-1, (pages + 2) * mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for page in (0, pages + 1):
        assert not mprotect(start + page * mmap.PAGESIZE, mmap.PAGESIZE, 0)
    kept.append(memory)
    first = (pages + 1) * mmap.PAGESIZE - size if at_end else mmap.PAGESIZE
    array = np.frombuffer(memory, dtype, size // np.dtype(dtype).itemsize, first).reshape(shape)
    array[...] = 1
    return array

products = byte_products()
for at_end in (False, True):
    for n_rows in (8, 13, 300):
        for n in (48, 65, 130, 400):
            for k in (1, 6, 11, 33):
                X = guarded((n_rows, n), "uint8", at_end)
                W, R = (guarded((m, k), "float32", at_end) for m in (n, n_rows))
                Z = guarded((n_rows, k), "float32", at_end)
                rows = ByteRows(X, np.dtype("float32"), products)
                assert np.all(rows.affine(W, W[0], Z) == n + 1)
                assert np.all(R.T @ rows == n_rows)
                kept.clear()
print("done")
"""


def test_nothing_beyond_the_operands_is_read(products):
    assert python(BETWEEN_PROTECTED_PAGES).strip() == "done"


def test_other_processors_multiply_in_float32(products, monkeypatch, rng):
    from gpulr.backend import compiled_bytes

    X, W, _ = sample(rng, 40, 64, 3)
    backend = select("numpy")
    assert type(backend.operand(X, np.float32)) is compiled_rows.ByteRows
    assert type(backend.operand(X.view(np.int8), np.float32)) is compiled_rows.CompiledRows
    assert type(backend.operand(X, np.float64)) is compiled_rows.CompiledRows
    compiled_rows.byte_products.cache_clear()
    monkeypatch.setattr(compiled_bytes, "usable", lambda: False)
    try:
        rows = backend.operand(X, np.float32)
        assert type(rows) is compiled_rows.CompiledRows
        assert_right(rows @ W, X, W)
    finally:
        compiled_rows.byte_products.cache_clear()


def test_an_llvm_that_cannot_compile_them_does_without(products, monkeypatch):
    from gpulr.backend import compiled_bytes

    def fail(*arguments):
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(compiled_bytes, "load", fail)
    compiled_rows.byte_products.cache_clear()
    try:
        assert compiled_rows.byte_products() is None
    finally:
        compiled_rows.byte_products.cache_clear()


def test_products_that_are_wrong_are_not_used(products, monkeypatch, uncompiled):
    from gpulr.backend.compiled_bytes import ByteProducts

    right = ByteProducts.in_order
    wrong = staticmethod(lambda *arguments: 1.001 * right(*arguments))
    monkeypatch.setattr(ByteProducts, "in_order", wrong)
    compiled_rows.byte_products.cache_clear()
    try:
        assert compiled_rows.byte_products() is None
        assert compiler.compiler().usable
        assert "bytes" not in compiler.compiler().words
    finally:
        compiled_rows.byte_products.cache_clear()
    compiler._probe.cache_clear()
    monkeypatch.undo()
    assert "bytes by integer dot products" in compiler.compiler().words
