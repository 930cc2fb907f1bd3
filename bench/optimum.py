"""Passes over the rows until L-BFGS is near the optimum: ``python -m bench passes-to-optimum``.

What counts is rows read ÷ n: a pass over all rows is 1, and so many more are the sample's parts
of its Gram matrix, of each iteration on it, and of its coordinates for the models' own curvature.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

import gpulr
from bench.data import Data, flights, load_workload
from gpulr.backend import select
from gpulr.core.problem import Problem
from gpulr.core.rows import Rows
from gpulr.core.targets import ClassTargets
from gpulr.solvers import LBFGS

Floats = npt.NDArray[np.float64]

GAPS = (1e-3, 1e-4, 1e-5)
# Data, C, and how many passes there may be to the second and the third of these gaps.
CASES: tuple[tuple[str, Callable[[], Data], float, tuple[int, int]], ...] = (
    ("mnist", load_workload, 1.0, (14, 17)),
    ("mnist", load_workload, 100.0, (56, 100)),
    ("flights", flights, 1.0, (8, 11)),
)


def passes_to_optimum(*, only: list[str] | None = None, most: int = 150) -> dict[str, Any]:
    """Passes to three relative gaps of the summed cost of all models, and what they are to be.

    --only is mnist or flights, and may be repeated. After --most iterations a gap counts as never
    reached. The optimum is that of float64, to a gradient of 1e-7.
    """
    results = []
    for name, load, C, goals in CASES:
        if only and name not in only:
            continue
        data = load()
        backend = select("numpy")
        with backend.activate():
            optimum = optimal_cost(data, C)
            passes, costs = path(problem_of(data, C, "float32"), most, optimum)
        gaps = costs / optimum - 1.0
        assert gaps.min() > -1e-6, "the reference is no optimum"
        reached = [float(passes[gaps <= gap][0]) if np.any(gaps <= gap) else None for gap in GAPS]
        about = {**data.sizes, "C": C, "optimum": optimum, "gaps": GAPS, "goals": goals}
        results.append({**about, "passes": reached})
    return {"results": results}


def problem_of(data: Data, C: float, dtype: str) -> Problem:
    """Return gpulr's problem of all classes."""
    backend = select("numpy")
    rows = Rows(data.X, data.scale, None, backend, getattr(np, dtype)).equilibrated(centered=True)
    targets = ClassTargets(data.y.astype(np.int32), np.eye(data.n_classes, dtype=dtype), backend)
    return Problem.of(rows, targets, np.full(data.n_classes, C))


def path(problem: Problem, most: int, optimum: float) -> tuple[Floats, Floats]:
    """Return passes and summed cost at the start and after each iteration, to the last gap."""
    solver = LBFGS()
    prepared = solver.prepare(problem)
    state = solver.init(problem, prepared=prepared)
    share = 1.0 if prepared.index is None else len(prepared.index) / problem.rows.n_samples
    done = share * (1 + (1 + solver.sample_iterations) * (prepared.index is not None)) + 1.0
    passes, costs, made = [done], [float(state.cost.sum())], False
    start = np.abs(state.gradient).max(axis=0)
    while len(costs) <= most and costs[-1] > (1.0 + GAPS[-1]) * optimum:
        norm = np.abs(state.gradient).max(axis=0)
        state = solver.step(problem, solver.look(problem, state, start, norm))
        coordinates = state.pool is not None and "leading" in vars(state.pool)
        done += 1.0 + share * (coordinates and not made)
        made = coordinates
        passes.append(done)
        costs.append(float(state.cost.sum()))
    return np.array(passes), np.array(costs)


def optimal_cost(data: Data, C: float) -> float:
    """Return the summed cost of all models at their optimum, in float64."""
    settings = {"dtype": "float64", "tol": 1e-7, "backend": "numpy", "scale": data.scale}
    return float(gpulr.train(data.X, data.y, C=C, **settings).history.cost[-1].sum())
