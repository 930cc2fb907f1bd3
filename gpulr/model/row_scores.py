"""Scores as means over rows, so that a difference of two models has an interval by its rows.

Of a score that is no mean, each row has the score and what the row moves it by to first order (the
infinitesimal jackknife: Efron & Tibshirani 1993, ch. 11; of an area under the ROC curve, DeLong's
structural components: DeLong, DeLong & Clarke-Pearson 1988). Its mean over rows is the score.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.core.targets import UNKNOWN
from gpulr.logistic import log_loss, log_normalized
from gpulr.model.measures import mean
from gpulr.model.predicted import Thresholds, predicted, predicted_codes

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Column = Callable[[Any, Flags], Floats]  # of a model's answers, and of its truth


def row_scores(
    Z: npt.NDArray[np.floating], truth: npt.NDArray[Any], thresholds: Thresholds | None
) -> dict[str, Floats]:
    """Return what each row gives to each score, (n_rows,), whose mean is the score.

    Z are margins (n_rows, n_models), ``truth`` as scores take it: codes of classes (n_rows,), or
    labels (n_rows, n_models), of which some may be unknown. A score that no model has is NaN.
    """
    several, k = truth.ndim > 1, Z.shape[1]
    each: Flags = predicted(Z, thresholds)  # each model's own yes or no
    if several:
        Y, known, said = truth == 1, truth != UNKNOWN, each
        right = each == Y
        scores = {"all labels of a row right": (right | ~known).all(axis=1).astype(np.float64)}
        scores["mean label accuracy"] = _of_entries(right, known)
    else:
        codes, names = predicted_codes(Z, thresholds), np.arange(max(2, k))
        Y, said = truth[:, np.newaxis] == names, codes[:, np.newaxis] == names
        known = np.ones_like(Y)
        scores = {"accuracy": (codes == truth).astype(np.float64)}
        if k > 1:
            scores["mean binary accuracy"] = (each == Y).mean(axis=1)
    if several or k > 1:
        scores["macro F1"] = _over_columns(_f1, said, Y, known)
    else:
        scores["F1"] = _over_columns(_f1, said[:, 1:], Y[:, 1:], known[:, 1:])
    area = "mean AUROC" if k > 1 else "AUROC"
    scores[area] = _over_columns(_auroc, Z, Y[:, -k:], known[:, -k:])
    if several:
        scores["mean log-loss"] = _over_columns(_log_loss, Z, Y, known)
    else:
        log_p = log_normalized(Z.astype(np.float64))
        scores["log-loss"] = -log_p[np.arange(len(Z)), truth.astype(np.intp)]
    return scores


def _of_entries(values: Flags, known: Flags) -> Floats:
    """Return what each row gives to the mean of known entries."""
    total = known.sum()
    share = values[known].mean() if total else np.nan
    gives: Floats = share + len(known) / max(total, 1) * (known * (values - share)).sum(axis=1)
    return gives


def _over_columns(score: Column, answers: Any, Y: Flags, known: Flags) -> Floats:
    """Return what each row gives to the mean of columns' scores, of those that have one."""
    n, total, defined = len(Y), np.zeros(len(Y)), 0
    for j in range(Y.shape[1]):
        some = known[:, j]
        gives = score(answers[some, j], Y[some, j])
        value = mean(gives)
        if len(gives) and np.isfinite(value):
            total += value
            total[some] += n / len(gives) * (gives - value)
            defined += 1
    return total / defined if defined else np.full(n, np.nan)


def _f1(said: Flags, true: Flags) -> Floats:
    """Of a class without rows there is none."""
    n, all_true = len(true), int(true.sum())
    if not all_true:
        return np.full(n, np.nan)
    both = int(said.sum()) + all_true
    f1 = 2 * int((said & true).sum()) / both
    moves = 2.0 * (said & true) - f1 * (said.astype(np.float64) + true)
    gives: Floats = f1 + n / both * moves
    return gives


def _auroc(z: npt.NDArray[np.floating], true: Flags) -> Floats:
    n, yes, no = len(z), np.sort(z[true]), np.sort(z[~true])
    if not len(yes) or not len(no):
        return np.full(n, np.nan)

    def share_below(values: Any, of: Any) -> Floats:
        sides = (np.searchsorted(of, values, side) for side in ("left", "right"))
        share: Floats = sum(sides) / (2 * len(of))
        return share

    area = np.where(true, share_below(z, no), 1 - share_below(z, yes))  # of a row with the others
    value = area[true].mean()
    gives: Floats = value + n * (area - value) / np.where(true, len(yes), len(no))
    return gives


def _log_loss(z: npt.NDArray[np.floating], true: Flags) -> Floats:
    loss: Floats = log_loss(z.astype(np.float64), true.astype(np.float64))
    return loss
