"""The one loop around every solver: stopping, history, callbacks, interruption.

A solver advances by a burst of iterations, of which the host sees nothing until it asks the device
once for the figures of all of them; so the device is kept busy. The burst is then gone through
iteration by iteration, and what follows is the same for bursts of any length. NumPy has bursts of
one iteration.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from array_api_compat import array_namespace

from gpulr.backend import Backend, to_host
from gpulr.core.problem import Problem
from gpulr.core.rows import Rows
from gpulr.errors import DivergenceError
from gpulr.solvers.rounding import last_look
from gpulr.words import brief, counted

Array = Any

__all__ = [
    "Callback",
    "Progress",
    "Shared",
    "Solution",
    "Solver",
    "State",
    "measure",
    "minimize",
    "take_steps",
]


class State(Protocol):
    """What a solver carries from one iteration to the next, a frozen dataclass.

    Every array has the models on its last axis, so that converged models can leave. One that has an
    array ``stalled`` (n_models,) bool tells of which models no better parameters will be found.
    """

    @property
    def theta(self) -> Array:
        """Parameters, (n_features + 1, n_models) float64."""

    @property
    def cost(self) -> Array:
        """Cost at ``theta``, (n_models,) float64."""

    @property
    def gradient(self) -> Array:
        """Gradient at ``theta``, of its shape."""


@dataclass(frozen=True, slots=True)
class Start:
    """The state before any solver has begun."""

    theta: Array
    cost: Array
    gradient: Array


class Shared:
    """Base of what a state holds for all models together, and which does not shrink with them."""


class Solver(Protocol):
    """A method: frozen settings, and a step that maps a state to the next one."""

    def prepare(self, problem: Problem) -> Any:
        """Return what all models of the problem share, for :meth:`init`; None if nothing."""

    def init(self, problem: Problem, theta: Array | None = None, prepared: Any = None) -> Any:
        """Return the state to begin with, at ``theta`` if that is given, else from zero."""

    def step(self, problem: Problem, state: Any) -> Any:
        """Return the state one iteration later; nothing is transferred to the host."""

    def advance(self, problem: Problem, state: Any, n: int) -> tuple[Any, Array, Sequence[Array]]:
        """Return the state ``n`` ≥ 1 iterations later, and what there was after each of them.

        Nothing is transferred to the host. :func:`take_steps` does this with ``step``.

        Returns
        -------
        state
        measured : (n, 2 or 3, n_models) float64
            What :func:`measure` returns after each iteration.
        thetas : n of (n_features + 1, n_models) float64; or (n, n_features + 1, n_models)
            The parameters after each iteration, which later bursts do not overwrite.
        """

    def column_bytes(self, rows: Rows) -> int:
        """Return about how many bytes training takes for each column, at most."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What callbacks are told after each iteration (and once before the first, as iteration 0).

    On a device they are told of a few iterations at a time, in order, when these are done.

    Attributes
    ----------
    iteration, max_iter : int
        Iterations done, and the most there will be.
    models : (n,) int64
        The columns in training: all of them; one, in the per-model loop (``batched=False``); or a
        group of them, where all would take too much memory.
    cost : (n,) float64
        Cost per model.
    gradient_norm : (n,) float64
        Largest absolute entry of each model's gradient.
    converged : (n,) bool
    seconds : float
        Since training of these models began; on a device, where iterations are timed a few at a
        time, spread evenly over these.
    """

    iteration: int
    max_iter: int
    models: npt.NDArray[np.int64]
    cost: npt.NDArray[np.float64]
    gradient_norm: npt.NDArray[np.float64]
    converged: npt.NDArray[np.bool_]
    seconds: float

    __repr__ = brief


Callback = Callable[[Progress], object]


@dataclass(frozen=True, slots=True)
class Solution:
    """Where a run of a solver ended.

    Attributes
    ----------
    theta : (n_features + 1, n_models) float64, NumPy
    n_iter : (n_models,) int64
        Iterations until each model converged or the run ended.
    converged : (n_models,) bool
    cost, gradient_norm : (max(n_iter) + 1, n_models) float64
        At each iteration, from the start; a model that has converged keeps its last values.
    seconds : (max(n_iter) + 1,) float64
        When each iteration was done; see :class:`Progress`.
    stalled : (n_models,) bool
        The solver found no better parameters in this precision, though ``tol`` was not reached.
    rounding : (n_models,) bool
        It stalled, and what is left of its gradient cannot be told from rounding.
    result : "converged", "stalled", "max_iter", "stopped" or "interrupted"
    """

    theta: npt.NDArray[np.float64]
    n_iter: npt.NDArray[np.int64]
    converged: npt.NDArray[np.bool_]
    cost: npt.NDArray[np.float64]
    gradient_norm: npt.NDArray[np.float64]
    seconds: npt.NDArray[np.float64]
    stalled: npt.NDArray[np.bool_]
    rounding: npt.NDArray[np.bool_]
    result: str


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
    backend, k = problem.backend, problem.n_models
    models = np.arange(k) if models is None else models
    started = time.perf_counter()
    cost, norm = np.zeros(k), np.zeros(k)
    n_iter, converged = np.zeros(k, dtype=np.int64), np.zeros(k, dtype=np.bool_)
    stalled, rounding = np.zeros((2, k), dtype=np.bool_)
    goal = np.full(k, tol)  # of the norm that the solver finds
    history: list[tuple[npt.NDArray[Any], npt.NDArray[Any], float]] = []
    ended: list[tuple[npt.NDArray[np.int64], Array]] = []  # columns of the problem, and their theta
    active = np.arange(k)  # the columns that are still being trained

    turn = backend.turn(problem.rows.n_samples, problem.rows.n_features, k)
    with turn, _quiet():
        if begin is not None:
            state = begin(problem)
        elif max_iter:
            state = solver.init(problem, start, prepared)
        else:  # nothing is trained, not even on a sample
            theta_0 = problem.start() if start is None else start
            state = Start(theta_0, *problem.evaluate(theta_0))
        measured = backend.xp.expand_dims(measure(state), axis=0)
    thetas: Sequence[Array] = [state.theta]
    iteration, result, clock = 0, "", 0.0
    while True:
        figures, n = to_host(measured), len(thetas)
        times = np.linspace(clock, clock := time.perf_counter() - started, n + 1)[1:].tolist()
        before, done = norm[active], np.zeros(len(active), dtype=np.bool_)
        for figure, theta, seconds in zip(figures, thetas, times, strict=True):
            training = active[~done]
            cost[training], norm[training] = figure[:2, ~done]
            if not np.all(np.isfinite(cost + norm)):
                raise _divergence(models[~np.isfinite(cost + norm)], iteration)
            n_iter[training] = iteration
            ends = np.zeros(len(active), dtype=np.bool_)
            if tol > 0:
                stuck = ~done & (figure[2] > 0.0 if len(figure) > 2 else False)
                ends = stuck | (~done & (norm[active] <= goal[active]))
                look = ends | (~done & (iteration >= max_iter))
                if look.any():
                    which, seen = active[look], norm[active[look]]
                    norm[which], rounding[which] = last_look(
                        problem.select(backend.asarray(np.flatnonzero(look))),
                        _part(theta, look, backend),
                        cost[which],
                        seen,
                        stuck[look],
                        tol,
                    )
                    goal[which] = seen / 4.0
                    converged[which] = norm[which] <= tol
                    rounding[which] &= ~converged[which]
                    stalled[which] = stuck[look] & ~converged[which]
                    ends = ~done & (converged[active] | stalled[active])
            history.append((cost.copy(), norm.copy(), seconds))
            progress = Progress(
                iteration, max_iter, models, cost.copy(), norm.copy(), converged.copy(), seconds
            )
            result = _tell(callbacks, progress)
            if interrupted():
                result = "interrupted"

            if not result and np.all(done | ends):
                result = "stalled" if stalled.any() else "converged"
            elif not result and iteration >= max_iter:
                result = "max_iter"
            if result:
                ends = ~done
            if ends.any():
                ended.append((active[ends], _part(theta, ends, backend)))
            done |= ends
            if result:
                break
            iteration += 1
        del thetas, theta
        if leaving is not None and done.any():
            leaving(active[done], _part(state, done, backend))
        if result:
            break
        if done.any():
            before, active = before[~done], active[~done]
            state = _part(state, ~done, backend)
            problem = problem.select(backend.asarray(np.flatnonzero(~done)))
        most = min(backend.check_every, max_iter - iteration + 1)
        n = _until_next_look(before, norm[active], n, tol, most)
        with turn, _quiet():
            state, measured, thetas = solver.advance(problem, state, n)

    parameters = np.zeros((problem.rows.n_features + 1, k))
    columns = np.concatenate([columns for columns, _ in ended])
    parameters[:, columns] = to_host(backend.xp.concat([part for _, part in ended], axis=1))
    costs, norms, each = (np.asarray(column) for column in zip(*history, strict=True))
    return Solution(parameters, n_iter, converged, costs, norms, each, stalled, rounding, result)


def take_steps(
    solver: Solver, problem: Problem, state: Any, n: int
) -> tuple[Any, Array, list[Array]]:
    """Do what :meth:`Solver.advance` is to do, one step after the other."""
    measured, thetas = [], []
    for _ in range(n):
        state = solver.step(problem, state)
        measured.append(measure(state))
        thetas.append(state.theta)
    return state, problem.backend.xp.stack(measured), thetas


def measure(state: Any) -> Array:
    """Return cost, largest absolute entry of the gradient, and whether stalled, on the device.

    (3, n_models) float64, or (2, n_models) where the solver does not tell what has stalled.
    """
    xp = array_namespace(state.cost)
    figures = [state.cost, xp.max(xp.abs(state.gradient), axis=0)]
    if hasattr(state, "stalled"):
        figures.append(xp.astype(state.stalled, state.cost.dtype))
    return xp.stack(figures)


def _divergence(models: npt.NDArray[np.int64], iteration: int) -> DivergenceError:
    who = f"{counted(len(models), 'model')} ({', '.join(map(str, models))})"
    return DivergenceError(
        f"The cost of {who} was no longer finite after {counted(iteration, 'iteration')}. Use a "
        "smaller learning_rate (None chooses a safe one), and scale the features to about 0…1."
    )


def _quiet() -> np.errstate:
    """Keep NumPy's warnings of overflow back: the loop itself looks for costs that are infinite."""
    return np.errstate(over="ignore", invalid="ignore")


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


def _tell(callbacks: Sequence[Callback], progress: Progress) -> str:
    """Call the callbacks; returns how they end the run, or nothing."""
    try:
        for callback in callbacks:
            callback(progress)
    except StopIteration:
        return "stopped"
    except KeyboardInterrupt:
        return "interrupted"
    return ""


def _part(value: Any, flags: npt.NDArray[np.bool_], backend: Backend) -> Any:
    """Return the part of a state or an array that belongs to the models that are flagged."""
    return value if flags.all() else _take(value, backend.asarray(np.flatnonzero(flags)))


def _take(value: Any, keep: Array) -> Any:
    """Return the part of a state, or of something in it, that belongs to the models ``keep``."""
    if isinstance(value, tuple):
        return tuple(_take(item, keep) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, Shared | type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **{k: _take(item, keep) for k, item in fields.items()})
    if hasattr(value, "ndim"):
        return array_namespace(keep).take(value, keep, axis=value.ndim - 1)
    return value
