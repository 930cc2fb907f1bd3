"""A stack of logistic problems that share their rows: cost and gradient in one pass over blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise, starmap
from typing import Annotated, Any, NamedTuple, Self

import numpy as np

from gpulr import logistic
from gpulr.backend import Backend, to_host
from gpulr.core.rows import Rows
from gpulr.core.targets import RowWeights, Targets
from gpulr.namespaces import array_namespace

Array = Any

MODELS = 64  # multiplied at once, where each has slopes of its own


@dataclass(frozen=True, eq=False)
class Margins:
    """Z = X W + b of all rows, (n_samples, n_models) in the compute dtype, kept where the rows are.

    On the host they go to a temporary file where they do not fit in memory. Solvers know nothing
    but the methods, so that a problem whose rows are elsewhere can return margins of its own kind.
    """

    Z: Annotated[Array, "(n_samples, n_models) float"]
    backend: Backend

    def blocks(self) -> list[slice]:
        """Return the blocks of rows to map over where only margins are needed."""
        return self.backend.row_blocks(int(self.Z.shape[0]), 0, int(self.Z.shape[1]))

    def along(self, direction: Margins, t: Array) -> Margins:
        """Return Z + t D, for steps t (n_models,) and the margins D of a direction.

        D is not to be used any more: its memory may be that of the result.
        """
        D, k = direction.Z, int(self.Z.shape[1])
        t = self.backend.xp.astype(t, D.dtype)

        def along(rows: slice, out: Array | None = None) -> Array:
            return self.backend.along(self.Z[rows, :], D[rows, :], t, out)

        Z = self.backend.collect_blocks(along, self.blocks(), k, D.dtype, whole=D)
        return Margins(Z, self.backend)

    def where(self, flags: Array, other: Margins) -> Margins:
        """Return these margins for the models that ``flags`` names, and the other's elsewhere.

        These are not to be used any more: their memory may be that of the result.
        """
        return Margins(self.backend.where_columns(flags, self.Z, other.Z), self.backend)

    def stored(self) -> dict[str, Any]:
        """Return what of the margins is in a file: see :meth:`restored`."""
        return {"Z": self.Z}

    @classmethod
    def restored(cls, read: Callable[..., Any], problem: Problem) -> Margins:
        """Return margins of a problem, from what :meth:`stored` returned, whose items are read.

        ``read(name, problem)`` returns an item, and that is of the problem if it is of any.
        """
        backend, stored = problem.backend, read("Z", in_blocks=True)
        (n, k), dtype = stored.shape, problem.rows.dtype
        bits = backend.xp.finfo(dtype).bits
        if stored.dtype.kind != "f" or 8 * stored.dtype.itemsize != bits:
            raise ValueError(f"margins of {stored.dtype}, not of {bits} bits")
        Z = backend.margins_array(n, k, dtype)
        if Z is None:
            return cls(backend.asarray(stored[:], dtype), backend)
        for rows in backend.row_blocks(n, 0, k):
            Z[rows][:] = stored[rows]
        return cls(Z, backend)

    def rows(self, index: Array) -> Margins:
        """Return the margins of some of the rows (int indices on the device)."""
        return Margins(self.backend.take_rows(self.Z, index), self.backend)

    def take(self, models: Array) -> Margins:
        """Return the margins of some of the models (int indices on the device)."""
        return Margins(self.backend.take_columns(self.Z, models, self.blocks()), self.backend)


class Pass(NamedTuple):
    """What one pass over all rows returns: cost (n_models,) and gradient, both float64.

    The gradient (n_features + 1, n_models) is with respect to the weights of the scaled rows; the
    intercept's is the last row.
    """

    cost: Array
    gradient: Array


@dataclass(frozen=True, eq=False)
class Problem:
    """Logistic problems that share their rows, one per column.

    All arrays are on the backend's device. Parameters are stacked as ``theta`` (n_features + 1,
    n_models) float64, the intercept in the last row; weights refer to the scaled rows.
    """

    rows: Rows
    targets: Targets  # what each model is to answer for each row
    C: Array  # (n_models,) float64, inverse regularisation strength, ∞ for none
    weights: RowWeights
    m: Array  # (n_models,) float64, the sum of the weights that each model gives the rows
    mass: float  # the sum of the weights that all models share
    intercept: bool = True  # False holds it at 0, and rows are [X, 0] in what [X, 1] is said of

    @classmethod
    def of(
        cls,
        rows: Rows,
        targets: Targets,
        C: Array,
        *,
        sample_weight: Array | None = None,
        weight_sets: Array | None = None,
        set_index: Array | None = None,
        pos_weight: Array | None = None,
        balanced: bool = False,
        unknown: bool = False,
        intercept: bool = True,
    ) -> Problem:
        """Return the problem; :class:`RowWeights` says what the three arrays of weights are.

        ``pos_weight`` (n_models,) float64 multiplies the weights of rows that a model is to answer
        with 1. Where it is to be ``balanced``, they weigh as much as all others, by n / (2 n₊) and
        n / (2 n₋) with the weights of the rows that the model trains on. ``unknown`` says whether
        targets may be 2.
        """
        weights = RowWeights(sample_weight, weight_sets, set_index, rows.backend, rows.dtype)
        mass = float(rows.n_samples)
        if sample_weight is not None:
            mass = float(rows.backend.xp.sum(sample_weight, dtype=rows.backend.xp.float64))
        problem = cls(rows, targets, C, weights, C, mass, intercept)
        return problem._answering(pos_weight, balanced=balanced, unknown=unknown)

    def _answering(self, pos_weight: Array | None, *, balanced: bool, unknown: bool) -> Self:
        """Return the problem with what rows weigh by their targets, and with the sums of weights.

        See :meth:`of`.
        """
        targets, C = self.targets, self.C
        if pos_weight is not None or balanced or unknown:
            xp = self.backend.xp
            positive = xp.ones_like(C) if pos_weight is None else pos_weight
            one = xp.astype(xp.ones_like(C), self.rows.dtype)
            if balanced:
                known = replace(targets, positive=one) if unknown else targets
                ratio, common = balance(*replace(self, targets=known).answer_sums())
                # What positives and negatives have in common has no effect on means, and is as a
                # factor of C on the penalty beside them.
                positive, C = positive * ratio, C * common
            if unknown or bool(to_host(xp.any(positive != 1.0))):
                targets = replace(targets, positive=xp.astype(positive, self.rows.dtype))
        return replace(self, targets=targets, C=C)._weighed()

    def _weighed(self) -> Self:
        """Return the problem with the sums of the weights as they are: m."""
        xp, shape = self.backend.xp, (self.n_models,)
        m = xp.full(shape, self.mass, dtype=xp.float64, device=self.backend.device)
        if self.weights.weight_sets is not None or self.targets.positive is not None:
            _, m = self.answer_sums()
            # Of no rows at all, as of a fold's among those of a sample, every sum is 0.
            m = xp.where(m > 0.0, m, self.mass)
        return replace(self, m=m)

    @property
    def backend(self) -> Backend:
        """Where the arrays are."""
        return self.rows.backend

    @property
    def n_models(self) -> int:
        """Number of models."""
        return self.targets.n_models

    def select(self, models: Array) -> Problem:
        """Return the problem of some of the models (int indices on the device) only."""
        xp = self.backend.xp
        return replace(
            self,
            targets=self.targets.select(models),
            C=xp.take(self.C, models),
            weights=self.weights.select(models),
            m=xp.take(self.m, models),
        )

    def draw(self, size: int) -> Array | None:
        """Choose rows for a sample among those that have weight, the same ones every time.

        As :meth:`sample` takes them, in their order. None: there are no more than twice as many.
        """
        base = None if self.weights.base is None else to_host(self.weights.base)[:, 0] > 0.0
        n = self.rows.n_samples if base is None else int(np.count_nonzero(base))
        if n <= 2 * size:
            return None
        chosen = np.sort(np.random.default_rng(0).choice(n, size, replace=False))
        return self.backend.asarray(chosen if base is None else np.flatnonzero(base)[chosen])

    def sample(self, index: Array) -> Problem:
        """Return the problem on some of the rows, with the penalty of all of them."""
        rows, weights = self.rows.sample(index), self.weights.sample(index)
        mass = float(rows.n_samples)
        if weights.base is not None:
            mass = float(self.backend.xp.sum(weights.base, dtype=self.backend.xp.float64))
        targets = self.targets.sample(index)
        sample = replace(self, rows=rows, targets=targets, weights=weights, mass=mass)._weighed()
        return replace(sample, C=self.C * (self.m / sample.m))

    def start(self) -> Array:
        """Return all-zero parameters, (n_features + 1, n_models) float64."""
        xp = self.backend.xp
        shape = (self.rows.n_features + 1, self.n_models)
        return xp.zeros(shape, dtype=xp.float64, device=self.backend.device)

    @cached_property
    def penalty(self) -> Array:
        """What each model's squared weights are multiplied by in its cost, twice: 1 / (C m)."""
        return 1.0 / (self.C * self.m)

    @property
    def recursion(self) -> Any:
        """What computes L-BFGS's recursion faster than array functions; None: nothing does."""
        return None

    @property
    def stepping(self) -> Any:
        """What computes L-BFGS's step along a direction faster; None: nothing does."""
        return None

    @property
    def descend(self) -> Callable[[Array, Array, Array, int], tuple[Array, ...]] | None:
        """What takes steps of gradient descent faster than one by one; None: nothing does."""
        return None

    def evaluate(self, theta: Array) -> Pass:
        """Return cost and gradient of every model at ``theta``: one pass over all rows."""
        W, b = self.rows.absorb_scaling(theta)

        def propagate(rows: slice) -> tuple[Array, ...]:
            return self.backend.propagate(self.rows.operand(rows), W, b, *self.answers(rows))

        return self.finish(theta, *self.rows.sum(propagate, self.rows.blocks(self.n_models)))

    def margins(self, theta: Array, whole: Array | None = None) -> Margins:
        """Return the margins of all rows at ``theta``: half a pass.

        ``whole`` is an array like them, whose memory may be used.
        """
        if whole is None:
            shape = self.rows.n_samples, int(theta.shape[1])
            whole = self.backend.margins_array(*shape, self.rows.dtype)
        return Margins(self.rows.margins(theta, whole), self.backend)

    def evaluate_margins(self, margins: Margins, theta: Array | None = None) -> Pass:
        """Return what :meth:`evaluate` does, from the margins of ``theta``: half a pass.

        Without ``theta`` they are sums that have no penalty: those of a part of the rows, whose m
        is 1.
        """
        if self.rows.by_feature is not None:
            R, loss, db = self._residuals(margins)
            return self.finish(theta, loss, self.rows.products_by_feature(R), db)

        def propagate_back(rows: slice) -> tuple[Array, ...]:
            Z = margins.Z[rows, :]
            R, loss, db = self.backend.activate_margins(Z, *self.answers(rows))
            return loss, (R.T @ self.rows.operand(rows)).T, db

        return self.finish(theta, *self.rows.sum(propagate_back, self.rows.blocks(self.n_models)))

    def answers(self, rows: slice) -> tuple[Array, Array | None, bool]:
        """Return targets and weights of a block, and whether the targets are signed.

        As :meth:`gpulr.backend.Backend.activate_margins` takes them.
        """
        signed = self.targets.positive is not None
        Y = self.targets.signed(rows) if signed else self.targets.block(rows)
        return Y, self.weights.block(rows), signed

    def _residuals(self, margins: Margins) -> tuple[Array, Array, Array]:
        """Return s ∘ R of all rows, and the sums of losses and of s ∘ R."""
        xp, shape = self.backend.xp, margins.Z.shape
        every = xp.empty(shape, dtype=margins.Z.dtype, device=self.backend.device)

        def residuals(rows: slice) -> tuple[Array, ...]:
            Z = margins.Z[rows, :]
            every[rows, :], loss, db = self.backend.activate_margins(Z, *self.answers(rows))
            return loss, db

        return every, *self.rows.sum(residuals, margins.blocks())

    def derivatives_along(
        self, margins: Margins, direction: Margins, t: float = 0.0
    ) -> tuple[Array, Array, Array]:
        """Return first and second derivative of each mean log-loss at Z + t D along D, and mean σ'.

        No pass over the rows is needed. All three are (n_models,) float64.
        """
        Z, D = margins.Z, direction.Z

        def derivatives(rows: slice) -> tuple[Array, ...]:
            answers = self.answers(rows)
            return self.backend.derivatives_along(Z[rows, :], D[rows, :], t, *answers)

        first, second, slope = self.rows.sum(derivatives, margins.blocks())
        return first / self.m, second / self.m, slope / self.m

    def second_moments(self, margins: Margins, X: Array) -> Array:
        """Return Xᵀ diag(s ∘ σ') X / m for each model, of any X (n_samples, n) float64.

        (n_models, n, n) float64.
        """

        def products(rows: slice) -> tuple[Array]:
            slopes, part = self._slopes(margins, rows), X[rows, :]
            return ((slopes[:, None, :] * part.T) @ part,)

        (total,) = self.rows.sum(products, margins.blocks())
        return total / self.m[:, None, None]

    def slope_sums(self, margins: Margins, P: Array) -> Array:
        """Return Σ s σ' p / m over the rows p of any P (n_samples, n) float64, for each model.

        (n_models, n) float64.
        """
        xp, map_blocks = self.backend.xp, self.backend.map_blocks
        # Of all rows, then by models: sums of each block of rows may be larger than the block.
        each = map_blocks(lambda rows: self._slopes(margins, rows), margins.blocks())
        slopes = xp.concat(list(each), axis=1)
        edges = [*range(0, self.n_models, MODELS), self.n_models]
        some = list(starmap(slice, pairwise(edges)))
        sums = map_blocks(lambda models: slopes[models, :] @ P, some, of_rows=False)
        return xp.concat(list(sums), axis=0) / self.m[:, None]

    def slopes(self, margins: Margins, index: Array | None) -> tuple[Array, Array]:
        """Return s σ' of some rows, or all, for each model, and the sums of their weights s.

        (n_models, n_rows) and (n_models,) float64.
        """
        xp, weights, targets = self.backend.xp, self.weights, self.targets
        if index is not None:
            margins, weights = margins.rows(index), weights.sample(index)
            targets = targets.sample(index)
        Z = margins.Z[:, :]  # one that is in a file, as an array
        slopes = xp.astype(logistic.slope(Z).T, xp.float64)
        n, none = int(slopes.shape[1]), xp.zeros_like(slopes[:, 0])
        s = weights.of_entries(slice(0, n), targets)
        if s is None:
            return slopes, none + float(n)
        s = xp.astype(s.T, xp.float64)
        return s * slopes, none + xp.sum(s, axis=1)

    def _slopes(self, margins: Margins, rows: slice) -> Array:
        """Return s σ' of some of the rows, (n_models, n_rows) float64."""
        slopes = logistic.slope(margins.Z[rows, :])
        s = self.weights.of_entries(rows, self.targets)
        slopes = slopes if s is None else s * slopes
        return self.backend.xp.astype(slopes.T, self.backend.xp.float64)

    def gram_product(self, V: Array) -> Array:
        """Return [X, 1]ᵀ diag(s) [X, 1] V / mass for the scaled X, with the shared weights s.

        V is (n_features + 1, n_vectors).
        """
        W, b = self.rows.absorb_scaling(V if self.intercept else self._stacked(V[:-1, :], V[-1, :]))

        def product(rows: slice) -> tuple[Array, ...]:
            X, s = self.rows.operand(rows), self.weights.shared(rows)
            Z = X @ W + b if s is None else s * (X @ W + b)
            return (Z.T @ X).T, self.backend.xp.sum(Z, axis=0, dtype=self.backend.xp.float64)

        blocks = self.rows.blocks(int(V.shape[1]))
        return self._stacked(*self.rows.undo_scaling(*self.rows.sum(product, blocks))) / self.mass

    def class_counts(self) -> tuple[Array, Array]:
        """Count the rows that each model weighs and is to answer with 1, and those with 0."""
        xp = self.backend.xp

        def count(rows: slice) -> tuple[Array, ...]:
            Y, s = self.targets.block(rows), self.weights.of_entries(rows, self.targets)
            one = xp.ones_like(Y)
            weighed = one if s is None else xp.where(s > 0.0, one, 0.0)
            return (
                xp.sum(weighed * Y, axis=0, dtype=xp.float64),
                xp.sum(weighed, axis=0, dtype=xp.float64),
            )

        positive, every = self.rows.sum(count, self.rows.margin_blocks(self.n_models))
        return positive, every - positive

    def answer_sums(self) -> tuple[Array, Array]:
        """Return Σ s y and Σ s over all rows for each model, (n_models,) float64."""

        def total(rows: slice) -> tuple[Array, ...]:
            xp, Y = self.backend.xp, self.targets.block(rows)
            s = self.weights.of_entries(rows, self.targets)
            s = xp.ones_like(Y) if s is None else s + 0.0 * Y
            return tuple(xp.sum(each, axis=0, dtype=xp.float64) for each in (s * Y, s))

        positive, every = self.rows.sum(total, self.rows.margin_blocks(self.n_models))
        return positive, every

    def exact_gradient(self, theta: Array, with_noise: bool) -> tuple[Array, Array | None]:
        """Return the gradient of models as they will be returned, and Σ s |x r| / m.

        In float64, of the weights and rows that the compute dtype has. Both are (n_features + 1,
        n_models); the latter takes as long, and whole blocks of rows.
        """
        backend, xp, rows = self.backend, self.backend.xp, self.rows
        exact = replace(rows, dtype=xp.float64)
        W, b = (xp.astype(part, xp.float64) for part in rows.absorb_scaling(theta))

        def propagate(block: slice) -> tuple[Array, ...]:
            X, (Y, s, signed) = exact.operand(block), self.answers(block)
            Y = xp.astype(Y, xp.float64)
            s = None if s is None else xp.astype(s, xp.float64)
            R, loss, db = backend.activate_margins(backend.affine(X, W, b), Y, s, signed)
            sums = loss, (R.T @ X).T, db
            if not with_noise:
                return sums
            return *sums, *logistic.backward(abs(exact.block(block)), xp.abs(R))

        # As for more models: float64, and both X and |X|, take more.
        blocks = exact.blocks(2 * self.n_models)
        if with_noise:
            blocks = exact.converted_blocks(self.n_models + backend.row_width(rows.X) // 2)
        loss, dW, db, *noises = exact.sum(propagate, blocks)
        gradient = self.finish(theta, loss, dW, db).gradient
        if not noises:
            return gradient, None
        noise, db_noise = noises
        if rows.center is not None and rows.center_in_block is None:
            noise = noise + xp.abs(rows.center) * db_noise
        noise = xp.concat([rows.multiplier * noise, xp.expand_dims(db_noise, axis=0)], axis=0)
        return gradient, noise / self.m

    def finish(self, theta: Array | None, loss: Array, dW: Array, db: Array) -> Pass:
        """Return cost and gradient at ``theta`` from the sums of what blocks give, all float64."""
        return self.penalized(theta, loss, *self.rows.undo_scaling(dW, db))

    def penalized(self, theta: Array | None, loss: Array, dW: Array, db: Array) -> Pass:
        """Return cost and gradient at ``theta`` from Σ s ℓ and its derivatives, all float64.

        What :func:`gpulr.logistic.cost` and ``gradient`` say, without large temporaries. Without
        ``theta`` they are those sums: to divide a part's by its m, 1, would take as long as the
        products of a hundred rows.
        """
        if theta is None:
            return Pass(loss, self._stacked(dW, db))
        W = theta[:-1, :]
        # The penalty is one on the weights of the caller's scale.
        if not isinstance(self.rows.factor, float):
            W = self.rows.factor * W
        squares = self.backend.dots([W], W)[0, :]
        if not isinstance(self.rows.factor, float):
            W = self.rows.factor * W
        penalty = self.penalty[None, :]
        dW = self.backend.combine(dW, penalty, [W], 1.0 / self.m)
        return Pass(loss / self.m + self.penalty * squares / 2.0, self._stacked(dW, db / self.m))

    def _stacked(self, dW: Array, db: Array) -> Array:
        """Put the intercept's row below that of the weights; zeros where it is held at 0."""
        xp = self.backend.xp
        db = db if self.intercept else xp.zeros_like(db)
        return xp.concat([dW, db[None, :]], axis=0)


def balance(positive: Array, every: Array) -> tuple[Array, Array]:
    """Return n₋ / n₊ and n / (2 n₋) of each model, from n₊ and n; 1 of one kind only.

    All are (n_models,) float64.
    """
    xp = array_namespace(every)
    negative, one = every - positive, xp.ones_like(every)
    both = xp.logical_and(positive > 0.0, negative > 0.0)
    positive, negative = (xp.where(both, each, one) for each in (positive, negative))
    return negative / positive, xp.where(both, every / (2.0 * negative), one)
