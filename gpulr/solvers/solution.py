"""What a run of a solver tells: its progress after each iteration, and where it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from gpulr.core.rows import Rows
from gpulr.solvers.restoring import check_parameters
from gpulr.words import brief


@dataclass(frozen=True, slots=True)
class Progress:
    """What callbacks are told after each iteration (and once before the first, as iteration 0).

    On a device they are told of a few iterations at a time, in order, when these are done.

    Attributes
    ----------
    iteration, max_iter : int
        Iterations done, and the most there will be.
    models : (n,) int64
        The columns in training: all; a single one, if models are trained one by one
        (``batched=False``); or a group, if all would take too much memory.
    cost : (n,) float64
        Cost per model.
    gradient_norm : (n,) float64
        Largest absolute entry of each model's gradient.
    converged : (n,) bool
        Whether each model has converged.
    seconds : float
        Time since training of these models began. On a device, iterations are timed a few at a
        time, and the time is spread evenly over them.
    """

    iteration: int
    max_iter: int
    models: npt.NDArray[np.int64]
    cost: npt.NDArray[np.float64]
    gradient_norm: npt.NDArray[np.float64]
    converged: npt.NDArray[np.bool_]
    seconds: float

    __repr__ = brief


Floats = npt.NDArray[np.float64]
Flags = Annotated[npt.NDArray[np.bool_], "(n_models,)"]
Callback = Callable[[Progress], object]


@dataclass(frozen=True, slots=True)
class Solution:
    """Where a run of a solver ended.

    Histories have a row for each iteration, from the start; a model that has converged keeps its
    last values.
    """

    theta: Annotated[Floats, "(n_features + 1, n_models)"]
    # Iterations until each converged, or the run ended: n_rows is the most of them, and 1.
    n_iter: Annotated[npt.NDArray[np.int64], "(n_models,)"]
    converged: Flags
    cost: Annotated[Floats, "(n_rows, n_models)"]
    gradient_norm: Annotated[Floats, "(n_rows, n_models)"]
    seconds: Annotated[Floats, "(n_rows,)"]  # when each was done; see Progress
    stalled: Flags  # no better parameters were found in this precision, though tol was not reached
    rounding: Flags  # it stalled, and what is left of the gradient cannot be told from rounding
    # How often each model's own curvature was found; -1: it was exact, and found in every iteration
    # (few rows and features). 0 of solvers that have none.
    refreshes: Annotated[npt.NDArray[np.int64], "(n_models,)"]
    result: str  # "converged", "stalled", "max_iter", "stopped" or "interrupted"

    @classmethod
    def restored(cls, read: Callable[..., Any], problem: Any) -> Solution:
        """Return one from its fields, which are read, or raise ValueError."""
        made = cls(**{field.name: read(field.name) for field in fields(cls)})
        check_parameters(made.theta)
        return made

    def check(self, rows: Rows, n_models: int) -> None:
        """Raise ValueError unless it is of so many models of these rows."""
        if self.theta.shape != (rows.n_features + 1, n_models):
            raise ValueError(f"parameters of {self.theta.shape}, of {n_models} models")
