"""What a bootstrap found: weights of every replicate, and intervals of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gpulr import logistic
from gpulr.backend import Backend, computing_with, given_back, host_memory, to_host
from gpulr.errors import DataError, ModelFileError, ParameterError
from gpulr.model import storage
from gpulr.model.one_vs_all import OneVsAll, rows_for
from gpulr.model.record import weight_steps
from gpulr.namespaces import array_namespace
from gpulr.output_files import path_of
from gpulr.validation.arrays import finite_rows
from gpulr.validation.parameters import positive_number
from gpulr.words import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = Any

# What probabilities of one block of rows may take, with their sorted copy.
BLOCK_BYTES = 2**27
# What a file holds beside the model's arrays, under names that begin so.
REPLICATES = "replicates."
_ARRAYS = ("coef", "intercept", "converged", "intercept_at_center", "feature_std")


@dataclass(frozen=True, slots=True, eq=False)
class Bootstrap:
    """A model, and the weights that it had on resamples of its rows.

    Attributes
    ----------
    model : OneVsAll
        The model of all rows.
    coef : (n_replicates, n_features, n_models)
        Weights of each replicate, in the dtype of the model's weights, where those are. They apply
        to X as it was passed in.
    intercept : (n_replicates, n_models)
        Intercepts of each replicate, likewise.
    converged : (n_replicates, n_models) bool, NumPy
        Whether each model reached the tolerance.
    intercept_at_center : (n_replicates, n_models) or None
        After standardised training, as in the model.
    feature_std : (n_features,) float64, NumPy, or None
        After standardised training, the standard deviations that features were divided by; 0 for
        those that are constant.

    Notes
    -----
    Intervals are percentile intervals: of n replicates, from the (n + 1) α/2-th smallest value to
    the (n + 1) (1 − α/2)-th, with α = 1 − level (Davison & Hinkley 1997, §5.3). They are the spread
    of the *penalised* weights: a small C biases weights towards 0, and an interval around biased
    weights need not contain the weights without a penalty.
    """

    model: OneVsAll
    coef: Array
    intercept: Array
    converged: npt.NDArray[np.bool_]
    intercept_at_center: Array | None = None
    feature_std: npt.NDArray[np.float64] | None = None

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
        """Return the ends of an interval for each weight, both (n_features, n_models)."""
        return self._ends_of(self.coef, level)

    def intercept_interval(self, level: float = 0.95) -> tuple[Array, Array]:
        """Return the ends of an interval for each intercept, both (n_models,)."""
        return self._ends_of(self.intercept, level)

    @property
    def step(self) -> npt.NDArray[np.float64]:
        """The step of each feature, (n_features,): weights times it can be compared.

        For a table it is the feature's standard deviation; for images it is 1, as training sees the
        scaled X.
        """
        return weight_steps(self.model)[0] if self.feature_std is None else self.feature_std

    @property
    def step_words(self) -> str:
        """What tables and pictures call weights times :attr:`step`."""
        std = self.model.feature_std if self.feature_std is None else self.feature_std
        return weight_steps(replace(self.model, feature_std=std))[1]

    def strength(self, level: float = 0.95) -> npt.NDArray[np.float64]:
        """Return how far each weight is from 0 at least, (n_features, n_models); NumPy.

        It is the end of the weight's interval that is nearer to 0, without its sign, times
        :attr:`step`; it is negative if the interval contains 0.
        """
        low, high = (to_host(end).astype(np.float64) for end in self.coef_interval(level))
        return np.asarray(np.maximum(low, -high) * self.step[:, np.newaxis])

    def plot(self, ax: Axes | None = None, **how: Any) -> Axes:
        """Draw weights and their intervals, as :func:`gpulr.show.bootstrap` does.

        ``result.plot().figure.savefig("intervals.png")`` saves the picture.
        """
        from gpulr.show import bootstrap

        return bootstrap(self, ax=ax, **how)

    def save(self, path: str | Path) -> None:
        """Write model and replicates to one file, whose name ends in .safetensors.

        :func:`gpulr.load`, and the command line, read the model from it; :meth:`load` reads all. It
        raises what :meth:`OneVsAll.save` raises.
        """
        storage.save(
            self.model, path, {f"{REPLICATES}{name}": getattr(self, name) for name in _ARRAYS}
        )

    @classmethod
    def load(cls, path: str | Path) -> Bootstrap:
        """Read what :meth:`save` wrote; its arrays are NumPy's.

        Raises
        ------
        ModelFileError
            As :func:`gpulr.load`, and for a file without replicates.
        ParameterError
            ``path`` is no path.
        """
        found = read(path, needed=True)
        assert isinstance(found, Bootstrap)
        return found

    def _ends_of(self, replicates: Array, level: float) -> tuple[Array, Array]:
        level = self._level(level)
        with computing_with(replicates) as (_, values):
            low, high = _ends(values, level)
            return given_back(low, replicates), given_back(high, replicates)

    @host_memory
    def proba_interval(self, X: Any, level: float = 0.95) -> tuple[Array, Array]:
        """Return the ends of an interval for each probability, both (n_samples, n_models).

        It is an interval for the probability P(y = class | x) itself, not for a label; see
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
        level = check_level(level)
        if self.n_replicates < 2:
            raise DataError(
                f"There are {self.n_replicates} replicates, since training was stopped; an "
                "interval takes at least 2."
            )
        return level


def read(path: str | Path, *, needed: bool = False) -> OneVsAll | Bootstrap:
    """Return what a file holds: a model, or with its replicates, which may be ``needed``.

    Raises as :meth:`Bootstrap.load`.
    """
    fields, beside = storage.read(path)
    model = OneVsAll(**fields)
    if not needed and not any(name.startswith(REPLICATES) for name in beside):
        return model
    arrays = {name: beside.get(f"{REPLICATES}{name}") for name in _ARRAYS}
    if wrong := _fault(model, arrays):
        remedy = "Pass a file that `gpulr bootstrap --output` or Bootstrap.save wrote."
        raise ModelFileError(path_of("path", path), wrong, f"{remedy} gpulr.load reads models.")
    return Bootstrap(model=model, **arrays)  # type: ignore[arg-type]


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


def check_level(level: float) -> float:
    """Return the level of an interval, or raise ParameterError."""
    level = positive_number("level", level)
    if level >= 1.0:
        raise ParameterError(f"level={level:g}; expected a number between 0 and 1, as 0.95.")
    return level


def _fault(model: OneVsAll, arrays: Mapping[str, npt.NDArray[Any] | None]) -> str:
    """Say which array of a file does not fit the model; "" if all do."""
    coef = arrays["coef"]
    if coef is None:
        return "a model without replicates of a bootstrap"
    n, each, own = len(coef) if coef.ndim else 0, model.n_models, model.weights.dtype
    expected = {
        "coef": ((n, model.n_features, each), own),
        "intercept": ((n, each), own),
        "converged": ((n, each), np.dtype(np.bool_)),
    }
    if model.intercept_at_center is not None:
        expected["intercept_at_center"] = ((n, each), own)
        expected["feature_std"] = ((model.n_features,), np.dtype(np.float64))
    for name, array in arrays.items():
        shape, dtype = expected.get(name, (None, None))
        fits = array is None if shape is None else array is not None and array.shape == shape
        if not fits or (array is not None and array.dtype != dtype):
            return f"its replicates' {name} does not fit the model"
        if array is not None and not np.isfinite(array).all():
            return f"its replicates' {name} holds what is no finite number"
    return ""
