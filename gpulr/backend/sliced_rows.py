"""Thin matrix products in slices of rows, for NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Slices"]

# OpenBLAS has kernels for small products, which read their operands where they are; from this many
# multiply-adds on it repacks them first, which takes longer than a product with ten columns.
# Measured on 56,000×784 with ten columns: a pass takes 24 ms in slices, 30 ms in whole blocks.
SMALL = 1_000_000


class Slices:
    """A block X of rows (n_rows, n_features) that multiplies slice by slice where that is faster.

    Supports what a pass needs: ``X @ W`` and ``A @ X``.
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

    def __matmul__(self, W: npt.NDArray[Any]) -> npt.NDArray[Any]:
        n_rows, n_features = self.X.shape
        n_columns = W.shape[1]
        length, count = self._cut(n_columns)
        if not count:
            return self.X @ W  # type: ignore[no-any-return]
        Z = np.empty((n_rows, n_columns), dtype=self.X.dtype)
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
