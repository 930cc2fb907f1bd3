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


def _refuse(start: int, stop: int) -> Any:
    raise RuntimeError("they are on other machines")
