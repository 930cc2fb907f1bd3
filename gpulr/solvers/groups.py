"""Many columns in bounded memory: groups of them, one after the other, by the very same code.

A group of one column each is the per-model loop, which batched training is compared with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import to_host
from gpulr.core.problem import Problem
from gpulr.solvers.driver import Callback, Solution, minimize
from gpulr.solvers.solver import Solver

Array = Any
Group = npt.NDArray[np.int64]

__all__ = ["WORKING_BYTES", "groups_of", "minimize_in_groups"]

# What the columns that train at once may take: 1,000 of 50,000 rows × 768 features are two groups.
# A group of a hundred columns is as fast, per column, as one of a thousand.
WORKING_BYTES = 2**30


def groups_of(solver: Solver, problem: Problem) -> list[Group]:
    """Cut the columns into the fewest groups, nearly equal, that train in bounded memory.

    The bound is ``WORKING_BYTES``, or a byte for each number in X where that is more: columns are
    as long as X, and groups of a few of them would read all of a large X for little. On a device it
    is no more than is free there.
    """
    rows, k = problem.rows, problem.n_models
    budget = max(WORKING_BYTES, rows.n_samples * rows.backend.row_width(rows.X))
    fit = max(1, rows.backend.available_bytes(budget) // solver.column_bytes(rows))
    return list(np.array_split(np.arange(k), math.ceil(k / fit)))


def minimize_in_groups(
    solver: Solver,
    problem: Problem,
    groups: Sequence[Group],
    *,
    max_iter: int,
    tol: float,
    callbacks: Sequence[Callback] = (),
    start: Array | None = None,
    interrupted: Callable[[], bool] = lambda: False,
) -> Solution:
    """Train one group of columns after the other, and put them side by side.

    Parameters
    ----------
    groups : sequence of (n,) int64
        The columns of each group; together all of them, once each. What the columns share is
        prepared once, for all groups.
    max_iter, tol, callbacks, start, interrupted
        As for :func:`gpulr.solvers.minimize`. When a callback or an interrupt ends training, the
        groups that have not begun keep their start, and have a cost of NaN.
    """
    every = {"max_iter": max_iter, "tol": tol, "callbacks": callbacks, "interrupted": interrupted}
    xp, backend = problem.backend.xp, problem.backend
    if len(groups) == 1:
        # Where all of it is short, and no callback may wait for another thread, it is one turn.
        whole = not callbacks and max_iter <= 2000
        rows = problem.rows
        sizes = rows.n_samples, rows.n_features, problem.n_models
        with backend.turn(*sizes) if whole else nullcontext():
            return minimize(solver, problem, start=start, **every)  # type: ignore[arg-type]
    prepared = solver.prepare(problem) if max_iter else None
    parts: list[Solution] = []
    for group in groups:
        index = backend.asarray(group.astype(np.int32))
        parts.append(
            minimize(
                solver,
                problem.select(index),
                models=group,
                start=None if start is None else xp.take(start, index, axis=1),
                prepared=prepared,
                **every,  # type: ignore[arg-type]
            )
        )
        if parts[-1].result in ("interrupted", "stopped"):
            break
    return _side_by_side(parts, groups, to_host(problem.start() if start is None else start))


def _side_by_side(
    parts: Sequence[Solution], groups: Sequence[Group], theta: npt.NDArray[np.float64]
) -> Solution:
    """Return the solution of all columns, from those of the groups that were trained."""
    k, length = theta.shape[1], max(len(part.seconds) for part in parts)
    theta = theta.copy()
    n_iter = np.zeros(k, dtype=np.int64)
    converged, stalled, rounding = np.zeros((3, k), dtype=np.bool_)
    cost, gradient_norm = np.full((2, length, k), np.nan)
    seconds = np.zeros(length)
    for part, group in zip(parts, groups, strict=False):
        theta[:, group] = part.theta
        n_iter[group], converged[group] = part.n_iter, part.converged
        stalled[group], rounding[group] = part.stalled, part.rounding
        after = length - len(part.seconds)
        cost[:, group] = np.pad(part.cost, ((0, after), (0, 0)), mode="edge")
        gradient_norm[:, group] = np.pad(part.gradient_norm, ((0, after), (0, 0)), mode="edge")
        seconds += np.pad(part.seconds, (0, after), mode="edge")
    result = parts[-1].result
    if result not in ("interrupted", "stopped"):
        ends = {part.result for part in parts}
        result = next(end for end in ("max_iter", "stalled", "converged") if end in ends)
    return Solution(
        theta, n_iter, converged, cost, gradient_norm, seconds, stalled, rounding, result
    )
