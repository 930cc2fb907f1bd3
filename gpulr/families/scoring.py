"""What rows count by in scores, and what to say of labels whose scores they leave undefined."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.errors import UndefinedScoreWarning, warn
from gpulr.families.inputs import Inputs
from gpulr.model.scores import Scorer, left_out
from gpulr.words import counted

LEFT_OUT = "the mean over labels is that of the others there"


def weight_of(inputs: Inputs, rows: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.float64]:
    """Return what rows count by in scores, (n_rows,): their ``sample_weight``, or 1 each."""
    return np.ones(len(rows)) if inputs.sample_weight is None else inputs.sample_weight[rows]


def tell_left_out(
    scorer: Scorer,
    inputs: Inputs,
    sets: Iterable[npt.NDArray[np.integer[Any]]],
    which: str = "Held-out rows",
) -> None:
    """Warn, once, of labels of a matrix that the score of some set of rows is no mean of."""
    labels, found = inputs.labels, np.zeros(inputs.labels.n_models, dtype=np.bool_)
    for rows in sets if labels.multilabel else ():
        found |= left_out(scorer.name, labels.truth(rows), weight_of(inputs, rows))
    tell_undefined(found, labels.names, LEFT_OUT, which)


def tell_undefined(
    undefined: npt.NDArray[np.bool_],
    names: npt.NDArray[np.generic],
    so: str,
    which: str = "Held-out rows",
) -> None:
    """Warn of models (n_models,) whose scores are undefined in some fold, and what comes of it."""
    if undefined.any():
        left = names[undefined][:10].tolist()
        warn(
            f"{which} of some folds leave the score of {counted(undefined.sum(), 'model')} "
            f"undefined ({left}{', …' if undefined.sum() > 10 else ''}): {so}. Use fewer folds, "
            'stratified ones, or another score, such as "neg_log_loss".',
            UndefinedScoreWarning,
        )
