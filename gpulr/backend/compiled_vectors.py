"""Scalar products and sums of many arrays like the parameters, column by column, compiled by LLVM.

L-BFGS keeps up to ten pairs of arrays as large as the parameters, and reads all of them four times
an iteration. For sparse text (50,000 words × 20 models) an array is 8 MB: array functions read and
write three or four of these for each product, ten times as much as the pairs themselves. Here all
arrays are gone through together, of the rows that :mod:`gpulr.backend.sweeps` gives.

Products are summed over ``UNIT`` rows, in their order, and these sums in theirs: so that a column's
bits depend neither on the threads nor on how many other columns there are.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir

from gpulr.backend import compiled_loops
from gpulr.backend.buffers import address
from gpulr.backend.compiled_loops import DOUBLE, FLOAT, FUSED, INT64, NAMES, Writer
from gpulr.backend.machine_code import load
from gpulr.backend.sweeps import UNIT

Floats = npt.NDArray[Any]

STORED: dict[np.dtype[Any], ir.Type] = {np.dtype(np.float32): FLOAT, np.dtype(np.float64): DOUBLE}


class _Writer(Writer):
    """Writes functions of a table of m arrays (n, k) of ``stored`` numbers, and of float64 ones.

    Each is (first, n, k, m, table, x, coefficients, out) -> None, for n rows from the first one on.
    """

    def __init__(self, lanes: int) -> None:
        super().__init__()
        self.lanes, self.doubles = lanes, ir.VectorType(DOUBLE, lanes)

    def function(self, name: str, stored: ir.Type) -> tuple[ir.Value, ...]:
        """Begin a function; returns its arguments."""
        numbers = DOUBLE.as_pointer()
        takes = [*[INT64] * 4, stored.as_pointer().as_pointer(), *[numbers] * 3]
        return tuple(self.begin(f"{name}_{NAMES[stored]}", takes).args)

    def read(
        self, array: ir.Value, at: ir.Value, masks: Sequence[ir.Value | None]
    ) -> list[ir.Value]:
        """Return vectors of numbers, as float64."""
        kind, found = ir.VectorType(array.type.pointee, self.lanes), []
        for i, mask in enumerate(masks):
            x = self.load_first(self.at(array, at, i * self.lanes), kind, mask)
            found.append(x if kind == self.doubles else self.b.fpext(x, self.doubles))
        return found

    def write(
        self,
        values: Sequence[ir.Value],
        array: ir.Value,
        at: ir.Value,
        masks: Sequence[ir.Value | None],
    ) -> None:
        for i, (value, mask) in enumerate(zip(values, masks, strict=True)):
            self.store_first(value, self.at(array, at, i * self.lanes), mask)

    def products(self, a: ir.Value, b: ir.Value, total: ir.Value) -> ir.Value:
        """Return total + a × b."""
        return self.b.fadd(total, self.b.fmul(a, b, flags=FUSED), flags=FUSED)

    def dots(self, stored: ir.Type) -> None:
        """Write out[s, i] = Σ V_i x over the rows of sub-block s, the coefficients being unused."""
        first, n, k, m, table, x, _, out = self.function("dots", stored)
        b, zero = self.b, self.count(0)
        with self.loop(zero, n, UNIT) as (start, _):
            stop = self.smaller(b.add(start, self.count(UNIT)), n)
            sums = self.at(out, b.mul(b.mul(b.sdiv(start, self.count(UNIT)), m), k))
            with self.loop(zero, m, 1) as (i, _):
                V = b.load(self.at(table, i))
                for column, masks in self.panels(k, self.lanes):
                    zeros = [ir.Constant(self.doubles, None)] * len(masks)
                    with self.loop(start, stop, 1, *zeros) as (row, totals):
                        at = b.add(b.mul(b.add(first, row), k), column)
                        pairs = zip(self.read(V, at, masks), self.read(x, at, masks), strict=True)
                        for j, (v, y) in enumerate(pairs):
                            totals[j] = self.products(v, y, totals[j])
                    self.write(totals, sums, b.add(b.mul(i, k), column), masks)
        b.ret_void()

    def combine(self, stored: ir.Type) -> None:
        """Write out = c_m x + Σ_i c_i V_i, with coefficients c (m + 1, k)."""
        first, n, k, m, table, x, coefficients, out = self.function("combine", stored)
        b, zero = self.b, self.count(0)
        for column, masks in self.panels(k, self.lanes):
            with self.loop(zero, n, 1) as (row, _):
                at = b.add(b.mul(b.add(first, row), k), column)
                factors = self.read(coefficients, b.add(b.mul(m, k), column), masks)
                own = [b.fmul(c, y) for c, y in zip(factors, self.read(x, at, masks), strict=True)]
                with self.loop(zero, m, 1, *own) as (i, totals):
                    v = self.read(b.load(self.at(table, i)), at, masks)
                    c = self.read(coefficients, b.add(b.mul(i, k), column), masks)
                    totals[:] = map(self.products, c, v, list(totals))
                self.write(totals, out, at, masks)
        b.ret_void()


class VectorFunctions:
    """The compiled functions, of NumPy arrays; see :class:`gpulr.backend.Backend`.

    The vectors are (n, k), all of float32 or all of float64; all else is float64.
    """

    def __init__(self) -> None:
        lanes = compiled_loops.vector_registers()[0] // 8

        def write() -> ir.Module:
            writer = _Writer(lanes)
            for stored in STORED.values():
                writer.dots(stored)
                writer.combine(stored)
            return writer.module

        self._engine = load(f"vectors-{lanes}", write)
        number, address = ctypes.c_int64, ctypes.c_void_p
        kind = ctypes.CFUNCTYPE(None, *[number] * 4, *[address] * 4)
        self._dots, self._combine = (
            {
                dtype: kind(self._engine.get_function_address(f"{name}_{NAMES[stored]}"))
                for dtype, stored in STORED.items()
            }
            for name in ("dots", "combine")
        )

    def dots(self, vectors: Sequence[Floats], x: Floats) -> Floats:
        """Return Σ v x of each vector over each ``UNIT`` rows, (n_sums, n_vectors, k)."""
        n, k = x.shape
        sums = np.empty((-(-n // UNIT), len(vectors), k))
        table, at = self._table(vectors), address(x)
        self._dots[vectors[0].dtype](0, n, k, len(vectors), table, at, 0, address(sums))
        return sums

    def combine(
        self,
        x: Floats,
        coefficients: Floats,
        vectors: Sequence[Floats],
        factor: float | Floats,
        out: Floats | None = None,
    ) -> Floats:
        """Return factor x + Σ c_i v_i, with coefficients (n_vectors, k) and factor (k,)."""
        n, k = x.shape
        out, each = np.empty((n, k)) if out is None else out, np.empty((len(vectors) + 1, k))
        each[:-1], each[-1] = coefficients, factor
        table, places = self._table(vectors), map(address, (x, each, out))
        self._combine[vectors[0].dtype](0, n, k, len(vectors), table, *places)
        return out

    @staticmethod
    def take(vectors: Sequence[Floats], x: Floats) -> bool:
        """Whether these are as the functions read them."""
        dtype = vectors[0].dtype
        return (
            dtype in STORED
            and x.dtype == np.float64
            and x.flags.c_contiguous
            and x.size > 0
            and all(
                v.dtype == dtype and v.shape == x.shape and v.flags.c_contiguous for v in vectors
            )
        )

    @staticmethod
    def _table(vectors: Sequence[Floats]) -> Any:
        return (ctypes.c_void_p * len(vectors))(*map(address, vectors))


def compile_functions() -> VectorFunctions | None:
    """Compile them, and compare what they return with NumPy's; None where that is wrong."""
    functions, rng = VectorFunctions(), np.random.default_rng(0)
    x, c = rng.standard_normal((UNIT + 5, 43)), rng.standard_normal((3, 43))
    right = True
    for dtype in STORED:
        vectors = [np.asarray(rng.standard_normal(x.shape), dtype) for _ in range(len(c))]
        combined = 3.0 * x + sum(each * v for each, v in zip(c, vectors, strict=True))
        dots = np.stack([(v * x).sum(axis=0) for v in vectors])
        right &= np.allclose(functions.dots(vectors, x).sum(axis=0), dots, rtol=1e-12, atol=1e-12)
        right &= np.allclose(
            functions.combine(x, c, vectors, 3.0), combined, rtol=1e-12, atol=1e-12
        )
    return functions if right else None
