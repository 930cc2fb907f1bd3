"""Rows with what a model answers of them, wherever rows are: those of parts add up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Answered:
    """Some of the rows, (n_shown,) each.

    Attributes
    ----------
    n : int
        How many rows there are.
    rows, true, said : intp
        Which they are; the true and the predicted class.
    confidence, p_true, p_said : float64
        The margin of what was said, above its threshold where there is one; the probabilities of
        what is true and of what was said.
    """

    n: int
    rows: npt.NDArray[np.intp]
    true: npt.NDArray[np.intp]
    said: npt.NDArray[np.intp]
    confidence: npt.NDArray[np.float64]
    p_true: npt.NDArray[np.float64]
    p_said: npt.NDArray[np.float64]

    def followed_by(self, other: Self) -> Self:
        """Return these and those of the rows that come after them."""
        both: dict[str, Any] = {
            name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in OF_ROWS
        }
        both["rows"][len(self.rows) :] += self.n
        return replace(self, n=self.n + other.n, **both)

    def take(self, which: npt.NDArray[np.intp]) -> Self:
        """Return some of them."""
        some: dict[str, Any] = {name: getattr(self, name)[which] for name in OF_ROWS}
        return replace(self, **some)


OF_ROWS = ("rows", "true", "said", "confidence", "p_true", "p_said")
