"""Gradient descent at a fixed step: the notebook's method, for every model at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gpulr.core.problem import Problem
from gpulr.core.rows import Rows
from gpulr.solvers.curvature import largest_eigenvalue, lipschitz
from gpulr.solvers.solver import take_steps

Array = Any


def step_sizes(problem: Problem, learning_rate: float | None, largest: float | None) -> Array:
    """Return each model's step size, (n_models,): the one given, or 1/L.

    ``largest`` is the largest eigenvalue of the rows' second moments, where it is known.
    """
    if learning_rate is None:
        return 1.0 / lipschitz(problem, largest)
    return problem.backend.xp.ones_like(problem.C) * learning_rate


@dataclass(frozen=True, slots=True)
class GradientDescentState:
    """Parameters, cost and gradient there, and each model's step size."""

    theta: Array  # (n_features + 1, n_models)
    cost: Array  # (n_models,)
    gradient: Array  # (n_features + 1, n_models)
    rate: Array  # (n_models,)


@dataclass(frozen=True, slots=True)
class GradientDescent:
    """θ ← θ − α ∇J(θ).

    Attributes
    ----------
    learning_rate : float or None
        α, for all models and for the scaled X. None is 1/L per model, L a bound on the curvature
        (:func:`gpulr.solvers.curvature.lipschitz`), at which the cost falls in every iteration.
    """

    learning_rate: float | None = None

    def prepare(self, problem: Problem) -> Array:
        """Return a bound on the curvature that all models share, or None if it has no use."""
        return None if self.learning_rate else largest_eigenvalue(problem)

    def init(
        self, problem: Problem, theta: Array | None = None, prepared: float | None = None
    ) -> GradientDescentState:
        """Evaluate the cost at ``theta`` and choose the step sizes."""
        theta = problem.start() if theta is None else theta
        rate = step_sizes(problem, self.learning_rate, prepared)
        return GradientDescentState(theta, *problem.evaluate(theta), rate)

    def step(self, problem: Problem, state: GradientDescentState) -> GradientDescentState:
        """Go one step down the gradient."""
        theta = state.theta - state.rate * state.gradient
        return GradientDescentState(theta, *problem.evaluate(theta), state.rate)

    def advance(
        self, problem: Problem, state: GradientDescentState, n: int
    ) -> tuple[GradientDescentState, Array, Sequence[Array]]:
        """Take ``n`` steps; where there are kernels, by a recorded graph of one."""
        descend, rate = problem.descend, state.rate
        if descend is None:
            return take_steps(self, problem, state, n)
        thetas, measured, cost, gradient = descend(state.theta, state.gradient, rate, n)
        return GradientDescentState(thetas[-1, ...], cost, gradient, rate), measured, thetas

    def column_bytes(self, rows: Rows) -> int:
        """Return about how many bytes a column takes: arrays as θ, some 7 and those of a burst."""
        return (7 + rows.backend.check_every) * 8 * (rows.n_features + 1)
