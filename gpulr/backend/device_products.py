"""Products with the rows on a device that can do little else, and the host for all else.

Apple's GPUs, and Intel's smaller ones, have no float64, in which parameters are kept and sums
taken; nor do they factor matrices. But what takes the time are products with the rows, in float32.
So the rows lie there, and for each block weights go there and margins come back, residuals go there
and the block's part of the gradient comes back: beside 784 features, margins of ten models are an
eightieth of the rows. All else is NumPy's, with its bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from gpulr.backend.arrays import is_sparse, library_of, to_host
from gpulr.backend.base import Backend
from gpulr.backend.cpu import NumPyBackend

Array = Any
T = TypeVar("T")


class DeviceRows:
    """Rows on a device, (n_rows, n_features), or a block of them; on the host where one asks so.

    ``dtype`` is NumPy's for theirs, or float32 where it has none.
    """

    ndim = 2

    def __init__(self, rows: Array) -> None:
        self.rows, self.shape = rows, (int(rows.shape[0]), int(rows.shape[1]))
        name = str(rows.dtype).rpartition(".")[2]
        self.dtype = np.dtype(name if hasattr(np, name) else "float32")

    def __getitem__(self, key: Any) -> DeviceRows:
        return DeviceRows(self.rows[key])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        host: npt.NDArray[Any] = to_host(self.rows)
        return host if dtype is None else host.astype(dtype)


class DeviceOperand:
    """A block of rows in float32 on a device, (n_rows, n_features), as a factor of products."""

    __array_ufunc__ = None  # NumPy leaves A @ X to __rmatmul__

    def __init__(self, X: Array, there: Backend) -> None:
        self._X, self._there = X, there

    def affine(
        self, W: npt.NDArray[Any], b: npt.NDArray[Any], out: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[Any]:
        """Return X W + b, written to ``out`` if that is given."""
        Z: npt.NDArray[Any] = np.add(self @ W, b, out=out)
        return Z

    def __matmul__(self, W: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return to_host(self._X @ self._there.asarray(W))

    def __rmatmul__(self, A: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return to_host(self._there.asarray(A) @ self._X)


class DeviceProducts(NumPyBackend):
    """NumPy, but for products with the rows, which are where another backend is."""

    # As on any device: each block is a few launches, and a wait.
    block_bytes = Backend.block_bytes
    operands: ClassVar[type[DeviceOperand]] = DeviceOperand

    def __init__(self, there: Backend) -> None:
        super().__init__(there.name, np)
        self.there = there

    @property
    def device_name(self) -> str:
        return self.there.device_name

    @property
    def versions(self) -> dict[str, str]:
        return super().versions | self.there.versions

    @contextmanager
    def activate(self) -> Iterator[None]:
        with super().activate(), self.there.activate():
            yield

    def free(self) -> None:
        self.there.free()

    def ran_out(self, error: BaseException) -> bool:
        return self.there.ran_out(error)

    def bytes_wanted(self, error: BaseException) -> int | None:
        return self.there.bytes_wanted(error)

    def place(self, X: Any, **needs: Any) -> Array:
        rounds_to, there = needs.pop("rounds_to", None), self.there
        if rounds_to is not None:
            rounds_to = getattr(there.xp, np.dtype(rounds_to).name)
        here = is_sparse(X) or library_of(X) != there.name
        if is_sparse(X) or (here and X.dtype.itemsize > 4 and rounds_to != there.xp.float32):
            return super().place(X)  # which would be rounded there before it is centred
        return DeviceRows(there.place(X, rounds_to=rounds_to, **needs))

    def map_blocks(
        self,
        function: Callable[[slice], T],
        blocks: list[slice],
        X: Array | None = None,
        *,
        of_rows: bool = True,
    ) -> Iterator[T]:
        rows = X.rows if isinstance(X, DeviceRows) else X
        return Backend.map_blocks(self, function, blocks, rows, of_rows=of_rows)

    def take_rows(self, X: Array, index: Array) -> Array:
        if not isinstance(X, DeviceRows):
            return super().take_rows(X, index)
        return DeviceRows(self.there.take_rows(X.rows, self.there.asarray(index)))

    def as_compute(self, X_block: Array, dtype: Any, center: Array | None = None) -> Array:
        if isinstance(X_block, DeviceRows):
            X_block = np.asarray(X_block)
        return super().as_compute(X_block, dtype, center)

    def _there(self, dtype: Any) -> Any:
        """Return a dtype as the device's, or None where it has none such: the host multiplies."""
        xp = self.there.xp
        if dtype == np.float32:
            return xp.float32
        return xp.float64 if self.there.widest == xp.float64 else None

    def operand(self, X_block: Array, dtype: Any, center: Array | None = None) -> Array:
        if not isinstance(X_block, DeviceRows):
            return super().operand(X_block, dtype, center)
        there, wide = self.there, self._there(dtype)
        if wide is None:
            return super().operand(np.asarray(X_block), dtype, center)
        center = None if center is None else there.asarray(center)
        return self.operands(there.as_compute(X_block.rows, wide, center), there)

    def gram(self, X_block: Array, dtype: Any) -> tuple[Array, Array]:
        if not isinstance(X_block, DeviceRows):
            return super().gram(X_block, dtype)
        if (wide := self._there(dtype)) is None:
            return super().gram(np.asarray(X_block), dtype)
        products, sums = self.there.gram(X_block.rows, wide)
        return to_host(products), to_host(sums)

    def extremes(self, X_block: Array) -> tuple[Array, Array]:
        if not isinstance(X_block, DeviceRows):
            return super().extremes(X_block)
        least, most = self.there.extremes(X_block.rows)
        return to_host(least), to_host(most)

    def moments(
        self, X_block: Array, weight: npt.NDArray[np.float64] | None
    ) -> tuple[Array, Array, Array]:
        if not isinstance(X_block, DeviceRows):
            return super().moments(X_block, weight)
        near, total, squares = self.there.moments(X_block.rows, weight)
        return to_host(near), to_host(total), to_host(squares)

    def operand_width(self, X: Array, dtype: Any, center: Array | None = None) -> int:
        on_device = isinstance(X, DeviceRows)
        return self.row_width(X) if on_device else super().operand_width(X, dtype, center)
