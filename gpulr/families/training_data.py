"""What families train on: problems of their columns, and parameters for the caller's X."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr._version import __version__
from gpulr.backend import (
    given_back,
    to_host,
)
from gpulr.core.problem import Problem
from gpulr.core.rows import Rows
from gpulr.core.targets import Targets
from gpulr.families.inputs import Inputs
from gpulr.families.settings import Settings
from gpulr.kernels import problem_class
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.record import DataRecord, History, Trained
from gpulr.solvers import Solution

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

    @property
    def unit(self) -> float:
        """The mean weight of rows: s/a with a C is the same problem; mean 1 does not overflow."""
        return self.inputs.total_weight / int(self.inputs.X.shape[0])

    @property
    def trained_by(self) -> Any:
        """What computes with the rows: a name, a device's, a fallback's reason and versions."""
        return self.rows.backend

    def sets(self, weight_sets: Array) -> Array:
        """Return weight sets where problems take them."""
        return self.rows.backend.asarray(weight_sets)

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
            Factors of the rows' weights; each set of columns uses one of them. Of rows that are
            elsewhere, the rule by which they are made there.
        models : (n,) int, optional
            The models of the labels that are trained, in each set; None: all of them.
        set_index : (n,) int, optional
            The one set that each of the models uses; None: all of them use each.
        """
        backend, targets, inputs = self.rows.backend, self.targets, self.inputs
        each = np.full(self.n_models, C, np.float64)
        pos_weight = None
        if inputs.pos_weight is not None:
            pos_weight = np.full(self.n_models, inputs.pos_weight, np.float64)
        if weight_sets is not None:
            weight_sets = self.sets(weight_sets)
            n_sets = getattr(weight_sets, "n_sets", None) or int(weight_sets.shape[1])
            models = np.arange(self.n_models) if models is None else models
            if set_index is None:
                set_index = np.repeat(np.arange(n_sets), len(models))
                models = np.tile(models, n_sets)
            set_index = backend.asarray(set_index.astype(np.int32))
        if models is not None:
            each, targets = each[models], targets.select(backend.asarray(models.astype(np.int32)))
            pos_weight = None if pos_weight is None else pos_weight[models]
        return self._problem(
            targets,
            backend.asarray(self.unit * each),
            weight_sets=weight_sets,
            models=models,
            set_index=set_index,
            pos_weight=None if pos_weight is None else backend.asarray(pos_weight),
            balanced=inputs.class_weight == "balanced",
            unknown=inputs.labels.n_unknown > 0,
            intercept=self.settings.fit_intercept,
        )

    def _problem(self, targets: Targets, C: Array, *, models: Any, **how: Any) -> Problem:
        """Return the problem of columns whose targets, and more, are arrays of the backend."""
        backend, weight = self.rows.backend, self.inputs.weight
        if weight is not None:
            s = weight[:, np.newaxis] / self.unit
            how["sample_weight"] = backend.asarray(s, self.rows.dtype)
        return problem_class(backend).of(self.rows, targets, C, **how)

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
        inputs, backend = self.inputs, self.trained_by
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
            feature_std=None if self.rows.moments is None else self.rows.moments.deviation,
        )


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
