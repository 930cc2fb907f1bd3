"""Evaluations of rows that lie in parts: of what adds up over these, and of rankings of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.model.binary import Each, counts, losses, of_each_model, together
from gpulr.model.evaluation import (
    Evaluation,
    MultilabelEvaluation,
    areas_of_classes,
    confused,
    of_classes,
    of_labels,
)
from gpulr.model.labelled_blocks import Read, sums_of_blocks
from gpulr.model.measures import SCORES, Counts, mean, minus_mean, normalized_classes, share_right
from gpulr.model.predicted import Thresholds
from gpulr.model.ranked import as_they_are, ranked
from gpulr.model.ranking import ranking

Array = Any


def sums_of(
    Z: npt.NDArray[np.floating],
    truth: npt.NDArray[Any],
    w: Each,
    n_classes: int,
    thresholds: Thresholds | None = None,
) -> tuple[Any, ...]:
    """Return the sums over rows, of a part of all rows, that an evaluation is made of.

    They add up; :func:`evaluate_sums` makes an evaluation of them.
    """
    measure = together(counts, losses)
    sums: tuple[Any, ...] = tuple(of_each_model(measure, Z, truth, w, thresholds))
    if truth.ndim > 1:
        return *sums, *share_right.sums(Z, truth, w, thresholds)
    names = ("accuracy", "neg_log_loss", "neg_brier_score")
    for name in names:
        score: Any = SCORES[name][0]
        sums += score.sums(Z, truth, w, thresholds)
    return *sums, confused(Z, truth, w, thresholds, n_classes)


def evaluate_sums(
    sums: Sequence[Any],
    ranks: Sequence[Each],
    classes: npt.NDArray[np.generic],
    thresholds: Thresholds | None = None,
    *,
    counted: bool,
) -> Evaluation | MultilabelEvaluation:
    """Return the evaluation of rows of which :func:`sums_of` says the sums.

    ``ranks`` are the area under each model's ROC curve and its average precision, and of several
    classes the area of normalised probabilities, each (n_models,). ``counted`` says whether every
    row weighs 1.
    """
    *cells, log_loss, squares, mass = sums[:7]
    of_margins = {
        "roc_auc": ranks[0],
        "average_precision": ranks[1],
        "neg_log_loss": minus_mean(log_loss, mass),
        "neg_brier_score": minus_mean(squares, mass),
    }
    means = [float(a / b) for a, b in zip(sums[7:13:2], sums[8:13:2], strict=True)]
    if len(means) == 1:
        return of_labels(cells, of_margins, means[0], classes, thresholds, counted)
    right, true = np.diag(sums[-1]), sums[-1].sum(axis=1)
    balanced = mean(Counts(right, true, true).recall()[true > 0])
    first = dict(zip(("accuracy", "neg_log_loss", "neg_brier_score"), means, strict=True))
    first = {"accuracy": first["accuracy"], "balanced_accuracy": balanced, **first}
    if len(ranks) > 2:
        first |= areas_of_classes(ranks[2], true)
    how = (classes, thresholds, counted)
    return of_classes(sums[-1], cells, of_margins, first, float(sums[8]), *how)


def evaluate_blocks(
    X: Any,
    y: Any,
    sample_weight: Any,
    read: Read,
    classes: npt.NDArray[np.generic],
    thresholds: Thresholds | None,
    also: Sequence[Callable[..., Any]] = (),
) -> tuple[Evaluation | MultilabelEvaluation, list[Any]]:
    """Return the evaluation of the rows of Dask blocks, each scored where it is.

    Then workers give each other the margins, all those of a model to one of them, which ranks them.
    Beside it, the sums over rows of what each of ``also`` makes of margins, truth and weights.
    """
    sums = partial(_rows_and_sums, also, n_classes=len(classes), thresholds=thresholds)
    (n_rows, *found), engine = sums_of_blocks(X, y, sample_weight, read, sums, keep=True)
    beside, found = found[: len(also)], found[len(also) :]
    k = len(found[0])
    entries = [as_they_are]
    if len(found) > 9 and k > 1:  # classes, not labels
        entries.append(normalized_classes)
    n_columns = len(entries) * k
    areas, precisions, _ = ranked(
        engine, ranking, n_columns, n_columns * n_rows, "ranked_columns", *entries
    )
    ranks = areas[:k], precisions[:k], *([areas[k:]] if len(entries) > 1 else [])
    counted = sample_weight is None
    return evaluate_sums(found, ranks, classes, thresholds, counted=counted), beside


def _rows_and_sums(also: Sequence[Callable[..., Any]], *rows: Any, **how: Any) -> tuple[Any, ...]:
    return len(rows[0]), *(each(*rows) for each in also), *sums_of(*rows, **how)
