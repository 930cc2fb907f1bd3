"""L-BFGS for every model at once, preconditioned by the curvature that they share."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import address_limit, to_host
from gpulr.core.problem import Problem
from gpulr.core.rows import Rows
from gpulr.solvers.curvature import SharedCurvature
from gpulr.solvers.exact_curvature import ExactCurvature, are_near
from gpulr.solvers.lbfgs_start import best_intercepts, no_worse_than_zero, resume, start
from gpulr.solvers.lbfgs_state import LBFGSState, Prepared
from gpulr.solvers.model_curvature import ModelCurvature
from gpulr.solvers.pairs import direction, in_coordinates, learn
from gpulr.solvers.refresh import (
    Pool,
    factor_bytes,
    is_due,
    passes,
    refreshed,
    until_due,
    worthwhile,
)
from gpulr.solvers.solver import Solver
from gpulr.solvers.stepping import Stepping
from gpulr.solvers.subspace import rank_for

Array = Any
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

FEW = 10.0  # a model with fewer rows of either kind in the sample does not begin there
SAMPLE_BYTES = 128 * 2**20  # what the copy of the sampled rows may take, at most
SAMPLE_SHARE = 16  # and one part in so many of a process's addresses, where these are limited
# A model has stalled after ten iterations that improved nothing, or thirty steps that failed.
MOVED, FAILED, STALLED = 3.0, 1.0, 30.0
LEAP = 10.0  # times the smallest gradient norm so far
# Iterations on the sample do not decide of refreshes that take more passes: those of 100 and 200
# classes looked four times as useful as they were.
SURE = 6.0


@dataclass(frozen=True, slots=True)
class LBFGS(Solver):
    """Limited-memory BFGS (Nocedal & Wright 2006, alg. 7.4), column by column.

    Each model has its own history, step and stopping test. What they share is the initial inverse
    Hessian γ (κ A + λ)⁻¹: one eigendecomposition of the features' covariance A serves every model,
    with its own λ = 1/(C m), γ = sᵀy / yᵀH₀y, and κ, the mean of σ' over the rows: 1/4 at the start
    (the bound of Böhning & Lindsay 1988), some 0.01 when most probabilities are near 0 or 1.

    Margins are linear in the parameters. With those of θ kept, an iteration computes the margins of
    the direction (half a pass), finds the step by Newton's method on them (no pass), and the
    gradient there (half a pass): good steps without trial passes. Beside the rows, this takes three
    arrays of margins at most (n_samples, n_models) in the compute dtype: those of θ, of the
    direction, and what is made of both where some models' steps have failed.

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
        index = problem.draw(self.sample_size(problem.rows, sample_bytes()))
        if index is None:
            return self._prepared(problem, SharedCurvature.of(problem), None)
        curvature = SharedCurvature.of(problem.sample(index), sample_of=problem.rows)
        return self._prepared(problem, curvature, index)

    def sample_size(self, rows: Rows, n_bytes: int) -> int:
        """Return how many rows to sample into so many bytes, at most."""
        width = rows.backend.row_width(rows.X)  # of sparse rows what is stored
        return min(self.sample, max(1000, n_bytes // (8 * width)))

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
            return replace(start(problem, problem.start(), curvature), pool=prepared.pool)
        sample = problem.sample(prepared.index)
        theta, kappa = best_intercepts(sample)
        state = first = replace(start(sample, theta, curvature), kappa=kappa)
        anew = xp.minimum(*sample.class_counts()) < FEW
        if not bool(to_host(xp.all(anew))):
            for _ in range(self.sample_iterations):
                state = self.step(sample, state)
        theta, kappa = state.theta, state.kappa
        if bool(to_host(xp.any(anew))):
            found = zip((theta, kappa), best_intercepts(problem), strict=True)
            theta, kappa = (xp.where(anew, best, of_sample) for of_sample, best in found)
        begun, worse = no_worse_than_zero(problem, theta, curvature)
        anew = xp.logical_or(anew, worse)
        pairs = tuple(replace(p, rho=xp.where(anew, 0.0, p.rho)) for p in state.pairs)
        gamma, kappa = xp.where(anew, 1.0, state.gamma), xp.where(worse, 0.25, kappa)
        begun = replace(begun, pairs=pairs, gamma=gamma, kappa=kappa, pool=prepared.pool)
        if prepared.pool is None or passes(prepared.pool) > SURE:
            return begun
        # The gradient fell on the sample as if it had begun at ``before``. Of models that do not
        # begin there nothing is known, whether others do or not: paths are the same alone and
        # beside others.
        fall = first.best / xp.max(xp.abs(state.gradient), axis=0)
        before = xp.where(anew, math.nan, begun.best * fall)
        before, norm = to_host(xp.stack([before, begun.best]))
        return self._refreshed(problem, begun, before, norm, self.sample_iterations)

    def step(self, problem: Problem, state: LBFGSState) -> LBFGSState:
        """Find a direction, step along it, and learn from the change of the gradient."""
        curvature = state.curvature.at(problem, state.margins)
        d, slope = direction(problem, state, curvature)
        D = curvature.expand(d)

        if state.age >= 16:
            state = replace(state, margins=problem.margins(state.theta), age=0)
        dZ = problem.margins(D)
        steps = problem.stepping or Stepping(problem)
        t, kappa, theta, margins = steps.choose(state.theta, state.margins, D, dZ, state.factor)
        cost, gradient = problem.evaluate_margins(margins, theta)
        reduced = in_coordinates(problem.backend, curvature, gradient)
        pairs, gamma = state.pairs, state.gamma
        if not curvature.exact:
            pair, gamma = learn(problem, state, d, t, reduced, kappa)
            pairs = (*pairs, pair)[-self.memory :]
        before = (state.theta, state.cost, state.gradient, state.reduced)
        known = (state.best, state.least, state.idle, state.factor)
        noise = 8.0 * float(problem.backend.xp.finfo(problem.rows.dtype).eps)
        (theta, cost, gradient, reduced), margins, figures, stalled, measured = steps.judge(
            before,
            (theta, cost, gradient, reduced),
            slope,
            t,
            known,
            (state.margins, margins),
            (noise, LEAP, MOVED, FAILED, STALLED),
        )
        best, least, idle, factor = figures
        return replace(
            state,
            theta=theta,
            cost=cost,
            gradient=gradient,
            reduced=reduced,
            margins=margins,
            pairs=pairs,
            gamma=gamma,
            kappa=kappa,
            best=best,
            least=least,
            idle=idle,
            factor=factor,
            stalled=stalled,
            age=state.age + 1,
            iteration=state.iteration + 1,
            measured=measured,
        )

    def until_look(self, state: LBFGSState) -> float:
        """Return in how many iterations curvatures of models may be found anew."""
        return math.inf if state.pool is None else until_due(state.iteration)

    def look(self, problem: Problem, state: LBFGSState, start: Floats, norm: Floats) -> LBFGSState:
        """Find the curvature of models anew where that is due, and pays."""
        if state.pool is None or not is_due(state.iteration):
            return state
        return self._refreshed(problem, state, start, norm, state.iteration)

    def _refreshed(
        self, problem: Problem, state: LBFGSState, before: Floats, norm: Floats, n: int
    ) -> LBFGSState:
        """Find the curvature of models anew where that pays; see :func:`worthwhile`."""
        assert state.pool is not None
        known = state.curvature if isinstance(state.curvature, ModelCurvature) else None
        flags, groups = worthwhile(state.pool, before, norm, n, self.tol, known)
        return refresh(problem, state, flags, groups) if flags.any() else state

    def settled(self, problem: Problem, state: Any, theta: Array, tol: float) -> Flags:
        """Return which models have little of their cost left to win; all, where that is not known.

        A small gradient alone says so only where features and penalty are not small as well.
        """
        if not ExactCurvature.serves(problem.rows):
            return np.ones(problem.n_models, np.bool_)
        begun = isinstance(state, LBFGSState)  # or with max_iter=0 it is a plain one
        curvature = state.curvature if begun else ExactCurvature.of(problem)
        return are_near(problem, theta, curvature, tol)

    def notes(self, rows: Rows) -> dict[str, str]:
        """Return what models depend on beside data and settings.

        By how many eigenvectors they went, where that was a choice, and how many rows were sampled,
        where these are fewer since addresses are limited.
        """
        n, notes = rows.n_features, dict[str, str]()
        if ExactCurvature.serves(rows):
            return notes
        if rows.backend.kernels is not None and n <= SharedCurvature.full_up_to:
            few = (rank := rank_for(rows)) < n
            notes["eigenvectors"] = f"{rank} of {n}, by subspace iteration" if few else f"all {n}"
        size = self.sample_size(rows, sample_bytes())
        if 2 * size < rows.n_samples and size < self.sample_size(rows, SAMPLE_BYTES):
            notes["sample"] = f"{size:,} rows, of {address_limit():,} bytes of addresses"
        return notes

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


def sample_bytes() -> int:
    """Return what the copy of the sampled rows may take: the same for the same limit."""
    limit = address_limit()
    return SAMPLE_BYTES if limit is None else min(SAMPLE_BYTES, limit // SAMPLE_SHARE)


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
    found = np.zeros(len(flags), np.int64)
    found[flags] = new.which >= 0
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
    refreshes = backend.asarray(found)
    if state.refreshes is not None:
        refreshes = state.refreshes + refreshes
    return replace(state, curvature=new, gamma=gamma, refreshes=refreshes)
