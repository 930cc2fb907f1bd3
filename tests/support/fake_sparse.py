"""CuPy's sparse matrices on a GPU that is none: SciPy's, whose parts are arrays of the machine.

As strict as CuPy's are: they hold bits and floats only, multiply with arrays of the device alone,
``*`` is a product of matrices, and products sum duplicates in place.
"""

from __future__ import annotations

import types

import numpy as np
from scipy import sparse

from fake_gpu import FakeArray, bare, on_device


class Matrix:
    """A matrix of SciPy's, and its parts on the device."""

    __array_priority__ = 2000
    __array_ufunc__ = None

    def __init__(self, parts, shape=None):
        if isinstance(parts, tuple):
            parts = sparse.csr_matrix(tuple(part.a for part in parts), shape=shape)
        if parts.dtype.char not in "?fdFD":
            raise ValueError("Only bool, float32, float64, complex64 and complex128 are supported")
        self.m, self.format = parts, parts.format
        names = ("data", "row", "col") if self.format == "coo" else ("data", "indices", "indptr")
        for name in names:
            setattr(self, name, FakeArray(getattr(parts, name)))

    shape = property(lambda self: self.m.shape)
    dtype = property(lambda self: self.data.dtype)
    nnz = property(lambda self: self.m.nnz)
    ndim = 2
    T = property(lambda self: self._made("transpose", self.m.T))
    has_canonical_format = property(lambda self: self.m.has_canonical_format)

    def _made(self, name, made, *others):
        FakeArray.machine.launch(name, self.data, *others)
        return on_device(made) if isinstance(made, np.ndarray) else Matrix(made)

    def get(self):
        FakeArray.machine.wait("to host")
        return self.m.copy()

    def toarray(self):
        return self._made("toarray", self.m.toarray())

    def copy(self):
        return self._made("copy", self.m.copy())

    def tocsr(self):
        return self if self.format == "csr" else self._made("tocsr", self.m.tocsr())

    def sum_duplicates(self):
        self.m.sum_duplicates()
        self.__init__(self.m)

    def astype(self, dtype, copy=True):
        if self.dtype == dtype and not copy:
            return self
        return self._made("astype", self.m.astype(dtype))

    def multiply(self, other):
        if isinstance(other, Matrix):
            return self._made("multiply", self.m.multiply(other.m).tocsr(), other.data)
        assert isinstance(other, FakeArray)
        return self._made("multiply", sparse.csr_matrix(self.m.multiply(other.a)), other)

    def __abs__(self):
        return self._made("abs", abs(self.m))

    def __getitem__(self, key):
        return self._made("take", self.m[bare(key)])

    def __matmul__(self, other):
        self._canonical()
        if isinstance(other, Matrix):
            return self._made("spgemm", (self.m @ other.m).tocsr(), other.data)
        assert isinstance(other, FakeArray), "an array of the host"
        return self._made("spmm", np.asfortranarray(self.m @ other.a), other)

    def __rmatmul__(self, other):
        self._canonical()
        assert isinstance(other, FakeArray), "an array of the host"
        return self._made("spmm", np.ascontiguousarray(other.a @ self.m), other)

    def _canonical(self):
        if self.format == "csr" and not self.has_canonical_format:
            self.sum_duplicates()


Matrix.__module__ = "cupyx.scipy.sparse._csr"


def fake_sparse():
    """A module that has what is used of cupyx.scipy.sparse."""
    module = types.ModuleType("cupyx.scipy.sparse")
    module.csr_matrix = Matrix
    return module
