"""The one loop around every solver: stopping, history, callbacks, interruption."""

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

Array = Any

__all__ = ["Callback", "Progress", "Shared", "Solution", "Solver", "State", "minimize"]


class State(Protocol):
    """What a solver carries from one iteration to the next, a frozen dataclass.

    Every array has the models on its last axis, so that converged models can leave.
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
        """Return the state one iteration later."""

    def column_bytes(self, rows: Rows) -> int:
        """Return about how many bytes training takes for each column, at most."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What callbacks are told after each iteration (and once before the first, as iteration 0).

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
        Since training of these models began.
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
        Iterations until each model converged or the run ended.
    converged : (n_models,) bool
    cost, gradient_norm : (max(n_iter) + 1, n_models) float64
        At each iteration, from the start; a model that has converged keeps its last values.
    seconds : (max(n_iter) + 1,) float64
        When each iteration was done.
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

    Parameters
    ----------
    callbacks : sequence of callables
        Each is called with a :class:`Progress` after every iteration; raising ``StopIteration``
        ends training.
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
        Asked after every iteration whether to end the run there.

    Raises
    ------
    DivergenceError
        A cost is no longer finite.
    """
    backend, k = problem.backend, problem.n_models
    models = np.arange(k) if models is None else models
    started = time.perf_counter()
    theta = np.zeros((problem.rows.n_features + 1, k))
    cost, norm = np.zeros(k), np.zeros(k)
    n_iter, converged = np.zeros(k, dtype=np.int64), np.zeros(k, dtype=np.bool_)
    stalled = np.zeros(k, dtype=np.bool_)
    history: list[tuple[npt.NDArray[Any], npt.NDArray[Any], float]] = []
    active = np.arange(k)  # the columns of the problem that are still being trained

    with _quiet():
        if begin is not None:
            state = begin(problem)
        elif max_iter:
            state = solver.init(problem, start, prepared)
        else:  # nothing is trained, not even on a sample
            theta_0 = problem.start() if start is None else start
            state = Start(theta_0, *problem.evaluate(theta_0))
    iteration, result = 0, ""
    while True:
        cost[active], norm[active] = _measure(backend.xp, state)
        if not np.all(np.isfinite(cost)) or not np.all(np.isfinite(norm)):
            raise DivergenceError(
                f"The cost of model(s) {models[~np.isfinite(cost + norm)].tolist()} was no longer "
                f"finite after {iteration} iterations. Use a smaller learning_rate (None chooses a "
                "safe one), and scale the features to about 0…1."
            )
        n_iter[active] = iteration
        converged[active] = (norm[active] <= tol) & (tol > 0)
        history.append((cost.copy(), norm.copy(), time.perf_counter() - started))
        progress = Progress(
            iteration, max_iter, models, cost.copy(), norm.copy(), converged.copy(), history[-1][2]
        )
        try:
            for callback in callbacks:
                callback(progress)
        except StopIteration:
            result = "stopped"
        except KeyboardInterrupt:
            result = "interrupted"
        if interrupted():
            result = "interrupted"

        if tol > 0 and hasattr(state, "stalled"):
            stalled[active] = to_host(state.stalled) & ~converged[active]
        done = converged[active] | stalled[active]
        if not result and done.all():
            result = "stalled" if stalled.any() else "converged"
        elif not result and iteration >= max_iter:
            result = "max_iter"
        if result:
            theta[:, active] = to_host(state.theta)
            if leaving is not None:
                leaving(active, state)
            break
        if done.any():
            theta[:, active[done]] = to_host(state.theta)[:, done]
            if leaving is not None:
                leaving(active[done], _take(state, backend.asarray(np.flatnonzero(done))))
            keep = backend.asarray(np.flatnonzero(~done))
            active, state, problem = active[~done], _take(state, keep), problem.select(keep)
        with _quiet():
            state = solver.step(problem, state)
        iteration += 1

    costs, norms, seconds = (np.asarray(column) for column in zip(*history, strict=True))
    return Solution(theta, n_iter, converged, costs, norms, seconds, stalled, result)


def _quiet() -> np.errstate:
    """Keep NumPy's warnings of overflow back: the loop itself looks for costs that are infinite."""
    return np.errstate(over="ignore", invalid="ignore")


def _measure(xp: Any, state: State) -> npt.NDArray[Any]:
    """Return cost and gradient norm per model, (2, n_models), in one transfer to the host."""
    return to_host(xp.stack([state.cost, xp.max(xp.abs(state.gradient), axis=0)]))


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
