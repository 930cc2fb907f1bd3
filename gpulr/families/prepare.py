"""What every family does before its own work: row weights → backend → rows → targets → problem."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import (
    Backend,
    NumPyBackend,
    backend_of,
    is_device_array,
    is_sparse,
    select,
)
from gpulr.core.rows import Rows, overview, standardized
from gpulr.core.targets import LabelTargets
from gpulr.errors import ParameterError, ScaleWarning, warn
from gpulr.families.inputs import Inputs
from gpulr.families.partitioned_data import PartitionedData
from gpulr.families.partitioned_inputs import PartitionedInputs
from gpulr.families.settings import Settings
from gpulr.families.training_data import TrainingData
from gpulr.kernels.plan import in_order
from gpulr.model.record import DataRecord
from gpulr.sources import Source
from gpulr.validation.arrays import finite_rows

Array = Any


@contextmanager
def prepare(
    inputs: Inputs,
    settings: Settings,
    *,
    requested: str,
    n_passes: float,
    C: npt.ArrayLike,
    n_sets: int = 1,
    group_size: int = 1,
    short: bool = False,
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
    C : float or array-like
        All that models will have.
    n_sets : int
        Columns for each model of the labels: folds, replicates, …
    group_size : int
        The fewest columns that are trained at once.
    short : bool
        Whether all of it is short, so that threads had better do it one after the other; see
        :meth:`gpulr.backend.Backend.turn`.

    Raises
    ------
    DataError
        X has NaN, infinity, or numbers that are too large for the dtype.

    Warns
    -----
    ScaleWarning
        X is uint8 and is divided by 255, though its numbers do not look like pixels.
    """
    n_samples, n_features = inputs.X.shape
    columns = n_sets * inputs.labels.n_models
    short = short and not isinstance(inputs, PartitionedInputs)
    backend = _backend(inputs, settings, requested, n_passes * columns)
    turn = backend.turn(n_samples, n_features, columns) if short else nullcontext()
    with backend.activate(), turn:
        rows = scaled_rows(inputs, settings, backend, group_size, math.ceil(columns / group_size))
        if settings.solver == "lbfgs":  # the others' step refers to X as the caller scaled it
            most = np.max(C) * inputs.total_weight
            if inputs.pos_weight is not None:
                most *= max(1.0, np.max(inputs.pos_weight))
            rows = rows.equilibrated(centered=settings.fit_intercept, largest_C=float(most))
        xp, (least, most) = backend.xp, rows.extremes
        seen: DataRecord = {"feature_range": [float(xp.min(least)), float(xp.max(most))]}
        record: DataRecord = {**inputs.record, **seen, **inputs.look()}
        targets = inputs.labels.targets(backend, rows.dtype)
        if isinstance(targets, LabelTargets) and not is_sparse(targets.indicator):
            indicator = in_order(targets.indicator, backend, rows.dtype)
            targets = replace(targets, indicator=indicator)
        if isinstance(inputs, PartitionedInputs):
            yield PartitionedData(inputs, settings, rows, targets, record, requested)
        else:
            yield TrainingData(inputs, settings, rows, targets, record)


def _backend(inputs: Inputs, settings: Settings, requested: str, column_passes: float) -> Backend:
    """Choose the backend for so many passes over X, times the columns of each.

    Where rows are elsewhere, they are computed with what is chosen there, and the rest by NumPy.
    """
    X = inputs.X
    if isinstance(inputs, PartitionedInputs):
        return NumPyBackend("numpy", np)
    if is_sparse(X) and requested == "auto" and not is_device_array(X):
        requested = "numpy"
    if is_device_array(X) and settings.dtype == np.float64:
        here = backend_of(X)
        if here.widest != here.xp.float64:
            raise ParameterError(
                f'dtype="float64", and {here.name} has no float64 on {here.device_name}, where X '
                'is and the weights would be. Use dtype="float32", pass X as a NumPy array, or '
                "switch it on (jax_enable_x64)."
            )
    return select(requested, X=X, flops=4.0 * X.shape[0] * X.shape[1] * column_passes)


def scaled_rows(
    inputs: Inputs, settings: Settings, backend: Backend, group_size: int, n_groups: int
) -> Rows:
    """Return the rows that models see, with memory left for groups of so many columns."""
    dtype = getattr(backend.xp, settings.dtype.name)
    column_bytes = settings.method().column_bytes(Rows(inputs.X, 1.0, None, backend, dtype))
    sums = None
    if isinstance(inputs, PartitionedInputs):
        X, sums = inputs.X, inputs.feature_sums
        known, moments = inputs.overview(settings.dtype, inputs.is_table)
    else:
        X = backend.place(
            inputs.X,
            rounds_to=None if settings.standardize else dtype,
            column_bytes=group_size * column_bytes,
            n_columns=n_groups,
        )
        X = in_order(X, backend, dtype)
        known, moments = overview(X, backend, inputs.sample_weight, moments=inputs.is_table)
        beside = inputs.sample_weighted and inputs.loaded_weight is None
        if beside and isinstance(X, Source) and X.moments is not None:
            moments = None  # it is that of rows without these weights
        finite_rows(X, backend, dtype, inputs.X, known)
    if settings.standardize:
        rows = replace(standardized(X, backend, dtype, sums), known=known, moments=moments)
    else:
        largest = float(backend.xp.max(known[1]))
        is_bytes = str(inputs.X.dtype).endswith("uint8")
        if settings.scale == "auto" and is_bytes and 1 < largest < 64:
            warn(
                f'X is uint8 and goes up to {largest:g} only; scale="auto" divides by 255 all the '
                "same, which makes the penalty strong. If these are not pixels from 0 to 255, pass "
                f"scale=1/{largest:g}, or scale=None.",
                ScaleWarning,
            )
        scale = settings.multiplier(inputs.X)
        rows = Rows(X, scale, None, backend, dtype, known=known, moments=moments)
    return rows
