"""Rows of which only is known how they look: whoever computes with them is somewhere else."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from gpulr.sources.source import Source


class Elsewhere(Source):
    """Rows (n_samples, n_features) that cannot be read here.

    Parameters are those of :class:`Source`.
    """

    def __init__(
        self, shape: tuple[int, int], dtype: npt.DTypeLike, *, nnz: int | None = None
    ) -> None:
        super().__init__(_refuse, shape, dtype, nnz=nnz)

    def some(self, n: int) -> Elsewhere:
        """Return what so many of these rows are like, or all if they are fewer."""
        n = min(n, self.shape[0])
        nnz = None if self.nnz is None else self.nnz * n // self.shape[0]
        return Elsewhere((n, self.shape[1]), self.dtype, nnz=nnz)


def _refuse(start: int, stop: int) -> Any:
    raise RuntimeError("they are on other machines")
