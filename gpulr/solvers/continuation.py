"""From one L-BFGS run to the next, of the same models with another penalty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.core.problem import Problem
from gpulr.solvers.curvature import SharedCurvature
from gpulr.solvers.lbfgs import LBFGS, LBFGSState, Pair, Prepared

Array = Any


class Continuation:
    """Collects where columns end, and begins the next run there.

    A change of C changes the Hessian by a multiple of the penalty's, which is the identity on
    weights of the caller's scale, so the change y of the gradient along a step s becomes
    y + (λ' − λ) s there, exactly: no pair is lost, and the next run knows the curvature from its
    first step.

    Parameters
    ----------
    solver : LBFGS
    problem : Problem
        The one whose columns are collected; its rows, targets and weights are the next one's.
    """

    def __init__(self, solver: LBFGS, problem: Problem) -> None:
        self.solver = solver
        self.penalty = problem.penalty
        self.parts: list[tuple[npt.NDArray[np.int64], LBFGSState]] = []

    def collect(self, models: npt.NDArray[np.int64], state: Any) -> None:
        """Collect columns that are done; their margins are not kept."""
        self.parts.append((models, replace(state, margins=state.cost)))

    def begin(self, prepared: Prepared) -> Callable[[Problem], LBFGSState]:
        """Return what ``minimize`` takes as ``begin`` for the next problem."""
        return lambda problem: self._state(problem, prepared.curvature)

    def _state(self, problem: Problem, curvature: SharedCurvature) -> LBFGSState:
        """Return the state of all columns, at where they ended, as one of ``problem``."""
        backend = problem.backend
        xp = backend.xp
        order = backend.asarray(np.argsort(np.concatenate([models for models, _ in self.parts])))

        def together(arrays: list[Array]) -> Array:
            return xp.take(xp.concat(arrays, axis=-1), order, axis=arrays[0].ndim - 1)

        states = [state for _, state in self.parts]
        state = self.solver.resume(problem, together([s.theta for s in states]), curvature)
        change = problem.penalty - self.penalty
        pairs = []
        for age in range(max(len(s.pairs) for s in states), 0, -1):
            each = [s.pairs[-age] if age <= len(s.pairs) else _no_pair(s) for s in states]
            s, y = together([p.s for p in each]), together([p.y for p in each])
            y = y + change * curvature.penalized(s)
            sy = xp.sum(s * y, axis=0)
            good = xp.logical_and(together([p.rho for p in each]) > 0.0, sy > 0.0)
            pairs.append(Pair(s, y, xp.where(good, 1.0 / xp.where(good, sy, 1.0), 0.0)))
        gamma = together([s.gamma for s in states])
        return replace(state, pairs=tuple(pairs), gamma=gamma)


def _no_pair(state: LBFGSState) -> Pair:
    zero = 0.0 * state.theta
    return Pair(zero, zero, 0.0 * state.cost)
