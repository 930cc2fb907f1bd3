"""A whole pass over a block of rows, which reads them from memory once.

Margins and gradient each take all rows of a block, and a block of floats is larger than a core's
cache. Here sub-blocks take their place: margins, residuals and gradient of some 200 KB of rows,
which stay in the second-level cache meanwhile, and half of the next ones are fetched with the
margins, half with the gradient.

The floor, for 56,000×784 float32 at 10 GB/s: 18 ms on one core, twice that for two products.
"""

from __future__ import annotations

import ctypes
from typing import Any

from llvmlite import ir

from gpulr.backend.buffers import address
from gpulr.backend.compiled_loops import FLOAT, INT8, INT64, Writer
from gpulr.backend.machine_code import load

BYTE, NUMBER = INT8.as_pointer(), FLOAT.as_pointer()
PRODUCT = [BYTE, *[INT64] * 4, BYTE, INT64, NUMBER]
FUNCTIONS = (  # as compiled_products and compiled_margins say
    [*PRODUCT, NUMBER, INT64, INT64],  # margins
    [INT64, INT64, FLOAT, NUMBER, INT64, NUMBER, BYTE, *[NUMBER] * 3],  # activate
    PRODUCT,  # gradient
)


class _Writer(Writer):
    def evaluate(self) -> None:
        """Write the function of addresses of functions, sizes and arrays: see the class below."""
        functions, sizes, arrays = [BYTE] * 3, [INT64] * 8, [BYTE] * 4 + [NUMBER] * 6
        arguments = iter(self.begin("evaluate", [*functions, *sizes, *arrays]).args)
        b, n_ = self.b, self.count
        margins, activate, gradient = (
            b.bitcast(next(arguments), ir.FunctionType(ir.VoidType(), takes).as_pointer())
            for takes in FUNCTIONS
        )
        itemsize, length, n_rows, stride, n, k, ld_W, ld = (next(arguments) for _ in sizes)
        X, W, D, sums, bias, Y, weights, terms, Z, R = arguments
        n_blocks = b.sdiv(n_rows, length)  # what is left belongs to the last one
        with self.loop(n_(0), n_blocks, 1) as (block, _):
            start = b.mul(block, length)
            last = b.icmp_signed("==", block, b.sub(n_blocks, n_(1)))
            here = b.select(last, b.sub(n_rows, start), length)
            x = self.at(X, b.mul(b.mul(start, stride), itemsize))
            y, soon = self.at(Y, b.mul(start, k)), b.mul(length, stride)
            b.call(margins, [x, here, stride, n, k, W, ld_W, Z, bias, soon, n_(0)])
            no_step = ir.Constant(FLOAT, 0.0)
            b.call(activate, [here, k, no_step, weights, n_(0), terms, sums, Z, y, R])
            b.call(gradient, [x, here, stride, n, k, D, ld, R])
        b.ret_void()


class PassFunction:
    """The compiled function; it checks nothing."""

    def __init__(self) -> None:
        def write() -> ir.Module:
            writer = _Writer()
            writer.evaluate()
            return writer.module

        self._engine = load("pass", write)
        takes = [*[ctypes.c_void_p] * 3, *[ctypes.c_int64] * 8, *[ctypes.c_void_p] * 10]
        self._evaluate = ctypes.CFUNCTYPE(None, *takes)(
            self._engine.get_function_address("evaluate")
        )

    def __call__(
        self, functions: tuple[Any, ...], sizes: tuple[int, ...], arrays: tuple[Any, ...]
    ) -> None:
        """Add what rows give to sums.

        Parameters
        ----------
        functions : margins, activate and gradient
        sizes : itemsize of X, length of a sub-block, n_rows ≥ length, stride, n_features,
            n_columns, ld of W and of D; all but the first two as the products take them
        arrays : X, W and D as the products take them; sums (2, n_columns) float64 of the losses and
            residuals; b, Y (n_rows, n_columns); ones (2 · length,), and space for terms, Z and R
            (2 · length, n_columns), all float32
        """
        addresses = (ctypes.cast(function, ctypes.c_void_p) for function in functions)
        self._evaluate(*addresses, *sizes, *map(address, arrays))
