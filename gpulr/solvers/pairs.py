"""The inverse Hessian that pairs of steps and gradients describe: L-BFGS's two loops."""

from __future__ import annotations

from typing import Any

from gpulr.backend import Backend
from gpulr.core.problem import Problem
from gpulr.kernels.recursion import PAIRS
from gpulr.solvers.lbfgs_state import LBFGSState, Pair
from gpulr.solvers.model_curvature import ModelCurvature

Array = Any


def learn(
    problem: Problem, state: LBFGSState, d: Array, t: Array, reduced: Array, kappa: Array
) -> tuple[Pair, Array]:
    """Return the pair of the step t d, which changed the gradient to ``reduced``, and γ.

    Where sᵀy ≤ 0 the pair is not to be used, and γ is what it was.
    """
    xp, lam = problem.backend.xp, problem.penalty
    if _has_kernels(problem, state):
        known = state.reduced, state.curvature.values, state.gamma
        *pair, gamma = problem.recursion.pair(d, t, reduced, *known, kappa, lam)
        return Pair(*pair), gamma
    dots, y = problem.backend.dots, _less(problem.backend, reduced, state.reduced)
    products = dots([d, y, state.curvature.solve(y, kappa, lam)], y)
    sy, yy, yHy = t * products[0, :], products[1, :], products[2, :]
    ss = t * t * dots([d], d)[0, :]
    # At the end steps may be so small that their squares vanish, and 1 / sᵀy would overflow.
    good = sy > 1e-12 * xp.sqrt(ss * yy) + 1e-290
    rho = xp.where(good, 1.0 / xp.where(good, sy, 1.0), 0.0)
    gamma = xp.where(good, sy / xp.where(good, yHy, 1.0), state.gamma)
    if not problem.backend.known_true(good):
        y = xp.where(good, y, 0.0)  # where the cost is infinite, so is y, and 0 · ∞ is no number
    inner = dots([pair.s for pair in state.pairs], y) if state.pairs else None
    s, y = (xp.astype(part, problem.rows.dtype) for part in (t * d, y))
    return Pair(s, y, rho, inner), gamma


def _less(backend: Backend, a: Array, b: Array) -> Array:
    """Return a − b."""
    minus = -backend.xp.ones((1, a.shape[1]), dtype=a.dtype, device=backend.device)
    return backend.combine(a, minus, [b])


def direction(problem: Problem, state: LBFGSState, curvature: Any) -> tuple[Array, Array]:
    """Return a direction, reduced, that goes down, and the slope along it."""
    xp, lam = problem.backend.xp, problem.penalty
    if _has_kernels(problem, state):
        # Those of a sample that was too small for kernels are not of their dtype.
        wide = [[xp.astype(a, xp.float64, copy=False) for a in (p.s, p.y)] for p in state.pairs]
        pairs = [(*each, pair.rho) for each, pair in zip(wide, state.pairs, strict=True)]
        known = state.curvature.values, state.gamma, state.kappa
        d, slope = problem.recursion.direction(state.reduced, pairs, *known, lam)
        return d, slope
    d = -two_loops(problem.backend, state, curvature, lam)
    slope = problem.backend.dots([d], state.reduced)[0, :]
    if not problem.backend.known_true(slope < 0.0):
        downhill = -curvature.solve(state.reduced, state.kappa, lam)
        d = xp.where(slope < 0.0, d, downhill)
        slope = xp.sum(d * state.reduced, axis=0)
    return d, slope


def _has_kernels(problem: Problem, state: LBFGSState) -> bool:
    """Whether kernels replace array functions: they take a diagonal initial Hessian, few pairs."""
    curvature = state.curvature
    if isinstance(curvature, ModelCurvature) or len(state.pairs) > PAIRS:
        return False
    diagonal = curvature.complete and isinstance(curvature.share, float)
    diagonal = diagonal and curvature.values.shape[0] == curvature.mean.shape[0]
    return diagonal and problem.recursion is not None  # for which they are compiled


def two_loops(backend: Backend, state: LBFGSState, curvature: Any, lam: Array) -> Array:
    """Return the inverse Hessian approximation applied to the gradient, both reduced.

    The loops run over scalar products with the pairs, which take all of these at once: those with
    what a loop has changed follow from those with what it began with, and from the pairs' own.
    """
    xp, pairs = backend.xp, state.pairs
    curved = (state.kappa, lam)
    if not pairs:
        return state.gamma * curvature.solve(state.reduced, *curved)
    S, Y = [pair.s for pair in pairs], [pair.y for pair in pairs]
    inner = [_inner(backend, pair, S[:j]) for j, pair in enumerate(pairs)]

    alphas: list[Array] = []  # newest first
    products = backend.dots(S, state.reduced)
    for j in reversed(range(len(pairs))):
        alphas.append(pairs[j].rho * products[j, :])
        if j > 0:
            products = products[:j, :] - alphas[-1] * inner[j]
    alphas.reverse()
    q = backend.combine(state.reduced, -xp.stack(alphas), Y)
    r = state.gamma * curvature.solve(q, *curved)
    shares: list[Array] = []  # of each s, oldest first
    products = backend.dots(Y, r)
    for j, alpha in enumerate(alphas):
        product = products[j, :]
        if j > 0:
            product = product + xp.sum(xp.stack(shares) * inner[j], axis=0)
        shares.append(alpha - pairs[j].rho * product)
    return backend.combine(r, xp.stack(shares), S)


def _inner(backend: Backend, pair: Pair, before: list[Array]) -> Array:
    """Return the scalar products (n_before, n_models) of a pair's y with the s of pairs before."""
    if not before:
        return None
    if pair.inner is None:
        return backend.dots(before, backend.xp.astype(pair.y, backend.xp.float64))
    return pair.inner[-len(before) :, :]
