"""The rows that are wrong with the most confidence, wherever rows are: parts' mistakes add up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.model.one_vs_all import OneVsAll, rows_for
from gpulr.model.predicted import Thresholds
from gpulr.show.predictions import Array, Predictions, most_probable, take_rows
from gpulr.sources.dask_arrays import dask_of

MOST_MISTAKES = 24


@dataclass(frozen=True, eq=False)
class Mistakes:
    """The worst mistakes among some rows; of several labels, one of a row and a label.

    Attributes
    ----------
    n, n_wrong : int
        How many rows there are, and mistakes.
    rows, true, said : (n_shown,)
        Which they are, the most confident first, as :func:`gpulr.show.mistakes` draws them; the
        true class, or whether the label is there; and the predicted class, or the label.
    confidence, p_true, p_said : (n_shown,)
        The margins of what was said, above its threshold where there is one; the probabilities of
        what is true and of what was said.
    """

    n: int
    n_wrong: int
    rows: npt.NDArray[np.intp]
    true: npt.NDArray[np.intp]
    said: npt.NDArray[np.intp]
    confidence: npt.NDArray[np.float64]
    p_true: npt.NDArray[np.float64]
    p_said: npt.NDArray[np.float64]

    def __add__(self, other: Mistakes) -> Mistakes:
        """Return the worst of these and of those of the rows that come after them."""
        after = replace(other, rows=other.rows + self.n)
        names = ("rows", "true", "said", "confidence", "p_true", "p_said")
        both = {name: np.concatenate([getattr(of, name) for of in (self, after)]) for name in names}
        worst = most_probable(both["confidence"], MOST_MISTAKES)
        some: dict[str, Any] = {name: values[worst] for name, values in both.items()}
        return Mistakes(self.n + other.n, self.n_wrong + other.n_wrong, **some)


def mistakes_of(
    Z: Array,
    truth: Array,
    weight: Array,
    thresholds: Thresholds | None = None,
) -> tuple[Mistakes]:
    """Return the worst mistakes, of margins and the truth as scores take them."""
    several = truth.ndim > 1
    true = truth if several else truth[:, np.newaxis] == np.arange(max(2, Z.shape[1]))
    predictions = Predictions.of_margins(Z, true, thresholds, multilabel=several)
    above, true, said = predictions.above, predictions.true, predictions.predicted
    if several:
        wrong, confidence = said != true, np.abs(above)
    else:
        wrong, confidence = ~predictions.right, predictions.confidence
    n_wrong = int(wrong.sum())
    worst = most_probable(np.where(wrong, confidence, -np.inf).ravel(), min(n_wrong, MOST_MISTAKES))
    how_sure = confidence.ravel()[worst]
    if several:
        worst, name = np.unravel_index(worst, wrong.shape)
        truly, other = true[worst, name].astype(np.intp), name
    else:
        truly, name = true[worst].argmax(axis=1), said[worst].argmax(axis=1)
        other = truly
    P, each = predictions.take(worst).probabilities, np.arange(len(worst))
    found = worst, truly, name, how_sure, P[each, other], P[each, name]
    return (Mistakes(len(Z), n_wrong, *found),)


def rows_at(model: OneVsAll, X: Any, rows: npt.NDArray[np.intp]) -> Array:
    """Return some of the rows (n_rows, n_features) as a model takes them."""
    if (lazy := dask_of(X)) is not None:
        return rows_for(model, lazy[rows].compute())
    return take_rows(rows_for(model, X), rows)
