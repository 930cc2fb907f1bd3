"""What every family does before its own work: row weights → backend → rows → targets → problem.

And what it does after it: :class:`TrainingData` brings parameters back to the caller's X.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr._version import __version__
from gpulr.backend import (
    Backend,
    backend_of,
    is_device_array,
    is_sparse,
    offers_float64,
    select,
)
from gpulr.core.problem import Problem
from gpulr.core.rows import Rows, extremes
from gpulr.core.standardized import standardized
from gpulr.core.targets import Targets
from gpulr.errors import ParameterError, ScaleWarning, warn
from gpulr.families.inputs import Inputs, look_of_images
from gpulr.families.scaling import absorb_scaling
from gpulr.families.settings import Settings
from gpulr.kernels import problem_class
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.record import DataRecord, History, TrainingSettings
from gpulr.solvers import Solution
from gpulr.validation.arrays import finite_rows

Array = Any


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Rows and targets on a backend.

    A family's columns are the models of the labels, in order, or several *sets* of these.

    Attributes
    ----------
    inputs : Inputs
    settings : Settings
    rows : Rows
    targets : Targets
        One column for each model of the labels.
    record : DataRecord
        What models remember of the data.
    """

    inputs: Inputs
    settings: Settings
    rows: Rows
    targets: Targets
    record: DataRecord

    @property
    def n_models(self) -> int:
        """Models of the labels: columns of one set."""
        return self.inputs.labels.n_models

    def problem(
        self,
        C: float | npt.ArrayLike,
        models: npt.NDArray[np.integer[Any]] | None = None,
        weight_sets: Array | None = None,
    ) -> Problem:
        """Return the problem of one set of columns, or of several, one set after the other.

        Parameters
        ----------
        C : float, or one for each model of the labels
        models : (n,), optional
            Which models of the labels each set is of; None: all of them.
        weight_sets : (n_samples, n_sets), optional
            Factors of the rows' weights, of which each set of columns uses one column.
        """
        backend, targets, weight = self.rows.backend, self.targets, self.inputs.weight
        each = np.broadcast_to(np.asarray(C, np.float64), self.n_models)
        set_index = None
        if models is not None or weight_sets is not None:
            models = np.arange(self.n_models) if models is None else models
            n_sets = 1 if weight_sets is None else int(weight_sets.shape[1])
            set_index = np.repeat(np.arange(n_sets, dtype=np.int32), len(models))
            models = np.tile(models, n_sets)
            each = each[models]
            targets = targets.select(backend.asarray(models.astype(np.int32)))
        # Weights a s with C / a are the same problem; those of mean 1 do not overflow.
        unit = 1.0 if weight is None else float(weight.mean())
        s = None if weight is None else weight[:, np.newaxis] / unit
        return problem_class(backend).of(
            self.rows,
            targets,
            backend.asarray(unit * each),
            sample_weight=None if s is None else backend.asarray(s, self.rows.dtype),
            weight_sets=None if weight_sets is None else backend.asarray(weight_sets),
            set_index=None if weight_sets is None else backend.asarray(set_index),
            intercept=self.settings.fit_intercept,
        )

    def parameters(
        self, theta: npt.NDArray[Any], sets: tuple[int, ...] | None = None
    ) -> dict[str, Array]:
        """Return parameters (n_features + 1, n_columns) for the caller's X, in its array library.

        Weights (n_features, n_columns) and intercept (n_columns,) in the compute dtype; after
        standardised training also ``center`` and ``intercept_at_center``. With ``sets``, the shape
        of the sets that the columns are: (…, n_features, n_models) and (…, n_models).
        """
        arrays = absorb_scaling(theta, self.rows)
        if sets is not None:
            for name in {"weights", "intercept", "intercept_at_center"} & set(arrays):
                shape = (*arrays[name].shape[:-1], *sets, self.n_models)
                arrays[name] = arrays[name].reshape(shape)
            arrays["weights"] = np.moveaxis(arrays["weights"], 0, -2)
        dtype = self.settings.dtype
        arrays = {name: np.array(a, dtype=dtype, order="C") for name, a in arrays.items()}
        if not is_device_array(self.inputs.X):
            return arrays
        here = backend_of(self.inputs.X)
        return {name: here.asarray(array) for name, array in arrays.items()}

    def model(
        self, solution: Solution, C: float | Sequence[float], *, batched: bool = True
    ) -> OneVsAll:
        """Return the model of a solution for one set of columns."""
        inputs, backend = self.inputs, self.rows.backend
        weighted: TrainingSettings = {
            "C": C,  # type: ignore[typeddict-item]
            "sample_weight": inputs.sample_weighted,
            "class_weight": inputs.class_weight,
            "batched": batched,
        }
        settings: TrainingSettings = {**self.settings.record(self.rows), **weighted}
        versions = {"gpulr": __version__, "python": platform.python_version()}
        versions |= {"numpy": np.__version__, **backend.versions}
        versions["system"] = f"{platform.system()} {platform.machine()}"
        return OneVsAll(
            **self.parameters(solution.theta),
            classes=inputs.labels.classes,
            history=History(
                solution.cost,
                solution.gradient_norm,
                solution.seconds,
                solution.n_iter,
                solution.converged,
                solution.stalled,
            ),
            backend=backend.name,
            device=backend.device_name,
            fallback_reason=backend.fallback_reason,
            settings=settings,
            scale=settings["scale"],
            image_shape=inputs.image_shape,
            data=self.record,
            versions=versions,
            multilabel=inputs.labels.multilabel,
        )


@contextmanager
def prepare(
    inputs: Inputs,
    settings: Settings,
    *,
    requested: str,
    n_passes: float,
    n_sets: int = 1,
    together: int = 1,
    in_turn: bool = False,
) -> Iterator[TrainingData]:
    """Bring rows and labels to the backend that is to train on them, which is active meanwhile.

    Rows that do not fit there, beside what training takes for its columns, stay on the host, and
    blocks of them are streamed; see :meth:`gpulr.backend.Backend.place`.

    Parameters
    ----------
    requested : str
        The backend that was asked for.
    n_passes : float
        About how many passes over the rows each column will take.
    n_sets : int
        There are so many columns for each model of the labels.
    together : int
        So many columns cannot be trained apart from each other.
    in_turn : bool
        Whether the whole of it is short, and may be one turn of a thread; see
        :meth:`gpulr.backend.Backend.turn`.

    Raises
    ------
    DataError
        X holds NaN, infinity, or more than the dtype can.

    Warns
    -----
    ScaleWarning
        Bytes that are not pixels are divided by 255.
    """
    n_samples, n_features = inputs.X.shape
    columns = n_sets * inputs.labels.n_models
    backend = _backend(inputs.X, settings, requested, n_passes * columns)
    turn = backend.turn(n_samples, n_features, columns) if in_turn else nullcontext()
    with backend.activate(), turn:
        rows = scaled_rows(inputs, settings, backend, together, math.ceil(columns / together))
        xp, (least, most) = backend.xp, rows.extremes
        seen: DataRecord = {"feature_range": [float(xp.min(least)), float(xp.max(most))]}
        record: DataRecord = {
            **inputs.record,
            **seen,
            **look_of_images(inputs.X, inputs.image_shape),
        }
        targets = inputs.labels.targets(backend, rows.dtype)
        yield TrainingData(inputs, settings, rows, targets, record)


def _backend(X: Array, settings: Settings, requested: str, column_passes: float) -> Backend:
    """Choose the backend for so many passes over X, times the columns of each."""
    if is_sparse(X) and requested == "auto":
        requested = "numpy"
    if is_device_array(X) and settings.dtype == np.float64:
        here = backend_of(X)
        if not offers_float64(here.xp, here.device):
            raise ParameterError(
                f'dtype="float64", and {here.name} has no float64 on {here.device_name}, where X '
                'is and the weights would be. Use dtype="float32", pass X as a NumPy array, or '
                "switch it on (jax_enable_x64)."
            )
    return select(requested, X=X, flops=4.0 * X.shape[0] * X.shape[1] * column_passes)


def scaled_rows(
    inputs: Inputs, settings: Settings, backend: Backend, together: int, times: int
) -> Rows:
    """Return the rows that models see, with memory left for so many columns, so many times."""
    dtype = getattr(backend.xp, settings.dtype.name)
    column_bytes = settings.method().column_bytes(Rows(inputs.X, 1.0, None, backend, dtype))
    X = backend.place(
        inputs.X,
        rounds_to=None if settings.standardize else dtype,
        column_bytes=together * column_bytes,
        n_columns=times,
    )
    finite_rows(X, backend, dtype, inputs.X)
    known = extremes(X, backend)
    if settings.standardize:
        rows = replace(standardized(X, backend, dtype), known=known)
    else:
        _warn_of_small_bytes(inputs.X, settings.scale, float(backend.xp.max(known[1])))
        scale = settings.multiplier(inputs.X)
        rows = Rows(X, scale, None, backend, dtype, known=known)
    if settings.solver == "lbfgs":  # the others' step refers to X as the caller scaled it
        rows = rows.equilibrated(centered=settings.fit_intercept)
    return rows


def _warn_of_small_bytes(X: Array, scale: float | str | None, largest: float) -> None:
    if scale == "auto" and str(X.dtype).endswith("uint8") and 1 < largest < 64:
        warn(
            f'X is uint8 and goes up to {largest:g} only; scale="auto" divides by 255 all the '
            "same, which makes the penalty strong. If these are not pixels from 0 to 255, pass "
            f"scale=1/{largest:g}, or scale=None.",
            ScaleWarning,
        )
