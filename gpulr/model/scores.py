"""Scores of margins by name, the greater the better: for evaluation and for cross-validation."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.errors import ParameterError
from gpulr.logistic import log_loss, log_normalized, sigmoid
from gpulr.validation.labels import LabelMatrix, Labels
from gpulr.words import did_you_mean, shown

Floats = npt.NDArray[Any]


def predicted_codes(Z: Floats) -> npt.NDArray[np.int64]:
    """Return the class with the largest margin; of one model, whether its margin is positive."""
    return Z.argmax(axis=1) if Z.shape[1] > 1 else (Z[:, 0] > 0).astype(np.int64)


def accuracy(Z: Floats, codes: npt.NDArray[Any], weight: Floats | None = None) -> float:
    """Weighted share of rows whose class, the one with the largest margin, is right."""
    return float(np.average(predicted_codes(Z) == codes, weights=weight))


def balanced_accuracy(Z: Floats, codes: npt.NDArray[Any], weight: Floats) -> float:
    """Mean over the classes that occur of the share of their rows that are right."""
    rows = np.bincount(codes, weights=weight)
    right = np.bincount(codes, weights=weight * (predicted_codes(Z) == codes), minlength=len(rows))
    return float(np.mean(right[rows > 0] / rows[rows > 0]))


def negative_log_loss(Z: Floats, codes: npt.NDArray[Any], weight: Floats) -> float:
    """Weighted mean of the log of the normalised probability of the true class."""
    log_P = log_normalized(Z.astype(np.float64))
    return float(np.average(log_P[np.arange(len(codes)), codes], weights=weight))


def subset_accuracy(Z: Floats, truth: npt.NDArray[Any], weight: Floats | None = None) -> float:
    """Weighted share of rows of which every label is right; the truth is (n_rows, n_labels)."""
    return float(np.average(((Z > 0) == truth).all(axis=1), weights=weight))


def negative_label_loss(Z: Floats, truth: npt.NDArray[Any], weight: Floats) -> float:
    """Weighted mean, over rows and labels, of the log of the probability of the true value."""
    loss = log_loss(Z.astype(np.float64), truth.astype(np.float64))
    return -float(np.average(loss.mean(axis=1), weights=weight))


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
    """A named function of margins, class indices and weights.

    Attributes
    ----------
    name : str
    function : callable
        ``(Z (n_rows, n_models), truth, weight (n_rows,)) -> float``; the truth is class indices
        (n_rows,), or zeros and ones (n_rows, n_labels).
    """

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
    weighs = _takes_sample_weight(scoring)

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


def _takes_sample_weight(function: Callable[..., Any]) -> bool:
    try:
        return "sample_weight" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # built into an extension module
        return False
