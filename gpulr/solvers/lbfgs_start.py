"""Where L-BFGS begins: at given parameters, at zero, or at the best intercepts."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from gpulr.backend import to_host
from gpulr.core.problem import Problem
from gpulr.solvers.curvature import SharedCurvature
from gpulr.solvers.lbfgs_state import KAPPA, LBFGSState, clip

Array = Any


def resume(problem: Problem, theta: Array, curvature: SharedCurvature) -> LBFGSState:
    """Return the state at parameters that were found for a similar problem."""
    state, _ = no_worse_than_zero(problem, theta, curvature)
    _, _, kappa = problem.derivatives_along(state.margins, state.margins)
    return replace(state, kappa=clip(kappa, *KAPPA))


def no_worse_than_zero(
    problem: Problem, theta: Array, curvature: SharedCurvature
) -> tuple[LBFGSState, Array]:
    """Return the state at ``theta``, or at zero for models that are worse, and which these are.

    At zero the cost is log 2.
    """
    xp = problem.backend.xp
    state = start(problem, theta, curvature)
    worse = xp.logical_not(state.cost < math.log(2.0))
    if bool(to_host(xp.any(worse))):
        state = start(problem, xp.where(worse, 0.0, theta), curvature)
    return state, worse


def best_intercepts(problem: Problem) -> tuple[Array, Array]:
    """Return parameters with weights of zero and the intercepts of least cost, and κ there."""
    xp, zero = problem.backend.xp, problem.start()
    if not problem.intercept:
        return zero, 0.25 + 0.0 * zero[0, :]

    positive, _ = problem.answer_sums()
    share = clip(positive / problem.m, KAPPA[0], 1.0 - KAPPA[0])
    b = xp.expand_dims(xp.log(share / (1.0 - share)), axis=0)
    return xp.concat([zero[:-1, :], b], axis=0), share * (1.0 - share)


def start(problem: Problem, theta: Array, curvature: SharedCurvature) -> LBFGSState:
    """Return the state at ``theta``, with nothing learnt."""
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
        refreshes=-xp.ones_like(one, dtype=xp.int64) if curvature.exact else None,
    )
