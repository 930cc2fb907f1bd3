"""How good predictions are, each figure under its right name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Evaluation", "confusion_matrix", "evaluate_margins"]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Accuracy of one-vs-all models on labelled rows.

    The two accuracies answer different questions. Each of ten binary models may always say "not
    this digit" and be right nine times out of ten, so ``mean_binary_accuracy`` starts at 0.9; what
    a person means by the accuracy of a digit classifier is ``accuracy``.

    Attributes
    ----------
    accuracy : float
        Multiclass: the share of rows whose class, the one with the largest margin, is right.
    binary_accuracy : (n_models,) float64
        Per model: the share of rows for which P > 1/2 exactly if the row is of the model's class.
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


def confusion_matrix(
    true: npt.NDArray[np.integer], predicted: npt.NDArray[np.integer], n_classes: int
) -> npt.NDArray[np.int64]:
    """Count (true, predicted) pairs of class indices, (n_classes, n_classes)."""
    pairs = true.astype(np.int64) * n_classes + predicted
    return np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes)


def evaluate_margins(
    Z: npt.NDArray[np.floating], codes: npt.NDArray[np.integer], classes: npt.NDArray[np.generic]
) -> Evaluation:
    """Evaluate margins Z (n_samples, n_models) against true class indices (n_samples,).

    Two classes have one model, whose positive class is the second.
    """
    n_classes = len(classes)
    if Z.shape[1] == 1:
        predicted, positive = (Z[:, 0] > 0).astype(np.int64), np.array([1])
    else:
        predicted, positive = Z.argmax(axis=1), np.arange(n_classes)
    binary = ((Z > 0) == (codes[:, np.newaxis] == positive)).mean(axis=0)
    confusion = confusion_matrix(codes, predicted, n_classes)
    accuracy = float(np.trace(confusion) / len(codes))
    return Evaluation(accuracy, binary, float(binary.mean()), confusion, classes)
