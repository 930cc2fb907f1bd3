"""Gradient descent at a fixed step for every model at once: the notebook's, and accelerated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from gpulr.backend import to_host
from gpulr.core.problem import Problem
from gpulr.core.rows import Rows
from gpulr.solvers.solver import Solver, State

Array = Any

MARGIN = 1.02  # a power iteration approaches the largest eigenvalue from below


def largest_eigenvalue(problem: Problem, *, rtol: float = 1e-3, max_iter: int = 100) -> float:
    """Return an upper estimate of λmax([X, 1]ᵀ diag(s) [X, 1] / m), for the scaled X.

    Power iteration on a block of four vectors from a fixed start; the error of its Rayleigh
    quotient is of second order in the vector's. It stops when the quotient changes by less than
    ``rtol``. Each iteration is one pass over the rows; the quotients come to the host
    ``check_every`` at a time.
    """
    backend = problem.backend
    xp, every = backend.xp, backend.check_every
    start = np.random.default_rng(0).standard_normal((problem.rows.n_features + 1, 4))
    V = backend.asarray(start)
    largest = 0.0
    for done in range(0, max_iter, every):
        quotients = []
        for _ in range(min(every, max_iter - done)):
            norm = xp.sqrt(xp.sum(V * V, axis=0))
            V = V / xp.where(norm > 0.0, norm, 1.0)
            AV = problem.gram_product(V)
            quotients.append(xp.max(xp.sum(V * AV, axis=0)))
            V = AV
        for quotient in to_host(xp.stack(quotients)):
            previous, largest = largest, float(quotient)
            if largest - previous <= rtol * largest:
                return MARGIN * largest
    return MARGIN * largest


@dataclass(frozen=True, slots=True)
class FixedStep(Solver):
    """What both methods have in common.

    The Hessian is [X, 1]ᵀ diag(s ∘ σ'(z)) [X, 1] / m + diag(1, …, 1, 0) / (C m), and σ' ≤ 1/4, so
    the curvature of a model's cost is at most L = λmax([X, 1]ᵀ diag(s) [X, 1]) / (4 m) + 1 / (C m)
    (Böhning & Lindsay 1988). Steps of 1/L lower the cost in every iteration of gradient descent.

    Attributes
    ----------
    learning_rate : float or None
        The step α, for all models and for the scaled X. None is 1/L per model.
    """

    learning_rate: float | None = None
    arrays: ClassVar[int] = 11  # as θ, that are alive at once, at most

    def prepare(self, problem: Problem) -> float | None:
        """Return a bound on the curvature that all models share, or None if it has no use."""
        return None if self.learning_rate else largest_eigenvalue(problem)

    def _step_sizes(self, problem: Problem, largest: float | None) -> Array:
        """Return α for each model, (n_models,); ``largest`` as :meth:`prepare` returned it."""
        if self.learning_rate is not None:
            return problem.backend.xp.ones_like(problem.C) * self.learning_rate
        largest = largest_eigenvalue(problem) if largest is None else largest
        # Rows of a model's own weights: each second moment is at most the whole's, by its share,
        # times the largest factor of a row's weight.
        share, positive = problem.mass / problem.m, problem.targets.positive
        if positive is not None:
            xp = problem.backend.xp
            share = share * xp.astype(xp.where(positive > 1.0, positive, 1.0), xp.float64)
        return 1.0 / (largest * share / 4.0 + problem.penalty)

    def column_bytes(self, rows: Rows) -> int:
        """Return about how many bytes a column takes; a burst's parameters are kept, too."""
        return (self.arrays + rows.backend.check_every) * 8 * (rows.n_features + 1)


@dataclass(frozen=True, slots=True)
class GradientDescentState(State):
    """Where gradient descent is, and the step size of each model."""

    rate: Annotated[Array, "(n_models,) float64"]


@dataclass(frozen=True, slots=True)
class GradientDescent(FixedStep):
    """θ ← θ − α ∇J(θ); see :class:`FixedStep`."""

    arrays: ClassVar[int] = 7

    def init(
        self, problem: Problem, theta: Array | None = None, prepared: float | None = None
    ) -> GradientDescentState:
        """Evaluate the cost at ``theta`` and choose the step sizes."""
        theta = problem.start() if theta is None else theta
        rate = self._step_sizes(problem, prepared)
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
            return Solver.advance(self, problem, state, n)
        thetas, measured, cost, gradient = descend(state.theta, state.gradient, rate, n)
        return GradientDescentState(thetas[-1, ...], cost, gradient, rate), measured, thetas


@dataclass(frozen=True, slots=True)
class NesterovState(State):
    """θ is the extrapolated point y, where cost and gradient were evaluated."""

    # where the last gradient step ended
    x: Annotated[Array, "(n_features + 1, n_models) float64"]
    t: Annotated[Array, "(n_models,) float64"]  # momentum parameter
    rate: Annotated[Array, "(n_models,) float64"]  # step size


@dataclass(frozen=True, slots=True)
class Nesterov(FixedStep):
    """x⁺ = y − α ∇J(y),  y⁺ = x⁺ + β (x⁺ − x),  β = (t − 1) / t⁺,  t⁺ = (1 + √(1 + 4t²)) / 2.

    Beck & Teboulle 2009 (FISTA, without a non-smooth part), with the gradient restart of O'Donoghue
    & Candès 2015, eq. 12: a model whose last step ran against its gradient drops its momentum.
    """

    def init(
        self, problem: Problem, theta: Array | None = None, prepared: float | None = None
    ) -> NesterovState:
        """Evaluate the cost at ``theta`` and choose the step sizes."""
        theta = problem.start() if theta is None else theta
        rate = self._step_sizes(problem, prepared)
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
