"""The one loop around every solver: stopping, history, callbacks, interruption.

A solver advances by a burst of iterations, of which the host sees nothing: the device is asked once
for the figures of all of them, and goes on while Python prepares what comes next. NumPy has bursts
of one iteration.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from array_api_compat import array_namespace

from gpulr.backend import to_host
from gpulr.errors import DivergenceError
from gpulr.problem import Problem
from gpulr.rows import Rows
from gpulr.solvers.bursts import look, until_next_look

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

    def advance(self, problem: Problem, state: Any, n: int) -> tuple[Any, Array]:
        """Return the state ``n`` ≥ 1 iterations later, and what was measured after each of them.

        (n, 2, n_models) float64 on the device, as :func:`measure` returns it; nothing is
        transferred to the host. :func:`take_steps` does this with ``step``.
        """

    def column_bytes(self, rows: Rows) -> int:
        """Return about how many bytes training takes for each column, at most."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What callbacks are told of each iteration (and once before the first, as iteration 0).

    In order, and on a device some iterations later: those of a burst are told when it is done.

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
        Whether ``gradient_norm`` ≤ ``tol``. In the midst of a burst that may be lost again.
    seconds : float
        Since training of these models began; spread evenly over the iterations of a burst.
    """

    iteration: int
    max_iter: int
    models: npt.NDArray[np.int64]
    cost: npt.NDArray[np.float64]
    gradient_norm: npt.NDArray[np.float64]
    converged: npt.NDArray[np.bool_]
    seconds: float


Callback = Callable[[Progress], object]


@dataclass(frozen=True, slots=True)
class Solution:
    """Where a run of a solver ended.

    Attributes
    ----------
    theta : (n_features + 1, n_models) float64, NumPy
    n_iter : (n_models,) int64
        Iterations until each model had converged (for good), stalled, or the run ended.
    converged : (n_models,) bool
    cost, gradient_norm : (n_iterations + 1, n_models) float64
        At each iteration, from the start. A model's last values are those at ``theta``; once it has
        left, it keeps them.
    seconds : (n_iterations + 1,) float64
        When each iteration was done; spread evenly over the iterations of a burst.
    stalled : (n_models,) bool
        The solver found no better parameters in this precision, though ``tol`` was not reached.
    result : "converged", "stalled", "max_iter", "stopped" or "interrupted"
    """

    theta: npt.NDArray[np.float64]
    n_iter: npt.NDArray[np.int64]
    converged: npt.NDArray[np.bool_]
    cost: npt.NDArray[np.float64]
    gradient_norm: npt.NDArray[np.float64]
    seconds: npt.NDArray[np.float64]
    stalled: npt.NDArray[np.bool_]
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
    neighbours take. With ``tol=0`` exactly ``max_iter`` iterations are run.

    The driver looks at the figures after bursts of at most ``backend.check_every`` iterations: one
    transfer to the host for each burst. A model that meets ``tol`` in the midst of one goes on to
    its end and keeps the parameters it has there; ``n_iter`` counts where it met ``tol``. Should
    its gradient be larger again at the end, it goes on, and the next looks follow each iteration.

    Parameters
    ----------
    callbacks : sequence of callables
        Each is called with a :class:`Progress` of every iteration; raising ``StopIteration`` ends
        training with the burst that the iteration belongs to, whose other iterations are part of
        the history though nobody is told of them.
    models : (n_models,) int64, optional
        How the columns are called in :class:`Progress`.
    start : (n_features + 1, n_models) float64, on the device, optional
        Where to begin; without, at zero.
    prepared : optional
        What ``solver.prepare`` returned for these rows, so that it is not done again.
    begin : callable, optional
        Returns the state to begin with, instead of ``solver.init``.
    leaving : callable, optional
        Called with models, as columns of ``problem``, and their last state when they are done.
    interrupted : callable
        Asked after every burst whether to end the run there.

    Raises
    ------
    DivergenceError
        A cost is no longer finite; it names the first iteration at which that was so.
    """
    backend, k = problem.backend, problem.n_models
    models = np.arange(k) if models is None else models
    started = time.perf_counter()
    cost, norm = np.zeros(k), np.zeros(k)
    n_iter, converged = np.zeros(k, dtype=np.int64), np.zeros(k, dtype=np.bool_)
    stalled = np.zeros(k, dtype=np.bool_)
    history: list[tuple[npt.NDArray[Any], npt.NDArray[Any], float]] = []
    ended: list[tuple[npt.NDArray[np.int64], Array]] = []  # columns of the problem, and their theta
    active = np.arange(k)  # the columns that are still being trained

    with _quiet():
        if begin is not None:
            state = begin(problem)
        elif max_iter:
            state = solver.init(problem, start, prepared)
        else:  # nothing is trained, not even on a sample
            theta_0 = problem.start() if start is None else start
            state = Start(theta_0, *problem.evaluate(theta_0))
        measured = backend.xp.expand_dims(measure(state), axis=0)
    iteration, n, singly, result, before = 0, 1, 0, "", 0.0
    while True:
        figures, stuck = look(backend.xp, measured, state)
        times = np.linspace(before, time.perf_counter() - started, n + 1)[1:]
        began = norm.copy()
        met = np.zeros(len(active), dtype=np.bool_)  # tol, at any iteration of the burst
        for now, (figure, seconds) in enumerate(
            zip(figures, times.tolist(), strict=True), iteration + 1 - n
        ):
            cost[active], norm[active] = figure
            if not np.all(np.isfinite(cost)) or not np.all(np.isfinite(norm)):
                raise DivergenceError(
                    f"The cost of model(s) {models[~np.isfinite(cost + norm)].tolist()} was no "
                    f"longer finite after {now} iterations. Use a smaller learning_rate (None "
                    "chooses a safe one), and scale the features to about 0…1."
                )
            meets = (norm[active] <= tol) & (tol > 0)
            n_iter[active] = np.where(meets & converged[active], n_iter[active], now)
            converged[active] = meets
            met |= meets
            history.append((cost.copy(), norm.copy(), seconds))
            if not result:
                progress = Progress(
                    now, max_iter, models, cost.copy(), norm.copy(), converged.copy(), seconds
                )
                result = _tell(callbacks, progress)
        before = history[-1][2]
        if interrupted():
            result = "interrupted"

        stalled[active] = stuck & ~converged[active] & (tol > 0)
        done = converged[active] | stalled[active]
        if not result and done.all():
            result = "stalled" if stalled.any() else "converged"
        elif not result and iteration >= max_iter:
            result = "max_iter"
        gone = np.full(len(active), bool(result)) | done
        if gone.any():
            left = state if gone.all() else _take(state, backend.asarray(np.flatnonzero(gone)))
            ended.append((active[gone], left.theta))
            if leaving is not None:
                leaving(active[gone], left)
        if result:
            break
        if done.any():
            keep = backend.asarray(np.flatnonzero(~done))
            active, state, problem = active[~done], _take(state, keep), problem.select(keep)

        singly = backend.check_every if np.any(met & ~done) else max(0, singly - 1)
        most = 1 if singly else min(backend.check_every, max_iter - iteration)
        n = until_next_look(began[active], norm[active], n, tol, most)
        with _quiet():
            state, measured = solver.advance(problem, state, n)
        iteration += n

    theta = np.zeros((problem.rows.n_features + 1, k))
    for columns, part in ended:
        theta[:, columns] = to_host(part)
    costs, norms, each = (np.asarray(column) for column in zip(*history, strict=True))
    return Solution(theta, n_iter, converged, costs, norms, each, stalled, result)


def take_steps(solver: Solver, problem: Problem, state: Any, n: int) -> tuple[Any, Array]:
    """Do what :meth:`Solver.advance` is to do, one step after the other."""
    measured = []
    for _ in range(n):
        state = solver.step(problem, state)
        measured.append(measure(state))
    return state, problem.backend.xp.stack(measured)


def measure(state: State) -> Array:
    """Return cost and largest absolute entry of the gradient, (2, n_models) on the device."""
    xp = array_namespace(state.cost)
    return xp.stack([state.cost, xp.max(xp.abs(state.gradient), axis=0)])


def _quiet() -> np.errstate:
    """Keep NumPy's warnings of overflow back: the loop itself looks for costs that are infinite."""
    return np.errstate(over="ignore", invalid="ignore")


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
