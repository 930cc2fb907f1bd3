"""The settings that training, search and bootstrap have in common, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.core.rows import Rows
from gpulr.errors import ParameterError
from gpulr.model.record import TrainingSettings
from gpulr.solvers import SOLVERS, Solver
from gpulr.validation.parameters import compute_dtype, positive_number, switch, whole_number
from gpulr.words import did_you_mean, shown


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
                f"{', '.join(SOLVERS)}."
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

    def multiplier(self, X: Any) -> float:
        """Return what X is multiplied by, where it is not standardised."""
        if self.scale == "auto":
            return 1.0 / 255.0 if str(X.dtype).endswith("uint8") else 1.0
        return 1.0 if self.scale is None else float(self.scale)

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
