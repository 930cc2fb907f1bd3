"""Numbers of 16 bits, float16 and bfloat16, made float32 or float64: compiled for this CPU by LLVM.

NumPy converts float16 one by one, and ml_dtypes bfloat16. Here as many are converted at a time as a
vector has lanes, so that what counts is memory.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir

from gpulr.backend import compiled_loops, compiled_products
from gpulr.backend.buffers import address
from gpulr.backend.compiled_loops import INT64
from gpulr.backend.machine_code import load


class _Writer(compiled_products._Writer):
    def widen(self) -> None:
        """Write (X, n, out), of a vector or more: the last numbers may be converted twice."""
        takes = [self.storage.as_pointer(), INT64, self.number.as_pointer()]
        X, n, out = self.begin("widen", takes).args
        lanes = self.count(self.tile.lanes)
        with self.loop(self.count(0), n, lanes) as (i, _):
            i = self.smaller(i, self.b.sub(n, lanes))
            self.store(self.load_rows(self.at(X, i)), self.at(out, i))
        self.b.ret_void()


class Widening:
    """The compiled function, of NumPy's dtypes of these names."""

    def __init__(self, storage: str, compute: str) -> None:
        self.lanes = compiled_loops.vector_registers()[0] // np.dtype(compute).itemsize

        def write() -> ir.Module:
            tile = compiled_products.Tile(self.lanes, 1, 1)
            writer = _Writer(tile, storage, compute)
            writer.widen()
            return writer.module

        self._engine = load(f"widening-{storage}-{compute}-{self.lanes}", write)
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)
        self._widen = kind(self._engine.get_function_address("widen"))

    def __call__(self, X: npt.NDArray[Any], out: npt.NDArray[Any]) -> None:
        """Write the numbers of X, ``lanes`` or more, to ``out``; both are C-contiguous."""
        self._widen(address(X), X.size, address(out))


def compile_function(storage: str, compute: str) -> Widening | None:
    """Compile it, and compare what it makes of each number there is; None where that is wrong."""
    widen, X = Widening(storage, compute), np.arange(2**16, dtype=np.uint16).view(storage)
    with np.errstate(invalid="ignore"):  # ml_dtypes complains of some NaN
        expected = X.astype(compute)
    found = np.empty(X.shape, compute)
    widen(X, found)
    return widen if np.array_equal(found, expected, equal_nan=True) else None
