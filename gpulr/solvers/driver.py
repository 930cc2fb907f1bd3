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
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import to_host
from gpulr.core.problem import Problem
from gpulr.errors import DivergenceError, WorkersLostError
from gpulr.solvers.rounding import last_look
from gpulr.solvers.run import COLUMN, ENDS, Run
from gpulr.solvers.solution import Callback, Progress, Solution
from gpulr.solvers.solver import Solver, State, measure, part_of
from gpulr.words import counted

Array = Any
Floats = npt.NDArray[np.float64]


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
    checkpoint: Callable[[Run], object] | None = None,
    resumed: Run | None = None,
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
    checkpoint : callable, optional
        Called with the run whenever it can be gone on with: before each burst, and where a callback
        or an interrupt ends it (in the midst of a burst not: it is what it was before that).
    resumed : Run, optional
        One of these, of the same problem, to go on with: to the same bits, on the CPU. Callbacks
        are told first of the iteration it has come to. A ``max_iter`` that it is beyond ends it.

    Raises
    ------
    DivergenceError
        A cost is no longer finite.
    WorkersLostError
        Rows are gone that were elsewhere; its ``solution`` is what there was before.
    """
    rows, k = problem.rows, problem.n_models
    models = np.arange(k) if models is None else models
    calls = (
        callbacks,
        leaving,
        interrupted,
        problem.backend.turn(rows.n_samples, rows.n_features, k),
    )
    started = time.perf_counter() - (0.0 if resumed is None else resumed.seconds)
    task = Task(solver.aiming(tol), max_iter, tol, models, *calls, started=started)
    if resumed is None:
        run = _begin(task, problem, start, prepared, begin)
    else:
        run = _go_on(task, resumed)
    while True:
        if checkpoint is not None and (open_ := _reopened(run)) is not None:
            checkpoint(open_)
        if (run := _let_go(task, run)).result:
            return _solution(run)
        try:
            run = _advance(task, run)
        except WorkersLostError as error:
            error.solution = _solution(_left_off(run))
            raise


@dataclass(frozen=True, slots=True)
class Task:
    """What a run is to do; see :func:`minimize`."""

    solver: Solver
    max_iter: int
    tol: float
    models: npt.NDArray[np.int64]
    callbacks: Sequence[Callback]
    leaving: Callable[[npt.NDArray[np.int64], State], None] | None
    interrupted: Callable[[], bool]
    turn: AbstractContextManager[object]  # to compute in: see gpulr.backend.Backend.turn
    started: float  # by perf_counter


# NumPy's warnings are kept back: the loop itself looks for costs that are not finite.
OVERFLOW: Any = {"over": "ignore", "invalid": "ignore"}
EARLY = ("stopped", "interrupted")  # the results of runs that were ended, though they could go on


def _begin(task: Task, problem: Problem, start: Array | None, prepared: Any, begin: Any) -> Run:
    """Return the run at its start, which has been looked at."""
    with task.turn, np.errstate(**OVERFLOW):
        if begin is not None:
            state = begin(problem)
        elif task.max_iter:
            state = task.solver.init(problem, start, prepared)
        else:  # nothing is trained, not even on a sample
            theta = problem.start() if start is None else start
            state = State(theta, *problem.evaluate(theta))
        measured = measure(state)[None, :, :]
    k = problem.n_models
    columns = np.zeros(k, COLUMN)
    columns["goal"] = task.tol
    run = Run(problem, state, np.arange(k), np.zeros(k, np.bool_), np.zeros((2, k)), columns)
    return _look(task, run, state, measured, [state.theta])


def _go_on(task: Task, run: Run) -> Run:
    """Return a run that was reopened, once callbacks have been told where it goes on."""
    result = _tell(task, run)
    if not result and run.ending.all():
        return replace(run, result=_result(run.columns))
    if not result and run.iteration >= task.max_iter:
        result = "max_iter"
    if result:
        return replace(_end(run, ~run.ending, run.state.theta), result=result)
    most = run.problem.backend.check_every, task.max_iter - run.iteration
    return replace(run, burst=max(1, min(run.burst, *most)))


def _reopened(run: Run) -> Run | None:
    """Return a run as it goes on, or would have had it not been ended; None: it is done.

    Or it is beyond where it was ended.
    """
    if not run.result:
        return run
    if run.result not in EARLY or run.beyond:
        return None
    open_ = np.isin(run.active, run.ended[-1][0])
    return replace(run, result="", ending=run.ending & ~open_, ended=run.ended[:-1])


def _advance(task: Task, run: Run) -> Run:
    """Take a burst of iterations, and look at what came of each."""
    norms = run.history[0][0][1, run.active], run.figures[1, run.active]
    with task.turn, np.errstate(**OVERFLOW):
        state = task.solver.look(run.problem, run.state, *norms)
        advanced = task.solver.advance(run.problem, state, run.burst)
    return _look(task, run, *advanced)


def _let_go(task: Task, run: Run) -> Run:
    """Return the run without the columns that are ending."""
    if not run.ending.any():
        return run
    backend, going = run.problem.backend, ~run.ending
    if (refreshes := getattr(run.state, "refreshes", None)) is not None:
        columns = run.columns.copy()
        columns["refreshes"][run.active[run.ending]] = to_host(refreshes)[run.ending]
        run = replace(run, columns=columns)
    if task.leaving is not None:
        task.leaving(run.active[run.ending], part_of(run.state, run.ending, backend))
    if run.result:
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
    came, before, n = to_host(measured), run, len(thetas)
    each = (time.perf_counter() - task.started - run.seconds) / n
    for beyond, figures, theta in zip(reversed(range(n)), came, thetas, strict=True):
        run = _iteration(task, run, state, figures, theta, run.seconds + each)
        if run.result:
            return replace(run, beyond=beyond) if beyond else run
    most = run.problem.backend.check_every, task.max_iter - run.iteration
    burst = int(min(*most, task.solver.until_look(state)))
    if burst > 1:
        left = run.active[~run.ending]
        norms = before.figures[1, left], run.figures[1, left]
        burst = _until_next_look(*norms, n, task.tol, burst)
    return run if burst == run.burst else replace(run, burst=burst)


def _iteration(
    task: Task, run: Run, state: Any, measured: Floats, theta: Array, seconds: float
) -> Run:
    """Return the run after one more iteration, of which these are the figures and parameters.

    The state is that at the end of the burst.
    """
    going, figures, columns = ~run.ending, run.figures.copy(), run.columns.copy()
    figures[:, run.active[going]] = measured[:2, going]
    iteration = run.iteration + 1
    run = replace(
        run, state=state, figures=figures, columns=columns, iteration=iteration, seconds=seconds
    )
    if not np.isfinite(figures).all():
        lost = task.models[~np.isfinite(figures).all(axis=0)]
        raise DivergenceError(
            f"The cost of {counted(len(lost), 'model')} ({', '.join(map(str, lost))}) was no "
            f"longer finite after {counted(iteration, 'iteration')}. Use a smaller "
            "learning_rate (None chooses a safe one), and scale the features to about 0…1."
        )
    ends = np.zeros_like(going)
    if task.tol > 0:
        stuck = going & (measured[2] > 0.0 if len(measured) > 2 else False)
        near = figures[1, run.active] <= columns["goal"][run.active]
        look = stuck | (going & (near | (iteration >= task.max_iter)))
        if look.any():
            _judge(task, run, theta, look, stuck[look])
            ends = going & (columns["converged"] | columns["stalled"])[run.active]
    run.history.append((figures, seconds))
    result = _tell(task, run)
    if not result and np.all(run.ending | ends):
        result = _result(columns)
    if not result and iteration >= task.max_iter:
        result = "max_iter"
    if result in EARLY:  # what goes on is apart from what is done
        run, ends = _end(run, ends, theta), going & ~ends
    elif result:
        ends = going
    if result or ends.any():
        run = replace(_end(run, ends, theta), result=result)
    return run


def _result(columns: npt.NDArray[Any]) -> str:
    """Return how a run ended of which all columns are done."""
    return "stalled" if columns["stalled"].any() else "converged"


def _end(run: Run, ends: npt.NDArray[np.bool_], theta: Array) -> Run:
    """Return the run with active columns that are flagged ended, at parameters of all of them."""
    columns = run.columns.copy()
    columns["n_iter"][run.active[ends]] = run.iteration
    ended = (run.active[ends], part_of(theta, ends, run.problem.backend))
    return replace(run, columns=columns, ending=run.ending | ends, ended=(*run.ended, ended))


def _judge(
    task: Task, run: Run, theta: Array, look: npt.NDArray[np.bool_], stuck: npt.NDArray[np.bool_]
) -> None:
    """Take a last look at some of the active columns, and write down what they are found to be."""
    which, backend = run.active[look], run.problem.backend
    problem = run.problem
    if not look.all():
        problem = problem.select(backend.asarray(np.flatnonzero(look)))
    cost, found = run.figures[:, which]
    theta = part_of(theta, look, backend)
    norm, rounding = last_look(problem, theta, cost, found, stuck, task.tol)
    converged = norm <= task.tol
    if (converged & ~stuck).any():
        converged &= stuck | task.solver.settled(problem, run.state, theta, task.tol)
    run.figures[1, which], run.columns["goal"][which] = norm, found / 4.0
    run.columns["converged"][which] = converged
    run.columns["stalled"][which] = stuck & ~converged
    run.columns["rounding"][which] = rounding & ~converged


def _tell(task: Task, run: Run) -> str:
    """Call the callbacks; returns the result of a run that ends by them, else nothing."""
    result = ""
    if task.callbacks:
        (cost, norm), converged = run.figures.copy(), run.columns["converged"].copy()
        done = run.iteration, task.max_iter
        progress = Progress(*done, task.models, cost, norm, converged, run.seconds)
        try:
            for callback in task.callbacks:
                callback(progress)
        except StopIteration:
            result = "stopped"
        except KeyboardInterrupt:
            result = "interrupted"
    return "interrupted" if task.interrupted() else result


def _left_off(run: Run) -> Run:
    """Return a run that ends after the iterations that it has done."""
    return replace(_end(run, ~run.ending, run.state.theta), result="interrupted")


def _solution(run: Run) -> Solution:
    """Return what a run that has ended found."""
    theta = np.zeros((run.problem.rows.n_features + 1, len(run.columns)))
    xp, (which, parts) = run.problem.backend.xp, zip(*run.ended, strict=True)
    theta[:, np.concatenate(which)] = to_host(xp.concat(list(parts), axis=1))
    figures, seconds = (np.asarray(each) for each in zip(*run.history, strict=True))
    cost, norm = np.ascontiguousarray(figures.transpose(1, 0, 2))
    ends = {name: run.columns[name].copy() for name in ENDS}
    return Solution(
        theta, **ends, cost=cost, gradient_norm=norm, seconds=seconds, result=run.result
    )


def _until_next_look(before: Floats, now: Floats, n: int, tol: float, most: int) -> int:
    """Return how many iterations to take, at most ``most``, until a tenth of the models is done.

    That is, if gradients go on to fall as from ``before`` to ``now`` in the last ``n`` iterations;
    and at most twice as many as these. A model that goes on beyond ``tol`` costs its part of each
    iteration: bursts of 8 took the 500 models of a search (10,000 rows of MNIST) through 1.8 times
    as many iterations as they needed, with 44 looks, and these through 1.04 times, with 121.
    """
    if tol == 0.0 or most < 2:
        return most
    falls = now < before
    rate = np.log(np.where(falls, before, 1.0) / np.where(falls, now, 1.0)) / n
    left = np.where(falls, np.log(now / tol), np.inf) / np.where(falls, rate, 1.0)
    expected = float(np.sort(left)[len(left) // 10])
    return max(1, min(most, 2 * n, math.ceil(min(most, expected))))
