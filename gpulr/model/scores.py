"""Scores by name, the greater the better, as everything that scores models asks for them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.errors import DataError, ParameterError
from gpulr.logistic import log_normalized, sigmoid
from gpulr.model.binary import Each, Floats, Truth, of_each_model
from gpulr.model.measures import (
    AVERAGES,
    LABEL_SCORES,
    SCORES,
    Score,
    SummedScore,
    all_known,
    checked_value,
)
from gpulr.model.predicted import Thresholds
from gpulr.model.ranked import RankedScore
from gpulr.validation.labels import LabelMatrix, Labels
from gpulr.words import did_you_mean, shown


@dataclass(frozen=True, slots=True)
class Scorer:
    """A score and its name.

    Attributes
    ----------
    function : Score
        Of all models together, a float, as scikit-learn defines it.
    per_model : Score
        Of each model's own binary problem, its class or label against all others, (n_models,)
        float64; NaN where that has none.
    """

    name: str
    function: Score[float]
    per_model: Score[Each]
    named: bool = False  # whether it is one of gpulr's own, by its name

    def over_parts(
        self, *, per_model: bool, multilabel: bool
    ) -> SummedScore[Any] | RankedScore[Any]:
        """Return the score as one of rows that lie in parts.

        Raises ParameterError where it is none.
        """
        known = LABEL_SCORES if multilabel else SCORES
        score = known[self.name][per_model] if self.named else None
        if isinstance(score, SummedScore | RankedScore):
            return score
        able = [
            n for n, of in known.items() if isinstance(of[per_model], SummedScore | RankedScore)
        ]
        raise ParameterError(
            f"scoring={self.name} needs all held-out rows in one place, and these are on the "
            f"workers of a cluster. Use one of {', '.join(able)}, or close the client."
        )


# What is of two classes alone, and what to use for more.
_OF_TWO = {
    "roc_auc": "roc_auc_ovr",
    **{
        name: " or ".join(f"{name}_{average}" for average in AVERAGES)
        for name in ("average_precision", "f1", "precision", "recall")
    },
}


def scorer(scoring: Any, labels: Labels | LabelMatrix) -> Scorer:
    """Return the scorer that a name, a scorer of scikit-learn's or a function stands for.

    A function gets the true labels and the normalised probabilities, (n_rows, n_classes), or of two
    classes those of the second, (n_rows,), as the metrics of scikit-learn do; of a matrix of labels
    zeros and ones and each label's own probability; and the keyword ``sample_weight`` if it takes
    that. For each model by itself it gets zeros and ones, and the model's own probability.

    Raises ParameterError for what is none of these, or is not defined for such labels; the scorer's
    function DataError for rows that leave a score by name undefined.
    """
    named = LABEL_SCORES if labels.multilabel else SCORES
    known = check_score(scoring)
    if known is None:
        return _of_function(scoring, labels)
    if not isinstance(known, str):
        from gpulr.model.sklearn_scorers import of_estimator

        return Scorer(*of_estimator(known, labels, scoring if isinstance(scoring, str) else ""))
    if known not in named:
        raise ParameterError(
            f"scoring={known} is for rows of one class each; y is a matrix of labels. Use one of "
            f"{', '.join(named)}."
        )
    if not labels.multilabel and len(labels.classes) > 2 and known in _OF_TWO:
        raise ParameterError(
            f"scoring={known} is for two classes or a matrix of labels; y has "
            f"{len(labels.classes)} classes. Use {_OF_TWO[known]}."
        )
    function, per_model = named[known]
    return Scorer(known, _defined(known, function), per_model, named=True)


def _defined(name: str, score: Score[float]) -> Score[float]:
    """Return the score, or where rows leave it undefined, DataError."""

    def function(Z: Floats, truth: Truth, weight: Floats, thresholds: Any = None) -> float:
        value = score(Z, truth, weight, thresholds)
        check_defined(name, value, f"{len(Z):,} ")
        return value

    return function


def check_defined(name: str, value: float, n_rows: str = "") -> None:
    """Raise DataError for a score that some rows leave undefined."""
    if np.isnan(value):
        raise DataError(
            f"{name} is undefined on {n_rows}held-out rows: they have none of a class or label, "
            "or nothing else. Use folds that are stratified, or fewer of them, or another score, "
            'such as "neg_log_loss".'
        )


def left_out(name: str, truth: Truth, weight: Floats) -> npt.NDArray[np.bool_]:
    """Return which labels (n_labels,) the score of a matrix of labels is no mean of."""
    truth = truth[weight > 0]
    return left_out_of(name, (truth == 0).any(axis=0), (truth == 1).any(axis=0))


def left_out_of(
    name: str, lacking: npt.NDArray[np.bool_], having: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Return the same of labels that some of the rows lack, and that some have.

    AUROC and balanced accuracy need rows with the label and rows without it, average precision
    those with it. Other scores count a label that no row has as 0, or have no need of it.
    """
    without = np.zeros(len(having), dtype=np.bool_)
    if name not in LABEL_SCORES:
        return without
    if name.startswith(("roc_auc", "balanced_accuracy", "average_precision")):
        without |= ~having
    if name.startswith(("roc_auc", "balanced_accuracy")):
        without |= ~lacking
    return without


def check_score(scoring: Any) -> Any:
    """Return the name of a score here, or else a scorer of scikit-learn's; None for a function.

    Raises ParameterError for what is none of these.
    """
    if isinstance(scoring, str) and scoring in SCORES:
        return scoring
    if isinstance(scoring, str) or hasattr(scoring, "_score_func"):  # of make_scorer
        from gpulr.model.sklearn_scorers import named_or_scorer

        if found := named_or_scorer(scoring, SCORES):
            return found
    if not callable(scoring):
        raise ParameterError(
            f"scoring={shown(scoring)}{did_you_mean(scoring, SCORES)}; use one of "
            f"{', '.join(SCORES)}, another of scikit-learn's scores of classifiers, or a function "
            "of the true labels and the probabilities."
        )
    return None


def _check_call(name: str, takes: inspect.Signature, weighs: bool) -> None:
    """Raise ParameterError for a function that cannot be called with labels and probabilities."""
    try:
        takes.bind("labels", "probabilities", **({"sample_weight": None} if weighs else {}))
    except TypeError as error:
        raise ParameterError(
            f"scoring={name}{takes} cannot be called with the true labels and the probabilities "
            f"({error}); there is no estimator here. Pass a function of these two, the name of a "
            "score, or what sklearn.metrics.make_scorer makes."
        ) from error


def _of_function(scoring: Callable[..., Any], labels: Labels | LabelMatrix) -> Scorer:
    name = getattr(scoring, "__name__", type(scoring).__name__)
    takes = None
    with suppress(TypeError, ValueError):  # built into an extension module
        takes = inspect.signature(scoring)
    weighs = takes is not None and "sample_weight" in takes.parameters
    if takes is not None:
        _check_call(name, takes, weighs)

    def value(truth: Truth, P: Floats, weight: Floats, **check: bool) -> float:
        found = scoring(truth, P, **({"sample_weight": weight} if weighs else {}))
        return checked_value(found, name, **check)

    def function(Z: Floats, truth: Truth, weight: Floats, thresholds: Any = None) -> float:
        Z = Z.astype(np.float64)
        if labels.multilabel:
            return value(all_known(truth, name), sigmoid(Z), weight)
        P = np.exp(log_normalized(Z))
        return value(labels.classes[truth], P[:, 1] if Z.shape[1] == 1 else P, weight)

    def of_one(z: Floats, y: Truth, w: Floats, at: Thresholds | None) -> tuple[float]:
        return (value(y, sigmoid(z.astype(np.float64)), w, undefined=True),)

    def per_model(Z: Floats, truth: Truth, weight: Floats, thresholds: Any = None) -> Each:
        return of_each_model(of_one, Z, truth, weight)[0]

    return Scorer(name, function, per_model)
