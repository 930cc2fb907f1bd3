"""The per-model loop: what batched training is compared with, by the very same code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.problem import Problem
from gpulr.solvers.driver import Callback, Solution, Solver, minimize

__all__ = ["minimize_one_by_one"]


def minimize_one_by_one(
    solver: Solver,
    problem: Problem,
    *,
    max_iter: int,
    tol: float,
    start: Any = None,
    callbacks: Sequence[Callback],
    interrupted: Callable[[], bool],
) -> Solution:
    """Train one model after the other, each a problem of one column, and put them side by side."""
    parts: list[Solution] = []
    prepared = solver.prepare(problem) if max_iter else None
    for j in range(problem.n_models):
        column = problem.select(problem.backend.asarray(np.array([j], dtype=np.int32)))
        parts.append(
            minimize(
                solver,
                column,
                max_iter=max_iter,
                tol=tol,
                callbacks=callbacks,
                models=np.array([j]),
                start=None if start is None else start[:, j : j + 1],
                prepared=prepared,
                interrupted=interrupted,
            )
        )
        if parts[-1].result in ("interrupted", "stopped"):
            break
    result = parts[-1].result
    if result not in ("interrupted", "stopped"):
        ends = {part.result for part in parts}
        result = next(end for end in ("max_iter", "stalled", "converged") if end in ends)
    untrained = problem.n_models - len(parts)
    length = max(len(part.seconds) for part in parts)

    def side_by_side(name: str, fill: float) -> npt.NDArray[Any]:
        columns = [getattr(part, name) for part in parts]
        padded = [np.pad(c, ((0, length - len(c)), (0, 0)), mode="edge") for c in columns]
        return np.hstack([*padded, np.full((length, untrained), fill)])

    seconds = [np.pad(p.seconds, (0, length - len(p.seconds)), mode="edge") for p in parts]
    zeros = np.zeros(untrained)
    return Solution(
        theta=np.hstack(
            [p.theta for p in parts] + [np.zeros((problem.rows.n_features + 1, untrained))]
        ),
        n_iter=np.concatenate([*(p.n_iter for p in parts), zeros.astype(np.int64)]),
        converged=np.concatenate([*(p.converged for p in parts), zeros.astype(np.bool_)]),
        stalled=np.concatenate([*(p.stalled for p in parts), zeros.astype(np.bool_)]),
        cost=side_by_side("cost", np.nan),
        gradient_norm=side_by_side("gradient_norm", np.nan),
        seconds=np.sum(seconds, axis=0),
        result=result,
    )
