"""The rows that are wrong with the most confidence, wherever rows are: parts' mistakes add up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import to_host
from gpulr.model.one_vs_all import OneVsAll, rows_for
from gpulr.model.predicted import Thresholds
from gpulr.reporting.answered import Answered
from gpulr.show.predictions import Array, Predictions, most_probable, take_rows
from gpulr.sources.dask_arrays import dask_of

MOST_MISTAKES = 24


@dataclass(frozen=True, eq=False)
class Mistakes(Answered):
    """The worst mistakes among some rows; of several labels, one of a row and a label.

    They are the most confident first, as :func:`gpulr.show.mistakes` draws them. Of several labels,
    ``true`` is whether the label is there, and ``said`` the label; ``n_wrong`` is how many mistakes
    there are.
    """

    n_wrong: int

    def __add__(self, other: Mistakes) -> Mistakes:
        """Return the worst of these and of those of the rows that come after them."""
        both = self.followed_by(other)
        worst = both.take(most_probable(both.confidence, MOST_MISTAKES))
        return replace(worst, n_wrong=self.n_wrong + other.n_wrong)


def mistakes_of(
    Z: Array,
    truth: Array,
    weight: Array,
    thresholds: Thresholds | None = None,
) -> Mistakes:
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
    return Mistakes(len(Z), *found, n_wrong)


def rows_at(
    model: OneVsAll, X: Any, rows: npt.NDArray[np.intp]
) -> Callable[[npt.NDArray[np.intp]], npt.NDArray[Any]]:
    """Return a function that takes some of these rows of X, (n_rows, n_features) on the host.

    They are as a model takes them, and are read from X here, once.
    """
    which = np.unique(rows)
    if not len(which):
        return lambda some: np.empty((0, model.n_features))
    if (lazy := dask_of(X)) is not None:
        found = rows_for(model, lazy[which].compute())
    else:
        found = take_rows(rows_for(model, X), which)
    read = to_host(found)
    return lambda some: read[np.searchsorted(which, some)]
