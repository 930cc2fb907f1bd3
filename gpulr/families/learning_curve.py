"""learning_curve(): how scores grow with the rows that models are trained on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import numpy.typing as npt

from gpulr.backend import host_memory
from gpulr.core.problem import Problem
from gpulr.errors import (
    DataError,
    ParameterError,
    TrainingInterrupted,
    UndefinedScoreWarning,
    warn,
)
from gpulr.families.folds import Folds, check_folds, check_labels, check_scored, count, split
from gpulr.families.inputs import Inputs
from gpulr.families.scoring import tell_left_out, weight_of
from gpulr.families.search_result import standard_errors
from gpulr.families.seeds import check_seeded
from gpulr.families.settings import TrainingArguments
from gpulr.families.several_sets import Done, as_indicator, read_request
from gpulr.families.training_data import TrainingData
from gpulr.model.score_table import frame_of
from gpulr.model.scores import Scorer
from gpulr.model.scores import scorer as scorer_of
from gpulr.solvers import Solution
from gpulr.validation.conversion import as_numpy
from gpulr.validation.labels import LabelMatrix
from gpulr.words import counted, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.integer[Any]]
FEW = 0.5  # of the rows: up to so many are taken apart, so that passes are over these alone


@dataclass(frozen=True, slots=True, eq=False)
class LearningCurve:
    """Scores of models that were trained on more and more rows.

    Attributes
    ----------
    train_sizes : (n_sizes,) int64
        Numbers of rows that models were trained on, the smallest first.
    train_scores, test_scores : (n_sizes, n_folds) float64
        Scores on these rows, and on those that the fold holds out; greater is better. NaN if the
        training rows lack a class and so leave the score undefined.
    scoring : str
        Name of the score.
    """

    train_sizes: npt.NDArray[np.int64]
    train_scores: Floats
    test_scores: Floats
    scoring: str

    @property
    def table(self) -> npt.NDArray[Any]:
        """One record for each size, with means over the folds and their standard errors."""
        columns: dict[str, npt.NDArray[Any]] = {"train_size": self.train_sizes}
        for name, scores in (("train", self.train_scores), ("test", self.test_scores)):
            columns[name] = scores.mean(axis=1)
            columns[f"{name}_standard_error"] = standard_errors(scores.T)
        dtype = [(name, column.dtype) for name, column in columns.items()]
        return np.array(list(zip(*columns.values(), strict=True)), dtype=dtype)

    def to_frame(self) -> Any:
        """Return :attr:`table` as a pandas DataFrame; pandas must be installed."""
        return frame_of(self.table)

    def __repr__(self) -> str:
        n_sizes, n_folds = self.test_scores.shape
        means = self.test_scores.mean(axis=1)
        return (
            f"<LearningCurve: {counted(n_sizes, 'size')} on {counted(n_folds, 'fold')}, held-out "
            f"{self.scoring} {means[0]:.4f} with {self.train_sizes[0]} rows, {means[-1]:.4f} with "
            f"{self.train_sizes[-1]}>"
        )

    def plot(self, ax: Axes | None = None, **how: Any) -> Axes:
        """Draw both scores against the sizes, as :func:`gpulr.show.learning_curve` does."""
        from gpulr.show import learning_curve

        return learning_curve(self, ax=ax, **how)


@host_memory
def learning_curve(
    X: Any,
    y: Any = None,
    *,
    train_sizes: npt.ArrayLike = (0.1, 0.325, 0.55, 0.775, 1.0),
    cv: Any = 5,
    groups: npt.ArrayLike | None = None,
    scoring: str | Callable[..., float] = "accuracy",
    random_state: int | np.random.Generator | None = 0,
    C: float | npt.ArrayLike = 1.0,
    **arguments: Unpack[TrainingArguments],
) -> LearningCurve:
    """Score models that are trained on more and more of each fold's rows.

    For each size, the models of all classes and folds are the columns of one matrix. Rows are put
    in a random order, the same for all folds, and a size takes the first of a fold's training rows.
    So a larger size has all rows of a smaller one, and more; and small sizes pass over few rows. A
    class that has none of these rows is learnt as absent, with one warning.

    Parameters
    ----------
    X, y, C
        As for :func:`gpulr.train`.
    train_sizes : (n_sizes,) array
        How many rows to train on: whole numbers, or shares > 0 and ≤ 1 of the first fold's training
        rows. Sizes that come out equal count once.
    cv, groups, scoring
        As for :func:`gpulr.search`.
    random_state : int, Generator or None
        Seed of the order, as for :func:`numpy.random.default_rng`; it may not be None with
        ``checkpoint``.
    **arguments
        Further arguments of :func:`gpulr.train`. Scale, mean and standard deviation are those of
        all rows; the scores use ``sample_weight`` too.

    Returns
    -------
    LearningCurve

    Raises
    ------
    DataError
        X, y or the folds cannot be trained on; the first rows of a fold have no weight.
    ParameterError
        A setting cannot be used.
    TrainingInterrupted
        Ctrl-C was pressed, or a callback asked for it; the error's ``result`` has the sizes that
        were done, if any.

    Warns
    -----
    ConvergenceWarning, FoldWarning, UndefinedScoreWarning, BackendFallbackWarning, ScaleWarning

    Examples
    --------
    >>> import gpulr
    >>> curve = gpulr.learning_curve(gpulr.datasets.load_digits(), cv=3)
    >>> curve.train_sizes
    array([ 96, 312, 528, 744, 961])
    """
    request = read_request("learning_curve", X, y, C, arguments)
    inputs, labels = request.inputs, request.inputs.labels
    scorer = scorer_of(scoring, labels)
    check_seeded(random_state, request.place)
    folds = split(cv, labels.strata, groups)
    if not labels.multilabel:  # else it is the rows of each size that are looked at
        check_folds(folds, labels, inputs.weight, None)
    check_scored(folds, inputs.sample_weight)
    try:
        generator = np.random.default_rng(random_state)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"random_state={shown(random_state)}: {error}.") from error
    n_samples = len(folds.counts)
    narrow = np.int32 if n_samples < 2**31 else np.int64
    order = generator.permutation(np.arange(n_samples, dtype=narrow))
    # Rows that a splitter repeats are there as often.
    trains = [np.repeat(order, counts[order]) for counts in folds.counts.T]
    sizes = check_sizes(train_sizes, len(trains[0]))
    sets = [[train[:size] for train in trains] for size in sizes]
    # A byte for each row, size and fold.
    counts = np.empty((n_samples, len(sizes), len(folds)), folds.counts.dtype)
    for number, fold in np.ndindex(counts.shape[1:]):
        counts[:, number, fold] = count(sets[number][fold], n_samples)
    every = Folds(counts.reshape(n_samples, -1), folds.tests * len(sizes))
    indicator = as_indicator(labels, slice(None))
    check_labels(every, LabelMatrix(labels.names, indicator), inputs.weight, sizes.tolist())
    scored = [*folds.tests, *(rows for each in sets for rows in each)]
    tell_left_out(scorer, inputs, scored, "Held-out or training rows")
    done: list[Done] = []
    of = {"train_sizes": sizes, "cv or random_state": counts.reshape(n_samples, -1)}
    with request.prepare(len(folds), scoring=scorer.name, **of) as training:
        for own, trained in zip(counts.swapaxes(0, 1), sets, strict=True):

            def score(solution: Solution, trained: Any = trained) -> Floats:
                # Of all rows at once: those of large sizes are nearly all.
                margins = training.data.margins(np.split(solution.theta, len(folds), axis=1))
                each = zip(margins, trained, folds.tests, strict=True)
                return np.array([_scores(scorer, inputs, Z, *both) for Z, *both in each])

            one = training.train(_problem(training.data, request.C, own), score, (len(folds), 2))
            if one is None:
                break
            done.append(one)
    result = None
    if done:
        on_train, on_test = np.moveaxis(np.array([each.scores for each in done]), 2, 0)
        result = LearningCurve(sizes[: len(done)], on_train, on_test, scorer.name)
    if result is None or len(done) < len(sizes):
        raise TrainingInterrupted(
            f"The learning curve was interrupted after {len(done)} of "
            f"{counted(len(sizes), 'size')}"
            + ("; these are in `.result` of this exception." if result else ".")
            + training.way_on,
            result=result,
        )
    training.warn(*(each.solution for each in done))
    if undefined := int(np.isnan(result.train_scores).sum()):
        warn(
            f"{scorer.name} is undefined on the training rows of {undefined} of "
            f"{counted(result.train_scores.size, 'fold')} of all sizes, which lack a class: their "
            "train_scores are NaN. Use larger train_sizes, or another score.",
            UndefinedScoreWarning,
        )
    return result


def _problem(data: TrainingData, C: float | list[float], counts: npt.NDArray[Any]) -> Problem:
    """Return the problem of all folds; where most rows are in none of them, on the others alone."""
    problem, used = data.problem(C, weight_sets=np.ascontiguousarray(counts)), counts.any(axis=1)
    if used.mean() > FEW:
        return problem
    return problem.sample(problem.backend.asarray(np.flatnonzero(used)))


def _scores(
    scorer: Scorer, inputs: Inputs, Z: npt.NDArray[Any], train: Index, test: Index
) -> list[float]:
    """Return the scores of training and held-out rows, of margins of all.

    Few training rows may have none of a class, which leaves some scores undefined: NaN.
    """
    scores = [np.nan, np.nan]
    for place, rows in enumerate((train, test)):
        with suppress(DataError) if place == 0 else nullcontext():
            truth, weight = inputs.labels.truth(rows), weight_of(inputs, rows)
            scores[place] = scorer.function(Z[rows], truth, weight)
    return scores


def check_sizes(train_sizes: Any, most: int) -> npt.NDArray[np.int64]:
    """Return numbers of rows, the fewest first, of whole numbers up to ``most`` or of shares.

    Raises ParameterError where they are neither.
    """
    sizes = as_numpy(train_sizes, "train_sizes")
    whole = sizes.dtype.kind in "iu"
    if sizes.ndim != 1 or not len(sizes) or not (whole or sizes.dtype.kind == "f"):
        sizes = np.zeros(1)  # which are refused
    if not np.all((sizes > 0) & (sizes <= (most if whole else 1.0))):
        raise ParameterError(
            f"train_sizes={shown(train_sizes)}; expected whole numbers from 1 to {most}, the rows "
            "that the first fold trains on, or shares > 0 and ≤ 1 of them (1.0 is all)."
        )
    return np.unique(sizes if whole else np.maximum(1, sizes * most)).astype(np.int64)
