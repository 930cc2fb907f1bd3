"""permutation_test(): how well models score that are trained on labels of other rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from gpulr.backend import host_memory, to_host
from gpulr.core.problem import Problem
from gpulr.errors import DataError, TrainingInterrupted
from gpulr.families.folds import Folds, check_folds, check_scored, split
from gpulr.families.scoring import tell_left_out, weight_of
from gpulr.families.seeds import check_seeded, seeds_of, told
from gpulr.families.settings import TrainingArguments
from gpulr.families.several_sets import Done, as_indicator, read_request
from gpulr.families.training_data import TrainingData
from gpulr.model.scores import Scorer
from gpulr.model.scores import scorer as scorer_of
from gpulr.solvers import Solution
from gpulr.solvers.groups import WORKING_BYTES, cut
from gpulr.validation.labels import LabelMatrix
from gpulr.validation.parameters import whole_number
from gpulr.words import counted

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class PermutationTest:
    """The score of the labels as they are, and the scores of permuted labels.

    Attributes
    ----------
    score : float
        The mean score over the folds, on held-out rows.
    scores : (n,) float64
        The same for each permutation.
    scoring : str
        Name of the score.
    """

    score: float
    scores: npt.NDArray[np.float64]
    scoring: str

    @property
    def p_value(self) -> float:
        """(1 + #{scores ≥ score}) / (n + 1).

        It is the probability of a score at least as good if labels had nothing to do with their
        rows, and says no more than that.
        """
        return float((1 + np.sum(self.scores >= self.score)) / (len(self.scores) + 1))

    def __repr__(self) -> str:
        as_good, n = int(np.sum(self.scores >= self.score)), len(self.scores)
        return (
            f"<PermutationTest: {self.scoring} {self.score:.4f}, as good in {as_good} of "
            f"{counted(n, 'permutation')}, p = {self.p_value:.4g}>"
        )


@host_memory
def permutation_test(
    X: Any,
    y: Any = None,
    *,
    n: int = 100,
    cv: Any = 5,
    groups: npt.ArrayLike | None = None,
    scoring: str | Callable[..., float] = "accuracy",
    random_state: int | np.random.Generator | None = 0,
    C: float | npt.ArrayLike = 1.0,
    **arguments: Unpack[TrainingArguments],
) -> PermutationTest:
    """Score models on labels that are permuted among the rows, and on the labels as they are.

    The models of all permutations, folds and classes are columns of one matrix, as many at once as
    fit in memory. As in scikit-learn's ``permutation_test_score``, ``cv`` splits each permutation
    anew.

    Parameters
    ----------
    X, y, C
        As for :func:`gpulr.train`. A matrix of labels is permuted by whole rows.
    n : int
        Number of permutations. No p-value is below 1 / (n + 1).
    cv, scoring
        As for :func:`gpulr.search`.
    groups : (n_samples,), optional
        Group of each row. Labels are permuted only within groups; splitters may also keep groups
        together.
    random_state : int, Generator or None
        Seed of the permutations, as for :func:`numpy.random.default_rng`; it may not be None with
        ``checkpoint``. Each permutation has its own stream, so a larger ``n`` begins with the same
        permutations.
    **arguments
        Further arguments of :func:`gpulr.train`. Scale, mean and standard deviation are those of
        all rows. ``sample_weight`` stays with the row, the weight of a class goes with the label.
        Callbacks are told of the columns that are trained at once.

    Returns
    -------
    PermutationTest

    Raises
    ------
    DataError
        X, y or the folds cannot be trained on; a fold trains on no row of some class.
    ParameterError
        A setting cannot be used.
    TrainingInterrupted
        Ctrl-C was pressed, or a callback asked for it; the error's ``result`` has the permutations
        that were done, if any.

    Warns
    -----
    ConvergenceWarning, FoldWarning, UndefinedScoreWarning, BackendFallbackWarning, ScaleWarning

    Examples
    --------
    >>> import gpulr
    >>> data = gpulr.datasets.load_digits()
    >>> gpulr.permutation_test(data.X[:300], data.y[:300], n=19, cv=3).p_value
    0.05
    """
    request = read_request("permutation_test", X, y, C, arguments)
    n = whole_number("n", n, least=1)
    check_seeded(random_state, request.place)
    inputs, labels = request.inputs, request.inputs.labels
    scorer = scorer_of(scoring, labels)
    if isinstance(cv, Iterable) and not hasattr(cv, "split"):
        cv = list(cv)
    groups = _check_groups(groups, len(labels.strata))
    by = None if isinstance(cv, int | np.integer) else groups  # stratified folds have no use of it
    first = split(cv, labels.strata, by)
    check_folds(first, labels, inputs.weight, inputs.sample_weight)
    tell_left_out(scorer, inputs, first.tests)
    seeds = seeds_of(random_state, n)
    orders = Orders(len(first.counts), seeds, groups)
    factor = None
    if isinstance(weights := arguments.get("class_weight"), Mapping):
        factor = labels.row_weight(None, weights)
    done: list[Done] = []
    of = {"random_state": told(random_state, seeds), "groups": groups, "scoring": scorer.name}
    with request.prepare(len(first) * (n + 1), n=n, cv=first.counts, **of) as training:
        for group in _groups(training.data, n + 1, len(first)):
            some = [orders.of(i) for i in group]
            folds = [
                split(cv, labels.strata[order], by) if i else first
                for i, order in zip(group, some, strict=True)
            ]
            for number, each in zip(group, folds, strict=True):
                check_scored(each, inputs.sample_weight, f" of permutation {number}")
            permuted = Permuted(training.data, some, folds, factor)
            score, shape = partial(permuted.scores, scorer=scorer), (len(group), len(first))
            one = training.train(permuted.problem(request.C), score, shape)
            if one is None:
                break
            done.append(one)
    scores = [float(np.mean(of_folds)) for one in done for of_folds in one.scores]
    result = PermutationTest(scores[0], np.array(scores[1:]), scorer.name) if scores else None
    if len(scores) <= n:
        raise TrainingInterrupted(
            f"The permutation test was interrupted after {max(0, len(scores) - 1)} of "
            f"{counted(n, 'permutation')}"
            + ("; these are in `.result` of this exception." if result else ".")
            + training.way_on,
            result=result,
        )
    training.warn(*(each.solution for each in done))
    assert result is not None
    return result


def _check_groups(groups: Any, n_samples: int) -> npt.NDArray[Any] | None:
    """Return the group of each row, (n_samples,), or None; raises DataError for other shapes."""
    found = None if groups is None else to_host(groups)
    if found is not None and found.shape != (n_samples,):
        raise DataError(
            f"groups has shape {found.shape}; expected one for each row, ({n_samples},)."
        )
    return found


def _groups(data: TrainingData, n: int, n_folds: int) -> list[npt.NDArray[np.int64]]:
    """Cut so many permutations into groups that are trained at once."""
    rows, k = data.rows, data.n_models
    column = data.settings.method().column_bytes(rows)
    # Of targets and weights a byte each.
    bytes_each = n_folds * k * column + rows.n_samples * (k + n_folds)
    return cut(n, bytes_each, WORKING_BYTES, rows.backend)


@dataclass(frozen=True, eq=False)
class Orders:
    """Whose label each row gets: first its own, then as each seed has it."""

    n_samples: int
    seeds: Sequence[np.random.SeedSequence]
    groups: npt.NDArray[Any] | None  # (n_samples,), within which labels stay; None: anywhere

    def of(self, number: int) -> Index:
        """Return the rows whose labels the rows get, (n_samples,)."""
        narrow = np.int32 if self.n_samples < 2**31 else np.int64
        every: Index = np.arange(self.n_samples, dtype=narrow)
        if number == 0:
            return every
        generator = np.random.default_rng(self.seeds[number - 1])
        if self.groups is None:
            return generator.permutation(every)
        order = every.copy()
        for group in np.unique(self.groups):
            rows = np.flatnonzero(self.groups == group)
            order[rows] = generator.permutation(rows)
        return order


@dataclass(frozen=True, eq=False)
class Permuted:
    """Labels in several orders: columns are those of each order, and in it of each fold."""

    data: TrainingData
    orders: list[Index]
    folds: list[Folds]  # of each order
    factor: npt.NDArray[np.float64] | None  # the weights of rows by their own labels

    def problem(self, C: float | list[float]) -> Problem:
        """Return the problem of all of them."""
        inputs, k, n = self.data.inputs, self.data.n_models, len(self.orders)
        indicator = [as_indicator(inputs.labels, order) for order in self.orders]
        labels = LabelMatrix(np.arange(n * k), np.concatenate(indicator, axis=1))
        sets, models = [], []
        for number, (order, folds) in enumerate(zip(self.orders, self.folds, strict=True)):
            factor = None if self.factor is None else self.factor[order, np.newaxis]
            sets.append(folds.counts if factor is None else folds.counts * factor)
            models.append(np.tile(number * k + np.arange(k), len(folds)))
        weight = inputs.weight if self.factor is None else inputs.sample_weight
        changed: dict[str, Any] = {"labels": labels, "weight": weight}
        if isinstance(pos_weight := inputs.pos_weight, list):
            changed["pos_weight"] = pos_weight * n
        rows = self.data.rows
        data = replace(
            self.data,
            inputs=replace(inputs, **changed),
            targets=labels.targets(rows.backend, rows.dtype),
        )
        weight_sets, which = np.concatenate(sets, axis=1), np.concatenate(models)
        return data.problem(
            C * n if isinstance(C, list) else C,
            weight_sets=weight_sets,
            models=which,
            set_index=np.repeat(np.arange(weight_sets.shape[1]), k),
        )

    def scores(self, solution: Solution, scorer: Scorer) -> Floats:
        """Return the score of each order on each of its folds, (n_orders, n_folds)."""
        inputs, k = self.data.inputs, self.data.n_models
        thetas = iter(np.split(solution.theta, solution.theta.shape[1] // k, axis=1))
        scores = np.zeros((len(self.orders), len(self.folds[0])))
        for number, (order, folds) in enumerate(zip(self.orders, self.folds, strict=True)):
            for fold, test in enumerate(folds.tests):
                (Z,) = self.data.margins([next(thetas)], test)
                truth = inputs.labels.truth(order[test])
                scores[number, fold] = scorer.function(Z, truth, weight_of(inputs, test))
        return scores
