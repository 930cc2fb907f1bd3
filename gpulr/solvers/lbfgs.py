"""L-BFGS for every model at once, preconditioned by the curvature that they share."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import Backend, to_host
from gpulr.core.problem import Margins, Problem
from gpulr.core.rows import Rows
from gpulr.kernels.recursion import PAIRS
from gpulr.namespaces import array_namespace
from gpulr.solvers.curvature import SharedCurvature
from gpulr.solvers.exact_curvature import ExactCurvature
from gpulr.solvers.model_curvature import ModelCurvature
from gpulr.solvers.refresh import Pool, factor_bytes, is_due, refreshed, worthwhile
from gpulr.solvers.solver import Solver, State

Array = Any
Flags = npt.NDArray[np.bool_]

KAPPA = (1e-6, 0.25)  # bounds of the mean of σ'
FEW = 10.0  # a model with fewer rows of either kind in the sample does not begin there
SAMPLE_BYTES = 128 * 2**20  # what the copy of the sampled rows may take, at most
# A model has stalled after ten iterations that improved nothing, or thirty steps that failed.
MOVED, FAILED, STALLED = 3.0, 1.0, 30.0
LEAP = 10.0  # times the smallest gradient norm so far


@dataclass(frozen=True, slots=True)
class Pair:
    """A step s and the change y of the gradient along it, in the shared curvature's coordinates.

    s and y are (n_features + 1, n_models), in the dtype of the gradients' products or a wider one.
    """

    s: Array
    y: Array
    rho: Array  # (n_models,) 1 / sᵀy, or 0: not to be used
    inner: Array | None = None  # (n_before, n_models) yᵀs of the pairs before, or None: unknown


@dataclass(frozen=True, slots=True)
class Prepared:
    """What all models share."""

    curvature: Any  # SharedCurvature or ExactCurvature
    index: Array | None  # of a sample of the rows; None: all of them
    pool: Pool | None = None  # of which models' own curvature is found; None: it is not


@dataclass(frozen=True, slots=True)
class LBFGSState(State):
    """Where each model is, and what it has learnt of its cost."""

    reduced: Array  # the gradient in the coordinates of the curvature
    margins: Margins  # of all rows at theta
    pairs: tuple[Pair, ...]  # oldest first
    gamma: Array  # (n_models,) scale of the initial inverse Hessian
    kappa: Array  # (n_models,) mean of σ' over the rows, where last looked at
    best: Array  # (n_models,) the smallest gradient norm so far
    least: Array  # (n_models,) the smallest cost so far
    idle: Array  # (n_models,) since either last improved, MOVED or FAILED for each iteration
    factor: Array  # (n_models,) of the next step: 1, and a quarter of it for each that failed
    stalled: Array  # (n_models,) bool: no better is to be had in this precision
    age: int  # iterations since Z was computed from theta
    curvature: Any  # SharedCurvature, ModelCurvature or ExactCurvature
    pool: Pool | None = None  # as in Prepared
    iteration: int = 0
    # (n_models,) The gradient norm ``since`` iterations ago; NaN where the model has just begun.
    mark: Array | None = None
    since: int = 0


@dataclass(frozen=True, slots=True)
class LBFGS(Solver):
    """Limited-memory BFGS (Nocedal & Wright 2006, alg. 7.4), column by column.

    Each model has its own history, step and stopping test. What they share is the initial inverse
    Hessian γ (κ A + λ)⁻¹: one eigendecomposition of the features' covariance A serves every model,
    with its own λ = 1/(C m), γ = sᵀy / yᵀH₀y, and κ, the mean of σ' over the rows: 1/4 at the start
    (the bound of Böhning & Lindsay 1988), some 0.01 when most probabilities are near 0 or 1.

    Margins are linear in the parameters. With those of θ kept, an iteration computes the margins of
    the direction (half a pass), finds the step by Newton's method on them (no pass), and the
    gradient there (half a pass): good steps without trial passes.

    A step that does not lower the cost enough (Armijo's condition) fails: the model stays, learns
    the curvature along it, and takes a quarter of the next one, while the others go on. So the host
    need not ask the device anything within an iteration. Where rounding hides whether the cost
    fell, the step is good unless the gradient leaps.

    Where rows and features are few, the initial Hessian is each model's own, and no pairs are kept.

    The factorisation and the first iterations use a sample of the rows. Its pairs are kept: they
    describe the curvature nearly as well as those of all rows would.
    """

    memory: int = 10  # pairs kept
    sample: int = 12_000  # rows in the sample, at most: fewer where they are wide
    sample_iterations: int = 6  # on the sample, which do not count as iterations
    tol: float = 0.0  # to what gradients are to fall, by which it is judged what pays

    def aiming(self, tol: float) -> LBFGS:
        """Return the solver that judges by this tolerance what pays."""
        return replace(self, tol=tol)

    def prepare(self, problem: Problem) -> Prepared:
        """Choose a sample of the rows, if there are many, and factor the shared curvature."""
        if ExactCurvature.serves(problem.rows):
            return Prepared(ExactCurvature.of(problem), None)
        rows = np.arange(problem.rows.n_samples)
        if problem.weights.base is not None:
            rows = np.flatnonzero(to_host(problem.weights.base)[:, 0] > 0.0)
        width = problem.backend.row_width(problem.rows.X)  # of sparse rows what is stored
        size = min(self.sample, max(1000, SAMPLE_BYTES // (8 * width)))
        if len(rows) <= 2 * size:
            return self._prepared(problem, SharedCurvature.of(problem), None)
        chosen = np.sort(np.random.default_rng(0).choice(rows, size, replace=False))
        index = problem.backend.asarray(chosen)
        curvature = SharedCurvature.of(problem.sample(index), sampled=True)
        return self._prepared(problem, curvature, index)

    def _prepared(
        self, problem: Problem, curvature: SharedCurvature, index: Array | None
    ) -> Prepared:
        own = factor_bytes(problem.rows) > 0 and curvature.basis is not None
        return Prepared(curvature, index, Pool.of(problem, index, curvature) if own else None)

    def init(
        self, problem: Problem, theta: Array | None = None, prepared: Prepared | None = None
    ) -> LBFGSState:
        """Begin at ``theta``; without it, at where the first iterations on a sample lead.

        These begin at weights of zero and the intercepts that are best with them, as do models with
        too few rows of a kind in the sample: from an intercept of 0 to −10, of a rare class, it is
        ten steps.
        """
        prepared = self.prepare(problem) if prepared is None else prepared
        curvature, xp = prepared.curvature, problem.backend.xp
        if theta is not None:
            return replace(resume(problem, theta, curvature), pool=prepared.pool)
        if prepared.index is None:
            return replace(_start(problem, problem.start(), curvature), pool=prepared.pool)
        sample = problem.sample(prepared.index)
        theta, kappa = _best_intercepts(sample)
        state = first = replace(_start(sample, theta, curvature), kappa=kappa)
        anew = xp.minimum(*sample.class_counts()) < FEW
        if not bool(to_host(xp.all(anew))):
            for _ in range(self.sample_iterations):
                state = self.step(sample, state)
        theta, kappa = state.theta, state.kappa
        if bool(to_host(xp.any(anew))):
            found = zip((theta, kappa), _best_intercepts(problem), strict=True)
            theta, kappa = (xp.where(anew, best, of_sample) for of_sample, best in found)
        start, worse = _no_worse_than_zero(problem, theta, curvature)
        anew = xp.logical_or(anew, worse)
        pairs = tuple(replace(p, rho=xp.where(anew, 0.0, p.rho)) for p in state.pairs)
        gamma, kappa = xp.where(anew, 1.0, state.gamma), xp.where(worse, 0.25, kappa)
        start = replace(start, pairs=pairs, gamma=gamma, kappa=kappa, pool=prepared.pool)
        # The gradient fell on the sample as if it had begun at the mark. Models that do not begin
        # there have none, whether others do or not: the path is the same alone and beside others.
        fall = first.best / xp.max(xp.abs(state.gradient), axis=0)
        mark = xp.where(anew, math.nan, start.best * fall)
        return replace(start, mark=mark, since=self.sample_iterations)

    def step(self, problem: Problem, state: LBFGSState) -> LBFGSState:
        """Find a direction, step along it, and learn from the change of the gradient."""
        xp = problem.backend.xp
        if state.pool is not None and is_due(state.iteration):
            state = self._look(problem, state)
        curvature = state.curvature.at(problem, state.margins)
        d, slope = _direction(problem, state, curvature)
        D = curvature.expand(d)

        if state.age >= 16:
            state = replace(state, margins=problem.margins(state.theta), age=0)
        dZ = problem.margins(D)
        t, kappa = _newton_step(problem, state, D, dZ)
        t = state.factor * t
        theta = problem.backend.combine(state.theta, xp.expand_dims(t, axis=0), [D])
        margins = state.margins.along(dZ, t)
        cost, gradient = problem.evaluate_margins(margins, theta)
        reduced = curvature.reduce(gradient)
        pairs, gamma = state.pairs, state.gamma
        if not curvature.exact:
            pair, gamma = _learn(problem, state, d, t, reduced, kappa)
            pairs = (*pairs, pair)[-self.memory :]
        noise = 8.0 * float(xp.finfo(problem.rows.dtype).eps) * xp.abs(state.cost)
        norm = xp.max(xp.abs(gradient), axis=0)
        enough, about_equal = cost <= state.cost + 1e-4 * t * slope, cost <= state.cost + noise
        no_leap = norm <= LEAP * state.best
        enough = xp.logical_or(enough, xp.logical_and(about_equal, no_leap))
        if not problem.backend.known_true(enough):
            before = (state.theta, state.cost, state.gradient, state.reduced)
            theta, cost, gradient, reduced = (
                xp.where(enough, new, old)
                for new, old in zip((theta, cost, gradient, reduced), before, strict=True)
            )
            margins = margins.where(enough, state.margins)
            norm = xp.max(xp.abs(gradient), axis=0)
        better = xp.logical_or(norm < 0.9 * state.best, cost < state.least - noise / 8.0)
        moved = xp.logical_or(enough, about_equal)
        tries = xp.where(moved, state.idle + MOVED, state.idle + FAILED)
        idle = xp.where(better, 0.0, tries)
        return LBFGSState(
            theta=theta,
            cost=cost,
            gradient=gradient,
            reduced=reduced,
            margins=margins,
            pairs=pairs,
            gamma=gamma,
            kappa=kappa,
            best=xp.minimum(norm, state.best),
            least=xp.minimum(cost, state.least),
            idle=idle,
            factor=xp.where(enough, 1.0, state.factor / 4.0),
            stalled=idle >= STALLED,
            age=state.age + 1,
            curvature=state.curvature,
            pool=state.pool,
            iteration=state.iteration + 1,
            mark=state.mark,
            since=state.since + 1,
        )

    def _look(self, problem: Problem, state: LBFGSState) -> LBFGSState:
        """Find the curvature of models anew where that pays."""
        xp, pool = problem.backend.xp, state.pool
        norm = xp.max(xp.abs(state.gradient), axis=0)
        if pool is None or state.mark is None:
            return replace(state, mark=norm)
        known = state.curvature if isinstance(state.curvature, ModelCurvature) else None
        norms = to_host(state.mark), to_host(norm)
        flags, groups = worthwhile(pool, *norms, state.since, self.tol, known)
        if state.iteration == 0:  # as if others had fallen tenfold while these were not trained
            unknown = xp.isnan(state.mark)
            state = replace(state, mark=xp.where(unknown, 10.0 * norm, state.mark))
        return refresh(problem, state, flags, groups) if flags.any() else state

    def column_bytes(self, rows: Rows) -> int:
        """Return about how many bytes a column takes, at most.

        Margins are Z, dZ, those of a trial and a term of them; as θ are the pairs, the parameters
        of a burst, and some eleven arrays. When converged models leave, the others are copied, as
        factors of the models' own curvature are when some are found anew.
        """
        itemsize = int(rows.backend.xp.finfo(rows.dtype).bits) // 8
        margins = 4 * itemsize * rows.n_samples
        arrays = 4 * self.memory + 11 + rows.backend.check_every
        exact = 0  # Hessians and slopes in float64, as ExactCurvature has them
        if ExactCurvature.serves(rows):
            exact = 3 * 8 * (rows.n_features + 1) ** 2 + 2 * 8 * rows.n_samples
        return margins + exact + arrays * 8 * (rows.n_features + 1) + 3 * factor_bytes(rows)


def refresh(problem: Problem, state: LBFGSState, flags: Flags, groups: Any = None) -> LBFGSState:
    """Return the state with the curvature of the models that are flagged found anew.

    ``groups`` are those of :func:`gpulr.solvers.refresh.refreshed`. Pairs are kept, and γ is that
    of the newest.
    """
    backend, xp, pool = problem.backend, problem.backend.xp, state.pool
    assert pool is not None
    index = backend.asarray(np.flatnonzero(flags))
    some = problem if flags.all() else problem.select(index)
    margins = state.margins if flags.all() else state.margins.take(index)
    new, old = refreshed(pool, some, margins, groups), state.curvature
    if not flags.all():
        known = old if isinstance(old, ModelCurvature) else new.none(len(flags))
        new = known.changed(flags, new)
    gamma = xp.ones_like(state.gamma)
    if state.pairs:
        pair = state.pairs[-1]
        yHy = xp.sum(pair.y * new.solve(pair.y, state.kappa, problem.penalty), axis=0)
        good = xp.logical_and(pair.rho > 0.0, yHy > 0.0)
        gamma = xp.where(good, 1.0 / xp.where(good, pair.rho * yHy, 1.0), 1.0)
    gamma = xp.where(backend.asarray(flags), gamma, state.gamma)
    return replace(state, curvature=new, gamma=gamma)


def resume(problem: Problem, theta: Array, curvature: SharedCurvature) -> LBFGSState:
    """Return the state at parameters that were found for a similar problem."""
    state, _ = _no_worse_than_zero(problem, theta, curvature)
    _, _, kappa = problem.derivatives_along(state.margins, state.margins)
    return replace(state, kappa=_clip(kappa, *KAPPA))


def _no_worse_than_zero(
    problem: Problem, theta: Array, curvature: SharedCurvature
) -> tuple[LBFGSState, Array]:
    """Return the state at ``theta``, or at zero for models that are worse, and which these are.

    At zero the cost is log 2.
    """
    xp = problem.backend.xp
    state = _start(problem, theta, curvature)
    worse = xp.logical_not(state.cost < math.log(2.0))
    if bool(to_host(xp.any(worse))):
        state = _start(problem, xp.where(worse, 0.0, theta), curvature)
    return state, worse


def _best_intercepts(problem: Problem) -> tuple[Array, Array]:
    """Return parameters with weights of zero and the intercepts of least cost, and κ there."""
    xp, zero = problem.backend.xp, problem.start()
    if not problem.intercept:
        return zero, 0.25 + 0.0 * zero[0, :]

    def total(rows: slice) -> tuple[Array]:
        Y, s = problem.targets.block(rows), problem.weights.block(rows)
        return (xp.sum(Y if s is None else s * Y, axis=0, dtype=xp.float64),)

    blocks = problem.rows.margin_blocks(problem.n_models)
    (positive,) = problem.rows.sum(total, blocks)
    share = _clip(positive / problem.m, KAPPA[0], 1.0 - KAPPA[0])
    b = xp.expand_dims(xp.log(share / (1.0 - share)), axis=0)
    return xp.concat([zero[:-1, :], b], axis=0), share * (1.0 - share)


def _start(problem: Problem, theta: Array, curvature: SharedCurvature) -> LBFGSState:
    xp = problem.backend.xp
    margins = problem.margins(theta)
    cost, gradient = problem.evaluate_margins(margins, theta)
    one = xp.ones_like(cost)
    return LBFGSState(
        theta=theta,
        cost=cost,
        gradient=gradient,
        reduced=curvature.reduce(gradient),
        margins=margins,
        pairs=(),
        gamma=one,
        kappa=one / 4.0,
        best=xp.max(xp.abs(gradient), axis=0),
        least=cost,
        idle=0.0 * one,
        factor=one,
        stalled=one < 0.0,
        age=0,
        curvature=curvature,
    )


def _learn(
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


def _direction(problem: Problem, state: LBFGSState, curvature: Any) -> tuple[Array, Array]:
    """Return a direction, reduced, that goes down, and the slope along it."""
    xp, lam = problem.backend.xp, problem.penalty
    if _has_kernels(problem, state):
        # Those of a sample that was too small for kernels are not of their dtype.
        wide = [[xp.astype(a, xp.float64, copy=False) for a in (p.s, p.y)] for p in state.pairs]
        pairs = [(*each, pair.rho) for each, pair in zip(wide, state.pairs, strict=True)]
        known = state.curvature.values, state.gamma, state.kappa
        d, slope = problem.recursion.direction(state.reduced, pairs, *known, lam)
        return d, slope
    d = -_two_loops(problem.backend, state, curvature, lam)
    slope = problem.backend.dots([d], state.reduced)[0, :]
    if not problem.backend.known_true(slope < 0.0):
        downhill = -curvature.solve(state.reduced, state.kappa, lam)
        d = xp.where(slope < 0.0, d, downhill)
        slope = xp.sum(d * state.reduced, axis=0)
    return d, slope


def _has_kernels(problem: Problem, state: LBFGSState) -> bool:
    """Whether kernels replace array functions: they take a diagonal initial Hessian, few pairs."""
    curvature = state.curvature
    if problem.recursion is None or isinstance(curvature, ModelCurvature):
        return False
    diagonal = curvature.complete and isinstance(curvature.share, float)
    diagonal = diagonal and curvature.values.shape[0] == curvature.mean.shape[0]
    return diagonal and len(state.pairs) <= PAIRS


def _two_loops(backend: Backend, state: LBFGSState, curvature: Any, lam: Array) -> Array:
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


def _newton_step(problem: Problem, state: LBFGSState, D: Array, dZ: Margins) -> tuple[Array, Array]:
    """Return the step that Newton's method takes from 1 along D, and the mean of σ' at 1."""
    xp, lam = problem.backend.xp, problem.penalty
    W, V = state.theta[:-1, :], D[:-1, :]
    if not isinstance(problem.rows.factor, float):
        W, V = problem.rows.factor * W, problem.rows.factor * V
    penalty = lam * problem.backend.dots([W, V], V)
    slope, bend = penalty[0, :], penalty[1, :]
    first, second, kappa = problem.derivatives_along(state.margins, dZ, 1.0)
    first = first + slope + bend
    second = second + bend
    t = 1.0 - first / xp.where(second > 0.0, second, 1.0)
    return _clip(t, 0.05, 10.0), _clip(kappa, *KAPPA)


def _clip(x: Array, least: float, most: float) -> Array:
    """Return x within bounds."""
    xp = array_namespace(x)  # array_api_compat's clip indexes by masks, which waits for a GPU
    return xp.minimum(xp.maximum(x, least), most)
