"""Products of sparse rows with few columns, X W and Rᵀ X, compiled for this CPU by LLVM.

SciPy goes through the columns of W anew for each stored entry, by a loop of their number. Here they
are vectors, which stay in registers while a row's entries go by: X W gathers rows of W, Rᵀ X adds
to rows of the gradient. Rows are read where they are and as they are, counts and bits too, without
slicing X or widening what it stores.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir

from gpulr.backend import compiled_loops
from gpulr.backend.buffers import address
from gpulr.backend.compiled_loops import (
    DOUBLE,
    FLOAT,
    FUSED,
    INT8,
    INT16,
    INT32,
    INT64,
    Writer,
)
from gpulr.backend.machine_code import load

Floats = npt.NDArray[Any]

NUMBERS = {"float32": FLOAT, "float64": DOUBLE}
STORED = NUMBERS | {  # what rows may be stored as, by NumPy's name
    **dict.fromkeys(("bool", "int8", "uint8"), INT8),
    **dict.fromkeys(("int16", "uint16"), INT16),
    **dict.fromkeys(("int32", "uint32"), INT32),
    **dict.fromkeys(("int64", "uint64"), INT64),
}
INDICES = {"int32": INT32, "int64": INT64}


class _Writer(Writer):
    """Writes functions (first, last, k, indptr, indices, data, wide, long) -> None of CSR rows.

    ``wide`` is (n_features, k), ``long`` (last − first, k), both contiguous.
    """

    def __init__(self, stored: str, number: ir.Type, index: ir.Type) -> None:
        super().__init__()
        self.stored, self.number, self.index = STORED[stored], number, index
        self.signed = stored.startswith("int")
        self.lanes = compiled_loops.vector_registers()[0] // (4 if number is FLOAT else 8)
        self.vector = ir.VectorType(number, self.lanes)

    def function(self, name: str, long: ir.Type | None = None) -> tuple[ir.Value, ...]:
        """Begin a function; returns its arguments."""
        numbers, indices = self.number.as_pointer(), self.index.as_pointer()
        takes = [INT64, INT64, INT64, indices, indices, self.stored.as_pointer(), numbers]
        long_numbers = numbers if long is None else long.as_pointer()
        return tuple(self.begin(name, [*takes, long_numbers]).args)

    def read(self, array: ir.Value, at: ir.Value, masks: list[ir.Value | None]) -> list[ir.Value]:
        places = (self.at(array, at, i * self.lanes) for i in range(len(masks)))
        return [self.load_first(p, self.vector, m) for p, m in zip(places, masks, strict=True)]

    def write(
        self, values: list[ir.Value], array: ir.Value, at: ir.Value, masks: list[ir.Value | None]
    ) -> None:
        for i, (value, mask) in enumerate(zip(values, masks, strict=True)):
            self.store_first(value, self.at(array, at, i * self.lanes), mask)

    def entries(self, indptr: ir.Value, row: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Return where the stored entries of a row begin and end."""
        return self.index_at(indptr, row), self.index_at(indptr, self.b.add(row, self.count(1)))

    def index_at(self, indices: ir.Value, at: ir.Value) -> ir.Value:
        found = self.b.load(self.at(indices, at))
        return found if self.index is INT64 else self.b.sext(found, INT64)

    def entry(
        self, indices: ir.Value, data: ir.Value, at: ir.Value, k: ir.Value
    ) -> tuple[ir.Value, ir.Value]:
        """Return where an entry's feature begins in (n_features, k), and its value."""
        b = self.b
        feature, x = self.index_at(indices, at), b.load(self.at(data, at))
        if isinstance(self.stored, ir.IntType):
            x = b.sitofp(x, self.number) if self.signed else b.uitofp(x, self.number)
        elif self.stored is not self.number:
            x = b.fpext(x, self.number) if self.stored is FLOAT else b.fptrunc(x, self.number)
        return b.mul(feature, k), x

    def added(self, total: ir.Value, x: ir.Value, y: ir.Value) -> ir.Value:
        return self.b.fadd(total, self.b.fmul(x, y, flags=FUSED), flags=FUSED)

    def margins(self) -> None:
        """Write long = X wide."""
        first, last, k, indptr, indices, data, W, Z = self.function("margins")
        for column, masks in self.panels(k, self.lanes):
            with self.loop(first, last, 1) as (row, _):
                zeros = [ir.Constant(self.vector, None)] * len(masks)
                with self.loop(*self.entries(indptr, row), 1, *zeros) as (entry, sums):
                    feature, x = self.entry(indices, data, entry, k)
                    ws, x = (
                        self.read(W, self.b.add(feature, column), masks),
                        self.everywhere(x, self.lanes),
                    )
                    sums[:] = [self.added(total, x, w) for total, w in zip(sums, ws, strict=True)]
                at = self.b.add(self.b.mul(self.b.sub(row, first), k), column)
                self.write(sums, Z, at, masks)
        self.b.ret_void()

    def sums(self) -> None:
        """Write long = X wide, summed in float64, which long is: rows may have many entries."""
        first, last, k, indptr, indices, data, W, Z = self.function("sums", DOUBLE)
        self.lanes = compiled_loops.vector_registers()[0] // 8
        self.vector, wide = (ir.VectorType(kind, self.lanes) for kind in (self.number, DOUBLE))

        def widened(x: ir.Value) -> ir.Value:
            return x if x.type == wide else self.b.fpext(x, wide)

        for column, masks in self.panels(k, self.lanes):
            with self.loop(first, last, 1) as (row, _):
                zeros = [ir.Constant(wide, None)] * len(masks)
                with self.loop(*self.entries(indptr, row), 1, *zeros) as (entry, totals):
                    feature, x = self.entry(indices, data, entry, k)
                    ws = self.read(W, self.b.add(feature, column), masks)
                    xs = widened(self.everywhere(x, self.lanes))
                    pairs = zip(totals, map(widened, ws), strict=True)
                    totals[:] = [self.added(total, xs, w) for total, w in pairs]
                at = self.b.add(self.b.mul(self.b.sub(row, first), k), column)
                self.write(totals, Z, at, masks)
        self.b.ret_void()

    def gradient(self) -> None:
        """Write wide += Xᵀ long."""
        first, last, k, indptr, indices, data, D, R = self.function("gradient")
        b, masked = self.b, self.masked_gradient()
        with b.if_else(b.icmp_signed("==", k, self.count(1))) as (one, more):
            # A masked store is slow where it is soon read again, as that of a frequent word is.
            with one, self.loop(first, last, 1) as (row, _):
                r = b.load(self.at(R, b.sub(row, first)))
                with self.loop(*self.entries(indptr, row), 1) as (entry, _):
                    feature, x = self.entry(indices, data, entry, k)
                    place = self.at(D, feature)
                    b.store(self.added(b.load(place), x, r), place)
            with more:
                b.call(masked, [first, last, k, indptr, indices, data, D, R])
        b.ret_void()

    def masked_gradient(self) -> ir.Function:
        """Write the same for any number of columns."""
        here = self.b
        first, last, k, indptr, indices, data, D, R = self.function("masked_gradient")
        for column, masks in self.panels(k, self.lanes):
            with self.loop(first, last, 1) as (row, _):
                rs = self.read(R, self.b.add(self.b.mul(self.b.sub(row, first), k), column), masks)
                with self.loop(*self.entries(indptr, row), 1) as (entry, _):
                    feature, x = self.entry(indices, data, entry, k)
                    xs, at = self.everywhere(x, self.lanes), self.b.add(feature, column)
                    sums = self.read(D, at, masks)
                    sums = [self.added(total, xs, r) for total, r in zip(sums, rs, strict=True)]
                    self.write(sums, D, at, masks)
        self.b.ret_void()
        written, self.b = self.b.function, here
        return written


class SparseProducts:
    """The compiled functions, for rows stored in one dtype that multiply in another."""

    def __init__(self, stored: str, compute: str, index: str) -> None:
        def write() -> ir.Module:
            writer = _Writer(stored, NUMBERS[compute], INDICES[index])
            writer.margins()
            writer.gradient()
            writer.sums()
            return writer.module

        self._engine = load(f"sparse-{stored}-{compute}-{index}", write)
        number, address = ctypes.c_int64, ctypes.c_void_p
        kind = ctypes.CFUNCTYPE(None, *[number] * 3, *[address] * 5)
        self.margins, self.gradient, self.sums = (
            kind(self._engine.get_function_address(name))
            for name in ("margins", "gradient", "sums")
        )


class SparseRows:
    """Some rows of a CSR array X, which multiply in ``dtype``.

    Supports what a pass needs: ``X @ W``, also written to where that is to be, and ``A @ X``.
    """

    __array_ufunc__ = None  # NumPy leaves A @ X to __rmatmul__

    def __init__(self, products: SparseProducts, X: Any, rows: slice, dtype: npt.DTypeLike) -> None:
        self.products, self.X, self.rows, self.dtype = products, X, rows, np.dtype(dtype)

    def affine(self, W: Floats, b: Floats, out: Floats | None = None) -> Floats:
        """Return X W + b, written to ``out`` if that is given, contiguous."""
        n_rows = self.rows.stop - self.rows.start
        Z = np.empty((n_rows, W.shape[1]), self.dtype) if out is None else out
        self._call(self.products.margins, np.ascontiguousarray(W, self.dtype), Z)
        Z += b
        return Z

    def sums(self, W: Floats, out: Floats | None = None) -> Floats:
        """Return X W in float64, written to ``out`` if that is given, contiguous."""
        n_rows = self.rows.stop - self.rows.start
        Z = np.empty((n_rows, W.shape[1])) if out is None else out
        self._call(self.products.sums, np.ascontiguousarray(W, self.dtype), Z)
        return Z

    def __matmul__(self, W: Floats) -> Floats:
        return self.affine(W, np.zeros(W.shape[1], self.dtype))

    def __rmatmul__(self, A: Floats) -> Floats:
        D = np.zeros((self.X.shape[1], A.shape[0]), self.dtype)
        self._call(self.products.gradient, D, np.ascontiguousarray(A.T, self.dtype))
        return D.T

    def _call(self, function: Any, wide: Floats, long: Floats) -> None:
        arrays = self.X.indptr, self.X.indices, self.X.data, wide, long
        function(self.rows.start, self.rows.stop, wide.shape[1], *map(address, arrays))


def compile_functions(stored: str, compute: str, index: str = "int32") -> SparseProducts | None:
    """Compile them, and compare products with NumPy's; None where they are wrong."""
    from scipy.sparse import csr_array

    products, rng = SparseProducts(stored, compute, index), np.random.default_rng(0)
    plain = rng.standard_normal((11, 7)) * (rng.random((11, 7)) < 0.5)
    if stored not in NUMBERS:  # some are as large as bytes can be, with a sign or without
        limits = np.iinfo("uint8" if stored == "bool" else stored)
        plain = np.clip(np.rint(120 * plain), limits.min, 1 if stored == "bool" else limits.max)
    X = csr_array(plain.astype(stored))
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    rows = SparseRows(products, X, slice(1, 10), compute)
    W, R = rng.standard_normal((7, 90)).astype(compute), rng.standard_normal((9, 90))
    pairs = [(rows @ W, plain[1:10] @ W), (R.T.astype(compute) @ rows, R.T @ plain[1:10])]
    pairs.append((rows.sums(W), plain[1:10] @ W))
    near = {"rtol": 1e-4, "atol": 1e-5 * max(1.0, abs(plain).max())}
    return products if all(np.allclose(a, b, **near) for a, b in pairs) else None
