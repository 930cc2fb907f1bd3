"""What a solver is to the driver's loop: a state, and a step from one to the next."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Annotated, Any, Protocol

import numpy as np
import numpy.typing as npt

from gpulr.backend import Backend
from gpulr.core.problem import Margins, Problem
from gpulr.core.rows import Rows
from gpulr.namespaces import array_namespace

Array = Any
Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """What a solver carries from one iteration to the next; each has one of its own.

    Every array has the models on its last axis, so that converged models can leave. Where there is
    ``stalled`` (n_models,) bool, it tells for which models no better parameters will be found.
    """

    theta: Annotated[Array, "(n_features + 1, n_models) float64"]  # the parameters
    cost: Annotated[Array, "(n_models,) float64"]  # at theta
    gradient: Annotated[Array, "(n_features + 1, n_models) float64"]  # at theta


class Shared:
    """Base of what a state holds for all models together, and which does not shrink with them."""

    def take(self, models: npt.NDArray[np.int64]) -> Shared:
        """Return what serves some of the models (indices on the host)."""
        return self


class Solver(Protocol):
    """A method: frozen settings, and a step that maps a state to the next one."""

    def aiming(self, tol: float) -> Solver:
        """Return the solver for a run to this tolerance; 0: as long as it is allowed."""
        return self

    def prepare(self, problem: Problem) -> Any:
        """Return what all models of the problem share, for :meth:`init`; None if nothing."""

    def init(self, problem: Problem, theta: Array | None = None, prepared: Any = None) -> Any:
        """Return the state to begin with, at ``theta`` if that is given, else from zero."""

    def step(self, problem: Problem, state: Any) -> Any:
        """Return the state one iteration later; nothing is transferred to the host."""

    def advance(self, problem: Problem, state: Any, n: int) -> tuple[Any, Array, Sequence[Array]]:
        """Return the state ``n`` ≥ 1 iterations later, and what there was after each of them.

        Nothing is transferred to the host.

        Returns
        -------
        state
        measured : (n, 2 or 3, n_models) float64
            What :func:`measure` returns after each iteration.
        thetas : n of (n_features + 1, n_models) float64; or (n, n_features + 1, n_models)
            The parameters after each iteration, which later bursts do not overwrite.
        """
        measured, thetas = [], []
        for _ in range(n):
            state = self.step(problem, state)
            measured.append(measure(state))
            thetas.append(state.theta)
        one = measured[0][None, :, :]
        return state, one if n == 1 else problem.backend.xp.stack(measured), thetas

    def until_look(self, state: Any) -> float:
        """Return after how many iterations :meth:`look` is to be called, at the latest."""
        return math.inf

    def look(self, problem: Problem, state: Any, start: Floats, norm: Floats) -> Any:
        """Return the state to go on with after a burst, of which the figures are on the host.

        ``start`` and ``norm`` (n_models,) are the largest absolute entries of gradients, at the
        start of the run and now. What is done may depend on the number of iterations, but not on
        where bursts ended.
        """
        return state

    def settled(
        self, problem: Problem, state: Any, theta: Array, tol: float
    ) -> npt.NDArray[np.bool_]:
        """Return which models, whose gradients are within ``tol``, have converged, (n_models,).

        ``problem`` and ``theta`` are those of some of the models that ``state`` is of.
        """
        return np.ones(problem.n_models, np.bool_)

    def notes(self, rows: Rows) -> dict[str, str]:
        """Return what the record says of choices that these rows led to."""
        return {}

    def column_bytes(self, rows: Rows) -> int:
        """Return about how many bytes training takes for each column, at most."""


def measure(state: Any) -> Array:
    """Return cost, largest absolute entry of the gradient, and whether stalled, on the device.

    (3, n_models) float64, or (2, n_models) where the solver does not tell what has stalled.
    """
    if (known := getattr(state, "measured", None)) is not None:
        return known
    xp = array_namespace(state.cost)
    figures = [state.cost, xp.max(xp.abs(state.gradient), axis=0)]
    if hasattr(state, "stalled"):
        figures.append(xp.astype(state.stalled, state.cost.dtype))
    return xp.stack(figures)


def part_of(value: Any, flags: npt.NDArray[np.bool_], backend: Backend) -> Any:
    """Return the part of a state or an array that belongs to the models that are flagged."""
    return value if flags.all() else take_models(value, np.flatnonzero(flags), backend)


def take_models(value: Any, models: npt.NDArray[np.int64], backend: Backend) -> Any:
    """Return the part of a state, or of something in it, that belongs to some of the models."""
    index = backend.asarray(models)

    def part(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(part, value))
        if isinstance(value, Shared):
            return value.take(models)
        if isinstance(value, Margins):
            return value.take(index)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            parts = {f.name: part(getattr(value, f.name)) for f in dataclasses.fields(value)}
            return dataclasses.replace(value, **parts)
        if hasattr(value, "ndim"):
            return backend.xp.take(value, index, axis=value.ndim - 1)
        return value

    return part(value)
