"""Replicates of a bootstrap: what is trained, in which order, and how far that has come."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import to_host
from gpulr.core.problem import Problem
from gpulr.errors import DataError
from gpulr.families.checkpoint import Kept
from gpulr.families.partitioned_data import PartitionedData
from gpulr.families.resamples import Resamples, ResamplesElsewhere
from gpulr.families.seeds import Seeds, restored, stored
from gpulr.families.training_data import TrainingData
from gpulr.solvers import Run, Solution, falls_short, minimize
from gpulr.solvers.continuation import refreshed_together
from gpulr.solvers.driver import EARLY
from gpulr.solvers.groups import in_memory
from gpulr.solvers.lbfgs_start import resume
from gpulr.solvers.lbfgs_state import Prepared
from gpulr.solvers.restoring import OTHERS, check_places
from gpulr.solvers.solution import Callback
from gpulr.words import counted

START_TOL = 1e-4  # of the fit that replicates start from, where their own is yet to be chosen
TYPICAL_ITERATIONS = 10.0  # that replicates take from the optimum of all rows
# What one group of replicates may take; results do not depend on it, but for rounding.
GROUP_BYTES = 2**30
# Draws of a replicate, until every model has rows of both kinds.
MOST_DRAWS = 100
# Replicates that tell how much gradients differ, and the share of it that is left to each. On MNIST
# half of the weights are then within 0.2 % of a standard error of their optimum, and of pixels that
# vary 98 % of the standard errors are right within 3 %; with tol=1e-4, between 3/4 and
# 4 times as large as they should be.
PROBES, SHARE = 8, 0.003


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """How far a bootstrap has come: all that is needed to go on."""

    tol: float
    tol_is_chosen: bool  # or is yet to be, by what resampling does to the gradients
    seeds: Seeds  # of each replicate
    # the replicates that are trained at once
    groups: Sequence[Annotated[npt.NDArray[np.int64], "(_,)"]]
    # of all rows, then of each group of replicates
    parts: Annotated[tuple[Solution, ...], OTHERS] = ()
    prepared: Annotated[Any, Prepared | float | None] = None  # what all columns share
    problem: Problem | None = None  # that comes next, where it is there already,
    run: Run | None = None  # and how far it has come

    def stored(self) -> dict[str, Any]:
        """Return what of it is in a file."""
        return {name: getattr(self, name) for name in STORED} | {"seeds": stored(self.seeds)}

    @classmethod
    def restored(cls, read: Callable[..., Any], replicates: Replicates) -> State:
        """Return a state of these from what :meth:`stored` returned, whose items are read."""
        every, groups, parts = replicates.every, read("groups"), read("parts")
        each = np.concatenate(groups)
        check_places(each, len(each), "replicates")
        for part, n in zip(parts, (1, *map(len, groups)), strict=False):
            part.check(every.rows, n * every.n_models)
        seeds, chosen = restored(read("seeds"), len(each)), read("tol_is_chosen")
        state = cls(read("tol"), chosen, seeds, groups, parts, read("prepared", every))
        if replicates.complete(state):
            return state
        problem = replicates.next_problem(state)
        return replace(state, problem=problem, run=read("run", problem))

    @property
    def ended(self) -> str:
        """How a callback or an interrupt ended it, or nothing."""
        result = self.parts[-1].result if self.parts else ""
        return result if result in EARLY else ""


STORED = "tol", "tol_is_chosen", "groups", "parts", "prepared", "run"


@dataclass(frozen=True, eq=False)
class Replicates:
    """Resamples of the rows, of which only counts are made.

    Columns of the problems are replicate by replicate, and model by model in each.
    """

    data: TrainingData  # a row's weight is that of a row that is drawn once
    C: float | list[float]
    kind: str  # "poisson" or "multinomial"
    callbacks: Sequence[Callback]
    interrupted: Callable[[], bool]
    keep: Callable[[State], object] | None = None  # called with each state to go on from
    tol_is_chosen: bool = True  # that of the settings is the one that is meant

    @cached_property
    def every(self) -> Problem:
        """The problem of all rows."""
        return self.data.problem(self.C)

    def begin(self, seeds: Seeds) -> State:
        """Return the state of which nothing has been trained."""
        rows, method = self.data.rows, self.data.settings.method()
        each: Any = {"width": self.data.n_models, "row_bytes": 1}
        groups = in_memory(len(seeds), method, rows, GROUP_BYTES, **each)
        return State(self.data.settings.tol, self.tol_is_chosen, seeds, groups)

    def within(self, state: State) -> State:
        """Return what of a state counts where so many iterations may be taken.

        That is what was trained before the first that had too few: all replicates begin at the
        model of all rows.
        """
        short = (falls_short(part, self.data.settings.max_iter) for part in state.parts)
        first = next((i for i, is_short in enumerate(short) if is_short), None)
        if first == 0:
            return self.begin(state.seeds)
        if first is None:
            return state
        return replace(state, parts=state.parts[:first], problem=None, run=None)

    def complete(self, state: State) -> bool:
        """Whether there is nothing left to train."""
        done = len(state.parts)
        return bool(state.ended) or (done > 1 and done > len(state.groups))

    def step(self, state: State) -> State:
        """Train the model of all rows; or that again, to a tolerance; or the next replicates."""
        method, max_iter = self.data.settings.method(), self.data.settings.max_iter
        if max_iter and state.prepared is None:
            # What is too large is told by an error.
            with np.errstate(over="ignore", invalid="ignore"):
                state = replace(state, prepared=method.prepare(self.every))
        further = self._step(replace(state, problem=None), state.problem, state.run)
        if self.keep is not None and not further.ended:
            self.keep(further)
        return further

    def _step(self, state: State, problem: Problem | None, run: Run | None) -> State:
        state = replace(state, run=None)
        if not state.parts:
            return replace(state, parts=(self._train(state, self.every, run),))
        theta, asarray = state.parts[0].theta, self.every.backend.asarray
        if not state.tol_is_chosen:
            tol, parts = self.tolerance(state), state.parts
            if tol < START_TOL:
                parts = (self._train(state, self.every, run, tol=tol, start=asarray(theta)),)
            return replace(state, tol=min(START_TOL, tol), tol_is_chosen=True, parts=parts)
        group, k, prepared = state.groups[len(state.parts) - 1], self.data.n_models, state.prepared
        start = asarray(np.tile(theta, (1, len(group))))
        classes = np.tile(np.arange(k), len(group))

        def begin(problem: Problem) -> Any:
            state = resume(problem, start, prepared.curvature)
            n_iter = np.full(len(classes), TYPICAL_ITERATIONS)
            return refreshed_together(problem, state, prepared, classes, n_iter)

        part = self._train(
            state,
            problem or self.next_problem(state),
            run,
            begin=begin if self.data.settings.max_iter else None,
            start=start,
            models=np.arange((group[0] + 1) * k, (group[-1] + 2) * k),
        )
        return replace(state, parts=(*state.parts, part))

    def _train(
        self, state: State, problem: Problem, run: Run | None, tol: float | None = None, **how: Any
    ) -> Solution:
        method, max_iter, keep = self.data.settings.method(), self.data.settings.max_iter, self.keep
        return minimize(
            method,
            problem,
            max_iter=max_iter,
            tol=state.tol if tol is None else tol,
            callbacks=self.callbacks,
            prepared=state.prepared,
            interrupted=self.interrupted,
            checkpoint=None if keep is None else lambda run: keep(replace(state, run=run)),
            resumed=run,
            **how,
        )

    def next_problem(self, state: State) -> Problem:
        """Return the problem that comes next."""
        if not state.parts or not state.tol_is_chosen:
            return self.every
        return self.problem(state.seeds, state.groups[len(state.parts) - 1])

    def problem(self, seeds: Seeds, group: npt.NDArray[np.int64]) -> Problem:
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
        resamples = of(self.data, self.kind, [seeds[r] for r in group])
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

    def tolerance(self, state: State) -> float:
        """Return a tolerance that is small beside what resampling does to the gradients.

        Where the gradient of all rows is zero, those of replicates have entries of σ/√n_samples. A
        fixed tolerance may be larger, and all replicates then end where they start.
        """
        theta, first = state.parts[0].theta, np.arange(min(PROBES, len(state.seeds)))
        problem = self.problem(state.seeds, first)
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


def about_bootstrap(state: State | None, result: State | None) -> dict[str, Any]:
    """Say how far a bootstrap has come, for whoever looks into its checkpoint."""
    now = result or state
    if now is None:
        return {}
    n, groups = len(now.seeds), now.groups[: max(0, len(now.parts) - 1)]
    done = sum(map(len, groups))
    about: dict[str, Any] = {"done": done, "replicates": n}
    about["where"] = f"{done:,} of {counted(n, 'replicate')}"
    if now.run is not None:
        of = "the next ones" if now.parts and now.tol_is_chosen else "the model of all rows"
        about |= {"iteration": now.run.iteration}
        about["where"] += f", iteration {now.run.iteration} of {of}"
    return about


KEPT = Kept(about_bootstrap, State, State)
