"""The one loop around every solver: stopping, history, callbacks, interruption.

A solver advances by a burst of iterations, of which the host sees nothing until it asks the device
once for the figures of all of them; so the device is kept busy. The burst is then gone through
iteration by iteration, and what follows is the same for bursts of any length. NumPy has bursts of
one iteration. A :class:`Run` holds how far it has come; each function below maps one to the next.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import to_host
from gpulr.core.problem import Problem
from gpulr.errors import DivergenceError
from gpulr.solvers.rounding import last_look
from gpulr.solvers.solution import Callback, Progress, Solution
from gpulr.solvers.solver import Solver, State, measure, part_of
from gpulr.words import counted

Array = Any


def minimize(
    solver: Solver,
    problem: Problem,
    *,
    max_iter: int,
    tol: float,
    callbacks: Sequence[Callback] = (),
    models: npt.NDArray[np.int64] | None = None,
    start: Array | None = None,
    prepared: Any = None,
    begin: Callable[[Problem], State] | None = None,
    leaving: Callable[[npt.NDArray[np.int64], State], None] | None = None,
    interrupted: Callable[[], bool] = lambda: False,
) -> Solution:
    """Run ``solver`` on every model of ``problem``.

    A model has converged when the largest absolute entry of its gradient is ≤ ``tol``; it then
    keeps its parameters and leaves the matrix, so its result does not depend on how long its
    neighbours take. Where rounding may hide that it is not, it is computed anew, and a model that
    fails goes on. With ``tol=0`` exactly ``max_iter`` iterations are run.

    Figures come to the host after bursts of at most ``backend.check_every`` iterations, one
    transfer for each. A model that meets ``tol`` in the midst of one, or is ended there by a
    callback, keeps the parameters it had then.

    Parameters
    ----------
    callbacks : sequence of callables
        Each is called with a :class:`Progress` after every iteration, or when the burst is done
        that it belongs to; raising ``StopIteration`` ends training at that iteration.
    models : (n_models,) int64, optional
        How the columns are called in :class:`Progress`.
    start : (n_features + 1, n_models) float64, on the device, optional
        Where to begin; without, at zero.
    prepared : optional
        What ``solver.prepare`` returned for these rows, so that it is not done again.
    begin : callable, optional
        Returns the state to begin with, instead of ``solver.init``.
    leaving : callable, optional
        Called with models, as columns of ``problem``, when they are done, and their state at the
        end of the burst: up to ``check_every`` − 1 iterations further than their result.
    interrupted : callable
        Asked after every iteration whether to end the run there.

    Raises
    ------
    DivergenceError
        A cost is no longer finite.
    """
    k = problem.n_models
    models = np.arange(k) if models is None else models
    turn = problem.backend.turn(problem.rows.n_samples, problem.rows.n_features, k)
    calls = (callbacks, leaving, interrupted)
    task = Task(solver, max_iter, tol, models, *calls, turn, started=time.perf_counter())
    run = _begin(task, problem, start, prepared, begin)
    while not (run := _let_go(task, run)).result:
        run = _advance(task, run)
    return _solution(run)


@dataclass(frozen=True, slots=True)
class Task:
    """What a run is to do; see :func:`minimize`.

    It began at ``started``, by ``perf_counter``, and computes in ``turn``: see
    :meth:`gpulr.backend.Backend.turn`.
    """

    solver: Solver
    max_iter: int
    tol: float
    models: npt.NDArray[np.int64]
    callbacks: Sequence[Callback]
    leaving: Callable[[npt.NDArray[np.int64], State], None] | None
    interrupted: Callable[[], bool]
    turn: AbstractContextManager[object]
    started: float


@dataclass(frozen=True, slots=True)
class Start:
    """The state before any solver has begun."""

    theta: Array
    cost: Array
    gradient: Array


@dataclass(frozen=True, slots=True)
class Run:
    """How far a run has come: with its :class:`Task`, all that is needed to go on.

    Attributes
    ----------
    problem, state
        Of the columns in training: what ``select`` makes of the whole, and the solver's state.
    active : (n_active,) int64
        Which columns these are.
    ending : (n_active,) bool
        Which of them the last burst ended, so that they leave.
    figures : (2, n_models) float64
        Cost and gradient norm where each column is, or ended.
    columns : (n_models,) of COLUMN
        What is known of the end of each.
    burst : int
        Iterations until the figures are looked at again.
    iteration, seconds
        How many are done (-1: not even the start is known), and when the last one was.
    history : list of (figures, seconds)
        Entry i is of iteration i. The list is the one of the run before, with more entries.
    ended : tuple of ((n,) int64, (n_features + 1, n))
        Columns that have ended, and their parameters.
    result : str
        As in :class:`Solution`; empty while the run goes on.
    """

    problem: Problem
    state: Any
    active: npt.NDArray[np.int64]
    ending: npt.NDArray[np.bool_]
    figures: npt.NDArray[np.float64]
    columns: npt.NDArray[Any]
    burst: int = 1
    iteration: int = -1
    seconds: float = 0.0
    history: list[tuple[npt.NDArray[np.float64], float]] = field(default_factory=list)
    ended: tuple[tuple[npt.NDArray[np.int64], Array], ...] = ()
    result: str = ""


# As in Solution; and the norm at which a column is looked at: whether it has converged.
COLUMN = np.dtype(
    [("n_iter", np.int64), ("goal", np.float64)]
    + [(name, np.bool_) for name in ("converged", "stalled", "rounding")]
)


def _begin(
    task: Task,
    problem: Problem,
    start: Array | None,
    prepared: Any,
    begin: Callable[[Problem], State] | None,
) -> Run:
    """Return the run at its start, which has been looked at."""
    with task.turn, _quiet():
        state: Any
        if begin is not None:
            state = begin(problem)
        elif task.max_iter:
            state = task.solver.init(problem, start, prepared)
        else:  # nothing is trained, not even on a sample
            theta = problem.start() if start is None else start
            state = Start(theta, *problem.evaluate(theta))
        measured = problem.backend.xp.expand_dims(measure(state), axis=0)
    k = problem.n_models
    columns = np.zeros(k, COLUMN)
    columns["goal"] = task.tol
    run = Run(problem, state, np.arange(k), np.zeros(k, np.bool_), np.zeros((2, k)), columns)
    return _look(task, run, state, measured, [state.theta])


def _advance(task: Task, run: Run) -> Run:
    """Take a burst of iterations, and look at what came of each."""
    with task.turn, _quiet():
        advanced = task.solver.advance(run.problem, run.state, run.burst)
    return _look(task, run, *advanced)


def _let_go(task: Task, run: Run) -> Run:
    """Return the run without the columns that are ending."""
    backend, going = run.problem.backend, ~run.ending
    if task.leaving is not None and run.ending.any():
        task.leaving(run.active[run.ending], part_of(run.state, run.ending, backend))
    if run.result or going.all():
        return run
    return replace(
        run,
        problem=run.problem.select(backend.asarray(np.flatnonzero(going))),
        state=part_of(run.state, going, backend),
        active=run.active[going],
        ending=run.ending[going],
    )


def _look(task: Task, run: Run, state: Any, measured: Array, thetas: Sequence[Array]) -> Run:
    """Go through a burst, iteration by iteration, and say how long the next one is to be."""
    came, backend, n = to_host(measured), run.problem.backend, len(thetas)
    now = time.perf_counter() - task.started
    times = np.linspace(run.seconds, now, n + 1)[1:].tolist()
    figures, columns, iteration, ended = run.figures, run.columns, run.iteration, run.ended
    ending, result, burst = np.zeros(len(run.active), dtype=np.bool_), "", 0
    for figure, theta, seconds in zip(came, thetas, times, strict=True):
        going, iteration = ~ending, iteration + 1
        figures = figures.copy()
        figures[:, run.active[going]] = figure[:2, going]
        if not np.isfinite(figures).all():
            raise _divergence(task.models[~np.isfinite(figures).all(axis=0)], iteration)
        ends = np.zeros_like(going)
        if task.tol > 0:
            stuck = going & (figure[2] > 0.0 if len(figure) > 2 else False)
            near = figures[1, run.active] <= columns["goal"][run.active]
            look = stuck | (going & (near | (iteration >= task.max_iter)))
            if look.any():
                columns = _judge(task, run, figures, columns, theta, look, stuck)
                ends = going & (columns["converged"] | columns["stalled"])[run.active]
        run.history.append((figures, seconds))
        all_done = bool(np.all(ending | ends))
        if result := _tell(task, figures, columns, iteration, seconds, all_done=all_done):
            ends = going
        if ends.any():
            columns = columns.copy()
            columns["n_iter"][run.active[ends]] = iteration
            ended = (*ended, (run.active[ends], part_of(theta, ends, backend)))
            ending = ending | ends
        if result:
            break
    else:
        left = run.active[~ending]
        most = min(backend.check_every, task.max_iter - iteration)
        burst = _until_next_look(run.figures[1, left], figures[1, left], n, task.tol, most)
    still = (run.active, ending, figures, columns)
    return Run(
        run.problem, state, *still, burst, iteration, seconds, run.history, ended, result=result
    )


def _judge(
    task: Task,
    run: Run,
    figures: npt.NDArray[np.float64],
    columns: npt.NDArray[Any],
    theta: Array,
    look: npt.NDArray[np.bool_],
    stuck: npt.NDArray[np.bool_],
) -> npt.NDArray[Any]:
    """Return all columns after a last look at some of the active ones, whose norm it corrects."""
    which, backend = run.active[look], run.problem.backend
    found, columns = figures[1, which], columns.copy()
    norm, rounding = last_look(
        run.problem.select(backend.asarray(np.flatnonzero(look))),
        part_of(theta, look, backend),
        figures[0, which],
        found,
        stuck[look],
        task.tol,
    )
    converged = norm <= task.tol
    figures[1, which], columns["goal"][which] = norm, found / 4.0
    columns["converged"][which] = converged
    columns["stalled"][which] = stuck[look] & ~converged
    columns["rounding"][which] = rounding & ~converged
    return columns


def _tell(
    task: Task,
    figures: npt.NDArray[np.float64],
    columns: npt.NDArray[Any],
    iteration: int,
    seconds: float,
    *,
    all_done: bool,
) -> str:
    """Call the callbacks; returns the result of a run that ends here, else nothing."""
    result = ""
    if task.callbacks:
        cost, norm = figures.copy()
        converged = columns["converged"].copy()
        progress = Progress(iteration, task.max_iter, task.models, cost, norm, converged, seconds)
        try:
            for callback in task.callbacks:
                callback(progress)
        except StopIteration:
            result = "stopped"
        except KeyboardInterrupt:
            result = "interrupted"
    if task.interrupted():
        return "interrupted"
    if all_done and not result:
        return "stalled" if columns["stalled"].any() else "converged"
    return result or ("max_iter" if iteration >= task.max_iter else "")


def _solution(run: Run) -> Solution:
    """Return what a run that has ended found."""
    theta = np.zeros((run.problem.rows.n_features + 1, len(run.columns)))
    xp, (which, parts) = run.problem.backend.xp, zip(*run.ended, strict=True)
    theta[:, np.concatenate(which)] = to_host(xp.concat(list(parts), axis=1))
    figures, seconds = (np.asarray(each) for each in zip(*run.history, strict=True))
    cost, norm = np.ascontiguousarray(figures.transpose(1, 0, 2))
    n_iter, converged, stalled, rounding = (
        run.columns[name].copy() for name in ("n_iter", "converged", "stalled", "rounding")
    )
    return Solution(
        theta, n_iter, converged, cost, norm, seconds, stalled, rounding, result=run.result
    )


def _quiet() -> np.errstate:
    """Keep NumPy's warnings of overflow back: the loop itself looks for costs that are infinite."""
    return np.errstate(over="ignore", invalid="ignore")


def _divergence(models: npt.NDArray[np.int64], iteration: int) -> DivergenceError:
    who = f"{counted(len(models), 'model')} ({', '.join(map(str, models))})"
    return DivergenceError(
        f"The cost of {who} was no longer finite after {counted(iteration, 'iteration')}. Use a "
        "smaller learning_rate (None chooses a safe one), and scale the features to about 0…1."
    )


def _until_next_look(
    before: npt.NDArray[np.float64], now: npt.NDArray[np.float64], n: int, tol: float, most: int
) -> int:
    """Return how many iterations to take, at most ``most``, until a tenth of the models is done.

    That is, if gradients go on to fall as from ``before`` to ``now`` in the last ``n`` iterations;
    and at most twice as many as these. A model that goes on beyond ``tol`` costs its part of each
    iteration: bursts of 8 took the 500 models of a search (10,000 rows of MNIST) through 1.8 times
    as many iterations as they needed, with 44 looks, and these through 1.04 times, with 121.
    """
    if tol == 0.0:
        return most
    falls = now < before
    rate = np.log(np.where(falls, before, 1.0) / np.where(falls, now, 1.0)) / n
    left = np.where(falls, np.log(now / tol), np.inf) / np.where(falls, rate, 1.0)
    expected = float(np.sort(left)[len(left) // 10])
    return max(1, min(most, 2 * n, math.ceil(min(most, expected))))
