"""What every family does before its own work: row weights → backend → rows → targets → problem.

And what it does after it: :class:`TrainingData` brings parameters back to the caller's X.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr._version import __version__
from gpulr.backend import (
    Backend,
    backend_of,
    given_back,
    is_device_array,
    is_sparse,
    select,
    to_host,
)
from gpulr.core.problem import Problem
from gpulr.core.rows import Rows, extremes, standardized
from gpulr.core.targets import LabelTargets, Targets
from gpulr.errors import ParameterError, ScaleWarning, warn
from gpulr.families.inputs import Inputs, look_of_images
from gpulr.families.settings import Settings
from gpulr.kernels import problem_class
from gpulr.kernels.plan import in_order
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.record import DataRecord, History, Trained
from gpulr.solvers import Solution
from gpulr.validation.arrays import finite_rows

Array = Any


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Rows and targets on a backend.

    A family's columns are the models of the labels, or several sets of these, one after the other.
    """

    inputs: Inputs
    settings: Settings
    rows: Rows
    targets: Targets  # a column for each model of the labels
    record: DataRecord  # what models remember of the data

    @property
    def n_models(self) -> int:
        """Models of the labels: columns of one set."""
        return self.inputs.labels.n_models

    def problem(
        self,
        C: float | npt.ArrayLike,
        *,
        weight_sets: Array | None = None,
        models: npt.NDArray[np.integer[Any]] | None = None,
        set_index: npt.NDArray[np.integer[Any]] | None = None,
    ) -> Problem:
        """Return the problem of the models of the labels, or of several sets of columns.

        Parameters
        ----------
        C : float, or one for each model of the labels
        weight_sets : (n_samples, n_sets), optional
            Factors of the rows' weights; each set of columns uses one of them.
        models : (n,) int, optional
            The models of the labels that are trained, in each set; None: all of them.
        set_index : (n,) int, optional
            The one set that each of the models uses; None: all of them use each.
        """
        backend, targets, weight = self.rows.backend, self.targets, self.inputs.weight
        inputs = self.inputs
        each = np.full(self.n_models, C, np.float64)
        pos_weight = None
        if inputs.pos_weight is not None:
            pos_weight = np.full(self.n_models, inputs.pos_weight, np.float64)
        if weight_sets is not None:
            weight_sets, n_sets = backend.asarray(weight_sets), int(weight_sets.shape[1])
            models = np.arange(self.n_models) if models is None else models
            if set_index is None:
                set_index = np.repeat(np.arange(n_sets), len(models))
                models = np.tile(models, n_sets)
            set_index = backend.asarray(set_index.astype(np.int32))
        if models is not None:
            each, targets = each[models], targets.select(backend.asarray(models.astype(np.int32)))
            pos_weight = None if pos_weight is None else pos_weight[models]
        # Weights a s with C / a are the same problem; those of mean 1 do not overflow.
        unit = 1.0 if weight is None else float(weight.mean())
        s = None if weight is None else weight[:, np.newaxis] / unit
        return problem_class(backend).of(
            self.rows,
            targets,
            backend.asarray(unit * each),
            sample_weight=None if s is None else backend.asarray(s, self.rows.dtype),
            weight_sets=weight_sets,
            set_index=set_index,
            pos_weight=None if pos_weight is None else backend.asarray(pos_weight),
            balanced=inputs.class_weight == "balanced",
            unknown=inputs.labels.n_unknown > 0,
            intercept=self.settings.fit_intercept,
        )

    def margins(
        self, thetas: Iterable[npt.NDArray[Any]], rows: npt.NDArray[np.integer[Any]] | None = None
    ) -> Iterator[npt.NDArray[Any]]:
        """Yield what :meth:`gpulr.core.rows.Rows.host_margins` does, of parameters on the host."""
        asarray, wide = self.rows.backend.asarray, self.rows.backend.xp.float64
        return self.rows.host_margins((asarray(theta, wide) for theta in thetas), rows)

    def parameters(
        self, theta: npt.NDArray[Any], sets: tuple[int, ...] | None = None
    ) -> dict[str, Array]:
        """Return parameters (n_features + 1, n_columns) for the caller's X, in its array library.

        Weights (n_features, n_columns) and intercept (n_columns,) in the compute dtype; after
        standardised training also ``center`` and ``intercept_at_center``. With ``sets``, the shape
        of the sets that the columns are: (…, n_features, n_models) and (…, n_models).
        """
        with self.rows.backend.activate():  # training may have ended
            arrays = absorb_scaling(theta, self.rows)
        if sets is not None:
            for name in arrays.keys() - {"center"}:
                shape = (*arrays[name].shape[:-1], *sets, self.n_models)
                arrays[name] = arrays[name].reshape(shape)
            arrays["weights"] = np.moveaxis(arrays["weights"], 0, -2)
        dtype = self.settings.dtype
        arrays = {name: np.array(a, dtype=dtype, order="C") for name, a in arrays.items()}
        return {name: given_back(array, self.inputs.X) for name, array in arrays.items()}

    def model(
        self, solution: Solution, C: float | Sequence[float], *, batched: bool = True
    ) -> OneVsAll:
        """Return the model of a solution for one set of columns."""
        inputs, backend = self.inputs, self.rows.backend
        settings = self.settings.record(self.rows)
        settings["C"] = C  # type: ignore[typeddict-item]
        settings["sample_weight"] = inputs.sample_weighted
        settings["class_weight"], settings["batched"] = inputs.class_weight, batched
        if inputs.pos_weight is not None:
            settings["pos_weight"] = inputs.pos_weight
        history = ["cost", "gradient_norm", "seconds", "n_iter", "converged", "stalled"]
        if self.settings.solver == "lbfgs":
            history.append("refreshes")
        return OneVsAll(
            **self.parameters(solution.theta),
            classes=inputs.labels.classes,
            history=History(*(getattr(solution, name) for name in history)),
            backend=backend.name,
            device=backend.device_name,
            fallback_reason=backend.fallback_reason,
            settings=settings,
            scale=settings["scale"],
            image_shape=inputs.image_shape,
            data=self.record | {"prior": inputs.prior()},
            versions={
                "gpulr": __version__,
                "python": platform.python_version(),
                "numpy": np.__version__,
                **backend.versions,
                **self.settings.method().notes(self.rows),
                "system": f"{platform.system()} {platform.machine()}",
            },
            multilabel=inputs.labels.multilabel,
        )


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
    backend = _backend(inputs.X, settings, requested, n_passes * columns)
    turn = backend.turn(n_samples, n_features, columns) if short else nullcontext()
    with backend.activate(), turn:
        rows = scaled_rows(inputs, settings, backend, group_size, math.ceil(columns / group_size))
        if settings.solver == "lbfgs":  # the others' step refers to X as the caller scaled it
            most = np.max(C) * (n_samples if inputs.weight is None else inputs.weight.sum())
            if inputs.pos_weight is not None:
                most *= max(1.0, np.max(inputs.pos_weight))
            rows = rows.equilibrated(centered=settings.fit_intercept, largest_C=float(most))
        xp, (least, most) = backend.xp, rows.extremes
        seen: DataRecord = {"feature_range": [float(xp.min(least)), float(xp.max(most))]}
        look = look_of_images(inputs.X, inputs.image_shape)
        record: DataRecord = {**inputs.record, **seen, **look}
        targets = inputs.labels.targets(backend, rows.dtype)
        if isinstance(targets, LabelTargets) and not is_sparse(targets.indicator):
            indicator = in_order(targets.indicator, backend, rows.dtype)
            targets = replace(targets, indicator=indicator)
        yield TrainingData(inputs, settings, rows, targets, record)


def _backend(X: Array, settings: Settings, requested: str, column_passes: float) -> Backend:
    """Choose the backend for so many passes over X, times the columns of each."""
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
    X = backend.place(
        inputs.X,
        rounds_to=None if settings.standardize else dtype,
        column_bytes=group_size * column_bytes,
        n_columns=n_groups,
    )
    X = in_order(X, backend, dtype)
    known = extremes(X, backend)
    finite_rows(X, backend, dtype, inputs.X, known)
    if settings.standardize:
        rows = replace(standardized(X, backend, dtype), known=known)
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
        rows = Rows(X, settings.multiplier(inputs.X), None, backend, dtype, known=known)
    return rows


def absorb_scaling(theta: npt.NDArray[Any], rows: Rows) -> dict[str, npt.NDArray[Any]]:
    """Return parameters (n_features + 1, n_columns) as arrays of OneVsAll, which take X as is."""
    scale = rows.multiplier if isinstance(rows.multiplier, float) else to_host(rows.multiplier)
    W, b = scale * theta[:-1], theta[-1]
    if rows.center is None:
        return {"weights": W, "intercept": b}
    center = to_host(rows.center)
    return {
        "weights": W,
        "intercept": b - (center * W).sum(axis=0),
        "center": center[:, 0],
        "intercept_at_center": b,
    }


def scaled_parameters(model: Trained, rows: Rows, *, intercept: bool) -> Array:
    """Return a model's parameters as those of the scaled rows, on their device.

    (n_features + 1, n_models) float64; the intercept is 0 where there is to be none.
    """
    W = to_host(model.weights).astype(np.float64)
    scale = rows.multiplier if isinstance(rows.multiplier, float) else to_host(rows.multiplier)
    center = np.zeros((len(W), 1)) if rows.center is None else to_host(rows.center)
    b = to_host(model.intercept).astype(np.float64)
    if model.center is not None:  # from one centre to the other: nothing large cancels
        b = to_host(model.intercept_at_center).astype(np.float64)
        center = center - to_host(model.center)[:, np.newaxis]
    b = b + (center * W).sum(axis=0)
    # A feature that is constant here is scaled by 0; what it adds to the margins is in b.
    W = np.where(scale == 0.0, 0.0, W / np.where(scale == 0.0, 1.0, scale))
    return rows.backend.asarray(np.vstack([W, b if intercept else np.zeros_like(b)]))
