"""The curvature of each model by itself, all of it, where rows and features are few.

A Hessian of few rows takes less time than the calls of an iteration. With one for each model and
iteration as the initial Hessian, and no pairs, L-BFGS is Newton's method: half as many iterations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import is_sparse, to_host
from gpulr.core.problem import Margins, Problem
from gpulr.core.rows import Rows
from gpulr.namespaces import array_namespace, device
from gpulr.solvers.solver import Shared
from gpulr.sources.elsewhere import Elsewhere

Array = Any

# Multiply-adds of a model's Hessian and its inverse, at most: half a millisecond.
MOST = 1_000_000
# From so many models on, products of the features are made beforehand, once for all iterations.
# A Hessian is half as many multiply-adds then, and those of all models are one product: of 1,000
# models on 2,000 rows × 20 features they take a tenth of the time.
MANY = 8


# A model whose cost is below has a gap to its optimum that is measured as if it were this.
LEAST_COST = 1e-6


def are_near(
    problem: Problem, theta: Array, curvature: ExactCurvature, tol: float
) -> npt.NDArray[np.bool_]:
    """Whether costs are within ``tol`` times themselves of the least ones, (n_models,).

    By Newton's decrement gᵀH⁻¹g, twice what a quadratic cost would fall, and what the exponential
    one of separable rows does; with a penalty that falls up to 1.6 times as much (measured), so the
    decrement is to be within half of it.
    """
    margins = problem.margins(theta)
    cost, gradient = problem.evaluate_margins(margins, theta)
    curvature = curvature.at(problem, margins)
    q = curvature.reduce(gradient)
    xp = problem.backend.xp
    left = xp.sum(q * curvature.solve(q, None, None), axis=0)
    return np.asarray(to_host(2.0 * left <= tol * xp.where(cost > LEAST_COST, cost, LEAST_COST)))


@dataclass(frozen=True, eq=False)
class ExactCurvature(Shared):
    """[X, 1]ᵀ diag(s ∘ σ') [X, 1] / m + diag(λ f², 0) of each model, at the margins where it is.

    It serves as :class:`gpulr.solvers.curvature.SharedCurvature` does, which says what f is. In the
    coordinates u features are centred, so that large means hide nothing.
    """

    X: Array  # (n_samples, n_features + 1) float64: scaled rows, centred, and 1 (no intercept: 0)
    mean: Array  # (n_features, 1) of the scaled features; 0 without an intercept
    squares: Array  # (n_features + 1,) f², then 0: what multiplies λ
    unit: Array  # the matrix, (n_features + 1, n_features + 1)
    # (n_features + 1,) mean², then 0, and what part of a feature's own second moment is added to
    # its curvature, to exceed rounding: of constant features nothing else is left.
    offset: Array
    noise: float
    rounding: float  # of numbers of a feature, at most, in units of its mean
    hessians: Array | None = None  # (n_models, n_features + 1, n_features + 1)

    exact = True  # no pairs are to be learnt
    by_rows = False
    complete = False

    @staticmethod
    def serves(rows: Rows) -> bool:
        """Whether rows are so few; it is the same for any number of models."""
        n = rows.n_features + 1
        if isinstance(rows.X, Elsewhere):
            return False
        return (rows.n_samples + n) * n * n <= MOST

    @classmethod
    def of(cls, problem: Problem) -> ExactCurvature:
        """Return the curvature of a problem's rows; see :meth:`at`."""
        backend, rows = problem.backend, problem.rows
        xp = backend.xp

        def wide(block: slice) -> Array:
            X = rows.block(block)
            return xp.astype(X.toarray() if is_sparse(X) else X, xp.float64)

        parts = list(backend.map_blocks(wide, rows.converted_blocks(), rows.X))
        X = parts[0] if len(parts) == 1 else xp.concat(parts, axis=0)
        if rows.center is not None and rows.center_in_block is None:
            X = X - rows.center[:, 0]
        scale, factor = rows.multiplier, rows.factor
        X = X * (scale if isinstance(scale, float) else scale[:, 0])
        mean = xp.sum(X, axis=0) / rows.n_samples * float(problem.intercept)
        one = xp.ones((rows.n_samples, 1), dtype=xp.float64, device=backend.device)
        X = xp.concat([X - mean, one * float(problem.intercept)], axis=1)
        squares = xp.ones_like(mean) * (factor if isinstance(factor, float) else factor[:, 0]) ** 2
        squares, offset = (xp.concat([x, 0.0 * x[:1]]) for x in (squares, mean**2))
        noise = max(float(xp.finfo(rows.dtype).eps), 1e-10)
        rounding = 8.0 * float(xp.finfo(rows.dtype).eps)
        unit = xp.eye(X.shape[1], dtype=xp.float64, device=backend.device)
        return cls(X, mean[:, None], squares, unit, offset, noise, rounding)

    def stored(self) -> dict[str, Any]:
        """Return nothing: it is made of the rows, which are few."""
        return {}

    @classmethod
    def restored(cls, read: Any, problem: Problem) -> ExactCurvature:
        """Return the curvature of the problem's rows."""
        return cls.of(problem)

    @cached_property
    def products(self) -> tuple[Array, Array]:
        """The products of any two of n columns of X, and where each of n² is among them.

        (n_samples, n (n + 1) / 2), and (n²,) int. Made when models are many.
        """
        xp, n = array_namespace(self.X), int(self.X.shape[1])
        first, second = np.tril_indices(n)
        place = np.zeros((n, n), dtype=np.int64)
        place[first, second] = place[second, first] = np.arange(len(first))
        first, second, place = (
            xp.asarray(index, device=device(self.X)) for index in (first, second, place.reshape(-1))
        )
        return xp.take(self.X, first, axis=1) * xp.take(self.X, second, axis=1), place

    def at(self, problem: Problem, margins: Margins) -> ExactCurvature:
        """Return the curvature of a problem's models at these margins."""
        xp = problem.backend.xp
        if problem.n_models < MANY:
            H = problem.second_moments(margins, self.X)
        else:
            products, place = self.products
            H = xp.take(problem.slope_sums(margins, products), place, axis=1)
            H = xp.reshape(H, (problem.n_models, *self.unit.shape))
        own = xp.linalg.diagonal(H)  # (n_models, n_features + 1)
        # ε mean², as for a constant feature, would exceed the variance of one with a large offset,
        # and no pairs make good for that. Gradients along it are off by ε |mean| times a residual.
        offset = own[:, -1:] * self.offset
        least = xp.maximum(self.noise * xp.sqrt(own * offset), 0.01 * own)
        varies = own > self.rounding**2 * offset
        apart = xp.minimum(self.noise * offset, xp.where(varies, least, xp.inf))
        more = self.noise * own + apart + problem.penalty[:, None] * self.squares
        more = xp.where(own + more > 0.0, more, 1.0)  # nothing depends on it
        H = H + more[:, :, None] * self.unit
        return replace(self, hessians=H)

    def reduce(self, gradient: Array) -> Array:
        """Return a gradient (n_features + 1, n_models) in the coordinates u."""
        xp = array_namespace(gradient)
        last = gradient[-1:, :]
        return xp.concat([gradient[:-1, :] - self.mean * last, last], axis=0)

    def expand(self, u: Array) -> Array:
        """Return the parameters, or a change of them, (n_features + 1, n_models)."""
        xp, w = array_namespace(u), u[:-1, :]
        b = u[-1:, :] - xp.sum(self.mean * w, axis=0, keepdims=True)
        return xp.concat([w, b], axis=0)

    def solve(self, q: Array, kappa: Array, lam: Array) -> Array:
        """Return the inverse applied to a reduced gradient q; κ and λ are in it already."""
        xp = array_namespace(q)
        return xp.linalg.solve(self.hessians, q.T[:, :, None])[:, :, 0].T
