"""The inverse Hessian that pairs of steps and gradients describe: L-BFGS's two loops."""

from __future__ import annotations

from functools import partial
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
        values, factors = _for_kernels(state.curvature)
        known = state.reduced, values, state.gamma
        *pair, gamma = problem.recursion.pair(d, t, reduced, *known, kappa, lam, factors)
        return Pair(*pair), gamma
    backend, curvature, dtype = problem.backend, state.curvature, problem.rows.dtype
    minus = -xp.ones((1, d.shape[1]), dtype=d.dtype, device=backend.device)

    def differ(dots: Any, rows: slice) -> tuple[list[Array], list[Array]]:
        u, before = d[rows, :], [pair.s[rows, :] for pair in state.pairs]
        y = backend.combine(reduced[rows, :], minus, [state.reduced[rows, :]])
        sums = [dots([u, y, _solved(curvature, y, kappa, lam, rows)], y)]
        sums += [dots([u], u)]
        sums += [dots(before, y)] if before else []
        return [xp.astype(t * u, dtype), xp.astype(y, dtype)], sums

    (s, y), sums = _sweep(backend, curvature, differ, d.shape)
    sy, yy, yHy = t * sums[0][0, :], sums[0][1, :], sums[0][2, :]
    ss, inner = t * t * sums[1][0, :], (sums[2] if state.pairs else None)
    # At the end steps may be so small that their squares vanish, and 1 / sᵀy would overflow.
    good = sy > 1e-12 * xp.sqrt(ss * yy) + 1e-290
    rho = xp.where(good, 1.0 / xp.where(good, sy, 1.0), 0.0)
    gamma = xp.where(good, sy / xp.where(good, yHy, 1.0), state.gamma)
    if not backend.known_true(good):
        # Where the cost is infinite, so is y, and 0 · ∞ is no number.
        y = xp.where(good, y, xp.zeros_like(y))
        inner = None if inner is None else xp.where(good, inner, 0.0)
    return Pair(s, y, rho, inner), gamma


def in_coordinates(backend: Backend, curvature: Any, gradient: Array) -> Array:
    """Return the gradient in the coordinates of the curvature."""
    if not curvature.by_rows:
        return curvature.reduce(gradient)
    (reduced,), _ = backend.sweep(
        lambda rows: ([curvature.reduce(gradient, rows)], []), *gradient.shape
    )
    return reduced


def _sweep(
    backend: Backend, curvature: Any, function: Any, shape: tuple[int, int]
) -> tuple[list[Array], list[Array]]:
    """Go through the parameters once, or compute with all rows where the curvature needs them."""
    if curvature.by_rows:
        return backend.sweep(partial(function, backend.dots_of_rows), *shape)
    found: tuple[list[Array], list[Array]] = function(backend.dots, slice(0, shape[0]))
    return found


def _solved(curvature: Any, q: Array, kappa: Array, lam: Array, rows: slice) -> Array:
    """Return what the curvature's inverse makes of some rows of a reduced gradient."""
    return curvature.solve(q, kappa, lam, *([rows] if curvature.by_rows else []))


def direction(problem: Problem, state: LBFGSState, curvature: Any) -> tuple[Array, Array]:
    """Return a direction, reduced, that goes down, and the slope along it."""
    xp, lam = problem.backend.xp, problem.penalty
    if _has_kernels(problem, state):
        # Those of a sample that was too small for kernels are not of their dtype.
        wide = [[xp.astype(a, xp.float64, copy=False) for a in (p.s, p.y)] for p in state.pairs]
        pairs = [(*each, pair.rho) for each, pair in zip(wide, state.pairs, strict=True)]
        values, factors = _for_kernels(state.curvature)
        known = values, state.gamma, state.kappa
        d, slope = problem.recursion.direction(state.reduced, pairs, *known, lam, factors)
        return d, slope
    d, slope = two_loops(problem.backend, state, curvature, lam)
    if not problem.backend.known_true(slope < 0.0):
        shared = getattr(curvature, "shared", curvature)
        downhill = -shared.solve(state.reduced, state.kappa, lam)
        d = xp.where(slope < 0.0, d, downhill)
        slope = xp.sum(d * state.reduced, axis=0)
    return d, slope


def _has_kernels(problem: Problem, state: LBFGSState) -> bool:
    """Whether kernels replace array functions: they take a diagonal shared Hessian, few pairs."""
    curvature = getattr(state.curvature, "shared", state.curvature)
    if len(state.pairs) > PAIRS:
        return False
    diagonal = curvature.complete and isinstance(curvature.share, float)
    diagonal = diagonal and curvature.values.shape[0] == curvature.mean.shape[0]
    return diagonal and problem.recursion is not None  # for which they are compiled


def _for_kernels(curvature: Any) -> tuple[Array, Any]:
    """Return the values of the shared curvature, and the models' own factors or None."""
    if isinstance(curvature, ModelCurvature):
        return curvature.shared.values, curvature.factors
    return curvature.values, None


def two_loops(
    backend: Backend, state: LBFGSState, curvature: Any, lam: Array
) -> tuple[Array, Array]:
    """Return the direction −H g, with H the inverse Hessian approximation, and the slope along it.

    The loops run over scalar products with the pairs, which take all of these at once: those with
    what a loop has changed follow from those with what it began with, and from the pairs' own.
    """
    xp, pairs, g = backend.xp, state.pairs, state.reduced
    S, Y = [pair.s for pair in pairs], [pair.y for pair in pairs]
    inner = [_inner(backend, pair, S[:j]) for j, pair in enumerate(pairs)]

    alphas: list[Array] = []  # newest first
    products: Any = backend.dots(S, g) if pairs else None
    for j in reversed(range(len(pairs))):
        alphas.append(pairs[j].rho * products[j, :])
        if j > 0:
            products = products[:j, :] - alphas[-1] * inner[j]
    alphas.reverse()
    less = -xp.stack(alphas) if pairs else None

    def between(dots: Any, rows: slice) -> tuple[list[Array], list[Array]]:
        some = [y[rows, :] for y in Y]
        q = backend.combine(g[rows, :], less, some) if some else g[rows, :]
        r = state.gamma * _solved(curvature, q, state.kappa, lam, rows)
        return [r], [dots(some, r)] if some else []

    (r,), sums = _sweep(backend, curvature, between, g.shape)
    shares: list[Array] = []  # of each s, oldest first, with the opposite sign
    for j, alpha in enumerate(alphas):
        product = sums[0][j, :]
        if j > 0:
            product = product - xp.sum(xp.stack(shares) * inner[j], axis=0)
        shares.append(pairs[j].rho * product - alpha)
    to_add = xp.stack(shares) if pairs else None

    def last(dots: Any, rows: slice) -> tuple[list[Array], list[Array]]:
        some = [s[rows, :] for s in S]
        d = backend.combine(r[rows, :], to_add, some, -1.0) if some else -r[rows, :]
        return [d], [dots([d], g[rows, :])]

    (d,), (slope,) = _sweep(backend, curvature, last, g.shape)
    return d, slope[0, :]


def _inner(backend: Backend, pair: Pair, before: list[Array]) -> Array:
    """Return the scalar products (n_before, n_models) of a pair's y with the s of pairs before."""
    if not before:
        return None
    if pair.inner is None:
        return backend.dots(before, backend.xp.astype(pair.y, backend.xp.float64))
    return pair.inner[-len(before) :, :]
