"""Nesterov's accelerated gradient method, with a restart of its own for each model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpulr.core.problem import Problem
from gpulr.core.rows import Rows
from gpulr.solvers.curvature import largest_eigenvalue
from gpulr.solvers.gradient_descent import step_sizes
from gpulr.solvers.solver import take_steps

Array = Any


@dataclass(frozen=True, slots=True)
class NesterovState:
    """All arrays have the models on their last axis."""

    theta: Array  # the extrapolated point y, where cost and gradient were evaluated
    cost: Array
    gradient: Array
    x: Array  # where the last gradient step ended
    t: Array  # (n_models,) momentum parameter
    rate: Array  # (n_models,) step size


@dataclass(frozen=True, slots=True)
class Nesterov:
    """x⁺ = y − α ∇J(y),  y⁺ = x⁺ + β (x⁺ − x),  β = (t − 1) / t⁺,  t⁺ = (1 + √(1 + 4t²)) / 2.

    Beck & Teboulle 2009 (FISTA, without a non-smooth part), with the gradient restart of O'Donoghue
    & Candès 2015, eq. 12: a model whose last step ran against its gradient drops its momentum.

    Attributes
    ----------
    learning_rate : float or None
        α, as for :class:`gpulr.solvers.GradientDescent`.
    """

    learning_rate: float | None = None

    def prepare(self, problem: Problem) -> Array:
        """Return a bound on the curvature that all models share, or None if it has no use."""
        return None if self.learning_rate else largest_eigenvalue(problem)

    def init(
        self, problem: Problem, theta: Array | None = None, prepared: float | None = None
    ) -> NesterovState:
        """Evaluate the cost at ``theta`` and choose the step sizes."""
        theta = problem.start() if theta is None else theta
        rate = step_sizes(problem, self.learning_rate, prepared)
        t = problem.backend.xp.ones_like(rate)
        return NesterovState(theta, *problem.evaluate(theta), theta, t, rate)

    def step(self, problem: Problem, state: NesterovState) -> NesterovState:
        """Take a gradient step, extrapolate, and evaluate there."""
        xp = problem.backend.xp
        x = state.theta - state.rate * state.gradient
        uphill = xp.sum(state.gradient * (x - state.x), axis=0) > 0.0
        t = xp.where(uphill, 1.0, state.t)
        t_next = (1.0 + xp.sqrt(1.0 + 4.0 * t * t)) / 2.0
        y = x + (t - 1.0) / t_next * (x - state.x)
        return NesterovState(y, *problem.evaluate(y), x, t_next, state.rate)

    def advance(
        self, problem: Problem, state: NesterovState, n: int
    ) -> tuple[NesterovState, Array, list[Array]]:
        """Take ``n`` steps."""
        return take_steps(self, problem, state, n)

    def column_bytes(self, rows: Rows) -> int:
        """Return about how many bytes a column takes: arrays as θ, some 11 and those of a burst."""
        return (11 + rows.backend.check_every) * 8 * (rows.n_features + 1)
