"""How good a model is on labelled rows: what `model.evaluate` returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gpulr.model.predicted import Thresholds, predicted, predicted_codes
from gpulr.words import brief


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Accuracy of one-vs-all models on labelled rows.

    The two accuracies answer different questions. Each of ten binary models may always say "not
    this digit" and be right nine times out of ten, so ``mean_binary_accuracy`` starts at 0.9; what
    a person means by the accuracy of a digit classifier is ``accuracy``.

    Attributes
    ----------
    accuracy : float
        Multiclass: the share of rows whose predicted class is right.
    binary_accuracy : (n_models,) float64
        Per model: the share of rows for which P > 1/2 (or its threshold is reached) exactly if the
        row is of the model's class.
    mean_binary_accuracy : float
        The mean of those; not the accuracy of the one-vs-all classifier.
    confusion : (n_classes, n_classes) int64
        Rows: the true class; columns: the predicted class; in the order of ``classes``.
    classes : (n_classes,)
    """

    accuracy: float
    binary_accuracy: npt.NDArray[np.float64]
    mean_binary_accuracy: float
    confusion: npt.NDArray[np.int64]
    classes: npt.NDArray[np.generic]

    __repr__ = brief


@dataclass(frozen=True, slots=True, eq=False)
class MultilabelEvaluation:
    """How good predictions are on rows that have any number of labels.

    Where most rows lack most labels, predicting none makes ``mean_label_accuracy`` large; F1 counts
    only rows that have a label or are predicted to, and ``subset_accuracy`` only rows that are
    right throughout. A label is predicted where P > 1/2, or by the model's thresholds.

    Attributes
    ----------
    subset_accuracy : float
        The share of rows all of whose labels are right; scikit-learn's accuracy of multilabel data.
    label_accuracy : (n_labels,) float64
        Per label: the share of rows for which it is right.
    mean_label_accuracy : float
        The mean of those: the share of all entries of the matrix that are right.
    label_f1 : (n_labels,) float64
        Per label: 2 tp / (2 tp + fp + fn); 0 where no row has the label or is predicted to.
    micro_f1 : float
        The same of the counts of all labels added up.
    macro_f1 : float
        The mean of ``label_f1``: rare labels count as much as frequent ones.
    positives, predicted_positives : (n_labels,) int64
        How many rows have each label, and are predicted to.
    labels : (n_labels,)
    """

    subset_accuracy: float
    label_accuracy: npt.NDArray[np.float64]
    mean_label_accuracy: float
    label_f1: npt.NDArray[np.float64]
    micro_f1: float
    macro_f1: float
    positives: npt.NDArray[np.int64]
    predicted_positives: npt.NDArray[np.int64]
    labels: npt.NDArray[np.generic]

    __repr__ = brief


def evaluate_margins(
    Z: npt.NDArray[np.floating],
    codes: npt.NDArray[np.integer],
    classes: npt.NDArray[np.generic],
    thresholds: Thresholds | None = None,
) -> Evaluation:
    """Evaluate margins Z (n_samples, n_models) against true class indices (n_samples,)."""
    k = len(classes)
    positive = np.arange(k)[-Z.shape[1] :]  # one model of two classes is of the second
    right = predicted(Z, thresholds) == (codes[:, np.newaxis] == positive)
    binary, said = right.mean(axis=0), predicted_codes(Z, thresholds)
    pairs = codes.astype(np.int64) * k + said
    confusion = np.bincount(pairs, minlength=k**2).reshape(k, k)
    share = float(np.mean(said == codes))
    return Evaluation(share, binary, float(binary.mean()), confusion, classes)


def evaluate_labels(
    Z: npt.NDArray[np.floating],
    Y: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.generic],
    thresholds: Thresholds | None = None,
) -> MultilabelEvaluation:
    """Evaluate margins Z (n_samples, n_labels) against the true indicator matrix Y."""
    from sklearn.metrics import f1_score

    said = predicted(Z, thresholds).astype(np.uint8)
    right = (said == Y).mean(axis=0)
    f1 = np.asarray(f1_score(Y, said, average=None, zero_division=0.0), dtype=np.float64)
    return MultilabelEvaluation(
        subset_accuracy=float((said == Y).all(axis=1).mean()),
        label_accuracy=right,
        mean_label_accuracy=float(right.mean()),
        label_f1=f1,
        micro_f1=float(f1_score(Y, said, average="micro", zero_division=0.0)),
        macro_f1=float(f1.mean()),
        positives=Y.sum(axis=0, dtype=np.int64),
        predicted_positives=said.sum(axis=0, dtype=np.int64),
        labels=labels,
    )
