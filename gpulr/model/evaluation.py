"""How good a model is on labelled rows: what `model.evaluate` returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.errors import DataError
from gpulr.model.binary import Each, counts, losses, of_each_model, together
from gpulr.model.measures import (
    SCORES,
    Counts,
    balanced_share,
    each_auroc,
    mean,
    minus_mean,
    normalized,
    share_of_counts,
    share_right,
)
from gpulr.model.predicted import Thresholds, predicted_codes
from gpulr.model.ranking import ranking
from gpulr.model.score_table import Scores, table_of


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Evaluation(Scores):
    """Accuracy of one-vs-all models on labelled rows.

    The two accuracies answer different questions. Each of ten binary models may always say "not
    this digit" and be right nine times out of ten, so ``mean_binary_accuracy`` starts at 0.9. What
    people mean by the accuracy of a digit classifier is ``accuracy``.

    Attributes
    ----------
    accuracy : float
        The multiclass accuracy: the share of rows whose predicted class is right.
    binary_accuracy : (n_models,) float64
        Per model, the share of rows for which its own yes or no is right. It says yes if P > 1/2,
        or if its threshold is reached.
    mean_binary_accuracy : float
        The mean of those; not the accuracy of the one-vs-all classifier.
    confusion : (n_classes, n_classes) int64, or the rows' weights as float64
        Counts of rows by true class (rows) and predicted class (columns), in the order of
        ``classes``.
    classes : (n_classes,)
        The classes of the model.
    table, averages
        As of :class:`~gpulr.model.score_table.Scores`. Precision, recall and F1 are those of the
        predicted classes. Binary accuracy, ``roc_auc``, ``average_precision`` and both losses are
        those of each class's own model, this class against all others.
    """

    accuracy: float
    binary_accuracy: npt.NDArray[np.float64]
    mean_binary_accuracy: float
    confusion: npt.NDArray[Any]
    classes: npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MultilabelEvaluation(Scores):
    """How good predictions are on rows that have any number of labels.

    If most rows lack most labels, predicting none makes ``mean_label_accuracy`` large. F1 counts
    only rows that have a label or are predicted to have it, and ``subset_accuracy`` only rows whose
    labels are all right. A label is predicted if P > 1/2, or by the model's thresholds.

    Attributes
    ----------
    subset_accuracy : float
        The share of rows whose labels are all right; scikit-learn's accuracy of multilabel data.
    label_accuracy : (n_labels,) float64
        Per label, the share of rows for which it is right.
    mean_label_accuracy : float
        The mean of those: the share of all entries of the matrix that are right.
    label_f1 : (n_labels,) float64
        Per label, 2 tp / (2 tp + fp + fn); 0 if no row has the label or is predicted to have it.
    micro_f1 : float
        The same from the counts of all labels added up.
    macro_f1 : float
        The mean of ``label_f1``: rare labels count as much as frequent ones.
    positives, predicted_positives : (n_labels,) int64, or the rows' weights as float64
        How many rows have each label, and how many are predicted to have it.
    labels : (n_labels,)
        The labels of the model.
    table, averages
        As of :class:`~gpulr.model.score_table.Scores`; ``accuracy`` among the averages is
        ``subset_accuracy``.
    """

    subset_accuracy: float
    label_accuracy: npt.NDArray[np.float64]
    mean_label_accuracy: float
    label_f1: npt.NDArray[np.float64]
    micro_f1: float
    macro_f1: float
    positives: npt.NDArray[Any]
    predicted_positives: npt.NDArray[Any]
    labels: npt.NDArray[np.generic]


def evaluate_margins(
    Z: npt.NDArray[np.floating],
    codes: npt.NDArray[np.integer],
    classes: npt.NDArray[np.generic],
    thresholds: Thresholds | None = None,
    weight: Each | None = None,
) -> Evaluation:
    """Evaluate margins Z (n_samples, n_models) against true class indices (n_samples,).

    Rows count by their weight (n_samples,), or all the same.
    """
    w = _weights(weight, len(Z))
    confusion = confused(Z, codes, w, thresholds, len(classes))
    cells, of_margins = _measured(Z, codes, w, thresholds)
    names = ["accuracy", "balanced_accuracy", "neg_log_loss", "neg_brier_score"]
    first = {name: SCORES[name][0](Z, codes, w, thresholds) for name in names}
    if Z.shape[1] > 1:
        first |= areas_of_classes(each_auroc(normalized(Z), codes, w), confusion.sum(axis=1))
    how = (classes, thresholds, weight is None)
    return of_classes(confusion, cells, of_margins, first, float(w.sum()), *how)


def areas_of_classes(areas: Each, true: Each) -> dict[str, float]:
    """Return the means of classes' areas; ``true`` are the weights of each one's rows."""
    return {"roc_auc_ovr": mean(areas), "roc_auc_ovr_weighted": mean(areas, true)}


def of_classes(
    confusion: Each,
    cells: Sequence[Each],
    of_margins: dict[str, Each],
    first: dict[str, float],
    total: float,
    classes: npt.NDArray[np.generic],
    thresholds: Thresholds | None,
    counted: bool,
) -> Evaluation:
    """Return the evaluation of what was counted and measured; the weights' sum is ``total``."""
    confused = Counts(np.diag(confusion), confusion.sum(axis=0), confusion.sum(axis=1))
    (no, _, _, yes), own = cells, len(cells[0])
    binary = (no + yes) / total
    each, averages = _scores(confused, own, {"binary_accuracy": binary}, of_margins)
    if own == 1:
        names = ["roc_auc", "average_precision", "precision", "recall", "f1"]
        averages |= {name: float(each[name][0]) for name in names}
    true = _counted(confused.true[-own:], counted)
    return Evaluation(
        first["accuracy"],
        binary,
        float(binary.mean()),
        _counted(confusion, counted),
        classes,
        table=table_of("class", classes[-own:], true, each, thresholds),
        averages=first | averages,
    )


def evaluate_labels(
    Z: npt.NDArray[np.floating],
    Y: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.generic],
    thresholds: Thresholds | None = None,
    weight: Each | None = None,
) -> MultilabelEvaluation:
    """Evaluate margins Z (n_samples, n_labels) against the true indicator matrix Y.

    Entries of Y that are unknown count for nothing, and rows by their weight (n_samples,).
    """
    w = _weights(weight, len(Z))
    cells, of_margins = _measured(Z, Y, w, thresholds)
    subset = share_right(Z, Y, w, thresholds)
    return of_labels(cells, of_margins, subset, labels, thresholds, weight is None)


def of_labels(
    cells: Sequence[Each],
    of_margins: dict[str, Each],
    subset: float,
    labels: npt.NDArray[np.generic],
    thresholds: Thresholds | None,
    counted: bool,
) -> MultilabelEvaluation:
    """Return the evaluation of what was counted and measured of labels."""
    _, wrong, missed, yes = cells
    found, right = Counts(yes, yes + wrong, yes + missed), share_of_counts(*cells)
    own = {"accuracy": right, "balanced_accuracy": balanced_share(*cells)}
    each, averages = _scores(found, len(yes), own, of_margins)
    for name in ("balanced_accuracy", "neg_log_loss", "neg_brier_score", "roc_auc"):
        averages[name] = mean(each[name])
    for name in ("average_precision", "precision", "recall", "f1"):
        averages[name] = averages[f"{name}_macro"]
    true = _counted(found.true, counted)
    return MultilabelEvaluation(
        subset_accuracy=subset,
        label_accuracy=right,
        mean_label_accuracy=mean(right),
        label_f1=found.f1(),
        micro_f1=averages["f1_micro"],
        macro_f1=float(found.f1().mean()),
        positives=true,
        predicted_positives=_counted(found.predicted, counted),
        labels=labels,
        table=table_of("label", labels, true, each, thresholds),
        averages={"accuracy": subset, **averages},
    )


def confused(
    Z: npt.NDArray[np.floating],
    codes: npt.NDArray[np.integer],
    w: Each,
    thresholds: Thresholds | None,
    k: int,
) -> Each:
    """Return the weights of rows by true (rows) and predicted class (columns), (k, k)."""
    pairs = k * codes.astype(np.int64) + predicted_codes(Z, thresholds)
    return np.bincount(pairs, w, k * k).astype(np.float64).reshape(k, k)


def _weights(weight: Each | None, n_rows: int) -> Each:
    weight = np.ones(n_rows) if weight is None else weight
    if not weight.any():
        raise DataError("There is no row to evaluate, or all have weight 0.")
    return weight


def _counted(weights: Each, counted: bool) -> npt.NDArray[Any]:
    """Return sums of weights, as whole numbers where every row weighs 1."""
    return weights.astype(np.int64) if counted else weights


def _measured(
    Z: Any, truth: Any, weight: Each, thresholds: Thresholds | None
) -> tuple[list[Each], dict[str, Each]]:
    """Return each model's four counts, and the columns that are of its margins."""
    measure = together(counts, ranking, losses)
    *cells, auroc, precision, log_loss, squares, mass = of_each_model(
        measure, Z, truth, weight, thresholds
    )
    columns = {"roc_auc": auroc, "average_precision": precision}
    columns["neg_log_loss"] = minus_mean(log_loss, mass)
    columns["neg_brier_score"] = minus_mean(squares, mass)
    return cells, columns


def _scores(
    counted: Counts, own: int, columns: dict[str, Each], of_margins: dict[str, Each]
) -> tuple[dict[str, Each], dict[str, float]]:
    """Return the columns of the table with those of all kinds of labels, and their averages."""
    averages, some = {}, counted.true > 0
    for name in ("precision", "recall", "f1"):
        measure = getattr(Counts, name)
        values = np.where(some, measure(counted), np.nan)
        columns[name] = values[-own:]
        averages[f"{name}_macro"] = mean(values)
        averages[f"{name}_micro"] = float(measure(counted.total)[0])
        averages[f"{name}_weighted"] = mean(values, counted.true)
    columns |= of_margins
    precisions = columns["average_precision"]
    averages["average_precision_macro"] = mean(precisions)
    averages["average_precision_weighted"] = mean(precisions, counted.true[-own:])
    return columns, averages
