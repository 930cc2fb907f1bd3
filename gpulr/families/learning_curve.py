"""learning_curve(): how scores grow with the rows that models are trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import numpy.typing as npt

from gpulr.backend import host_memory
from gpulr.errors import ParameterError, TrainingInterrupted
from gpulr.families.folds import Folds, check_folds, split
from gpulr.families.search_result import frame_of, standard_errors
from gpulr.families.settings import TrainingArguments
from gpulr.families.several_sets import as_indicator, read_request
from gpulr.model.scores import scorer as scorer_of
from gpulr.validation.conversion import as_numpy
from gpulr.validation.labels import LabelMatrix
from gpulr.words import counted, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class LearningCurve:
    """Scores of models that were trained on more and more rows.

    Attributes
    ----------
    train_sizes : (n_sizes,) int64
        Rows that models were trained on, the fewest first.
    train_scores, test_scores : (n_sizes, n_folds) float64
        On these rows, and on those that the fold holds out; the greater the better.
    scoring : str
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
        """Return :attr:`table` as a pandas DataFrame; pandas has to be installed."""
        return frame_of(self.table)

    def __repr__(self) -> str:
        n_sizes, n_folds = self.test_scores.shape
        means = self.test_scores.mean(axis=1)
        return (
            f"<LearningCurve: {counted(n_sizes, 'size')} on {counted(n_folds, 'fold')}, held-out "
            f"{self.scoring} {means[0]:.4f} with {self.train_sizes[0]} rows, {means[-1]:.4f} with "
            f"{self.train_sizes[-1]}>"
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw both scores along the sizes; see :func:`gpulr.show.learning_curve`."""
        from gpulr.show import learning_curve

        return learning_curve(self, ax=ax)


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

    The models of all classes, folds and sizes are the columns of one matrix. A fold's training rows
    are put in a random order, and a size stands for the first of them: what larger sizes have
    beside a smaller one's rows is more rows. A class of which these have none is learnt as never
    there, with one warning.

    Parameters
    ----------
    X, y, C
        As for :func:`gpulr.train`.
    train_sizes : (n_sizes,) array
        How many rows: whole numbers, or shares > 0 and ≤ 1 of the first fold's training rows. Sizes
        that come out equal count once.
    cv, groups, scoring
        As for :func:`gpulr.search`.
    random_state : int, Generator or None
        What :func:`numpy.random.default_rng` takes.
    **arguments
        Further arguments of :func:`gpulr.train`. Scale, mean and standard deviation are those of
        all rows; ``sample_weight`` counts in the scores too.

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
        Ctrl-C, or a callback's wish; nothing is known then.

    Warns
    -----
    ConvergenceWarning, FoldWarning, BackendFallbackWarning, ScaleWarning

    Examples
    --------
    >>> import gpulr
    >>> curve = gpulr.learning_curve(gpulr.datasets.load_digits(), cv=3)
    >>> curve.train_sizes
    array([ 119,  389,  658,  928, 1198])
    """
    request = read_request("learning_curve", X, y, C, arguments)
    inputs, labels = request.inputs, request.inputs.labels
    scorer = scorer_of(scoring, labels)
    folds = split(cv, labels.strata, groups)
    check_folds(folds, labels, inputs.weight, inputs.sample_weight)
    try:
        generator = np.random.default_rng(random_state)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"random_state={shown(random_state)}: {error}.") from error
    # Rows that a splitter repeats are there as often.
    trains = [generator.permutation(np.repeat(np.arange(len(c)), c)) for c in folds.counts.T]
    sizes = check_sizes(train_sizes, len(trains[0]))
    sets = [train[:size] for size in sizes for train in trains]
    counts = np.stack([np.bincount(rows, minlength=len(folds.counts)) for rows in sets], axis=1)
    subsets = Folds(counts.astype(folds.counts.dtype), folds.tests * len(sizes))
    indicator = as_indicator(labels, np.arange(len(counts)))
    check_folds(subsets, LabelMatrix(labels.names, indicator), inputs.weight, None)
    with request.prepare(len(sets)) as training:
        data = training.data
        solution = training.train(data.problem(request.C, weight_sets=subsets.counts))
        if solution is None:
            raise TrainingInterrupted("The models of the learning curve were interrupted.")
        scores, weight = np.zeros((2, len(sets))), inputs.sample_weight
        # Of all rows at once: subsets are nearly all of them, and would be copied.
        margins = data.margins(np.split(solution.theta, len(sets), axis=1))
        for number, (Z, *parts) in enumerate(zip(margins, sets, subsets.tests, strict=True)):
            for scored, rows in zip(scores, parts, strict=True):
                own = np.ones(len(rows)) if weight is None else weight[rows]
                scored[number] = scorer.function(Z[rows], labels.truth(rows), own)
    training.warn(solution)
    on_train, on_test = scores.reshape(2, len(sizes), -1)
    return LearningCurve(sizes, on_train, on_test, scorer.name)


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
