"""NumPy on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from gpulr.backend import threads
from gpulr.backend.arrays import is_sparse, library_of, to_host
from gpulr.backend.base import Backend
from gpulr.backend.buffers import buffer
from gpulr.backend.compiled_functions import margin_functions, vector_functions
from gpulr.backend.compiled_rows import (
    CompiledRows,
    centers,
    compiled_rows,
    extremes_function,
    fits,
    gram_function,
    pass_function,
    sparse_rows,
)
from gpulr.backend.compiler import compiler, compiler_at_hand, load_compiler_ahead
from gpulr.backend.forks import computing
from gpulr.backend.long_arrays import FileArray, long_array
from gpulr.backend.sweeps import sweep
from gpulr.backend.widening import convert, is_half
from gpulr.sources import Source

if TYPE_CHECKING:
    from gpulr.backend.compiled_margins import MarginFunctions
    from gpulr.backend.compiled_vectors import VectorFunctions

Array = Any
T = TypeVar("T")

# OpenBLAS has kernels for small products, which read their operands where they are; from this many
# multiply-adds on it repacks them first, which takes longer than a product with ten columns.
# Measured on 56,000×784 with ten columns: a pass takes 24 ms in slices, 30 ms in whole blocks.
SMALL = 1_000_000

MOMENT_NUMBERS = 2**15  # of a block, widened at a time: 256 KiB, which stay in cache
COPIED = 128 * 2**20  # bytes of a sample of the rows; one that is larger is gathered in each pass

# Of columns of so few numbers NumPy adds two in a third of the time of a compiled function's call.
# How many columns there are does not matter: one is to have the same bits beside any others.
SHORT = 64


class NumPyBackend(Backend):
    """NumPy on the CPU: blocks that fit in cache, mapped over threads."""

    namespace = "numpy"
    # Measured on MNIST with 1 to 16 MiB: below 4 the calls cost more than the cache saves.
    block_bytes = 8 * 2**20
    check_every = 1  # a look costs nothing here

    def __reduce__(self) -> tuple[Any, ...]:  # namespaces cannot be pickled
        return _numpy, (self.fallback_reason,)

    @property
    def device_name(self) -> str:
        return "cpu"

    @property
    def versions(self) -> dict[str, str]:
        llvmlite = compiler().version
        return super().versions | ({"llvmlite": llvmlite} if llvmlite else {})

    @contextmanager
    def activate(self) -> Iterator[None]:
        # What is not mapped over blocks is small: two BLAS threads gain nothing on it, and wait for
        # each other for seconds where other processes use the cores.
        load_compiler_ahead()
        with threads.one_blas_thread(), computing():
            yield

    def turn(
        self, n_samples: int, n_features: int, n_models: int
    ) -> AbstractContextManager[object]:
        # Small steps let go of the interpreter so often that threads get in each other's way: eight
        # trainings on 1,442×64 digits at once took 2.1 times as long as one after another. From
        # about a million numbers on (5,000×200) they gain from the cores.
        small = n_samples * (n_features + 6 * n_models) <= 1_000_000
        return threads.turn if small else nullcontext()

    @cached_property
    def compiled(self) -> bool:
        """Whether passes use compiled code: asked once, and not for every block."""
        return compiler().usable

    def margin_functions(self, signed: bool, *arrays: Array) -> MarginFunctions | None:
        """Return what computes on such margins, targets and weights; None: NumPy does."""
        functions = margin_functions(arrays[0].dtype, signed) if self.compiled else None
        return functions if functions is not None and functions.take(*arrays) else None

    @cached_property
    def vector_functions(self) -> VectorFunctions | None:
        """What computes on vectors like the parameters; None: NumPy does."""
        return vector_functions() if self.compiled else None

    def known_true(self, flags: Array) -> bool:
        return bool(flags.all())

    def asarray(self, x: Any, dtype: Any = None) -> Array:
        if is_sparse(x):
            return x if library_of(x) is None else type(x).get(x)  # from a GPU
        return self.xp.asarray(to_host(x), dtype=dtype)

    def place(self, X: Any, **needs: Any) -> Array:
        return X if isinstance(X, Source) else self.asarray(X)  # blocks are converted as they are

    def map_blocks(
        self,
        function: Callable[[slice], T],
        blocks: list[slice],
        X: Array | None = None,
        *,
        of_rows: bool = True,
    ) -> Iterator[T]:
        if isinstance(X, Source):
            return self._read_ahead(function, blocks, X)
        return threads.map_blocks(function, blocks)

    def _read_ahead(
        self, function: Callable[[slice], T], blocks: list[slice], X: Source
    ) -> Iterator[T]:
        with X.ahead(blocks):
            yield from threads.map_blocks(function, blocks)

    def collect_blocks(
        self,
        function: Callable[..., Array],
        blocks: list[slice],
        n_columns: int,
        dtype: Any,
        X: Array | None = None,
        whole: Array | None = None,
    ) -> Array:
        if whole is None:  # fresh memory takes twice as long as to write to it
            whole = np.empty((blocks[-1].stop, n_columns), dtype)

        def write(rows: slice) -> None:
            out = whole[rows]
            if (part := function(rows, out=out)) is not out:
                out[:] = part

        for _ in self.map_blocks(write, blocks, X):
            pass
        return whole

    def margins_array(self, n_rows: int, n_columns: int, dtype: Any) -> Array:
        return long_array((n_rows, n_columns), dtype)

    def where_columns(self, flags: Array, Z: Array, other: Array) -> Array:
        index = np.flatnonzero(~flags)
        in_memory = isinstance(Z, np.ndarray) and isinstance(other, np.ndarray)
        if 8 * len(index) > len(flags) and in_memory:
            return super().where_columns(flags, Z, other)
        # One of 200 columns takes a fifteenth of the time that all do.
        for rows in self.row_blocks(Z.shape[0], 0, Z.shape[1]):
            Z[rows][:, index] = other[rows][:, index]
        return Z

    def take_columns(self, Z: Array, index: Array, blocks: list[slice]) -> Array:
        def take(rows: slice, out: Array) -> Array:
            # In the mode "raise" NumPy would take them twice.
            return np.take(Z[rows], index, axis=1, out=out, mode="clip")

        whole = self.margins_array(Z.shape[0], len(index), Z.dtype)
        return self.collect_blocks(take, blocks, len(index), Z.dtype, whole=whole)

    def take_rows(self, X: Array, index: Array) -> Array:
        if isinstance(X, FileArray):
            return X[index]
        known = len(index) > 0 and index.min() >= 0 and index.max() < X.shape[0]
        if not (known and isinstance(X, np.ndarray) and X.ndim == 2):
            return super().take_rows(X, index)

        def take(rows: slice, out: Array) -> Array:
            if not X.flags.c_contiguous:  # of which np.take would copy the whole
                return X[index[rows]]
            return np.take(X, index[rows], axis=0, out=out, mode="clip")  # as take_columns does

        blocks = self.row_blocks(len(index), self.row_width(X), 1)
        return self.collect_blocks(take, blocks, X.shape[1], X.dtype)

    def sample_rows(self, X: Array, index: Array) -> Array:
        n, few = len(index), len(index) * self.row_width(X) * X.dtype.itemsize <= COPIED
        if few or not (isinstance(X, np.ndarray | Source) or is_sparse(X)):
            return self.take_rows(X, index)
        # Gathered in each pass: the reader's thread must not wait for those that compute.
        nnz = int(X.nnz) * n // int(X.shape[0]) if is_sparse(X) else None
        return Source(lambda start, stop: X[index[start:stop]], (n, X.shape[1]), X.dtype, nnz=nnz)

    def affine(self, X: Any, W: Array, b: Array, out: Array | None = None) -> Array:
        return X @ W + b if is_sparse(X) else X.affine(W, b, out)

    def propagate(
        self,
        X: Any,
        W: Array,
        b: Array,
        Y: Array,
        s: Array | None = None,
        signed: bool = False,
    ) -> tuple[Array, Array, Array]:
        found = None
        if s is None and isinstance(X, CompiledRows) and W.dtype == np.float32:
            margins, function = self.margin_functions(signed, W, Y), pass_function()
            if margins is not None and function is not None:
                found = X.evaluate(W, b, Y, margins, function)
        return super().propagate(X, W, b, Y, s, signed) if found is None else found

    def along(self, Z: Array, D: Array, t: Array, out: Array | None = None) -> Array:
        out = np.multiply(D, t, out=out)
        out += Z
        return out

    def as_compute(self, X_block: Array, dtype: Any, center: Array | None = None) -> Array:
        if is_sparse(X_block):
            return super().as_compute(X_block, dtype)
        if X_block.dtype == dtype and center is None:
            return X_block
        converted = buffer("converted", X_block.size, dtype).reshape(X_block.shape)
        if center is None or is_half(X_block.dtype):
            convert(X_block, converted)
            if center is not None:
                converted -= center
        else:
            np.subtract(X_block, center, out=converted, casting="unsafe")
        return converted

    def operand(self, X_block: Array, dtype: Any, center: Array | None = None) -> Array:
        if is_sparse(X_block):
            return self.as_compute(X_block, dtype)
        if self.compiled and centers(X_block, dtype, center) and fits(X_block, dtype):
            return compiled_rows(X_block, np.dtype(dtype), center)
        block = self.as_compute(X_block, dtype, center)
        if block is not X_block and self.compiled and fits(block, dtype):
            return compiled_rows(block, np.dtype(dtype))
        return SlicedRows(block)

    def sparse_operand(self, X: Array, rows: slice, dtype: Any) -> Array:
        found = sparse_rows(X, rows, dtype) if self.compiled else None
        return super().sparse_operand(X, rows, dtype) if found is None else found

    def sparse_sums(self, X: Array, rows: slice, W: Array, out: Array | None = None) -> Array:
        found = sparse_rows(X, rows, W.dtype) if self.compiled else None
        return super().sparse_sums(X, rows, W, out) if found is None else found.sums(W, out)

    def activate_margins(
        self, Z: Array, Y: Array, s: Array | None = None, signed: bool = False
    ) -> tuple[Array, Array, Array]:
        functions = self.margin_functions(signed, Z, Y, s)
        if functions is not None:
            return functions.activate(Z, Y, s)
        return super().activate_margins(Z, Y, s, signed)

    def derivatives_along(
        self,
        Z: Array,
        D: Array,
        t: float,
        Y: Array,
        s: Array | None = None,
        signed: bool = False,
    ) -> tuple[Array, Array, Array]:
        functions = self.margin_functions(signed, Z, D, Y, s)
        if functions is not None:
            return functions.derivatives_along(Z, D, t, Y, s)
        return super().derivatives_along(Z, D, t, Y, s, signed)

    def extremes(self, X_block: Array) -> tuple[Array, Array]:
        # The same numbers either way. NumPy converts float16 one by one, for longer than the
        # compiler takes to load.
        if X_block.dtype.itemsize == 2 or compiler_at_hand():
            compiled = extremes_function(X_block) if self.compiled else None
            if compiled is not None:
                return compiled(X_block)
        if is_half(X_block.dtype):
            return self.extremes(self.as_compute(X_block, np.dtype(np.float32)))
        return super().extremes(X_block)

    def moments(
        self, X_block: Array, weight: npt.NDArray[np.float64] | None
    ) -> tuple[Array, Array, Array]:
        if is_sparse(X_block):
            return super().moments(X_block, weight)
        if is_half(X_block.dtype):  # NumPy converts them one by one
            X_block = self.as_compute(X_block, np.dtype(np.float32))
        n, p = X_block.shape
        s = np.ones(n) if weight is None else weight
        near = X_block[0].astype(np.float64)
        length = max(1, MOMENT_NUMBERS // p)
        total, squares, D = np.zeros(p), np.zeros(p), np.empty((min(n, length), p))
        for start in range(0, n, length):
            some = X_block[start : start + length]
            d, here = D[: len(some)], s[start : start + length]
            np.subtract(some, near, out=d)
            total += here @ d
            np.multiply(d, d, out=d)
            squares += here @ d
        return near, total, squares

    def sparse_extremes(self, X: Array) -> tuple[Array, Array]:
        # In their own dtype: NumPy takes twenty times as long where it has to convert them, and six
        # times for bits.
        data = X.data.view(np.uint8) if X.dtype == np.bool_ else X.data
        least, most = np.zeros((2, X.shape[1]), data.dtype)
        np.minimum.at(least, X.indices, data)
        np.maximum.at(most, X.indices, data)
        return least, most

    def gram(self, X_block: Array, dtype: Any) -> tuple[Array, Array]:
        compiled = gram_function(X_block) if self.compiled else None
        return super().gram(X_block, dtype) if compiled is None else compiled(X_block)

    def sweep(
        self, function: Callable[[slice], tuple[list[Array], list[Array]]], n: int, k: int
    ) -> tuple[list[Array], list[Array]]:
        # Without compiled functions sums of blocks would depend on how many columns there are.
        go = super().sweep if self.vector_functions is None else sweep
        return go(function, n, k)

    def dots_of_rows(self, vectors: Sequence[Array], x: Array) -> Array:
        functions = self.vector_functions
        if functions is not None and functions.take(vectors, x):
            return functions.dots(vectors, x)
        return super().dots_of_rows(vectors, x)

    def dots(self, vectors: Sequence[Array], x: Array) -> Array:
        functions = self.vector_functions
        if functions is None or not functions.take(vectors, x):
            return super().dots(vectors, x)

        def of_rows(rows: slice) -> tuple[list[Array], list[Array]]:
            return [], [functions.dots([v[rows] for v in vectors], x[rows])]

        return sweep(of_rows, *x.shape)[1][0]

    def combine(
        self,
        x: Array,
        coefficients: Array,
        vectors: Sequence[Array],
        factor: float | Array = 1.0,
    ) -> Array:
        if x.shape[0] <= SHORT and len(vectors) == 1:
            total = coefficients[0, :] * vectors[0]
            total += x if isinstance(factor, float) and factor == 1.0 else factor * x
            return total
        functions = self.vector_functions
        if functions is None or not functions.take(vectors, x):
            return super().combine(x, coefficients, vectors, factor)
        out = np.empty(x.shape)

        def of_rows(rows: slice) -> tuple[list[Array], list[Array]]:
            some = [v[rows] for v in vectors]
            functions.combine(x[rows], coefficients, some, factor, out[rows])
            return [], []

        sweep(of_rows, *x.shape)
        return out

    def centers_in_block(self, X: Array) -> bool:
        return not is_sparse(X) and X.dtype.itemsize > 1

    def operand_width(self, X: Array, dtype: Any, center: Array | None = None) -> int:
        if is_sparse(X) or not (self.compiled and centers(X, dtype, center) and fits(X, dtype)):
            return self.row_width(X)
        # Rows that are not converted take no memory, and compiled products cut sub-blocks that fit
        # in cache by themselves. Longer blocks mean fewer calls, for which threads wait in turn.
        return int(X.shape[1] * X.itemsize // 8)


class SlicedRows:
    """A block X of rows (n_rows, n_features) that multiplies slice by slice where that is faster.

    Supports what a pass needs: ``X @ W``, also written to where that is to be, and ``A @ X``.
    """

    __array_ufunc__ = None  # NumPy leaves A @ X to __rmatmul__

    def __init__(self, X: npt.NDArray[Any]) -> None:
        self.X = X

    def _cut(self, n_columns: int) -> tuple[int, int]:
        """Return the length of a slice, and how many whole ones there are (0: do not slice)."""
        n_rows, n_features = self.X.shape
        length = SMALL // (n_features * n_columns) // 16 * 16
        if length < 32 or length > n_rows // 2 or not self.X.flags.c_contiguous:
            return n_rows, 0
        return length, n_rows // length

    def affine(
        self, W: npt.NDArray[Any], b: npt.NDArray[Any], out: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[Any]:
        """Return X W + b, written to ``out`` if that is given."""
        Z = self._matmul(W, out)
        Z += b
        return Z

    def __matmul__(self, W: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return self._matmul(W)

    def _matmul(self, W: npt.NDArray[Any], out: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
        n_rows, n_features = self.X.shape
        n_columns = W.shape[1]
        length, count = self._cut(n_columns)
        if not count:
            return np.matmul(self.X, W, out=out)
        Z = np.empty((n_rows, n_columns), dtype=self.X.dtype) if out is None else out
        end = count * length
        stack = self.X[:end].reshape(count, length, n_features)
        np.matmul(stack, W, out=Z[:end].reshape(count, length, n_columns))
        np.matmul(self.X[end:], W, out=Z[end:])
        return Z

    def __rmatmul__(self, A: npt.NDArray[Any]) -> npt.NDArray[Any]:
        n_features = self.X.shape[1]
        length, count = self._cut(A.shape[0])
        if not count:
            return A @ self.X  # type: ignore[no-any-return]
        end = count * length
        stack = self.X[:end].reshape(count, length, n_features)
        parts = A[:, :end].reshape(A.shape[0], count, length).transpose(1, 0, 2) @ stack
        total: npt.NDArray[Any] = parts.sum(axis=0)
        total += A[:, end:] @ self.X[end:]
        return total


def _numpy(fallback_reason: str | None) -> NumPyBackend:
    return NumPyBackend("numpy", np, None, fallback_reason)
