"""Many columns in bounded memory: groups of them, one after the other, by the very same code.

A group of one column each is the per-model loop, which batched training is compared with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import Backend, to_host
from gpulr.core.problem import Problem
from gpulr.errors import WorkersLostError
from gpulr.solvers.driver import minimize
from gpulr.solvers.solution import Callback, Solution
from gpulr.solvers.solver import Solver

Array = Any
Group = npt.NDArray[np.int64]

# What the columns that train at once may take: 1,000 of 50,000 rows × 768 features are two groups.
# A group of a hundred columns is as fast, per column, as one of a thousand.
WORKING_BYTES = 2**30


def cut(n: int, item_bytes: int, budget: int, backend: Backend) -> list[Group]:
    """Cut ``n`` items into the fewest groups, nearly equal, each of at most ``budget`` bytes.

    On a device the budget is no more than what is free there. An item that takes more is a group of
    its own.
    """
    most = max(1, backend.available_bytes(budget) // item_bytes)
    if n <= most:
        return [np.arange(n)]
    return list(np.array_split(np.arange(n), math.ceil(n / most)))


def groups_of(solver: Solver, problem: Problem) -> list[Group]:
    """Cut the columns into groups that train in bounded memory.

    The bound is ``WORKING_BYTES``, or a byte for each number in X where that is more: columns are
    as long as X, and groups of a few of them would read all of a large X for little.
    """
    rows = problem.rows
    budget = max(WORKING_BYTES, rows.n_samples * rows.backend.row_width(rows.X))
    return cut(problem.n_models, solver.column_bytes(rows), budget, rows.backend)


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

    The groups have all columns, once each; what these share is prepared once. The keywords are
    those of :func:`gpulr.solvers.minimize`. When a callback or an interrupt ends training, the
    groups that have not begun keep their start, and have a cost of NaN; so they do in the
    ``solution`` of a WorkersLostError.
    """
    train = partial(
        minimize, solver, max_iter=max_iter, tol=tol, callbacks=callbacks, interrupted=interrupted
    )
    if len(groups) == 1:
        return train(problem, start=start)
    backend = problem.backend
    prepared = solver.prepare(problem) if max_iter else None
    first = to_host(problem.start() if start is None else start)
    parts: list[Solution] = []
    for group in groups:
        index = backend.asarray(group.astype(np.int32))
        begin = None if start is None else backend.xp.take(start, index, axis=1)
        try:
            parts.append(train(problem.select(index), models=group, start=begin, prepared=prepared))
        except WorkersLostError as error:
            parts += [] if error.solution is None else [error.solution]
            if parts:
                error.solution = _side_by_side(parts, groups, first)
            raise
        if parts[-1].result in ("interrupted", "stopped"):
            break
    return _side_by_side(parts, groups, first)


def _side_by_side(
    parts: Sequence[Solution], groups: Sequence[Group], theta: npt.NDArray[np.float64]
) -> Solution:
    k, length = theta.shape[1], max(len(part.seconds) for part in parts)
    whole: dict[str, Array] = {"theta": theta.copy()}
    whole |= {name: np.zeros(k, np.int64) for name in ("n_iter", "refreshes")}
    whole |= {name: np.zeros(k, np.bool_) for name in ("converged", "stalled", "rounding")}
    whole |= {name: np.full((length, k), np.nan) for name in ("cost", "gradient_norm")}
    seconds = np.zeros(length)
    for part, group in zip(parts, groups, strict=False):
        after = length - len(part.seconds)
        seconds += np.pad(part.seconds, (0, after), mode="edge")
        for name, columns in whole.items():
            values = getattr(part, name)
            if name in ("cost", "gradient_norm"):
                values = np.pad(values, ((0, after), (0, 0)), mode="edge")
            columns[..., group] = values
    result = parts[-1].result
    if result not in ("interrupted", "stopped"):
        ends = {part.result for part in parts}
        result = next(end for end in ("max_iter", "stalled", "converged") if end in ends)
    return Solution(**whole, seconds=seconds, result=result)
