"""From one L-BFGS run to the next, of the same models with another penalty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from gpulr.core.problem import Problem
from gpulr.solvers.curvature import SharedCurvature
from gpulr.solvers.lbfgs import refresh
from gpulr.solvers.lbfgs_start import resume
from gpulr.solvers.lbfgs_state import EachModel, LBFGSState, Pair, Prepared
from gpulr.solvers.refresh import passes, pays_for
from gpulr.solvers.restoring import OTHERS

Array = Any


@dataclass(frozen=True, slots=True, eq=False)
class Ended:
    """What is kept of columns that are done; their margins would take as much as the rows."""

    models: Annotated[npt.NDArray[np.int64], "(n_models,)"]
    theta: Annotated[Array, "(n_features + 1, n_models) float64"]
    pairs: tuple[Pair, ...]
    gamma: EachModel
    n_iter: int


@dataclass(frozen=True, slots=True, eq=False)
class Continuation:
    """Collects where columns of a problem end, and begins the next run there.

    Rows, targets and weights of the next problem are the same. A change of C changes the Hessian by
    a multiple of the penalty's, which is the identity on weights of the caller's scale, so the
    change y of the gradient along a step s becomes y + (λ' − λ) s there, exactly: no pair is lost,
    and the next run knows the curvature from its first step.
    """

    penalty: EachModel  # of the problem
    parts: Annotated[list[Ended], OTHERS] = field(default_factory=list)

    def so_far(self) -> Continuation:
        """Return one that stays as it is when this one collects more."""
        return replace(self, parts=list(self.parts))

    def collect(self, models: npt.NDArray[np.int64], state: Any) -> None:
        """Collect columns that are done."""
        n_iter = state.iteration
        self.parts.append(Ended(models, state.theta, state.pairs, state.gamma, n_iter))

    def begin(
        self, prepared: Prepared, groups: npt.NDArray[np.int64] | None = None
    ) -> Callable[[Problem], LBFGSState]:
        """Return what ``minimize`` takes as ``begin`` for the next problem.

        ``groups`` (n_models,) says which models may share a curvature of their own, those of a
        class on different folds, by numbers from 0 on.
        """

        def state(problem: Problem) -> LBFGSState:
            state = self._state(problem, prepared.curvature)
            if groups is None:
                return state
            n_iter = np.zeros(problem.n_models)
            for part in self.parts:
                n_iter[part.models] = part.n_iter
            return refreshed_together(problem, state, prepared, groups, n_iter)

        return state

    def _state(self, problem: Problem, curvature: SharedCurvature) -> LBFGSState:
        """Return the state of all columns, at where they ended, as one of ``problem``."""
        backend, parts = problem.backend, self.parts
        xp = backend.xp
        order = backend.asarray(np.argsort(np.concatenate([part.models for part in parts])))

        def joined(arrays: list[Array]) -> Array:
            return xp.take(xp.concat(arrays, axis=-1), order, axis=arrays[0].ndim - 1)

        state = resume(problem, joined([part.theta for part in parts]), curvature)
        change = problem.penalty - self.penalty
        pairs: list[Pair] = []
        for age in range(max(len(part.pairs) for part in parts), 0, -1):
            each = [p.pairs[-age] if age <= len(p.pairs) else _no_pair(p) for p in parts]
            s, y = joined([pair.s for pair in each]), joined([pair.y for pair in each])
            y = y + change * curvature.penalized(s)
            sy = xp.sum(s * y, axis=0)
            good = xp.logical_and(joined([pair.rho for pair in each]) > 0.0, sy > 0.0)
            rho = xp.where(good, 1.0 / xp.where(good, sy, 1.0), 0.0)
            inner = backend.dots([pair.s for pair in pairs], y) if pairs else None
            s, y = (xp.astype(part, problem.rows.dtype) for part in (s, y))
            pairs.append(Pair(s, y, rho, inner))
        gamma = joined([part.gamma for part in parts])
        return replace(state, pairs=tuple(pairs), gamma=gamma)


def refreshed_together(
    problem: Problem,
    state: LBFGSState,
    prepared: Prepared,
    groups: npt.NDArray[np.int64],
    n_iter: npt.NDArray[Any],
) -> LBFGSState:
    """Return a state at the start of a run with curvatures that the models of a group share.

    Models are expected to take ``n_iter`` (n_models,) iterations, of which it is to save some half;
    for groups where that pays.
    """
    state, pool = replace(state, pool=prepared.pool), prepared.pool
    if pool is None:
        return state
    pays = pays_for(np.bincount(groups, n_iter / 2.0), passes(pool, first=False))
    flags = pays[groups]
    if not flags.any():
        return state
    return refresh(problem, state, flags, (np.cumsum(pays) - 1)[groups[flags]])


def _no_pair(part: Ended) -> Pair:
    zero = 0.0 * part.theta
    return Pair(zero, zero, zero[0, :])
