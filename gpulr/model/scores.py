"""How good predictions are: scores by name, the greater the better, and evaluations of a model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.errors import ParameterError
from gpulr.logistic import log_loss, log_normalized, sigmoid
from gpulr.model.predicted import Thresholds, predicted, predicted_codes
from gpulr.validation.labels import LabelMatrix, Labels
from gpulr.words import brief, did_you_mean, shown

Floats = npt.NDArray[Any]


def accuracy(
    Z: Floats,
    codes: npt.NDArray[Any],
    weight: Floats | None = None,
    thresholds: Thresholds | None = None,
) -> float:
    """Weighted share of rows whose predicted class is right."""
    return float(np.average(predicted_codes(Z, thresholds) == codes, weights=weight))


def balanced_accuracy(Z: Floats, codes: npt.NDArray[Any], weight: Floats) -> float:
    """Mean over the classes that occur of the share of their rows that are right."""
    rows = np.bincount(codes, weights=weight)
    right = np.bincount(codes, weights=weight * (predicted_codes(Z) == codes), minlength=len(rows))
    return float(np.mean(right[rows > 0] / rows[rows > 0]))


def negative_log_loss(Z: Floats, codes: npt.NDArray[Any], weight: Floats) -> float:
    """Weighted mean of the log of the normalised probability of the true class."""
    log_P = log_normalized(Z.astype(np.float64))
    return float(np.average(log_P[np.arange(len(codes)), codes], weights=weight))


def subset_accuracy(
    Z: Floats,
    truth: npt.NDArray[Any],
    weight: Floats | None = None,
    thresholds: Thresholds | None = None,
) -> float:
    """Weighted share of rows of which every label is right; the truth is (n_rows, n_labels)."""
    right = (predicted(Z, thresholds) == truth).all(axis=1)
    return float(np.average(right, weights=weight))


def negative_label_loss(Z: Floats, truth: npt.NDArray[Any], weight: Floats) -> float:
    """Weighted mean, over rows and labels, of the log of the probability of the true value."""
    loss = log_loss(Z.astype(np.float64), truth.astype(np.float64))
    return -float(np.average(loss.mean(axis=1), weights=weight))


# (margins (n_rows, n_models), truth, weight (n_rows,)) -> float; the truth is class indices
# (n_rows,), or zeros and ones (n_rows, n_labels).
Score = Callable[[Floats, npt.NDArray[Any], Floats], float]

SCORERS: Mapping[str, Score] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "neg_log_loss": negative_log_loss,
}
LABEL_SCORERS: Mapping[str, Score] = {
    "accuracy": subset_accuracy,
    "neg_log_loss": negative_label_loss,
}


@dataclass(frozen=True, slots=True)
class Scorer:
    """A score and its name."""

    name: str
    function: Score


def scorer(scoring: Any, labels: Labels | LabelMatrix) -> Scorer:
    """Return the scorer that a name or a callable stands for.

    A callable gets the true labels and the normalised probabilities, (n_rows, n_classes), or of two
    classes those of the second, (n_rows,), as the metrics of scikit-learn do; of a matrix of labels
    zeros and ones and each label's own probability; and the keyword ``sample_weight`` if it takes
    that.

    Raises ParameterError for what is neither a name in :data:`SCORERS` (of a matrix,
    :data:`LABEL_SCORERS`) nor a function of labels and probabilities.
    """
    named = LABEL_SCORERS if labels.multilabel else SCORERS
    if isinstance(scoring, str) and scoring in named:
        return Scorer(scoring, named[scoring])
    if not callable(scoring):
        raise ParameterError(
            f"scoring={shown(scoring)}{did_you_mean(scoring, named)}; use one of "
            f"{', '.join(named)}, or a function of the true labels and the probabilities."
        )
    if hasattr(scoring, "_score_func"):  # of sklearn.metrics.make_scorer
        raise ParameterError(
            f"scoring={shown(scoring)} is a scorer of scikit-learn's, which wants an estimator; "
            "pass the metric it is made of, if that takes probabilities, or another function of "
            f"the true labels and the probabilities, or use one of {', '.join(named)}."
        )
    name = getattr(scoring, "__name__", type(scoring).__name__)
    weighs = False
    with suppress(TypeError, ValueError):  # built into an extension module
        weighs = "sample_weight" in inspect.signature(scoring).parameters

    def function(Z: Floats, truth: npt.NDArray[Any], weight: Floats) -> float:
        Z = Z.astype(np.float64)
        if labels.multilabel:
            P = sigmoid(Z)
        else:
            P, truth = np.exp(log_normalized(Z)), labels.classes[truth]
            P = P[:, 1] if Z.shape[1] == 1 else P
        value = scoring(truth, P, **({"sample_weight": weight} if weighs else {}))
        real = isinstance(value, float | int | np.floating | np.integer)
        if isinstance(value, bool) or not real or not np.isfinite(value):
            raise ParameterError(f"scoring={name} returned {value!r}; expected a finite number.")
        return float(value)

    return Scorer(name, function)


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
        subset_accuracy=subset_accuracy(Z, Y, thresholds=thresholds),
        label_accuracy=right,
        mean_label_accuracy=float(right.mean()),
        label_f1=f1,
        micro_f1=float(f1_score(Y, said, average="micro", zero_division=0.0)),
        macro_f1=float(f1.mean()),
        positives=Y.sum(axis=0, dtype=np.int64),
        predicted_positives=said.sum(axis=0, dtype=np.int64),
        labels=labels,
    )
