"""What each score computes: of all models together, and of each by itself.

Names and meanings are scikit-learn's. Scores of ranking go by margins, losses by probabilities, and
all others by what is predicted, with thresholds where there are any.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from gpulr.backend.threads import map_blocks
from gpulr.core.targets import UNKNOWN
from gpulr.errors import ParameterError
from gpulr.logistic import log_normalized
from gpulr.model.binary import Each, Floats, Truth, counts, losses, of_each_model
from gpulr.model.predicted import Thresholds, predicted, predicted_codes
from gpulr.model.ranked import RankedScore, as_they_are, each
from gpulr.model.ranking import area, precision

ENTRIES = 2**18  # of a block of rows, 2 MiB for each array of them

Result = TypeVar("Result", covariant=True)


class Score(Protocol[Result]):
    """A score of margins (n_rows, n_models) of rows that weigh (n_rows,), with thresholds or none.

    The truth is class indices (n_rows,), or a matrix (n_rows, n_labels) of 0, 1 and UNKNOWN.
    """

    def __call__(
        self, Z: Floats, truth: Truth, weight: Floats, thresholds: Thresholds | None = None
    ) -> Result:
        """Return the score."""
        ...


@dataclass(frozen=True)
class SummedScore(Generic[Result]):
    """A :class:`Score` that is made of sums over rows, so that parts of these may lie anywhere.

    Attributes
    ----------
    sums : callable
        Called as a score is; returns the sums, numbers or float64 arrays, which add up over parts.
    finish : callable
        Returns the score, given the sums of all rows.
    """

    sums: Callable[..., tuple[Any, ...]]
    finish: Callable[..., Result]

    def __call__(
        self, Z: Floats, truth: Truth, weight: Floats, thresholds: Thresholds | None = None
    ) -> Result:
        """Return the score of rows that are here."""
        return self.finish(*self.sums(Z, truth, weight, thresholds))


def _total(values: Floats, weight: Floats) -> tuple[float, float]:
    """Return the weighted sum of values of the rows, and that of the weights."""
    return np.multiply(values, weight, dtype=np.float64).sum(), weight.sum()


def by_blocks(function: Callable[[slice], Floats], out: Floats, n_columns: int) -> Floats:
    """Write what a function says of blocks of rows, of so many columns, to ``out`` (n_rows, …).

    What it makes on its way stays little, however many rows there are.
    """

    def write(rows: slice) -> None:
        out[rows] = function(rows)

    length, n = max(1, ENTRIES // n_columns), len(out)
    for _ in map_blocks(write, [slice(a, min(a + length, n)) for a in range(0, n, length)]):
        pass
    return out


def normalized(Z: Floats) -> Floats:
    """Return normalised probabilities, as ``predict_proba`` has them, in the margins' dtype."""
    out = np.empty((len(Z), max(2, Z.shape[1])), Z.dtype)
    return by_blocks(lambda rows: np.exp(log_normalized(Z[rows])), out, Z.shape[1])


def _mean(total: float, weight: float) -> float:
    return float(total / weight)


def right(Z: Floats, truth: Truth, weight: Floats, thresholds: Any = None) -> tuple[float, float]:
    """Return the weights of the rows that are right, and of all; of several labels, throughout.

    Of those, unknown ones do not count.
    """
    if truth.ndim == 1:
        return _total(predicted_codes(Z, thresholds) == truth, weight)
    whole = ((predicted(Z, thresholds) == truth) | (truth == UNKNOWN)).all(axis=1)
    return _total(whole, weight * (truth != UNKNOWN).any(axis=1))


# The weighted share of rows that are right, which scikit-learn calls accuracy for several labels
# too.
share_right = SummedScore(right, _mean)


def among_two(
    Z: Floats, truth: Truth, weight: Floats, thresholds: Any = None
) -> tuple[float, float]:
    """Return the weights of rows whose class has one of the two largest margins, and of all.

    Of equal margins the later class's counts as larger, as in scikit-learn.
    """
    if Z.shape[1] == 1:
        return _total(np.ones(len(Z)), weight)
    own = np.take_along_axis(Z, truth[:, np.newaxis], axis=1)
    later = np.arange(Z.shape[1]) > truth[:, np.newaxis]
    above = np.count_nonzero((own < Z) | ((own == Z) & later), axis=1)
    return _total(above < 2, weight)


def log_likelihood(
    Z: Floats, truth: Truth, weight: Floats, thresholds: Any = None
) -> tuple[float, float]:
    """Return the weighted sum of the log of the normalised probability of the true class."""

    def of_truth(rows: slice) -> Floats:
        y, log_P = truth[rows], log_normalized(Z[rows].astype(np.float64))
        found: Floats = log_P[np.arange(len(y)), y]
        return found

    return _total(by_blocks(of_truth, np.empty(len(Z)), Z.shape[1]), weight)


def brier(Z: Floats, truth: Truth, weight: Floats, thresholds: Any = None) -> tuple[float, float]:
    """Return minus the weighted squared distances of normalised probabilities to the truth.

    Of two classes it is half of that, as in scikit-learn.
    """

    def squares(rows: slice) -> Floats:
        y, P = truth[rows], np.exp(log_normalized(Z[rows].astype(np.float64)))
        P[np.arange(len(y)), y] -= 1.0
        found: Floats = (P * P).sum(axis=1)
        return found

    total, every = _total(by_blocks(squares, np.empty(len(Z)), Z.shape[1]), weight)
    return -total / (2 if Z.shape[1] == 1 else 1), every


@dataclass(frozen=True)
class Counts:
    """Weights of rows, for each class or label: rightly predicted ones, predicted and true ones."""

    right: Each
    predicted: Each
    true: Each

    @staticmethod
    def of(Z: Floats, truth: Truth, weight: Floats, thresholds: Any = None) -> Counts:
        """Count what all models together predict: one class each row, or any number of labels."""
        if truth.ndim > 1:
            return Counts.of_binary(Z, truth, weight, thresholds)
        n, codes = max(2, Z.shape[1]), predicted_codes(Z, thresholds)
        confusion = np.bincount(n * truth.astype(np.int64) + codes, weight, n * n).reshape(n, n)
        return Counts(np.diag(confusion), confusion.sum(axis=0), confusion.sum(axis=1))

    @staticmethod
    def of_binary(Z: Floats, truth: Truth, weight: Floats, thresholds: Any = None) -> Counts:
        """Count what each model predicts by itself."""
        _, wrong, missed, right = of_each_model(counts, Z, truth, weight, thresholds)
        return Counts(right, right + wrong, right + missed)

    @property
    def total(self) -> Counts:
        """The counts of all classes or labels added up, (1,)."""
        return Counts(*(np.array([x.sum()]) for x in (self.right, self.predicted, self.true)))

    def precision(self) -> Each:
        """Share of predicted ones that are right; 0 where there are none."""
        return _ratio(self.right, self.predicted)

    def recall(self) -> Each:
        """Share of true ones that are predicted; 0 where there are none."""
        return _ratio(self.right, self.true)

    def f1(self) -> Each:
        """Harmonic mean of both; 0 where nothing is true or predicted."""
        return _ratio(2 * self.right, self.predicted + self.true)


def _ratio(part: Each, whole: Each) -> Each:
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=whole > 0)


def mean(values: Each, weights: Each | None = None) -> float:
    """Return the mean of those that are defined, NaN where none is."""
    some = ~np.isnan(values)
    if weights is not None:
        some &= weights > 0
        weights = weights[some]
    return float(np.average(values[some], weights=weights)) if some.any() else np.nan


def averaged(measure: Callable[[Counts], Each], average: str) -> SummedScore[float]:
    """Return a score that is the average of precision, recall or F1 over classes or labels."""

    def sums(Z: Floats, truth: Truth, weight: Floats, thresholds: Any = None) -> tuple[Any, ...]:
        found = Counts.of(Z, truth, weight, thresholds)
        return found.right, found.predicted, found.true, float(truth.ndim == 1)

    def finish(right: Each, predicted: Each, true: Each, one_each: float) -> float:
        found = Counts(right, predicted, true)
        if average == "micro":
            return float(measure(found.total)[0])
        values = measure(found)
        if average == "binary":
            return float(values[-1])
        if average == "weighted":
            return mean(values, found.true) if found.true.any() else 0.0
        if one_each:  # a class that no row has or is predicted to have does not exist
            values = values[(found.true > 0) | (found.predicted > 0)]
        return mean(values)

    return SummedScore(sums, finish)


def each_of_counts(measure: Callable[[Counts], Each]) -> SummedScore[Each]:
    """Return each model's precision, recall or F1; NaN where no row has its label."""

    def finish(no: Each, wrong: Each, missed: Each, yes: Each) -> Each:
        found = Counts(yes, yes + wrong, yes + missed)
        return np.where(found.true > 0, measure(found), np.nan)

    return SummedScore(cells, finish)


def cells(Z: Floats, truth: Truth, weight: Floats, thresholds: Any = None) -> tuple[Each, ...]:
    """Return each model's true and false negatives and positives, as :func:`counts` has them."""
    return tuple(of_each_model(counts, Z, truth, weight, thresholds))


def share_of_counts(no: Each, wrong: Each, missed: Each, yes: Each) -> Each:
    """Return the share of rows that are right, of what :func:`counts` found; NaN of none."""
    with np.errstate(invalid="ignore"):
        share: Each = (no + yes) / (no + wrong + missed + yes)
    return share


def balanced_share(no: Each, wrong: Each, missed: Each, yes: Each) -> Each:
    """Return the mean of that share of positives, and of negatives; NaN where either has none."""
    with np.errstate(invalid="ignore"):
        mean_share: Each = (yes / (yes + missed) + no / (no + wrong)) / 2
    return mean_share


# How often each model is right that says "this class" or "not"; and the mean of how often it is
# right about positives, and about negatives.
each_accuracy = SummedScore(cells, share_of_counts)
each_balanced_accuracy = SummedScore(cells, balanced_share)


def each_loss(number: int) -> SummedScore[Each]:
    """Return minus the mean of one of the two that :func:`losses` has of each model."""

    def sums(Z: Floats, truth: Truth, weight: Floats, thresholds: Any = None) -> tuple[Each, ...]:
        found = of_each_model(losses, Z, truth, weight)
        return found[number], found[-1]

    return SummedScore(sums, minus_mean)


def minus_mean(total: Each, mass: Each) -> Each:
    """Return minus the mean of each model, of sums; NaN of no rows."""
    with np.errstate(invalid="ignore"):
        each: Each = -(total / mass)
    return each


# Minus the log-loss, and the mean squared error, of each model's own probabilities.
each_log_likelihood, each_brier = each_loss(0), each_loss(1)


# The area under each model's ROC curve, and its average precision.
each_auroc, each_average_precision = RankedScore(area, each), RankedScore(precision, each)


def no_score_of_one(Z: Floats, truth: Truth, weight: Floats, thresholds: Any = None) -> Each:
    """Refuse to score each model by itself."""
    raise ParameterError(
        "top_k_accuracy compares the margins of all classes; no model has one by itself. Use "
        "accuracy, f1_macro, roc_auc_ovr or another score that every model has."
    )


def _mean_recall(right: Each, predicted: Each, true: Each, _: float) -> float:
    return mean(Counts(right, predicted, true).recall()[true > 0])


# The mean over the classes that occur of the share of their rows that are right.
mean_recall = SummedScore(averaged(Counts.recall, "macro").sums, _mean_recall)


def mean_of(
    per_model: SummedScore[Each] | RankedScore[Each],
    *,
    weighted: bool = False,
    of_probabilities: bool = False,
) -> SummedScore[float] | RankedScore[float]:
    """Return the mean over models; or by the rows of each class; or of normalised probabilities."""
    if isinstance(per_model, SummedScore):
        return SummedScore(per_model.sums, lambda *sums: mean(per_model.finish(*sums)))
    entries = normalized_classes if of_probabilities else as_they_are
    return RankedScore(per_model.measure, mean, entries, weighted)


def normalized_classes(Z: Floats, truth: Truth, weight: Floats) -> tuple[Floats, Truth, Floats]:
    """Return the normalised probabilities of several classes; otherwise margins."""
    return normalized(Z) if truth.ndim == 1 and Z.shape[1] > 1 else Z, truth, weight


def pooled(Z: Floats, truth: Truth, weight: Floats) -> tuple[Floats, Truth, Floats]:
    """Return all entries of the matrix as one column."""
    if Z.shape[1] > 1:
        if truth.ndim == 1:
            truth = truth[:, np.newaxis] == np.arange(Z.shape[1])
        weight = np.repeat(weight, Z.shape[1])
        truth = truth.reshape(-1, 1)
    return Z.reshape(-1, 1), truth, weight


def _first(values: Each, true: Each | None) -> float:
    return float(values[0])


# The average precision of all entries of the matrix together.
pooled_average_precision = RankedScore(precision, _first, pooled)


AVERAGES = ("macro", "micro", "weighted")


def _averages(
    base: str, measure: Callable[[Counts], Each]
) -> dict[str, tuple[Score[float], Score[Each]]]:
    each = each_of_counts(measure)
    names = {base: "binary", **{f"{base}_{average}": average for average in AVERAGES}}
    return {name: (averaged(measure, average), each) for name, average in names.items()}


# By name: of rows of one class each, of all models together and of each by itself.
SCORES: dict[str, tuple[Score[float], Score[Each]]] = {
    "accuracy": (share_right, each_accuracy),
    "balanced_accuracy": (mean_recall, each_balanced_accuracy),
    "neg_log_loss": (SummedScore(log_likelihood, _mean), each_log_likelihood),
    "neg_brier_score": (SummedScore(brier, _mean), each_brier),
    "roc_auc": (mean_of(each_auroc), each_auroc),
    "roc_auc_ovr": (mean_of(each_auroc, of_probabilities=True), each_auroc),
    "roc_auc_ovr_weighted": (mean_of(each_auroc, of_probabilities=True, weighted=True), each_auroc),
    "average_precision": (mean_of(each_average_precision), each_average_precision),
    "average_precision_macro": (mean_of(each_average_precision), each_average_precision),
    "average_precision_micro": (pooled_average_precision, each_average_precision),
    "average_precision_weighted": (
        mean_of(each_average_precision, weighted=True),
        each_average_precision,
    ),
    **_averages("f1", Counts.f1),
    **_averages("precision", Counts.precision),
    **_averages("recall", Counts.recall),
    "top_k_accuracy": (SummedScore(among_two, _mean), no_score_of_one),
}
# Of a matrix of labels, some are other things.
LABEL_SCORES: dict[str, tuple[Score[float], Score[Each]]] = {
    name: own for name, own in SCORES.items() if name != "top_k_accuracy"
} | {
    "balanced_accuracy": (mean_of(each_balanced_accuracy), each_balanced_accuracy),
    "neg_log_loss": (mean_of(each_log_likelihood), each_log_likelihood),
    "neg_brier_score": (mean_of(each_brier), each_brier),
    **{name: SCORES[f"{name}_macro"] for name in ("f1", "precision", "recall")},
}


def all_known(truth: Truth, name: str) -> Truth:
    """Return a matrix of labels, or refuse one of which some entries are unknown."""
    if (truth == UNKNOWN).any():
        raise ParameterError(
            f"scoring={name} cannot tell which entries of y are unknown. Use one of "
            f"{', '.join(LABEL_SCORES)}, which leave them out."
        )
    return truth


def checked_value(value: Any, name: str, *, undefined: bool = False) -> float:
    """Return what a scoring function returned as a float, or raise ParameterError.

    NaN is refused too, unless a score may be ``undefined``, as of one model it may.
    """
    real = isinstance(value, float | int | np.floating | np.integer)
    if isinstance(value, bool) or not real or not (np.isfinite(value) or undefined):
        raise ParameterError(f"scoring={name} returned {value!r}; expected a finite number.")
    return float(value)
