"""The settings that training, search and bootstrap have in common, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import (
    Backend,
    backend_of,
    is_device_array,
    is_sparse,
    offers_float64,
    select,
)
from gpulr.core.rows import Rows
from gpulr.errors import ParameterError
from gpulr.families.inputs import Inputs
from gpulr.model.record import TrainingSettings
from gpulr.solvers import SOLVERS, Solver
from gpulr.validation.parameters import compute_dtype, positive_number, switch, whole_number
from gpulr.words import did_you_mean, shown

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """How models are trained, whatever their rows and penalties are.

    Attributes
    ----------
    solver : str
        A key of :data:`gpulr.solvers.SOLVERS`.
    scale : float, "auto" or None
    standardize : bool
    learning_rate : float or None
    max_iter : int
    tol : float
    dtype : float32 or float64
    fit_intercept : bool
    """

    solver: str
    scale: float | str | None
    standardize: bool
    learning_rate: float | None
    max_iter: int
    tol: float
    dtype: np.dtype[Any]
    fit_intercept: bool = True

    @classmethod
    def checked(
        cls,
        *,
        solver: str = "lbfgs",
        scale: Any = "auto",
        standardize: bool = False,
        learning_rate: Any = None,
        max_iter: Any,
        tol: Any,
        dtype: npt.DTypeLike,
        fit_intercept: bool = True,
    ) -> Settings:
        """Return the settings, or raise ParameterError for one that cannot be used."""
        if not isinstance(solver, str) or solver not in SOLVERS:
            raise ParameterError(
                f"solver={shown(solver)}{did_you_mean(solver, SOLVERS)}; use one of "
                f"{tuple(SOLVERS)}."
            )
        dtype = compute_dtype(dtype)
        max_iter = whole_number("max_iter", max_iter, least=0)
        tol = positive_number("tol", tol, zero=True)
        standardize = switch("standardize", standardize)
        fit_intercept = switch("fit_intercept", fit_intercept)
        if learning_rate is not None:
            learning_rate = positive_number("learning_rate", learning_rate, other=" or None")
            if solver == "lbfgs":
                raise ParameterError(
                    f'learning_rate={learning_rate} has no use in solver="lbfgs", which searches '
                    'along each direction. Leave it out, or use solver="gd" or "nesterov".'
                )
        if scale is not None and scale != "auto":
            if standardize:
                raise ParameterError(
                    f"standardize=True chooses the scale; leave out scale={scale!r}."
                )
            scale = positive_number("scale", scale, other=', "auto" or None')
        return cls(solver, scale, standardize, learning_rate, max_iter, tol, dtype, fit_intercept)

    def method(self) -> Solver:
        """Return the solver."""
        return SOLVERS[self.solver](self.learning_rate)

    def backend(self, requested: str, X: Any, column_passes: float) -> Backend:
        """Choose the backend for so many passes over X, times the columns of each."""
        if is_sparse(X) and requested == "auto":
            requested = "numpy"
        if is_device_array(X) and self.dtype == np.float64:
            here = backend_of(X)
            if not offers_float64(here.xp, here.device):
                raise ParameterError(
                    f'dtype="float64", and {here.name} has no float64 on {here.device_name}, where '
                    'X is and the weights would be. Use dtype="float32", pass X as a NumPy array, '
                    "or switch it on (jax_enable_x64)."
                )
        return select(requested, X=X, flops=4.0 * X.shape[0] * X.shape[1] * column_passes)

    def rows(
        self, inputs: Inputs, backend: Backend, *, together: int = 1, times: int | None = None
    ) -> Rows:
        """Return the rows that models see, on the backend's device.

        So many columns cannot be trained apart from each other, so many times over (None: once for
        each model): memory is left for them.
        """
        dtype = getattr(backend.xp, self.dtype.name)
        column = self.method().column_bytes(Rows(inputs.X, 1.0, None, backend, dtype))
        rows = inputs.rows(
            backend,
            dtype,
            scale=self.scale,
            standardize=self.standardize,
            column_bytes=together * column,
            n_columns=inputs.labels.n_models if times is None else times,
        )
        if self.solver == "lbfgs":  # the others' step refers to X as the caller scaled it
            rows = rows.equilibrated(centered=self.fit_intercept)
        return rows

    def record(self, rows: Rows) -> TrainingSettings:
        """Return what a model remembers of the settings."""
        return {
            "solver": self.solver,
            "scale": rows.scale if isinstance(rows.scale, float) else 1.0,
            "standardize": self.standardize,
            "learning_rate": self.learning_rate,
            "max_iter": self.max_iter,
            "tol": self.tol,
            "dtype": "float64" if self.dtype == np.float64 else "float32",
            "fit_intercept": self.fit_intercept,
        }
