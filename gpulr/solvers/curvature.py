"""How curved the cost of a stack of logistic models is: a preconditioner that they share.

The Hessian of one model is Xᵀ diag(s ∘ σ'(z)) X / m + I / (C m). All models of a stack share X, and
σ' differs between them mostly by a factor, so one factorisation of XᵀX preconditions every one of
them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any

import numpy as np

from gpulr.backend import Backend, is_sparse, to_host
from gpulr.core.problem import Margins, Problem
from gpulr.core.rows import Rows
from gpulr.errors import DataError
from gpulr.namespaces import array_namespace
from gpulr.solvers.solver import Shared
from gpulr.solvers.subspace import leading, rank_for

Array = Any
OfFeatures = Annotated[Array, "(n_features, 1) float"]

# The least number of rows that a feature counts as being in: one that is rarer in a sample may be
# more frequent, and the few rows that have it differ from the mean in σ'. On MNIST, C = ∞, 10 and
# 100 converge in 31 and 21 passes, and 1 not in 60; on 149 rare indicators 10 is as good as 1.
RARE_ROWS = 10.0

EVERY = slice(None)
# Fields of a SharedCurvature; the others are where and how it is computed.
STORED = "mean", "basis", "values", "rest", "tilt", "squares", "share"


@dataclass(frozen=True, eq=False)
class SharedCurvature(Shared):
    """κ [X, 1]ᵀ [X, 1] / m + diag(λ f², 0), inverted for any κ and λ from one factorisation.

    The features' covariance is V diag(values) Vᵀ (without an intercept: their second moments), with
    all eigenvectors V, or the leading ones of many features. Of very sparse ones none is worth its
    while: one value stands for all. The intercept is eliminated exactly, so that it stays
    unpenalised.

    f is :attr:`gpulr.core.rows.Rows.factor` (not its scale), usually 1. Where some differ, each
    eigenvector v is given a penalty of its own, λ Σ f² v², and the coupling of different
    eigenvectors by f² is left out. It is weak, because features that were tiny (f > 1), which are
    penalised more, are factored at 1/√f of their size: so they have little part in others'
    eigenvectors.

    Solvers compute in coordinates u of the parameters, θ = A u, in which the inverse is cheap
    (diagonal, with all eigenvectors). Gradients are Aᵀ g there, so that inner products of steps and
    gradients are the same for any A.
    """

    # of the scaled features; 0 without an intercept
    mean: OfFeatures
    basis: Annotated[Array, "(n_features, rank) float"] | None  # V; None: the features themselves
    # (rank, 1), or without a basis (1, 1) or (n_features, 1). Raised to what exceeds rounding:
    # values of constant features are 0, and C = ∞ would divide by them. Rounding is that of the
    # features in which a direction lies, so that large ones do not hide that of small ones.
    values: Annotated[Array, "(n_values, 1) float"]
    # Stands for all other eigenvalues; (n_features, 1) where rounding exceeds it for some features.
    rest: float | OfFeatures
    tilt: float | OfFeatures = 1.0  # 1/√f of features that were tiny (f > 1)
    squares: float | OfFeatures = 1.0  # f² at that size, what multiplies λ
    # (rank, 1): what multiplies λ along each eigenvector
    share: float | Annotated[Array, "(n_shares, 1) float"] = 1.0
    # A complete V as a factor of products (:meth:`gpulr.backend.Backend.operand`), and the dtype
    # of these; None: V itself is one.
    operand: Any = None
    dtype: Any = None
    launches: bool = False  # whether it is these that take time, as on a device with kernels

    exact = False
    # All eigenvectors of n features are n² numbers and some 9 n³ operations: 0.1 s at 1,024
    # features, from where on that costs more than the passes it saves.
    full_up_to = 1024
    # Of more features the leading eigenvectors, as many as fit in 32 MiB, and at most this many: on
    # 20,000×4,096 floats 64 take 7 iterations to a gap of 1e-4, as 128 do; 8 take 10.
    sketch_rank = 64
    sketch_bytes = 32 * 2**20
    # To turn gradients and steps into r of n directions takes 8 n r operations for each model and
    # iteration, and products with the rows four for each number that these hold. Where fewer
    # directions than this would take a quarter of the products' time, there are none: text of
    # 20,000×50,000 takes 9 iterations with none, 8 or 128 of them at C = 10, and 12 at C = 100.
    least_rank = 8
    # From so many features on products with all eigenvectors are made in the compute dtype, as
    # those with the rows are: of 784×784 with ten columns they take 0.2 ms instead of 1.5.
    quick_from = 256

    @classmethod
    def of(cls, problem: Problem, *, sample_of: Rows | None = None) -> SharedCurvature:
        """Factor the covariance of the problem's rows, all there are or a sample of others.

        Takes 4 n² float64 up to ``full_up_to`` features, and about 5 × ``sketch_bytes`` above,
        whatever their number.
        """
        full = problem.rows.n_features <= cls.full_up_to
        return cls._full(problem, sample_of) if full else cls._sketch(problem)

    @classmethod
    def _full(cls, problem: Problem, sample_of: Rows | None) -> SharedCurvature:
        backend, rows = problem.backend, problem.rows
        xp, scale = backend.xp, rows.multiplier
        if not isinstance(scale, float):
            scale = scale[:, 0]
        shift = None
        if backend.centers_in_block(rows.X):
            # Products of raw rows would lose the covariance beside a large mean.
            shift = xp.astype(rows.mean_of_first(), rows.dtype)
            in_block = scale if isinstance(scale, float) else xp.astype(scale, rows.dtype)

        first = None  # squares of sparse features that are tiny would vanish
        if is_sparse(rows.X) and not isinstance(rows.factor, float):
            first = rows.factor[:, 0]

        plain = shift is None and problem.weights.base is None and not is_sparse(rows.X)

        def products(block: slice) -> tuple[Array, ...]:
            if plain:
                return backend.gram(rows.X[block, :], rows.dtype)
            X, s = rows.block(block), problem.weights.shared(block)
            if shift is not None:
                X = (X - shift) * in_block
            elif first is not None:
                X = X.multiply(first.astype(rows.dtype)).tocsr()
            Xs = X if s is None else X.multiply(s) if is_sparse(X) else X * s
            gram = X.T @ Xs
            ones = xp.ones(X.shape[0], dtype=rows.dtype, device=backend.device)
            total = (ones if s is None else s[:, 0]) @ X
            return gram.toarray() if is_sparse(gram) else gram, total

        gram, total = rows.sum(products, rows.converted_blocks())
        # With rows r = s ∘ (x − c): the covariance does not see c, and the mean does.
        mean = total / problem.mass
        covariance = gram / problem.mass - xp.expand_dims(mean, axis=1) * mean
        del gram  # as large as what is made of it; eigh takes four more of that size
        if shift is None:
            if first is not None:
                mean, scale = mean / first, scale / first
            covariance = xp.expand_dims(scale + 0.0 * mean, axis=1) * covariance * scale
            one = xp.ones(1, dtype=xp.float64, device=backend.device)
            mean = rows.undo_scaling(xp.expand_dims(mean, axis=1), one)[0][:, 0]
        else:
            mean = mean + scale * xp.astype(shift, xp.float64)
        mean = xp.expand_dims(mean, axis=1)
        if not problem.intercept:
            covariance, mean = covariance + mean @ mean.T, xp.zeros_like(mean)
        if not isinstance(tilt := _tilt(rows), float):
            covariance = tilt * covariance * tilt[:, 0]
        covariance = _finite(covariance, problem)
        variances = xp.linalg.diagonal(covariance)
        rank = rank_for(rows if sample_of is None else sample_of)
        # A feature that is 0 has no gradient: set apart, it has no part in any other's direction.
        # Where few leading directions are sought it is to be none of these.
        large = float(rank == rows.n_features) * xp.max(variances)
        more = xp.where(rows.reach[:, 0] > 0.0, 0.0, large)
        if sample_of is not None:
            rare = RARE_ROWS * (tilt * rows.spread)[:, 0] ** 2 / rows.n_samples
            more = xp.maximum(more, rare - variances)
        variances = variances + more  # no longer a view, which would keep what is replaced next
        covariance = covariance + more * xp.eye(
            rows.n_features, dtype=xp.float64, device=backend.device
        )
        if rank < rows.n_features:
            values, basis = leading(covariance, rank, backend)
        else:
            values, basis = _eigh(covariance, backend)
        noise = xp.expand_dims(variances, axis=1) + (tilt * mean) ** 2
        return cls._of(problem, mean, values, basis, noise, 0.0)

    @classmethod
    def _sketch(cls, problem: Problem) -> SharedCurvature:
        """Two steps of subspace iteration (Halko, Martinsson & Tropp 2011, alg. 4.4)."""
        xp, rows = problem.backend.xp, problem.rows
        n = rows.n_features
        stored = int(rows.X.nnz) if is_sparse(rows.X) else rows.n_samples * n
        turning = stored // (8 * n) >= cls.least_rank
        worth = min(cls.sketch_rank, cls.sketch_bytes // (8 * n), stored // (8 * n))
        rank = max(4, worth if turning else 0)
        unit = problem.backend.asarray(np.vstack([np.zeros((n, 1)), np.ones((1, 1))]))
        mean = problem.gram_product(unit)[:-1, :]  # 0 without an intercept
        start = np.random.default_rng(0).standard_normal((n, rank))
        Q, tilt = problem.backend.asarray(start), _tilt(rows)

        def covariance(Q: Array) -> Array:
            Q = tilt * Q
            centred = xp.concat([Q, -(mean.T @ Q)], axis=0)
            return tilt * problem.gram_product(centred)[:-1, :]

        Q, _ = xp.linalg.qr(_finite(covariance(Q), problem))
        Q, _ = xp.linalg.qr(covariance(Q))
        AQ = covariance(Q)
        values, turn = xp.linalg.eigh(Q.T @ AQ)
        moments, rest = (tilt * rows.reach) ** 2, float(to_host(values[0])) / 2.0
        if not turning:
            return cls._of(problem, mean, values[:1] / 2.0, None, moments, rest)
        return cls._of(problem, mean, values, Q @ turn, moments, rest)

    @classmethod
    def _of(
        cls,
        problem: Problem,
        mean: Array,
        values: Array,
        basis: Array | None,
        moments: Array,
        rest: float,
    ) -> SharedCurvature:
        """Return the curvature, of no less than rounding leaves.

        ``moments`` (n_features, 1) are second moments, of which gradients are rounded.
        """
        xp = problem.backend.xp
        # A direction of less curvature holds nothing but noise.
        noise = max(float(xp.finfo(problem.rows.dtype).eps), 1e-10) * moments
        inside = None if basis is None else (basis * basis).T

        def along(each: Array) -> Array:  # of each feature, along each eigenvector
            return each if inside is None else inside @ each

        values, resolved = xp.expand_dims(values, axis=1), rest >= float(to_host(xp.max(noise)))
        unresolved = 16.0 * float(xp.finfo(values.dtype).eps) * values[-1:, :] + 1e-300
        if basis is not None or not resolved:
            values = xp.maximum(values, along(noise) + unresolved)
        if not resolved:
            rest = xp.maximum(noise, rest) + 1e-300
        found = cls(mean, basis, values, rest)._on(problem)
        if isinstance(tilt := _tilt(problem.rows), float):
            return found
        squares = (tilt * problem.rows.factor) ** 2
        return replace(found, tilt=tilt, squares=squares, share=along(squares))

    def _on(self, problem: Problem) -> SharedCurvature:
        """Return the curvature with how it is computed with where the problem is."""
        backend, dtype, basis, operand = problem.backend, problem.rows.dtype, self.basis, None
        if basis is not None and self.quick_from <= basis.shape[0] == basis.shape[1]:
            operand = backend.operand(backend.xp.astype(basis, dtype), dtype)
        launches = backend.kernels is not None
        return replace(self, operand=operand, dtype=dtype, launches=launches)

    def stored(self) -> dict[str, Any]:
        """Return what of it is in a file: eigenvectors too, which others would not be the same."""
        return {name: getattr(self, name) for name in STORED}

    @classmethod
    def restored(cls, read: Callable[..., Any], problem: Problem) -> SharedCurvature:
        """Return the curvature, from what :meth:`stored` returned, whose items are read."""
        found = cls(**{name: read(name) for name in STORED})
        basis, share = found.basis, found.share
        rank = found.mean.shape[0] if basis is None else basis.shape[1]
        for each in (found.values,) if isinstance(share, float) else (found.values, share):
            if each.shape[0] != rank and (basis is not None or each.shape[0] != 1):
                raise ValueError(f"{each.shape[0]} values along {rank} directions")
        return found._on(problem)

    def at(self, problem: Problem, margins: Margins) -> SharedCurvature:
        """Return the curvature where models are: here it is the same everywhere."""
        return self

    @property
    def complete(self) -> bool:
        """Whether no eigenvectors are left out, so that the inverse is diagonal."""
        return self.basis is None or bool(self.basis.shape[0] == self.basis.shape[1])

    @property
    def by_rows(self) -> bool:
        """Whether :meth:`reduce` and :meth:`solve` do with some rows of the parameters."""
        return self.basis is None

    def _apart(self, u: Array, rows: slice) -> tuple[Array, Array | None, slice]:
        """Return weights, the intercept's row if it is among these rows, and which features'."""
        n = self.mean.shape[0]
        if rows.stop is not None and rows.stop <= n:
            return u, None, rows
        return u[:-1, :], u[-1:, :], slice(rows.start, n)

    def _tilted(self, w: Array, features: slice = EVERY) -> Array:
        return w if isinstance(self.tilt, float) else self.tilt[features, :] * w

    def _turned(self, w: Array) -> Array:
        """Return the coordinates of w along all eigenvectors, where these are known."""
        if self.operand is None:
            return self.basis.T @ w if self.complete and self.basis is not None else w
        return self._product(lambda w: (w.T @ self.operand).T, w)

    def _back(self, u: Array) -> Array:
        if self.operand is None:
            return self.basis @ u if self.complete and self.basis is not None else u
        return self._product(lambda u: self.operand @ u, u)

    def _product(self, multiply: Callable[[Array], Array], w: Array) -> Array:
        """Return a product in the operand's dtype, whatever the size of the columns of w."""
        xp = array_namespace(w)
        size = xp.max(xp.abs(w), axis=0, keepdims=True)
        size = xp.where(size == 0.0, 1.0, size)
        found = multiply(xp.astype(w / size, self.dtype))
        if xp is np:  # row by row, as compiled functions of vectors take it
            return np.asarray(found, dtype=w.dtype, order="C") * size
        return xp.astype(found, w.dtype) * size

    @cached_property
    def _whole(self) -> Array | None:
        """A, whole, where launches count and all eigenvectors are known."""
        basis = self.basis
        if basis is None or not (self.launches and self.complete):
            return None
        xp, basis = array_namespace(basis), self._tilted(basis)
        columns = xp.concat([basis, -(self.mean.T @ basis)], axis=0)
        last = xp.concat([xp.zeros_like(self.mean), xp.ones_like(self.mean[:1, :])], axis=0)
        return xp.concat([columns, last], axis=1)

    def reduce(self, gradient: Array, rows: slice = EVERY) -> Array:
        """Return Aᵀ g, or some rows: a gradient (n_features + 1, n_models) in coordinates u."""
        if self._whole is not None:
            return self._whole.T @ gradient
        w, b, features = self._apart(gradient[rows, :], rows)
        # The intercept is eliminated: what is left has the Schur complement κ covariance + λ.
        w = w - self.mean[features, :] * gradient[-1, :]
        return _stacked(self._turned(self._tilted(w, features)), b)

    def expand(self, u: Array) -> Array:
        """Return A u: the parameters, or a change of them, (n_features + 1, n_models)."""
        xp = array_namespace(u)
        if self._whole is not None:
            return self._whole @ u
        w = self._tilted(self._back(u[:-1, :]))
        b = u[-1:, :] - self.mean.T @ w
        return xp.concat([w, b], axis=0)

    def solve(self, q: Array, kappa: Array, lam: Array, rows: slice = EVERY) -> Array:
        """Return the inverse applied to a reduced gradient, of which q are all rows or some.

        κ and λ are (n_models,).
        """
        w, b, features = self._apart(q, rows)
        values, share = self.values, self.share
        if self.basis is None:
            values, share = _of(values, features), _of(share, features)
        damped = kappa * values + lam * share
        if self.complete:
            u = w / damped
        else:
            assert self.basis is not None
            turned = self.basis.T @ w
            each = kappa * self.rest + lam * self.squares
            if len(each.shape) > 1:
                others = (w - self.basis @ turned) / each
                # Which turned some of them into the basis.
                others = others - self.basis @ (self.basis.T @ others)
                u = self.basis @ (turned / damped) + others
            else:
                u = w / each + self.basis @ (turned / damped - turned / each)
        return _stacked(u, None if b is None else b / kappa)

    def penalized(self, u: Array) -> Array:
        """Return what a penalty of λ = 1 adds to the change of a reduced gradient along ``u``."""
        xp = array_namespace(u)
        w = u[:-1, :]
        if not isinstance(self.squares, float):
            w = self._turned(self.squares * self._back(w))
        return xp.concat([w, 0.0 * u[-1:, :]], axis=0)


def _of(each: Any, features: slice) -> Any:
    """Return what belongs to some features: one value may stand for all of them."""
    return each if isinstance(each, float) or each.shape[0] == 1 else each[features, :]


def _stacked(weights: Array, b: Array | None) -> Array:
    """Return rows of the parameters, of which the intercept's may be one."""
    return weights if b is None else array_namespace(weights).concat([weights, b], axis=0)


def _eigh(matrix: Array, backend: Backend) -> tuple[Array, Array]:
    """Return eigenvalues, ascending, and eigenvectors of a symmetric matrix (n, n).

    Features without covariance, such as pixels that are always 0, are eigenvectors by themselves:
    without the 107 that MNIST's sample of rows has, the others take 0.6 of the time.
    """
    xp, n = backend.xp, matrix.shape[0]
    coupled = np.ones(n, dtype=np.bool_)
    if backend.check_every == 1:  # a device is not asked
        coupled = to_host(xp.sum(xp.astype(matrix != 0.0, xp.float64), axis=0)) > 1.0
    inside, alone = np.flatnonzero(coupled), np.flatnonzero(~coupled)
    if len(inside) == 0 or 20 * len(alone) < n:
        values, basis = xp.linalg.eigh(matrix)
        return values, basis
    index = backend.asarray(inside)
    values, basis = xp.linalg.eigh(xp.take(xp.take(matrix, index, axis=0), index, axis=1))
    values = xp.concat([values, xp.take(xp.linalg.diagonal(matrix), backend.asarray(alone))])
    # Rows in the features' order, columns in the values': the place of each among the coupled ones,
    # or beyond them the place of a row or column of zeros but for the feature's own.
    order = backend.asarray(np.argsort(to_host(values), kind="stable"))
    place = backend.asarray(np.argsort(np.concatenate([inside, alone])))
    own = xp.eye(len(alone), dtype=matrix.dtype, device=backend.device)
    none = xp.zeros((len(inside), len(alone)), dtype=matrix.dtype, device=backend.device)
    whole = xp.concat([xp.concat([basis, none], axis=1), xp.concat([none.T, own], axis=1)], axis=0)
    return xp.take(values, order), xp.take(xp.take(whole, place, axis=0), order, axis=1)


def _tilt(rows: Rows) -> float | Array:
    """Return 1/√f of features that were tiny, and 1 of all others."""
    if isinstance(rows.factor, float):
        return 1.0
    xp = rows.backend.xp
    return 1.0 / xp.sqrt(xp.maximum(rows.factor, 1.0))


def _finite(products: Array, problem: Problem) -> Array:
    """Return products of the rows, or raise DataError where they are beyond the compute dtype."""
    xp = problem.backend.xp
    if not bool(to_host(xp.all(xp.isfinite(products)))):
        largest = float(xp.finfo(problem.rows.dtype).max)
        raise DataError(
            f"X holds values too large to compute with: products of the scaled features exceed "
            f"{largest:.1e}. Scale the features to about 0…1 (standardize=True), or train with "
            'dtype="float64".'
        )
    return products
