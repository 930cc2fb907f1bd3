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

    Attributes
    ----------
    theta : (n_features + 1, n_models) float64, NumPy
    n_iter : (n_models,) int64
        Iterations until each model converged or the run ended.
    converged : (n_models,) bool
    cost, gradient_norm : (max(n_iter) + 1, n_models) float64
        At each iteration, from the start; a model that has converged keeps its last values.
    seconds : (max(n_iter) + 1,) float64
        When each iteration was done; see :class:`Progress`.
    stalled : (n_models,) bool
        The solver found no better parameters in this precision, though ``tol`` was not reached.
    rounding : (n_models,) bool
        It stalled, and what is left of its gradient cannot be told from rounding.
    result : "converged", "stalled", "max_iter", "stopped" or "interrupted"
    """

    theta: npt.NDArray[np.float64]
    n_iter: npt.NDArray[np.int64]
    converged: npt.NDArray[np.bool_]
    cost: npt.NDArray[np.float64]
    gradient_norm: npt.NDArray[np.float64]
    seconds: npt.NDArray[np.float64]
    stalled: npt.NDArray[np.bool_]
    rounding: npt.NDArray[np.bool_]
    result: str
