"""A stack of logistic problems that share their rows: cost and gradient in one pass over blocks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

from gpulr import logistic
from gpulr.backend import Backend

Array = Any

__all__ = ["Pass", "Problem"]


class Pass(NamedTuple):
    """What one pass over all rows returns, per model.

    Attributes
    ----------
    cost : (n_models,) float64
    gradient : (n_features + 1, n_models) float64
        With respect to the weights of the scaled X; the intercept's is the last row.
    """

    cost: Array
    gradient: Array


@dataclass(frozen=True, eq=False)
class Problem:
    """Logistic problems that share the rows X, one per column.

    All arrays are on ``backend``'s device. Parameters are stacked as ``theta`` (n_features + 1,
    n_models) float64, the intercept in the last row; weights refer to the scaled rows,
    ``scale * X``.

    Attributes
    ----------
    X : (n_samples, n_features), any real dtype
        The rows as they were passed in. They are converted to ``dtype`` block by block; the scale
        is folded into the weights, ``(scale X) W = X (scale W)``, so uint8 pixels stay uint8.
    codes : (n_samples,) int32
        The class of each row, as an index.
    positive : (n_models,) int32
        The class that each model tells from all others.
    C : (n_models,) float64
        Inverse regularisation strength, ∞ for none.
    scale : float
    backend : Backend
    dtype : dtype of the backend's library
        What margins and products are computed in; sums are float64.
    """

    X: Array
    codes: Array
    positive: Array
    C: Array
    scale: float
    backend: Backend
    dtype: Any

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return int(self.X.shape[0])

    @property
    def n_features(self) -> int:
        """Number of features, without the intercept."""
        return int(self.X.shape[1])

    @property
    def n_models(self) -> int:
        """Number of columns."""
        return int(self.positive.shape[0])

    @cached_property
    def blocks(self) -> list[slice]:
        """The blocks of rows that a pass maps over."""
        return self.backend.row_blocks(self.n_samples, self.n_features, self.n_models)

    def select(self, models: Array) -> Problem:
        """Return the problem of some of the models (int indices on the device) only."""
        xp = self.backend.xp
        return replace(self, positive=xp.take(self.positive, models), C=xp.take(self.C, models))

    def start(self) -> Array:
        """Return all-zero parameters, (n_features + 1, n_models) float64."""
        xp = self.backend.xp
        shape = (self.n_features + 1, self.n_models)
        return xp.zeros(shape, dtype=xp.float64, device=self.backend.device)

    def evaluate(self, theta: Array) -> Pass:
        """Return cost and gradient of every model at ``theta``: one pass over all rows."""
        xp = self.backend.xp
        W = xp.astype(self.scale * theta[:-1, :], self.dtype)
        b = xp.astype(theta[-1, :], self.dtype)

        def propagate(rows: slice) -> tuple[Array, Array, Array]:
            X = self.backend.as_compute(self.X[rows, :], self.dtype)
            is_positive = xp.expand_dims(self.codes[rows], axis=1) == self.positive
            Y = xp.astype(is_positive, self.dtype)
            _, P, loss = logistic.forward(X, W, b, Y)
            return loss, *logistic.backward(X, P, Y)

        loss, dW, db = self._sum(propagate)
        cost = logistic.cost(loss, theta[:-1, :], self.C, self.n_samples)
        dW, db = logistic.gradient(self.scale * dW, db, theta[:-1, :], self.C, self.n_samples)
        return Pass(cost, xp.concat([dW, xp.expand_dims(db, axis=0)], axis=0))

    def gram_product(self, V: Array) -> Array:
        """Return [X, 1]ᵀ [X, 1] V / n_samples for the scaled X; V (n_features + 1, n_vectors)."""
        xp = self.backend.xp
        W = xp.astype(self.scale * V[:-1, :], self.dtype)
        b = xp.astype(V[-1, :], self.dtype)

        def product(rows: slice) -> tuple[Array, Array]:
            X = self.backend.as_compute(self.X[rows, :], self.dtype)
            Z = X @ W + b
            return (Z.T @ X).T, xp.sum(Z, axis=0, dtype=xp.float64)

        dW, db = self._sum(product)
        return xp.concat([self.scale * dW, xp.expand_dims(db, axis=0)], axis=0) / self.n_samples

    def _sum(self, function: Any) -> tuple[Array, ...]:
        """Add up, in float64 and in the order of the blocks, what ``function`` returns for each."""
        xp = self.backend.xp
        totals: tuple[Array, ...] | None = None
        for parts in self.backend.map_blocks(function, self.blocks):
            if totals is None:
                totals = tuple(xp.astype(part, xp.float64) for part in parts)
            else:
                totals = tuple(map(xp.add, totals, parts))
        assert totals is not None  # a problem has rows
        return totals
