"""bootstrap(): how far the weights would vary with other rows of the same kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import host_memory, to_host
from gpulr.core.problem import Problem
from gpulr.errors import (
    ConvergenceWarning,
    DataError,
    ParameterError,
    TrainingInterrupted,
    WorkersLostError,
    warn,
)
from gpulr.families.advice import Advice, ends_of, how_to_converge
from gpulr.families.interrupt import closing, ctrl_c
from gpulr.families.intervals import Bootstrap
from gpulr.families.partitioned_data import PartitionedData
from gpulr.families.prepare import prepare
from gpulr.families.reading import read_inputs
from gpulr.families.resamples import Resamples, ResamplesElsewhere
from gpulr.families.settings import Settings
from gpulr.families.training_data import TrainingData
from gpulr.model.one_vs_all import OneVsAll
from gpulr.solvers import Solution, minimize
from gpulr.solvers.continuation import refreshed_together
from gpulr.solvers.groups import in_memory
from gpulr.solvers.lbfgs_start import resume
from gpulr.solvers.solution import Callback
from gpulr.validation.parameters import callables, inverse_penalty, whole_number
from gpulr.words import counted, shown

START_TOL = 1e-4  # of the fit that replicates start from, where their own is yet to be chosen
TYPICAL_ITERATIONS = 10.0  # that replicates take from the optimum of all rows
WAYS = ("poisson", "multinomial")  # to draw rows
ENDED = ("stopped", "interrupted")
# What one group of replicates may take; results do not depend on it, but for rounding.
GROUP_BYTES = 2**30
# Draws of a replicate, until every model has rows of both kinds.
MOST_DRAWS = 100
# Replicates that tell how much gradients differ, and the share of it that is left to each. On MNIST
# half of the weights are then within 0.2 % of a standard error of their optimum, and of pixels that
# vary 98 % of the standard errors are right within 3 %; with tol=1e-4, between 3/4 and
# 4 times as large as they should be.
PROBES, SHARE = 8, 0.003


@host_memory
def bootstrap(
    X: Any,
    y: Any = None,
    *,
    n: int = 200,
    weights: str = "poisson",
    random_state: int | np.random.Generator | None = None,
    backend: str = "auto",
    C: float | npt.ArrayLike = 1.0,
    sample_weight: npt.ArrayLike | None = None,
    class_weight: Mapping[Any, float] | str | None = None,
    pos_weight: float | npt.ArrayLike | None = None,
    scale: float | str | None = "auto",
    standardize: bool = False,
    max_iter: int = 2000,
    tol: float | None = None,
    dtype: npt.DTypeLike = "float32",
    callbacks: Sequence[Callback] = (),
    image_shape: tuple[int, ...] | None = None,
) -> Bootstrap:
    """Train every model on ``n`` resamples of the rows as well, as columns of one weight matrix.

    A replicate counts each row as often as it was drawn: it is what :func:`gpulr.train` finds with
    these counts as ``sample_weight``. ``C`` is the same for all, which is what an equal C means to
    scikit-learn on the resampled rows: the penalty is 1/(C m), with m the replicate's own sum of
    weights. Scale and centre are those of all rows; what is balanced is so by the rows drawn.

    Parameters
    ----------
    X, y, backend, C, class_weight, pos_weight, scale, standardize, max_iter, dtype, image_shape
        As for :func:`gpulr.train`. The solver is L-BFGS; ``max_iter`` is that of each group.
        Workers of a cluster draw what one process draws, so each draws the rows of all.
    n : int
        Replicates, at least 2. The ends of 95 % intervals want some hundreds.
    weights : "poisson" or "multinomial"
        How often a row is drawn: Poisson(1) each, independently, or as many draws with replacement
        as there are rows. A replicate in which some model has no row to answer with 1, or none
        with 0, is drawn again: the bootstrap is one given that every class is seen.
    random_state : int, Generator or None
        What :func:`numpy.random.default_rng` takes. Each replicate has its own stream, so that of a
        larger ``n`` the first are the same.
    sample_weight : (n_samples,), optional
        Goes with its row: a row of weight 2 is drawn as one row. Rows of weight 0 are not drawn.
    tol : float, optional
        As in :func:`gpulr.train`. None: 0.003 of how much gradients differ between replicates
        at the model of all rows, at most 1e-4. (With many rows, train's is nearly met at the start,
        and intervals come out wrong.) It is one number for all features; where these differ by
        orders of magnitude, use ``standardize``.
    callbacks : sequence of callables
        As in :func:`gpulr.train`. ``Progress.models`` counts columns: first those of the model of
        all rows, then those of each replicate, in groups as large as memory allows (1 GiB).
        ``StopIteration`` ends training; the replicates of groups that are done are returned.

    Returns
    -------
    Bootstrap

    Raises
    ------
    DataError
        As :func:`gpulr.train`, and for classes so small that no draw has rows of all.
    ParameterError, BackendUnavailableError, DivergenceError
        As :func:`gpulr.train`.
    TrainingInterrupted
        Ctrl-C; its ``model`` is that of all rows, and its ``result`` what was done: replicates of
        the groups that are finished.
    WorkersLostError
        A cluster is gone; its ``model`` is that of all rows.

    Warns
    -----
    ConvergenceWarning, BackendFallbackWarning, ScaleWarning

    Examples
    --------
    >>> import gpulr
    >>> data = gpulr.datasets.load_digits()
    >>> result = gpulr.bootstrap(data.X, data.y % 2, n=20, random_state=0)
    >>> result.coef.shape
    (20, 64, 1)
    """
    settings = Settings(
        scale=scale,
        standardize=standardize,
        max_iter=max_iter,
        tol=START_TOL if tol is None else tol,
        dtype=dtype,
    )
    n = whole_number("n", n, least=2)
    check_weights(weights)
    seeds = seeds_of(random_state, n)
    callbacks = callables(callbacks)
    inputs = read_inputs(X, y, image_shape, elsewhere=True).weighted(
        sample_weight, class_weight, pos_weight
    )
    k = inputs.labels.n_models
    C = inverse_penalty(C, k)
    n_passes = min(settings.max_iter, 20)
    with (
        prepare(
            inputs, settings, requested=backend, n_passes=n_passes, C=C, n_sets=n + 1, group_size=k
        ) as data,
        ctrl_c() as interrupted,
        closing(callbacks),
    ):
        replicates = Replicates(data, C, weights, seeds, callbacks, interrupted)
        state = State(settings.tol, tol_is_chosen=tol is not None)
        try:
            while not replicates.complete(state):
                state = replicates.step(state)
        except WorkersLostError as lost:
            whole = state.parts[0] if state.parts else lost.solution
            lost.model = None if whole is None else data.model(whole, C)
            raise
    data = replace(data, settings=replace(settings, tol=state.tol))
    whole, parts = state.parts[0], [part for part in state.parts[1:] if part.result not in ENDED]
    result = _result(data, data.model(whole, C), parts)
    if state.ended == "interrupted":
        raise TrainingInterrupted(
            f"The bootstrap was interrupted after {result.n_replicates} of "
            f"{counted(n, 'replicate')}; these are in `.result` of this exception, and the model "
            "of all rows in its `.model`.",
            result.model,
            result,
        )
    if data.settings.tol > 0 and whole.result not in ENDED:
        advice = _advice(whole, parts, data)
        if advice:
            warn(advice.message, ConvergenceWarning)
    return result


def _result(data: TrainingData, model: OneVsAll, parts: Sequence[Solution]) -> Bootstrap:
    """Return the model with the replicates of these groups."""
    ends = ends_of(*parts)["converged"] if parts else np.zeros(0, np.bool_)
    converged = ends.reshape(-1, data.n_models)
    theta = np.hstack([np.zeros((data.rows.n_features + 1, 0)), *(part.theta for part in parts)])
    arrays = data.parameters(theta, sets=(len(converged),))
    std = None
    if data.settings.standardize:
        scale = to_host(data.rows.scale)[:, 0]
        std = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale != 0.0)
    return Bootstrap(
        model=model,
        coef=arrays["weights"],
        intercept=arrays["intercept"],
        converged=converged,
        intercept_at_center=arrays.get("intercept_at_center"),
        feature_std=std,
    )


@dataclass(frozen=True, slots=True)
class State:
    """How far a bootstrap has come: all that is needed to go on."""

    tol: float
    tol_is_chosen: bool  # or is yet to be, by what resampling does to the gradients
    parts: tuple[Solution, ...] = ()  # of all rows, then of each group of replicates

    @property
    def ended(self) -> str:
        """How a callback or an interrupt ended it, or nothing."""
        result = self.parts[-1].result if self.parts else ""
        return result if result in ENDED else ""


@dataclass(frozen=True, eq=False)
class Replicates:
    """Resamples of the rows, of which only counts are made.

    Columns of the problems are replicate by replicate, and model by model in each.
    """

    data: TrainingData  # a row's weight is that of a row that is drawn once
    C: float | list[float]
    kind: str  # "poisson" or "multinomial"
    seeds: Sequence[np.random.SeedSequence]  # of each replicate
    callbacks: Sequence[Callback]
    interrupted: Callable[[], bool]

    @cached_property
    def every(self) -> Problem:
        """The problem of all rows."""
        return self.data.problem(self.C)

    @cached_property
    def groups(self) -> list[npt.NDArray[np.int64]]:
        """The replicates that are trained at once."""
        each: Any = {"width": self.data.n_models, "row_bytes": 1}
        method = self.data.settings.method()
        return in_memory(len(self.seeds), method, self.data.rows, GROUP_BYTES, **each)

    @cached_property
    def _prepared(self) -> Any:
        """What all columns share."""
        with np.errstate(over="ignore", invalid="ignore"):  # what is too large is told by an error
            return self.data.settings.method().prepare(self.every)

    def _train(self, problem: Problem, tol: float, **how: Any) -> Solution:
        method, max_iter = self.data.settings.method(), self.data.settings.max_iter
        return minimize(
            method,
            problem,
            max_iter=max_iter,
            tol=tol,
            callbacks=self.callbacks,
            prepared=self._prepared if max_iter else None,
            interrupted=self.interrupted,
            **how,
        )

    def complete(self, state: State) -> bool:
        """Whether there is nothing left to train."""
        done = len(state.parts)
        return bool(state.ended) or (done > 1 and done > len(self.groups))

    def step(self, state: State) -> State:
        """Train the model of all rows; or that again, to a tolerance; or the next replicates."""
        asarray, k, parts = self.every.backend.asarray, self.data.n_models, state.parts
        if not parts:
            return replace(state, parts=(self._train(self.every, state.tol),))
        theta = parts[0].theta
        if not state.tol_is_chosen:
            if (tol := self.tolerance(theta)) < START_TOL:
                parts = (self._train(self.every, tol, start=asarray(theta)),)
            return State(min(START_TOL, tol), tol_is_chosen=True, parts=parts)
        group = self.groups[len(parts) - 1]
        start = asarray(np.tile(theta, (1, len(group))))
        classes = np.tile(np.arange(k), len(group))

        def begin(problem: Problem) -> Any:
            state = resume(problem, start, self._prepared.curvature)
            n_iter = np.full(len(classes), TYPICAL_ITERATIONS)
            return refreshed_together(problem, state, self._prepared, classes, n_iter)

        part = self._train(
            self.problem(group),
            state.tol,
            begin=begin if self.data.settings.max_iter else None,
            start=start,
            models=np.arange((group[0] + 1) * k, (group[-1] + 2) * k),
        )
        return replace(state, parts=(*parts, part))

    def problem(self, group: npt.NDArray[np.int64]) -> Problem:
        """Return the problem of some replicates, (n_features + 1, len(group) · n_models).

        A replicate in which some model has rows of one kind only, which all rows together have
        not, has no optimum of any meaning, and is drawn again.

        Raises
        ------
        DataError
            A hundred draws are not enough.
        """
        elsewhere = isinstance(self.data, PartitionedData)
        of: Any = ResamplesElsewhere if elsewhere else Resamples
        resamples = of(self.data, self.kind, [self.seeds[r] for r in group])
        for _ in range(MOST_DRAWS):
            problem = self.data.problem(self.C, weight_sets=resamples.sets)
            both, any_ = self._kinds(problem)
            lacking = (self._possible & ~both) | ~any_
            again = np.flatnonzero(lacking.any(axis=1))
            if not len(again):
                return problem
            resamples.draw_again(again)
        names = self.data.inputs.labels.names[lacking.any(axis=0)][:10].tolist()
        raise DataError(
            f"{MOST_DRAWS} draws of the rows for replicate {group[again[0]]} all left classes "
            f"without rows (the last: {names}, or all but them). Merge classes that have a few "
            "rows only, or leave them out."
        )

    def tolerance(self, theta: npt.NDArray[np.float64]) -> float:
        """Return a tolerance that is small beside what resampling does to the gradients.

        Where the gradient of all rows is zero, those of replicates have entries of σ/√n_samples. A
        fixed tolerance may be larger, and all replicates then end where they start.
        """
        first = np.arange(min(PROBES, len(self.seeds)))
        problem = self.problem(first)
        xp, k = problem.backend.xp, self.data.n_models
        start = problem.backend.asarray(np.tile(theta, (1, len(first))))
        gradient = problem.evaluate(start).gradient
        norm = to_host(xp.max(xp.abs(gradient), axis=0)).reshape(-1, k)
        typical = np.sqrt(np.mean(norm**2, axis=0))
        # What float32 can tell of them, in sums over n_samples.
        eps = float(xp.finfo(self.data.rows.dtype).eps)
        least = 4.0 * eps * math.sqrt(self.data.rows.n_samples) * float(typical.max())
        return max(SHARE * float(typical[typical > 0.0].min(initial=np.inf)), least)

    @cached_property
    def _possible(self) -> npt.NDArray[np.bool_]:
        """Which models have rows of both kinds at all, (1, n_models)."""
        return self._kinds(self.every)[0]

    def _kinds(self, problem: Problem) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Tell which models have rows to answer with 1 and with 0, and which have any.

        Both are (n_replicates, n_models).
        """
        positive, negative = (
            to_host(count).reshape(-1, self.data.n_models) > 0 for count in problem.class_counts()
        )
        return positive & negative, positive | negative


def check_weights(weights: str) -> None:
    """Raise ParameterError for what is no way to draw rows."""
    if not isinstance(weights, str) or weights not in WAYS:
        raise ParameterError(f'weights={shown(weights)}; use "{WAYS[0]}" or "{WAYS[1]}".')


def seeds_of(random_state: Any, n: int) -> list[np.random.SeedSequence]:
    """Return a seed for each replicate, or raise ParameterError."""
    try:
        return np.random.default_rng(random_state).bit_generator.seed_seq.spawn(n)  # type: ignore
    except (TypeError, ValueError, AttributeError) as error:
        raise ParameterError(
            f"random_state={shown(random_state)}; expected a whole number ≥ 0, a NumPy Generator "
            "that was made from a seed, or None."
        ) from error


def _advice(whole: Solution, parts: Sequence[Solution], data: TrainingData) -> Advice | None:
    """Say once how many did not converge, and what to change; None if all did."""
    ends, k = ends_of(whole, *parts), data.n_models
    left = ~ends["converged"]
    return how_to_converge(
        ends,
        data.rows,
        data.settings,
        who=f"{left[k:].sum()} of {len(left) - k} models of replicates, and {left[:k].sum()} of "
        f"{k} of all rows,",
        which=f"; the largest gradient entry is {ends['gradient_norm'].max():.1e}",
        use="They are part of the intervals; for closer optima",
        or_else=", or lower C",
    )
