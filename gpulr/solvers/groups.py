"""Many columns in bounded memory: groups of them, one after the other, by the very same code.

A group of one column each is the per-model loop, which batched training is compared with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import Backend, address_limit, to_host
from gpulr.core.problem import Problem
from gpulr.core.rows import Rows
from gpulr.errors import WorkersLostError
from gpulr.solvers.driver import EARLY, minimize
from gpulr.solvers.lbfgs_state import Prepared
from gpulr.solvers.restoring import OTHERS, check_places
from gpulr.solvers.run import Run
from gpulr.solvers.solution import Callback, Solution
from gpulr.solvers.solver import Solver

Array = Any
Group = npt.NDArray[np.int64]

# What the columns that train at once may take: 1,000 of 50,000 rows × 768 features are two groups.
# A group of a hundred columns is as fast, per column, as one of a thousand.
WORKING_BYTES = 2**30
HERE_SHARE = 16  # of a process's addresses, where these are limited and the rows are elsewhere


def cut(n: int, item_bytes: int, budget: int, backend: Backend) -> list[Group]:
    """Cut ``n`` items into the fewest groups, nearly equal, each of at most ``budget`` bytes.

    On a device the budget is no more than what is free there. An item that takes more is a group of
    its own.
    """
    most = max(1, backend.available_bytes(budget) // item_bytes)
    if n <= most:
        return [np.arange(n)]
    return list(np.array_split(np.arange(n), math.ceil(n / most)))


def in_memory(
    n: int,
    solver: Solver,
    rows: Rows,
    budget: int,
    *,
    width: int = 1,
    row_bytes: int = 0,
    strict: bool = False,
) -> list[Group]:
    """Cut ``n`` items of ``width`` columns each into groups that take ``budget`` bytes at most.

    An item takes ``row_bytes`` for each row beside what its columns do. Where rows are elsewhere,
    here is only what columns take with a sample of them. All margins are there, in as much memory
    as the rows themselves take, where that is more than the budget and this is not ``strict``.
    (How many workers share them does not count: results would depend on it.)
    """

    def item_bytes(rows: Rows) -> int:
        return width * solver.column_bytes(rows) + row_bytes * rows.n_samples

    here, backend = rows.here, rows.backend
    if here is rows:
        return cut(n, item_bytes(rows), budget, backend)
    there = cut(n, item_bytes(rows), budget if strict else max(budget, rows.X.nbytes), backend)
    limit = address_limit()
    least = budget if limit is None else min(budget, limit // HERE_SHARE)
    return max(there, cut(n, item_bytes(here), least, backend), key=len)


def groups_of(solver: Solver, problem: Problem) -> list[Group]:
    """Cut the columns into groups that train in bounded memory.

    The bound is ``WORKING_BYTES``, or a byte for each number in X where that is more: columns are
    as long as X, and groups of a few of them would read all of a large X for little. Of rows
    elsewhere see :func:`in_memory`.
    """
    rows = problem.rows
    budget = WORKING_BYTES
    if rows.here is rows:
        budget = max(budget, rows.n_samples * rows.backend.row_width(rows.X))
    return in_memory(problem.n_models, solver, rows, budget)


def one_by_one(problem: Problem) -> list[Group]:
    """Return groups of one column each."""
    return list(np.arange(problem.n_models)[:, np.newaxis])


@dataclass(frozen=True, slots=True, eq=False)
class GroupedRun:
    """How far groups of columns have come: all that is needed to go on."""

    group: Annotated[Group, "(n_models,)"]  # of which group each column is, from 0 on
    parts: Annotated[tuple[tuple[int, Solution], ...], OTHERS]  # groups that are done
    number: int  # of the group in training,
    run: Annotated[Run, OTHERS]  # and how far that has come
    prepared: Prepared | float | None = (
        None  # what all groups share; None, too, where there is one group only
    )

    @property
    def groups(self) -> list[Group]:
        """All groups."""
        return [np.flatnonzero(self.group == i) for i in range(int(self.group.max()) + 1)]

    @classmethod
    def restored(cls, read: Callable[..., Any], problem: Problem) -> GroupedRun:
        """Return what was stored, as one of this problem of all groups."""
        group, number, prepared = read("group"), read("number"), read("prepared", problem)
        check_places(group, problem.n_models, "groups")
        parts = read("parts")
        for i, part in parts:
            part.check(problem.rows, int(np.sum(group == i)))
        members = np.flatnonzero(group == number)
        if len(members) < problem.n_models:
            problem = problem.select(problem.backend.asarray(members.astype(np.int32)))
        return cls(group, parts, number, read("run", problem), prepared)


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
    checkpoint: Callable[[GroupedRun], object] | None = None,
    resumed: GroupedRun | None = None,
) -> Solution:
    """Train one group of columns after the other, and put them side by side.

    The groups have all columns, once each; what these share is prepared once. The keywords are
    those of :func:`gpulr.solvers.minimize`. When a callback or an interrupt ends training, the
    groups that have not begun keep their start, and have a cost of NaN; so they do in the
    ``solution`` of a WorkersLostError. A run that is resumed keeps the groups that are done; those
    that ended short of a larger ``max_iter`` begin anew, after the others.
    """
    backend, parts = problem.backend, list[tuple[int, Solution]]()
    order = list(range(len(groups)))
    prepared = first = None
    if resumed is not None:
        groups, prepared = resumed.groups, resumed.prepared
        parts = [each for each in resumed.parts if not falls_short(each[1], max_iter)]
        left = set(range(len(groups))) - {i for i, _ in parts}
        again = {i for i, _ in resumed.parts}
        order = sorted(left, key=lambda i: (i != resumed.number, i in again, i))
    several = len(groups) > 1
    if several:
        first = to_host(problem.start() if start is None else start)
        if resumed is None and max_iter:
            prepared = solver.prepare(problem)
    of_columns = np.zeros(problem.n_models, np.int64)
    for i, group in enumerate(groups):
        of_columns[group] = i

    def keep(number: int, run: Run) -> None:
        assert checkpoint is not None
        checkpoint(GroupedRun(of_columns, tuple(parts), number, run, prepared))

    train = partial(
        minimize, solver, max_iter=max_iter, tol=tol, callbacks=callbacks, interrupted=interrupted
    )
    for i in order:
        how: dict[str, Any] = {"checkpoint": None if checkpoint is None else partial(keep, i)}
        if resumed is not None and i == resumed.number:
            how["resumed"] = resumed.run
        some, begin = problem, start
        if several:
            index = backend.asarray(groups[i].astype(np.int32))
            begin = None if start is None else backend.xp.take(start, index, axis=1)
            some, how["models"], how["prepared"] = problem.select(index), groups[i], prepared
        try:
            parts.append((i, train(some, start=begin, **how)))
        except WorkersLostError as error:
            parts += [] if error.solution is None else [(i, error.solution)]
            if parts:
                error.solution = _side_by_side(parts, groups, first)
            raise
        if parts[-1][1].result in EARLY:
            break
    return _side_by_side(parts, groups, first)


def falls_short(part: Solution, max_iter: int) -> bool:
    """Whether a run ended for want of iterations, and may take more now."""
    return part.result == "max_iter" and len(part.seconds) <= max_iter


def _side_by_side(
    parts: Sequence[tuple[int, Solution]],
    groups: Sequence[Group],
    theta: npt.NDArray[np.float64] | None,
) -> Solution:
    """Return one solution of all groups, of which those that are not there have ``theta``."""
    if theta is None:
        return parts[0][1]
    k, length = theta.shape[1], max(len(part.seconds) for _, part in parts)
    whole: dict[str, Array] = {"theta": theta.copy()}
    whole |= {name: np.zeros(k, np.int64) for name in ("n_iter", "refreshes")}
    whole |= {name: np.zeros(k, np.bool_) for name in ("converged", "stalled", "rounding")}
    whole |= {name: np.full((length, k), np.nan) for name in ("cost", "gradient_norm")}
    seconds = np.zeros(length)
    for number, part in parts:
        after = length - len(part.seconds)
        seconds += np.pad(part.seconds, (0, after), mode="edge")
        for name, columns in whole.items():
            values = getattr(part, name)
            if name in ("cost", "gradient_norm"):
                values = np.pad(values, ((0, after), (0, 0)), mode="edge")
            columns[..., groups[number]] = values
    result = parts[-1][1].result
    if result not in ("interrupted", "stopped"):
        ends = {part.result for _, part in parts}
        result = next(end for end in ("max_iter", "stalled", "converged") if end in ends)
    return Solution(**whole, seconds=seconds, result=result)
