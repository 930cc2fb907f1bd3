"""How curved the cost of a stack of logistic models is."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpulr.backend import to_host
from gpulr.problem import Problem

Array = Any

MARGIN = 1.02  # a power iteration approaches the largest eigenvalue from below


def largest_eigenvalue(problem: Problem, *, rtol: float = 1e-3, max_iter: int = 100) -> float:
    """Return an upper estimate of λmax([X, 1]ᵀ [X, 1] / n_samples), for the scaled X.

    Power iteration on a block of four vectors from a fixed start; the error of its Rayleigh
    quotient is of second order in the vector's. It stops when the quotient changes by less than
    ``rtol`` and adds a margin of 2 %. Each iteration is one pass over the rows.
    """
    xp = problem.backend.xp
    start = np.random.default_rng(0).standard_normal((problem.n_features + 1, 4))
    V = problem.backend.asarray(start)
    largest = 0.0
    for _ in range(max_iter):
        V = V / xp.sqrt(xp.sum(V * V, axis=0))
        AV = problem.gram_product(V)
        previous, largest = largest, float(to_host(xp.max(xp.sum(V * AV, axis=0))))
        if largest - previous <= rtol * largest:
            break
        V = AV
    return MARGIN * largest


def lipschitz(problem: Problem) -> Array:
    """Return a bound L on the curvature of each model's cost, (n_models,) float64.

    The Hessian is [X, 1]ᵀ diag(σ'(z)) [X, 1] / m + diag(1, …, 1, 0) / (C m), and σ' ≤ 1/4, so
    L = λmax([X, 1]ᵀ [X, 1]) / (4 m) + 1 / (C m) (Böhning & Lindsay 1988).
    """
    return largest_eigenvalue(problem) / 4.0 + 1.0 / (problem.C * problem.n_samples)
