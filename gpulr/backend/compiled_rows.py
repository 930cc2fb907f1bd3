"""Rows as operands of products with few columns, compiled where LLVM is installed.

llvmlite is optional (the extra ``fast``). ``GPULR_COMPILE=never`` does without it, ``=require``
makes its absence an error; with ``auto``, the default, it is used where it is installed and proven.
"""

from __future__ import annotations

import os
import threading
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gpulr.backend.buffers import LINE, buffer
from gpulr.backend.environment import setting
from gpulr.backend.forks import computing
from gpulr.errors import BackendUnavailableError

if TYPE_CHECKING:
    from gpulr.backend.compiled_bytes import ByteProducts
    from gpulr.backend.compiled_margins import MarginFunctions
    from gpulr.backend.compiled_products import Products

INSTALL = 'from a checkout of gpulr: python -m pip install ".[fast]"'
LEAST_ROWS = 8  # the longest tile
# Below so many features BLAS is faster: here lanes are added up at the end of each row. The bound
# is lower for what BLAS cannot take unconverted; NumPy converts float16 one by one.
LEAST_FEATURES = {1: 48, 2: 16, 4: 128, 8: 128}  # by bytes of an entry
WEIGHTS_BYTES = 512 * 1024  # of W, for one tile's columns: beyond it W itself leaves the cache
WASTE = 1.4  # a compilation takes as long as some ten passes of half the columns


class CompilerStatus(NamedTuple):
    """Whether products are compiled on this machine."""

    words: str  # the compiler and what it compiles for, or why it is not used
    version: str | None = None  # of llvmlite, where usable

    @property
    def usable(self) -> bool:
        """Whether a product has been compiled here, and is right."""
        return self.version is not None


def compiler() -> CompilerStatus:
    """Say whether products are compiled here: found out once, by compiling one and checking it.

    Raises
    ------
    ParameterError
        ``GPULR_COMPILE`` is neither auto, never nor require.
    BackendUnavailableError
        It cannot be done, and ``GPULR_COMPILE=require``.
    """
    requested = setting("GPULR_COMPILE", ("auto", "never", "require"))
    if requested == "never":
        return CompilerStatus("not used: GPULR_COMPILE=never")
    status = _probe()
    if requested == "require" and not status.usable:
        raise BackendUnavailableError(
            f"GPULR_COMPILE=require, but products cannot be compiled: {status.words}. Install the "
            f"compiler, {INSTALL}."
        )
    return status


@cache
def _probe() -> CompilerStatus:
    """Compile a product and compare it with NumPy's."""
    try:
        import llvmlite
        import llvmlite.binding as llvm

        from gpulr.backend.machine_code import folder

        X, W, R = _trial()
        tile = _products(W.shape[1], "uint8", "float32").tile
        rows, plain = CompiledRows(X, np.dtype(np.float32)), X.astype(np.float32)
        pairs = (rows @ W, plain @ W), (R.T @ rows, R.T @ plain)
        if not all(np.allclose(a, b, rtol=1e-4, atol=1e-2) for a, b in pairs):
            return CompilerStatus("llvmlite compiles products that are wrong")
    except ImportError:
        return CompilerStatus(f"llvmlite is not installed ({INSTALL})")
    except Exception as error:  # LLVM's failures have no common base; BLAS serves then
        return CompilerStatus(f"llvmlite failed: {type(error).__name__}: {error}")
    version = str(llvmlite.__version__)
    words = f"llvmlite {version}, {llvm.get_host_cpu_name()}, {tile.lanes} float32 at a time"
    words += ", bytes by integer dot products" if byte_products() else ""
    words += f", code kept in {folder() or 'no folder'}"
    return CompilerStatus(words, version)


_compiled: dict[tuple[str, str], dict[int, Products]] = {}
_lock = threading.Lock()

if hasattr(os, "register_at_fork"):
    # A fork waits for a compilation, however long: LLVM's own locks would be taken in the child.
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )


def _products(n_columns: int, storage: str, compute: str) -> Products:
    """Return compiled functions for ``n_columns``: existing ones, unless they waste too much.

    All give the same bits.
    """
    from gpulr.backend import compiled_products

    with computing.paused(), _lock:
        at_hand = _compiled.setdefault((storage, compute), {})
        exact = compiled_products.Tile.of(n_columns, np.dtype(compute).itemsize).columns
        cost = partial(grouping_cost, n_columns=n_columns)
        best = min(at_hand, key=cost, default=None)
        if best is None or cost(best) > WASTE * cost(exact):
            best = exact
            at_hand[best] = compiled_products.compile_products(best, storage, compute)
        return at_hand[best]


@cache
def margin_functions() -> MarginFunctions | None:
    """Return compiled functions of margins, or None where they are not right."""
    from gpulr.backend.compiled_margins import compile_functions

    with computing.paused(), _lock:
        return compile_functions()


@cache
def byte_products() -> ByteProducts | None:
    """Return compiled products of bytes by digits; None where the processor has none, or not right.

    They are used for all bytes and bits that multiply in float32, whatever the number of columns,
    so that a column's bits do not depend on how many others there are.
    """
    from gpulr.backend import compiled_bytes

    if not compiled_bytes.usable():
        return None
    with computing.paused(), _lock:
        products = compiled_bytes.ByteProducts()
    X, W, R = _trial()
    plain = X.astype(np.float32)
    Z = np.empty((11, 10), np.float32)
    products.margins(X, W, Z)
    pairs = (Z, plain @ W), (products.gradient(X, R), R.T @ plain)
    return products if all(np.allclose(a, b, rtol=1e-4, atol=1e-2) for a, b in pairs) else None


def _trial() -> tuple[npt.NDArray[Any], ...]:
    """Return X (11, 37) uint8, W and R of ten columns, as many as are wanted most often."""
    X = np.arange(11 * 37, dtype=np.uint8).reshape(11, 37)
    W, R = (np.linspace(-1.0, 1.0, 10 * n, dtype=np.float32).reshape(n, 10) for n in (37, 11))
    return X, W, R


@cache
def _name(dtype: np.dtype[Any]) -> str:
    """Return a dtype's name, which NumPy puts together anew each time, in 20 µs."""
    return dtype.name


def grouping_cost(width: int, n_columns: int) -> int:
    """Estimate how long products of so many columns take in groups; reading X counts as three."""
    return (width + 3) * -(-n_columns // width)


def fits(X: npt.NDArray[Any], dtype: npt.DTypeLike) -> bool:
    """Whether compiled products take these rows as they are."""
    from gpulr.backend import compiled_products

    dtype = np.dtype(dtype)
    return (
        _name(dtype) in ("float32", "float64")
        and _name(X.dtype) in compiled_products.storage_types()
        and X.dtype.isnative
        and X.shape[0] >= LEAST_ROWS
        and X.shape[1] >= 64 // dtype.itemsize  # the widest vector
        and X.shape[1] >= LEAST_FEATURES[X.itemsize]
        and X.shape[1] <= WEIGHTS_BYTES // (10 * dtype.itemsize)
        and X.strides[1] == X.itemsize
        and X.strides[0] >= X.shape[1] * X.itemsize
        and X.strides[0] % X.itemsize == 0
    )


def compiled_rows(X: npt.NDArray[Any], dtype: np.dtype[Any]) -> CompiledRows:
    """Return rows that :func:`fits` as what multiplies fastest."""
    if _name(X.dtype) in ("uint8", "bool") and dtype == np.float32 and byte_products():
        return ByteRows(X, dtype)
    return CompiledRows(X, dtype)


class CompiledRows:
    """Rows X (n_rows, n_features), stored as they are, that multiply in ``dtype``.

    Supports what a pass needs: ``X @ W``, also written to where that is to be, and ``A @ X``, with
    W (n_features, n_columns) and A (n_columns, n_rows) of that dtype. See :func:`fits` for the rows
    it takes.
    """

    __array_ufunc__ = None  # NumPy leaves A @ X to __rmatmul__

    def __init__(self, X: npt.NDArray[Any], dtype: np.dtype[Any]) -> None:
        self.X = X
        self.dtype = dtype

    def _prepare(self, n_columns: int) -> tuple[Products, int, int]:
        """Return the functions, how many columns they are given, and how far apart rows of these.

        That is an odd number of cache lines, so that they do not displace each other in the cache
        at widths such as 1,024.
        """
        products = _products(n_columns, _name(self.X.dtype), _name(self.dtype))
        line = LINE // self.dtype.itemsize
        apart = (-(-self.X.shape[1] // line) | 1) * line
        return products, max(n_columns, products.tile.columns), apart

    def _call(self, function: Any, columns: npt.NDArray[Any], wide: npt.NDArray[Any]) -> None:
        n_rows, n_features = self.X.shape
        stride = self.X.strides[0] // self.X.itemsize
        X, W, Z = (array.ctypes.data for array in (self.X, wide, columns))
        function(X, n_rows, stride, n_features, wide.shape[0], W, wide.shape[1], Z)

    def __matmul__(self, W: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return self.matmul(W)

    def matmul(self, W: npt.NDArray[Any], out: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
        n_features, n_columns = W.shape
        products, given, apart = self._prepare(n_columns)
        WT = buffer("weights", given * apart, self.dtype).reshape(given, apart)
        WT[:n_columns, :n_features] = W.T
        WT[n_columns:, :n_features] = 0.0
        Z = out
        if Z is None or given > n_columns:
            Z = np.empty((self.X.shape[0], given), dtype=self.dtype)
        self._call(products.margins, Z, WT)
        return Z if given == n_columns else Z[:, :n_columns].copy()

    def __rmatmul__(self, A: npt.NDArray[Any]) -> npt.NDArray[Any]:
        n_columns, n_rows = A.shape
        products, given, apart = self._prepare(n_columns)
        R = np.ascontiguousarray(A.T)  # as it is, where A is the transpose of residuals
        if given > n_columns:
            R = np.zeros((n_rows, given), dtype=self.dtype)
            R[:, :n_columns] = A.T
        DT = np.zeros((given, apart), dtype=self.dtype)
        self._call(products.gradient, R, DT)
        return DT[:n_columns, : self.X.shape[1]]


class ByteRows(CompiledRows):
    """Rows of bytes or bits that multiply by :class:`~gpulr.backend.compiled_bytes.ByteProducts`.

    Columns of W whose digits do not suffice multiply in float32.
    """

    def matmul(self, W: npt.NDArray[Any], out: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
        products = byte_products()
        assert products is not None
        Z = np.empty((self.X.shape[0], W.shape[1]), np.float32) if out is None else out
        known = products.margins(self.X, W, Z)
        if not known.all():
            Z[:, ~known] = super().matmul(W[:, ~known])
        return Z

    def __rmatmul__(self, A: npt.NDArray[Any]) -> npt.NDArray[Any]:
        products = byte_products()
        assert products is not None
        return products.gradient(self.X, A.T)
