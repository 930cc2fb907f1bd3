"""What a bootstrap found: weights of every replicate, and intervals of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr import logistic
from gpulr.backend import Backend, computing_with, given_back, host_memory
from gpulr.errors import DataError, ParameterError
from gpulr.model.one_vs_all import OneVsAll, rows_for
from gpulr.namespaces import array_namespace
from gpulr.validation.arrays import finite_rows
from gpulr.validation.parameters import positive_number
from gpulr.words import counted

Array = Any

# What probabilities of one block of rows may take, with their sorted copy.
BLOCK_BYTES = 2**27


@dataclass(frozen=True, slots=True, eq=False)
class Bootstrap:
    """A model, and the weights that it had on resamples of its rows.

    Attributes
    ----------
    model : OneVsAll
        Of all rows.
    coef : (n_replicates, n_features, n_models), intercept : (n_replicates, n_models)
        In the dtype of the model's weights, where they are. They apply to X as it was passed in.
    converged : (n_replicates, n_models) bool, NumPy
    intercept_at_center : (n_replicates, n_models) or None
        After standardised training, as in the model.

    Notes
    -----
    Intervals are percentile intervals: of n replicates, from the (n + 1) α/2-th smallest value to
    the (n + 1) (1 − α/2)-th, with α = 1 − level (Davison & Hinkley 1997, §5.3). They are the
    spread of the *penalised* weights: a small C biases weights towards 0, and an interval around
    biased weights need not hold the weights without a penalty.
    """

    model: OneVsAll
    coef: Array
    intercept: Array
    converged: npt.NDArray[np.bool_]
    intercept_at_center: Array | None = None

    @property
    def n_replicates(self) -> int:
        """Number of resamples."""
        return int(self.coef.shape[0])

    def __repr__(self) -> str:
        return (
            f"<Bootstrap: {counted(self.n_replicates, 'replicate')} of "
            f"{counted(self.model.n_models, 'model')}, {self.converged.all(axis=1).sum()} "
            "converged>"
        )

    def coef_interval(self, level: float = 0.95) -> tuple[Array, Array]:
        """Return the ends of an interval for each weight, (n_features, n_models) each."""
        return self._ends_of(self.coef, level)

    def intercept_interval(self, level: float = 0.95) -> tuple[Array, Array]:
        """Return the ends of an interval for each intercept, (n_models,) each."""
        return self._ends_of(self.intercept, level)

    def _ends_of(self, replicates: Array, level: float) -> tuple[Array, Array]:
        level = self._level(level)
        with computing_with(replicates) as (_, values):
            low, high = _ends(values, level)
            return given_back(low, replicates), given_back(high, replicates)

    @host_memory
    def proba_interval(self, X: Any, level: float = 0.95) -> tuple[Array, Array]:
        """Return the ends of an interval for each probability, (n_samples, n_models) each.

        It is an interval for P(y = class | x), the probability itself, not for a label; see
        :meth:`OneVsAll.predict_proba`.

        X is as for :meth:`OneVsAll.decision_function`, with the same errors, and is worked through
        in blocks of rows; ``level`` is between 0 and 1.
        """
        level = self._level(level)
        X = rows_for(self.model, X)
        with computing_with(X) as (backend, rows):
            ends = self._proba_interval(self._columns(backend), rows, backend, level)
            return given_back(ends[0], X), given_back(ends[1], X)

    def _columns(self, backend: Backend) -> OneVsAll:
        """Return the models of all replicates side by side, where a backend computes."""
        xp, at_center = backend.xp, self.intercept_at_center
        columns = self.n_replicates * self.model.n_models
        weights = xp.permute_dims(backend.asarray(self.coef), (1, 0, 2))
        side_by_side = None if at_center is None else xp.reshape(backend.asarray(at_center), (-1,))
        return replace(
            self.model,
            weights=xp.reshape(weights, (-1, columns)),
            intercept=xp.reshape(backend.asarray(self.intercept), (-1,)),
            intercept_at_center=side_by_side,
        )

    def _proba_interval(
        self, columns: OneVsAll, X: Array, backend: Backend, level: float
    ) -> tuple[Array, Array]:
        finite_rows(X, backend, columns.weights.dtype)  # here, so that errors name the row
        xp, parts, n, k = backend.xp, [], self.n_replicates, self.model.n_models
        step = max(1, BLOCK_BYTES // (32 * n * k))
        for start in range(0, X.shape[0], step):
            Z = columns.decision_function(X[start : min(start + step, X.shape[0]), :])
            P = logistic.sigmoid(xp.reshape(Z, (Z.shape[0], n, k)))
            parts.append(_ends(xp.permute_dims(P, (1, 0, 2)), level))
        low, high = (xp.concat(list(ends), axis=0) for ends in zip(*parts, strict=True))
        return low, high

    def _level(self, level: float) -> float:
        level = positive_number("level", level)
        if level >= 1.0:
            raise ParameterError(f"level={level:g}; expected a number between 0 and 1, as 0.95.")
        if self.n_replicates < 2:
            raise DataError(
                f"There are {self.n_replicates} replicates, since training was stopped; an "
                "interval takes at least 2."
            )
        return level


def _ends(values: Array, level: float) -> tuple[Array, Array]:
    """Return the quantiles of ``values`` over their first axis, between which a share lies."""
    xp, n = array_namespace(values), values.shape[0]
    values, tail = xp.sort(values, axis=0), (1.0 - level) / 2.0

    def quantile(q: float) -> Array:
        place = min(max((n + 1) * q - 1.0, 0.0), n - 1.0)
        below = int(place)
        above = min(below + 1, n - 1)
        return values[below, ...] + (place - below) * (values[above, ...] - values[below, ...])

    return quantile(tail), quantile(1.0 - tail)
