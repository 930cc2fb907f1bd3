"""Whether kernels compute what they should, on the device that they are to serve on.

On all rows they are compared with the portable pass. That is float32 too, or less (cuBLAS may be
set to use TF32, CUPY_TF32), and errors of single products average out over many rows: a half that
is missing from the products of tensor cores would not show. So on a few rows they are compared with
float64, on the host.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gpulr.backend import to_host
from gpulr.core.problem import Problem
from gpulr.kernels.fused import FusedPass

Array = Any

AGREEMENT = 2e-3  # of the largest number, on all rows
ROWS = 64  # that are compared with float64
# How far off kernels may be there, of the largest number, beyond twice what the portable pass is.
# In tests they are to 1e-6; without one of two halves they would be to 1e-4.
EXACTNESS = 1e-5


def parameters(problem: Problem) -> Array:
    """Return parameters with margins of all sizes, the same ones every time."""
    n, k = problem.rows.n_features, problem.n_models
    theta = np.random.default_rng(0).standard_normal((n + 1, k)) / np.sqrt(n)
    return problem.backend.asarray(theta)


def passes_disagree(problem: Problem, one: FusedPass, theta: Array) -> str | None:
    """Say where the kernels are wrong, or None where they are not."""
    wrong = _apart(one, theta, Problem.evaluate(problem, theta), AGREEMENT)
    if wrong is not None:
        return wrong
    few = few_rows(problem)
    near, exact = Problem.evaluate(few, theta), in_float64(few, to_host(theta))
    off = [np.abs(to_host(a) - b).max(initial=0.0) for a, b in zip(near, exact, strict=True)]
    return _apart(FusedPass(few, one.plan, one.kernels), theta, exact, EXACTNESS, off)


def _apart(
    one: FusedPass, theta: Array, expected: Any, part: float, off: Any = (0.0, 0.0)
) -> str | None:
    passes = {
        "the whole pass": one.evaluate(theta),
        "the pass from margins": one.evaluate_margins(one.margins(theta), theta),
    }
    for name, got in passes.items():
        names = "cost", "gradient"
        for what, ours, theirs, more in zip(names, got, expected, off, strict=True):
            a, b = to_host(ours), to_host(theirs)
            apart, largest = np.abs(a - b).max(initial=0.0), np.abs(b).max(initial=0.0)
            if not apart <= part * largest + 2.0 * more:
                return f"{name}'s {what} is off by {apart:.1e}, of {largest:.1e}"
    return None


def few_rows(problem: Problem) -> Problem:
    """Return the problem on a few of its rows, without a penalty, which would hide differences."""
    backend, rows, xp = problem.backend, problem.rows, problem.backend.xp
    n = min(rows.n_samples, ROWS)
    index = backend.asarray(np.arange(n) * rows.n_samples // n)
    return replace(
        problem,
        rows=replace(rows, X=backend.take_rows(rows.X, index), known=None),
        targets=problem.targets.sample(index),
        weights=problem.weights.sample(index),
        C=xp.full_like(problem.C, xp.inf),
        m=xp.full_like(problem.m, float(n)),
    )


def in_float64(problem: Problem, theta: Array) -> tuple[Array, Array]:
    """Return cost and gradient of a few rows without a penalty, by NumPy, as a textbook has them.

    Shapes are those of :class:`gpulr.core.problem.Pass`.
    """
    rows, every = problem.rows, slice(0, problem.rows.n_samples)
    scale = np.reshape(to_host(rows.scale), (1, -1))
    center = 0.0 if rows.center is None else to_host(rows.center).T
    X = (to_host(rows.X).astype(np.float64) - center) * scale
    X1 = np.hstack([X, np.ones((len(X), 1))])
    Y = to_host(problem.targets.block(every)) == 1
    s = problem.weights.of_entries(every, problem.targets)
    s = np.ones((1, 1)) if s is None else to_host(s).astype(np.float64)
    signs = np.where(Y, -1.0, 1.0)
    U = signs * (X1 @ theta)  # margins towards the wrong answer
    cost = (s * np.logaddexp(0.0, U)).sum(axis=0) / len(X)
    gradient = X1.T @ (s * signs * np.exp(-np.logaddexp(0.0, -U))) / len(X)
    gradient[-1] *= problem.intercept
    return cost, gradient
