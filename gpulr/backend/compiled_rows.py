"""Rows as operands of products with few columns, compiled where LLVM is installed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gpulr.backend.buffers import LINE, SUB_BLOCK_BYTES, address, aligned, buffer
from gpulr.backend.compiled_functions import (
    SINGLE,
    compiling,
    extremes_of,
    gram_of_bytes,
    margin_functions,
    or_none,
    products_for,
    sparse_products,
)
from gpulr.sources import Source

if TYPE_CHECKING:
    from gpulr.backend.compiled_bytes import ByteProducts
    from gpulr.backend.compiled_extremes import Extremes
    from gpulr.backend.compiled_gram import ByteGram
    from gpulr.backend.compiled_margins import MarginFunctions
    from gpulr.backend.compiled_pass import PassFunction
    from gpulr.backend.compiled_products import Products
    from gpulr.backend.compiled_sparse import SparseRows

LEAST_ROWS = 8  # the longest tile
ROWS_AHEAD = 4  # how far X W prefetches
# Calls of these functions take some 30 µs longer than NumPy's. Rows so narrow must be so many
# numbers to repay that. Measured on 500,000×16 to 80,000×100 rows: 0.6 to 0.8 of BLAS's time with
# ten columns, 0.8 to 1.2 with one.
LEAST_FEATURES = {1: 48, 2: 128, 4: 128, 8: 128}  # by bytes of an entry
LEAST_NUMBERS = 2**17
WEIGHTS_BYTES = 512 * 1024  # of W, for one tile's columns: beyond it W itself leaves the cache


@cache
def _name(dtype: np.dtype[Any]) -> str:
    """Return a dtype's name, which NumPy puts together anew each time, in 20 µs."""
    return dtype.name


def sparse_rows(X: Any, rows: slice, dtype: npt.DTypeLike) -> SparseRows | None:
    """Return some rows of a CSR array as an operand, or None where compiled products do not fit."""
    parts, dtype = (X.data, X.indices, X.indptr), np.dtype(dtype)
    stored, index, other = (part.dtype for part in parts)
    if not (
        all(each.isnative for each in (stored, index, dtype))
        and _name(dtype) in ("float32", "float64")
        and index == other
        and all(part.flags.c_contiguous for part in parts)
    ):
        return None
    products = sparse_products(*map(_name, (stored, dtype, index)))
    if products is None:
        return None
    from gpulr.backend.compiled_sparse import SparseRows

    return SparseRows(products, X, slice(*rows.indices(X.shape[0])[:2]), dtype)


@cache
@or_none
def byte_products() -> ByteProducts | None:
    """Return compiled products of bytes by digits; None where the processor has none, or not right.

    They are used for all bytes and bits that multiply in float32, whatever the number of columns,
    so that a column's bits do not depend on how many others there are.
    """
    from gpulr.backend import compiled_bytes

    if not compiled_bytes.usable():
        return None
    with compiling():
        products = compiled_bytes.ByteProducts()
    return products if matches(lambda X: ByteRows(X, np.dtype(np.float32), products)) else None


def matches(rows_of: Callable[[npt.NDArray[Any]], CompiledRows]) -> bool:
    """Compare products of some bytes with NumPy's, of ten columns: as many as most often."""
    X = np.arange(11 * 37, dtype=np.uint8).reshape(11, 37)
    W, R = (np.linspace(-1.0, 1.0, 10 * n, dtype=np.float32).reshape(n, 10) for n in (37, 11))
    rows, plain = rows_of(X), X.astype(np.float32)
    pairs = (rows @ W, plain @ W), (R.T @ rows, R.T @ plain)
    return all(np.allclose(a, b, rtol=1e-4, atol=1e-2) for a, b in pairs)


@cache
@or_none
def pass_function() -> PassFunction | None:
    """Return the compiled pass; None where it is not what its steps are, bit by bit."""
    margins = margin_functions(SINGLE)
    if margins is None:
        return None
    with compiling():
        from gpulr.backend.compiled_pass import PassFunction

        function = PassFunction()
    n, p = 3 * SUB_BLOCK_BYTES // (4 * 150), 150
    X, W, Y = (
        np.sin(np.arange(a * b, dtype=np.float32)).reshape(a, b)
        for a, b in ((n, p), (p, 10), (n, 10))
    )
    rows, b = CompiledRows(X, np.dtype(np.float32)), W[0]
    found = rows.evaluate(W, b, Y, margins, function)
    R, loss, db = margins.activate(rows.affine(W, b), Y, None)
    expected = loss, (R.T @ rows).T, db
    right = found is not None and all(map(np.array_equal, found, expected))
    return function if right else None


def readable(X: npt.NDArray[Any] | Source, dtype: np.dtype[Any]) -> bool:
    """Whether compiled loops read these rows as they are, into vectors of a dtype."""
    from gpulr.backend import compiled_products

    return (
        _name(X.dtype) in compiled_products.storage_types()
        and X.dtype.isnative
        and X.shape[1] >= LINE // dtype.itemsize  # the widest vector
        and X.strides[1] == X.itemsize
        and X.strides[0] >= X.shape[1] * X.itemsize
        and X.strides[0] % X.itemsize == 0
    )


def fits(X: npt.NDArray[Any] | Source, dtype: npt.DTypeLike) -> bool:
    """Whether compiled products take these rows as they are."""
    dtype = np.dtype(dtype)
    return (
        _name(dtype) in ("float32", "float64")
        and dtype.isnative
        and X.shape[0] >= LEAST_ROWS
        and (X.shape[1] >= LEAST_FEATURES.get(X.itemsize, 0) or X.size >= LEAST_NUMBERS)
        and readable(X, dtype)
        and X.shape[1] <= WEIGHTS_BYTES // (10 * dtype.itemsize)
    )


def extremes_function(X: npt.NDArray[Any]) -> Extremes | None:
    """Return what finds the extremes of such rows; None: nothing compiled does."""
    from gpulr.backend.compiled_extremes import compute_dtype

    storage = _name(X.dtype)
    return extremes_of(storage) if readable(X, compute_dtype(storage)) else None


def gram_function(X: npt.NDArray[Any]) -> ByteGram | None:
    """Return what multiplies such rows with themselves; None: nothing compiled does."""
    bytes_ = _name(X.dtype) in ("uint8", "bool")
    return gram_of_bytes() if bytes_ and readable(X, SINGLE) else None


def centers(X: npt.NDArray[Any], dtype: npt.DTypeLike, center: npt.NDArray[Any] | None) -> bool:
    """Whether compiled products take the centre, if any, from rows that they take."""
    return center is None or (X.dtype.kind in "fV" and center.dtype == dtype)


def compiled_rows(
    X: npt.NDArray[Any], dtype: np.dtype[Any], center: npt.NDArray[Any] | None = None
) -> CompiledRows:
    """Return rows that :func:`fits`, less a centre, as what multiplies fastest."""
    takes_bytes = _name(X.dtype) in ("uint8", "bool") and dtype == np.float32
    products = byte_products() if takes_bytes else None
    return CompiledRows(X, dtype, center) if products is None else ByteRows(X, dtype, products)


class CompiledRows:
    """Rows X (n_rows, n_features) less a centre, stored as they are, that multiply in ``dtype``.

    Supports what a pass needs: ``X @ W``, ``A @ X``, with W (n_features, n_columns) and A
    (n_columns, n_rows) of that dtype, and what is made of these. See :func:`fits` for the rows.
    """

    __array_ufunc__ = None  # NumPy leaves A @ X to __rmatmul__

    def __init__(
        self, X: npt.NDArray[Any], dtype: np.dtype[Any], center: npt.NDArray[Any] | None = None
    ) -> None:
        self.X = X
        self.dtype = dtype
        self.center = center

    @property
    def _wide(self) -> bool:
        """Whether the products go through the rows panel by panel."""
        from gpulr.backend import compiled_products

        return bool(self.X.shape[1] > compiled_products.WIDE)

    @property
    def _sub_block(self) -> int:
        """How many rows the products work through at a time."""
        from gpulr.backend import compiled_products

        counted_as = compiled_products.counted_as(_name(self.X.dtype), _name(self.dtype))
        each = compiled_products.BYTES[compiled_products.STORAGE[counted_as]]
        rows: int = SUB_BLOCK_BYTES // (self.X.strides[0] // self.X.itemsize * each)
        if self._wide:
            panel = compiled_products.panel(self.X.shape[1])
            rows = compiled_products.PANEL_BYTES // (panel * self.dtype.itemsize)
        return max(LEAST_ROWS, rows // 8 * 8)

    def _functions(self, n_columns: int) -> tuple[Products | ByteProducts, int]:
        """Return the functions, and how many columns they are given."""
        names, centred = (_name(self.X.dtype), _name(self.dtype)), self.center is not None
        products = products_for(n_columns, *names, centred=centred, wide=self._wide)
        return products, max(n_columns, products.tile.columns)

    def _space(self) -> int:
        """Return the space for numbers of wide rows that are copied, below W and the sums."""
        from gpulr.backend import compiled_products

        return compiled_products.COPIED if self._wide else 0

    def _apart(self) -> int:
        """Return how far apart rows of a number for each feature are kept.

        That is an odd number of cache lines, so that they do not displace each other in the cache
        at widths such as 1,024.
        """
        line = LINE // self.dtype.itemsize
        return int(-(-self.X.shape[1] // line) | 1) * line

    def _weights(self, W: npt.NDArray[Any], given: int) -> tuple[npt.NDArray[Any], int]:
        """Return W as the functions take it, until this thread's next call, and its ``ld``."""
        (n_features, n_columns), apart = W.shape, self._apart()
        size = (given + 1) * apart
        whole = buffer("weights", size + self._space(), self.dtype)
        WT = whole[:size].reshape(given + 1, apart)
        WT[:n_columns, :n_features] = W.T
        WT[n_columns:given, :n_features] = 0.0
        if self.center is not None:
            WT[given, :n_features] = self.center
        return WT, apart

    def _sums(self, given: int) -> tuple[npt.NDArray[Any], int]:
        """Return zeros for the functions to add a gradient to, and its ``ld``."""
        apart = self._apart()
        size = (given + 1) * apart
        whole = aligned(size + self._space(), self.dtype)
        sums = whole[:size].reshape(given + 1, apart)
        sums[:] = 0.0
        if self.center is not None:
            sums[given, : self.X.shape[1]] = self.center
        return sums, apart

    def _gradient(self, sums: npt.NDArray[Any], n_columns: int) -> npt.NDArray[Any]:
        """Return the gradient (n_columns, n_features) that was added up."""
        return sums[:n_columns, : self.X.shape[1]]

    def _sizes(self, n_columns: int) -> tuple[int, ...]:
        """Return n_rows, stride, n_features and n_columns, as the functions take them."""
        return self.X.shape[0], self.X.strides[0] // self.X.itemsize, self.X.shape[1], n_columns

    def __matmul__(self, W: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return self.affine(W, np.zeros(W.shape[1], self.dtype))

    def affine(
        self, W: npt.NDArray[Any], b: npt.NDArray[Any], out: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[Any]:
        """Return X W + b, written to ``out`` (n_rows, n_columns) if that is given."""
        n_columns = W.shape[1]
        products, given = self._functions(n_columns)
        Z = out
        if Z is None or given > n_columns:
            Z = np.empty((self.X.shape[0], given), self.dtype)
        b = np.ascontiguousarray(b if given == n_columns else np.resize(b, given), self.dtype)
        weights, ld = self._weights(W, given)
        sizes = self._sizes(given)
        X, W_, Z_, b_ = map(address, (self.X, weights, Z, b))
        ahead = ROWS_AHEAD * sizes[1]
        products.margins(X, *sizes, W_, ld, Z_, b_, ahead, ahead)
        return Z if given == n_columns else Z[:, :n_columns].copy()

    def __rmatmul__(self, A: npt.NDArray[Any]) -> npt.NDArray[Any]:
        n_columns, n_rows = A.shape
        products, given = self._functions(n_columns)
        R = np.ascontiguousarray(A.T, self.dtype)  # as it is, where A is Rᵀ
        if given > n_columns:
            R = np.zeros((n_rows, given), dtype=self.dtype)
            R[:, :n_columns] = A.T
        sums, ld = self._sums(given)
        X, D, R_ = map(address, (self.X, sums, R))
        products.gradient(X, *self._sizes(given), D, ld, R_)
        return self._gradient(sums, n_columns)

    def evaluate(
        self,
        W: npt.NDArray[Any],
        b: npt.NDArray[Any],
        Y: npt.NDArray[Any],
        margins: MarginFunctions,
        function: PassFunction,
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]] | None:
        """Return the summed losses, Xᵀ R and the sums of R at X W + b, from reading X once.

        The same bits as step by step. None where that is not at hand for as many columns.
        """
        k, length = W.shape[1], self._sub_block
        products, given = self._functions(k)
        if given > k or self.X.shape[0] < length:
            return None
        weights, ld_W = self._weights(W, k)
        sums, ld = self._sums(k)
        Z, R = (buffer(name, 2 * length * k, np.float32) for name in ("margins", "residuals"))
        scalars, b = np.zeros((2, k)), np.ascontiguousarray(b, self.dtype)
        function(
            (products.margins, margins.functions[0], products.gradient),
            (self.X.itemsize, length, *self._sizes(k), ld_W, ld),
            (self.X, weights, sums, scalars, b, Y, *margins.space(2 * length, 2, k), Z, R),
        )
        loss, db = scalars
        return loss, self._gradient(sums, k).T, db


class ByteRows(CompiledRows):
    """Rows of bytes or bits that multiply by :class:`~gpulr.backend.compiled_bytes.ByteProducts`.

    Columns of W whose digits do not suffice, which come out as NaN, multiply in float32.
    """

    def __init__(self, X: npt.NDArray[Any], dtype: np.dtype[Any], products: ByteProducts) -> None:
        super().__init__(X, dtype)
        self.products = products

    @property
    def _sub_block(self) -> int:
        return int(self.products.sub_block)

    def _functions(self, n_columns: int) -> tuple[ByteProducts, int]:
        return self.products, n_columns

    def _weights(self, W: npt.NDArray[Any], given: int) -> tuple[npt.NDArray[Any], int]:
        return self.products.cut(W), 0

    def _sums(self, given: int) -> tuple[npt.NDArray[Any], int]:
        return self.products.sums(self.X.shape[1], given)

    def _gradient(self, sums: npt.NDArray[Any], n_columns: int) -> npt.NDArray[Any]:
        return self.products.in_order(sums, self.X.shape[1], n_columns)

    def affine(
        self, W: npt.NDArray[Any], b: npt.NDArray[Any], out: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[Any]:
        Z = super().affine(W, b, out)
        left = np.isnan(Z[0])
        if left.any():
            Z[:, left] = CompiledRows(self.X, self.dtype).affine(W[:, left], b[left])
        return Z

    def evaluate(
        self,
        W: npt.NDArray[Any],
        b: npt.NDArray[Any],
        Y: npt.NDArray[Any],
        margins: MarginFunctions,
        function: PassFunction,
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]] | None:
        found = super().evaluate(W, b, Y, margins, function)
        return None if found is None or np.isnan(found[0]).any() else found
