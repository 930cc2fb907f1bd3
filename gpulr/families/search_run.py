"""A search from its first model to the one that is refitted: how far it is, and going on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gpulr.errors import WorkersLostError
from gpulr.families.checkpoint import Kept
from gpulr.families.cross_validation import CLOSER, CrossValidation, SearchProgress, at_tolerance
from gpulr.families.interrupt import closing
from gpulr.families.path import Path
from gpulr.families.search_result import choose, choose_each
from gpulr.model.scores import Scorer
from gpulr.solvers import Run, Solution, falls_short, minimize
from gpulr.solvers.continuation import Continuation, Ended
from gpulr.solvers.driver import EARLY
from gpulr.words import counted

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SearchTask:
    """What a search is to do."""

    models: CrossValidation
    scorer: Scorer
    per_model: bool
    refit: bool | str

    def score(self, path: Path) -> Floats:
        """Return the scores of the values of C that are done; see :meth:`Path.score`."""
        return path.score(self.scorer, per_model=self.per_model)


@dataclass(frozen=True, eq=False)
class SearchState:
    """How far a search has come: with its task, all that is needed to go on."""

    path: Path
    scores: Floats | None = None  # of the values of C that are done, once none is in training
    run: Run | None = None  # of the model that is refitted,
    solution: Solution | None = None  # and where that ended
    seconds: float = 0.0  # that it took

    @classmethod
    def restored(cls, read: Callable[..., Any], task: SearchTask) -> SearchState:
        """Return a state of this task from its fields, which are read."""
        path, scores, run = read("path", task.models), read("scores"), None
        solution, data = read("solution"), task.models.data
        if solution is not None:
            solution.check(data.rows, data.n_models)
        shape = len(task.models.folds), int(path.done.sum()), data.n_models
        if scores is not None and scores.shape != shape[: 3 if task.per_model else 2]:
            raise ValueError(f"scores of {scores.shape}")
        if path.complete and scores is not None and task.refit:
            run = read("run", path.task.data.problem(chosen(task, path, scores).C))
        return cls(path, scores, run, solution, read("seconds"))


def finished(task: SearchTask, state: SearchState) -> bool:
    """Whether there is nothing left to train."""
    path, solution = state.path, state.solution
    if not path.complete or path.stopped or path.lost is not None or state.scores is None:
        return False
    return not task.refit or (solution is not None and solution.result not in EARLY)


def within(task: SearchTask, state: SearchState) -> SearchState:
    """Return what of a state counts where so many iterations may be taken.

    Models begin where those with the C before ended: so that all begin anew where some had too few.
    """
    max_iter, too_few = task.models.data.settings.max_iter, state.path.too_few
    if too_few is not None and too_few < max_iter:
        return SearchState(task.models.begin())
    solution = state.solution
    if solution is None or task.refit == "mean" or not falls_short(solution, max_iter):
        return state
    return replace(state, run=None, solution=None)


def go_on(
    task: SearchTask,
    state: SearchState,
    callbacks: Sequence[Callable[[SearchProgress], object]],
    interrupted: Callable[[], bool],
    keep: Callable[[SearchState], object] | None = None,
) -> SearchState:
    """Train, score and refit what is left to do; see :func:`finished` for whether all was done.

    ``keep`` is called with each state that can be gone on with.
    """
    started, before = time.perf_counter() - state.seconds, state

    def timed(**changes: Any) -> SearchState:
        return replace(before, seconds=time.perf_counter() - started, **changes)

    def kept(**changes: Any) -> SearchState:
        now = timed(**changes)
        if keep is not None:
            keep(now)
        return now

    with closing(callbacks):
        path = task.models.train(
            state.path,
            callbacks,
            interrupted,
            keep=None if keep is None else lambda path: kept(path=path),
            seconds=state.seconds,
        )
    scores = state.scores
    if scores is None:
        scores = task.score(path)
    if path.stopped or path.lost is not None:
        return timed(path=path, scores=scores)
    before = kept(path=path, scores=scores)
    if not task.refit:
        return before
    choice, settings = chosen(task, path, scores), path.task.data.settings
    try:
        solution = minimize(
            path.task.solver,
            path.task.data.problem(choice.C),
            max_iter=0 if choice.known else settings.max_iter,
            tol=settings.tol if choice.known else settings.tol / CLOSER,
            start=path.mean_theta(choice.Cs),
            prepared=path.prepared,
            interrupted=interrupted,
            checkpoint=None if keep is None else lambda run: kept(run=run),
            resumed=state.run,
        )
    except WorkersLostError as lost:
        return timed(path=replace(path, lost=lost))
    solution = at_tolerance(solution, settings.tol)
    if solution.result in EARLY:
        return timed(solution=solution)
    return kept(run=None, solution=solution)


class Choice(NamedTuple):
    """What the refitted model is trained with, and from."""

    C: Any  # one, or for each model one
    Cs: Any  # as Path.mean_theta takes them
    known: bool  # its parameters are the mean of those of folds


def chosen(task: SearchTask, path: Path, scores: Floats) -> Choice:
    """Return what scores choose: one C, or of (n_folds, n_Cs, n_models) one for each model.

    The model begins at the mean of the folds' parameters there. With "mean", each fold has its own
    best C, and the mean of their parameters and that of these C are the result.
    """
    Cs, refit = task.models.Cs, task.refit
    pick: Any = choose_each if scores.ndim == 3 else choose
    C = np.asarray(pick(scores, Cs)[refit == "1se"])
    if refit != "mean":
        return Choice(C, C, False)
    own = np.stack([np.atleast_1d(pick(of_fold[np.newaxis], Cs)[0]) for of_fold in scores])
    each = np.where(np.isnan(scores).any(axis=1).reshape(len(scores), -1), C, own)
    return Choice(each.mean(axis=0).reshape(C.shape), each, True)


def about_search(state: SearchState | None, result: SearchState | None) -> dict[str, Any]:
    """Say how far a search has come, for whoever looks into its checkpoint."""
    state = result or state
    if state is None:
        return {}
    path = state.path
    done, n_Cs = int(path.done.sum()), len(path.task.Cs)
    where = f"{done} of {counted(n_Cs, 'value')} of C"
    about = {"done": done, "models_done": path.n_trained, "models": int(path.ends.size)}
    if result is not None:
        where = f"done, {counted(n_Cs, 'value')} of C"
    elif path.complete:
        about["iteration"] = 0 if state.run is None else state.run.iteration
        where += f", iteration {about['iteration']} of the refitted model"
    else:
        run = path.run
        about["iteration"] = 0 if run is None else run.iteration
        about["models_done"] += 0 if run is None else int(run.columns["converged"].sum())
        where += (
            f", {about['models_done']:,} of {counted(path.ends.size, 'model')}; C = {path.C:.4g} "
            f"at iteration {about['iteration']}"
        )
    return {"where": where, **about, "seconds": state.seconds}


KEPT = Kept(about_search, SearchState, SearchState, (Path, Continuation, Ended))
