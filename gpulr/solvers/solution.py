"""What a run of a solver tells: its progress after each iteration, and where it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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
        The columns in training: all of them; one, in the per-model loop (``batched=False``); or a
        group of them, where all would take too much memory.
    cost : (n,) float64
        Cost per model.
    gradient_norm : (n,) float64
        Largest absolute entry of each model's gradient.
    converged : (n,) bool
    seconds : float
        Since training of these models began; on a device, where iterations are timed a few at a
        time, spread evenly over these.
    """

    iteration: int
    max_iter: int
    models: npt.NDArray[np.int64]
    cost: npt.NDArray[np.float64]
    gradient_norm: npt.NDArray[np.float64]
    converged: npt.NDArray[np.bool_]
    seconds: float

    __repr__ = brief


Callback = Callable[[Progress], object]


@dataclass(frozen=True, slots=True)
class Solution:
    """Where a run of a solver ended.

    Histories have a row for each iteration, from the start; a model that has converged keeps its
    last values.
    """

    theta: npt.NDArray[np.float64]  # (n_features + 1, n_models)
    n_iter: npt.NDArray[np.int64]  # (n_models,) iterations until each converged, or the run ended
    converged: npt.NDArray[np.bool_]  # (n_models,)
    cost: npt.NDArray[np.float64]  # (max(n_iter) + 1, n_models)
    gradient_norm: npt.NDArray[np.float64]  # (max(n_iter) + 1, n_models)
    seconds: npt.NDArray[np.float64]  # (max(n_iter) + 1,) when each was done; see Progress
    # (n_models,) The solver found no better parameters in this precision, though ``tol`` was not
    # reached.
    stalled: npt.NDArray[np.bool_]
    # (n_models,) It stalled, and what is left of the gradient cannot be told from rounding.
    rounding: npt.NDArray[np.bool_]
    # (n_models,) How often each model's own curvature was found; -1: it was exact, and found in
    # every iteration (few rows and features). 0 of solvers that have none.
    refreshes: npt.NDArray[np.int64]
    result: str  # "converged", "stalled", "max_iter", "stopped" or "interrupted"
