"""The settings that training, search and bootstrap have in common, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from os import PathLike
from typing import Any, TypedDict, cast

import numpy as np
import numpy.typing as npt

from gpulr.core.rows import Rows
from gpulr.errors import ParameterError
from gpulr.model.record import TrainingSettings
from gpulr.solvers import SOLVERS, Solver
from gpulr.validation.parameters import compute_dtype, positive_number, switch, whole_number
from gpulr.words import did_you_mean, shown


class TrainingArguments(TypedDict, total=False):
    """The arguments of :func:`gpulr.train` that other families hand on to training, by name.

    Those that are of one model only, ``start`` and ``image_shape``, are not among them.
    """

    backend: str
    solver: str
    sample_weight: npt.ArrayLike | None
    class_weight: Mapping[Any, float] | str | None
    pos_weight: float | npt.ArrayLike | None
    scale: float | str | None
    standardize: bool
    fit_intercept: bool
    learning_rate: float | None
    max_iter: int
    tol: float
    dtype: npt.DTypeLike
    batched: bool
    callbacks: Sequence[Callable[[Any], object]]
    checkpoint: str | PathLike[str] | None
    checkpoint_every: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How models are trained, whatever their rows and penalties; as :func:`gpulr.train` takes them.

    Raises ParameterError for a value that cannot be used.
    """

    solver: str = "lbfgs"
    scale: float | str | None = "auto"
    standardize: bool = False
    fit_intercept: bool = True
    learning_rate: float | None = None
    max_iter: int = 2000
    tol: float = 1e-4
    dtype: Any = "float32"  # a NumPy dtype, once it is checked

    def __post_init__(self) -> None:
        solver, rate, scale = self.solver, self.learning_rate, self.scale
        if not isinstance(solver, str) or solver not in SOLVERS:
            raise ParameterError(
                f"solver={shown(solver)}{did_you_mean(solver, SOLVERS)}; use one of "
                f"{', '.join(SOLVERS)}."
            )
        checked: dict[str, Any] = {
            "dtype": compute_dtype(self.dtype),
            "max_iter": whole_number("max_iter", self.max_iter, least=0),
            "tol": positive_number("tol", self.tol, zero=True),
            "standardize": switch("standardize", self.standardize),
            "fit_intercept": switch("fit_intercept", self.fit_intercept),
        }
        if rate is not None:
            rate = checked["learning_rate"] = positive_number(
                "learning_rate", rate, other=" or None"
            )
            if solver == "lbfgs":
                raise ParameterError(
                    f'learning_rate={rate} has no use in solver="lbfgs", which searches along '
                    'each direction. Leave it out, or use solver="gd" or "nesterov".'
                )
        if scale is not None and scale != "auto":
            if self.standardize:
                raise ParameterError(
                    f"standardize=True chooses the scale; leave out scale={scale!r}."
                )
            checked["scale"] = positive_number("scale", scale, other=', "auto" or None')
        for name, value in checked.items():
            object.__setattr__(self, name, value)

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
        scale = rows.scale if isinstance(rows.scale, float) else 1.0
        used = {each.name: getattr(self, each.name) for each in fields(self)}
        used |= {"scale": scale, "dtype": np.dtype(self.dtype).name}
        return cast(TrainingSettings, used)
