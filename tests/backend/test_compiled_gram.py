"""XᵀX of bytes by integer dot products, which is exact."""

from __future__ import annotations

import numpy as np
import pytest

from gpulr.backend import compiled_functions, select
from gpulr.backend.compiled_functions import gram_of_bytes
from helpers import python

compiled_gram = pytest.importorskip("gpulr.backend.compiled_gram")
SUB_BLOCK = compiled_gram.SUB_BLOCK


@pytest.fixture
def gram():
    gram_of_bytes.cache_clear()
    if (found := gram_of_bytes()) is None:
        pytest.skip("this processor has no dot products of bytes")
    yield found
    gram_of_bytes.cache_clear()


def assert_exact(gram, X):
    plain = X.astype(np.int64)
    found, total = gram(X)
    assert found.dtype == total.dtype == np.float64
    np.testing.assert_array_equal(found, plain.T @ plain)
    np.testing.assert_array_equal(total, plain.sum(axis=0))


@pytest.mark.covering
@pytest.mark.parametrize("n_features", [16, 63, 64, 65, 150])
@pytest.mark.parametrize("n_rows", [1, 3, 4, 7, SUB_BLOCK, SUB_BLOCK + 1, 2 * SUB_BLOCK + 6])
def test_every_shape(gram, rng, n_rows, n_features):
    assert_exact(gram, rng.integers(0, 256, (n_rows, n_features), np.uint8))


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("more", [0, 1, 70_000])
def test_the_largest_sums(gram, monkeypatch, value, more):
    """Integers hold those of ``MOST`` rows; of more rows parts are added up in float64."""
    X = np.full((compiled_gram.MOST + more, 16), value, np.uint8)
    X[-1, ::3] = 7
    assert_exact(gram, X)


def test_bits_and_views(gram, rng):
    X = rng.integers(0, 256, (60, 200), np.uint8)
    assert_exact(gram, X > 100)
    for view in (X[::3], X[5:, 3:83], X[::-1]):
        backend = select("numpy")
        found, total = backend.gram(view, np.float32)
        plain = view.astype(np.int64)
        np.testing.assert_array_equal(found, plain.T @ plain)
        np.testing.assert_array_equal(total, plain.sum(axis=0))


def test_the_backend_uses_it_for_bytes_alone(gram, monkeypatch, rng):
    X = rng.integers(0, 128, (40, 64), np.uint8)
    seen, call = [], compiled_gram.ByteGram.__call__

    def counted(self, X):
        seen.append(X.dtype)
        return call(self, X)

    monkeypatch.setattr(compiled_gram.ByteGram, "__call__", counted)
    for given in (X, X > 9, X.view(np.int8), X.astype(np.float32)):
        found, total = select("numpy").gram(given, np.float32)
        plain = given.astype(np.float64)
        np.testing.assert_allclose(found, plain.T @ plain, rtol=1e-6)
        np.testing.assert_allclose(total, plain.sum(axis=0), rtol=1e-6)
    assert seen == [np.uint8, np.bool_]


def test_one_that_is_wrong_is_not_used(gram, monkeypatch):
    right = compiled_gram.ByteGram._part
    monkeypatch.setattr(
        compiled_gram.ByteGram,
        "_part",
        lambda self, X: (right(self, X)[0] + 1.0, right(self, X)[1]),
    )
    compiled_functions.gram_of_bytes.cache_clear()
    assert gram_of_bytes() is None


def test_an_llvm_that_cannot_compile_it_does_without(gram, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(compiled_gram, "load", fail)
    gram_of_bytes.cache_clear()
    assert gram_of_bytes() is None


BETWEEN_PROTECTED_PAGES = """
import ctypes, mmap
import numpy as np
from gpulr.backend.compiled_functions import gram_of_bytes

mprotect = ctypes.CDLL(None, use_errno=True).mprotect
mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
gram = gram_of_bytes()
for n_rows, n in ((1, 16), (7, 65), (300, 130)):
    for at_end in (False, True):
        pages = -(-n_rows * n // mmap.PAGESIZE)
        memory = mmap.mmap(-1, (pages + 2) * mmap.PAGESIZE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        for page in (0, pages + 1):
            assert not mprotect(start + page * mmap.PAGESIZE, mmap.PAGESIZE, 0)
        first = (pages + 1) * mmap.PAGESIZE - n_rows * n if at_end else mmap.PAGESIZE
        X = np.frombuffer(memory, np.uint8, n_rows * n, first).reshape(n_rows, n)
        X[...] = 1
        assert np.all(gram(X)[0] == n_rows)
print("done")
"""


def test_nothing_beyond_the_rows_is_read(gram):
    assert python(BETWEEN_PROTECTED_PAGES).strip() == "done"
