"""Means and standard deviations of features, from sums over blocks and parts that add up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import Backend, to_host

Array = Any


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """The weight of some rows, the features' means, and the weighted sums of squares about these.

    Those of more rows are their sum (Chan, Golub & LeVeque 1983, "Algorithms for computing the
    sample variance"): squares about means of their own do not cancel where means are large.
    """

    weight: float
    mean: npt.NDArray[np.float64]
    squares: npt.NDArray[np.float64]

    @classmethod
    def of(cls, X_block: Array, backend: Backend, weight: Array | None) -> Moments:
        """Return that of a block of rows; ``weight`` is theirs, (n_rows,), or None: 1 each."""
        with np.errstate(all="ignore"):  # what is no number is told by whoever looks for it
            near, total, squares = map(to_host, backend.moments(X_block, weight))
            W = float(X_block.shape[0] if weight is None else weight.sum())
            mean = total.astype(np.float64) / (W or 1.0)
            return cls(W, near + mean, squares - W * mean**2)

    def __add__(self, other: Moments) -> Moments:
        """Return those of both."""
        with np.errstate(all="ignore"):
            weight = self.weight + other.weight
            share, apart = other.weight / (weight or 1.0), other.mean - self.mean
            squares = self.squares + other.squares + self.weight * share * apart**2
            return Moments(weight, self.mean + share * apart, squares)

    @property
    def deviation(self) -> npt.NDArray[np.float64]:
        """The features' standard deviations, of the population; 0 where they are no numbers."""
        with np.errstate(all="ignore"):
            found = np.sqrt(np.maximum(self.squares, 0.0) / (self.weight or 1.0))
        return np.where(np.isfinite(found), found, 0.0)
