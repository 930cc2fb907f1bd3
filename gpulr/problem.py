"""A stack of logistic problems that share their rows: cost and gradient in one pass over blocks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from gpulr import logistic
from gpulr.backend import Backend
from gpulr.rows import Rows

Array = Any

__all__ = ["Pass", "Problem"]


class Pass(NamedTuple):
    """What one pass over all rows returns, per model.

    Attributes
    ----------
    cost : (n_models,) float64
    gradient : (n_features + 1, n_models) float64
        With respect to the weights of the scaled rows; the intercept's is the last row.
    """

    cost: Array
    gradient: Array


@dataclass(frozen=True, eq=False)
class Problem:
    """Logistic problems that share their rows, one per column.

    All arrays are on the backend's device. Parameters are stacked as ``theta`` (n_features + 1,
    n_models) float64, the intercept in the last row; weights refer to the scaled rows.

    Attributes
    ----------
    rows : Rows
    codes : (n_samples,) int32
        The class of each row, as an index.
    targets : (n_classes, n_models) in the compute dtype
        What each model is to answer for each class, 0 or 1: row i has Y = targets[codes[i], :].
    C : (n_models,) float64
        Inverse regularisation strength, ∞ for none.
    sample_weight : (n_samples, 1) in the compute dtype, or None
    m : float
        Sum of the sample weights.
    """

    rows: Rows
    codes: Array
    targets: Array
    C: Array
    sample_weight: Array | None
    m: float

    @property
    def backend(self) -> Backend:
        """Where the arrays are."""
        return self.rows.backend

    @property
    def n_models(self) -> int:
        """Number of columns."""
        return int(self.targets.shape[1])

    def select(self, models: Array) -> Problem:
        """Return the problem of some of the models (int indices on the device) only."""
        xp = self.backend.xp
        targets = xp.take(self.targets, models, axis=1)
        return replace(self, targets=targets, C=xp.take(self.C, models))

    def sample(self, index: Array) -> Problem:
        """Return the problem on some of the rows, with the penalty of all of them."""
        xp, s = self.backend.xp, self.sample_weight
        taken = None if s is None else xp.take(s, index, axis=0)
        m = float(index.shape[0]) if taken is None else float(xp.sum(taken, dtype=xp.float64))
        return replace(
            self,
            rows=self.rows.sample(index),
            codes=xp.take(self.codes, index),
            sample_weight=taken,
            C=self.C * (self.m / m),
            m=m,
        )

    def start(self) -> Array:
        """Return all-zero parameters, (n_features + 1, n_models) float64."""
        xp = self.backend.xp
        shape = (self.rows.n_features + 1, self.n_models)
        return xp.zeros(shape, dtype=xp.float64, device=self.backend.device)

    def evaluate(self, theta: Array) -> Pass:
        """Return cost and gradient of every model at ``theta``: one pass over all rows."""
        W, b = self.rows.fold(theta)

        def propagate(rows: slice) -> tuple[Array, ...]:
            X, Y, s = self.rows.operand(rows), self._targets(rows), self.weights_of(rows)
            _, P, loss = logistic.forward(X, W, b, Y, s)
            return loss, *logistic.backward(X, P, Y, s)

        return self._finish(theta, *self.rows.sum(propagate, self.rows.blocks(self.n_models)))

    def margins(self, theta: Array) -> Array:
        """Return the margins of all rows, (n_samples, n_models) in the compute dtype."""
        W, b = self.rows.fold(theta)
        return self.backend.collect_blocks(
            lambda rows: self.rows.operand(rows) @ W + b, self.rows.blocks(self.n_models)
        )

    def evaluate_margins(self, Z: Array, theta: Array) -> Pass:
        """Return what :meth:`evaluate` does, from the margins Z of ``theta``: half a pass."""

        def propagate_back(rows: slice) -> tuple[Array, ...]:
            Y, s = self._targets(rows), self.weights_of(rows)
            P, loss = logistic.activate(Z[rows, :], Y, s)
            return loss, *logistic.backward(self.rows.operand(rows), P, Y, s)

        return self._finish(theta, *self.rows.sum(propagate_back, self.rows.blocks(self.n_models)))

    def derivatives_along(self, Z: Array, D: Array) -> tuple[Array, Array, Array]:
        """Return first and second derivative of each mean log-loss at margins Z along D, and σ'.

        Z and D are (n_samples, n_models); no pass over the rows is needed. Returns three arrays
        (n_models,) float64, the last one the mean of σ' over the rows.
        """

        def derivatives(rows: slice) -> tuple[Array, ...]:
            return logistic.derivatives_along(
                Z[rows, :], D[rows, :], self._targets(rows), self.weights_of(rows)
            )

        blocks = self.rows.margin_blocks(self.n_models)
        first, second, slope = self.rows.sum(derivatives, blocks)
        return first / self.m, second / self.m, slope / self.m

    def gram_product(self, V: Array) -> Array:
        """Return [X, 1]ᵀ diag(s) [X, 1] V / m for the scaled X; V (n_features + 1, n_vectors)."""
        xp = self.backend.xp
        W, b = self.rows.fold(V)

        def product(rows: slice) -> tuple[Array, ...]:
            X, s = self.rows.operand(rows), self.weights_of(rows)
            Z = X @ W + b if s is None else s * (X @ W + b)
            return (Z.T @ X).T, xp.sum(Z, axis=0, dtype=xp.float64)

        blocks = self.rows.blocks(int(V.shape[1]))
        dW, db = self.rows.unfold(*self.rows.sum(product, blocks))
        return xp.concat([dW, xp.expand_dims(db, axis=0)], axis=0) / self.m

    def _targets(self, rows: slice) -> Array:
        return self.backend.xp.take(self.targets, self.codes[rows], axis=0)

    def weights_of(self, rows: slice) -> Array | None:
        """Return the sample weights of a block, (n_rows, 1), or None."""
        return None if self.sample_weight is None else self.sample_weight[rows, :]

    def _finish(self, theta: Array, loss: Array, dW: Array, db: Array) -> Pass:
        xp, W = self.backend.xp, theta[:-1, :]
        dW, db = self.rows.unfold(dW, db)
        dW, db = logistic.gradient(dW, db, W, self.C, self.m)
        gradient = xp.concat([dW, xp.expand_dims(db, axis=0)], axis=0)
        return Pass(logistic.cost(loss, W, self.C, self.m), gradient)
