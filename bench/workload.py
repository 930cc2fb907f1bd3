"""The rows, labels and parameters that every contestant gets, and the float64 reference."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr import datasets
from gpulr.errors import DataUnavailableError

Floats = npt.NDArray[Any]

N_SAMPLES = 56_000
N_MODELS = 10
LEARNING_RATE = 0.2
ITERATIONS = 20


@dataclass(frozen=True, eq=False)
class Workload:
    """Ten one-vs-all problems without penalty on the same rows.

    Attributes
    ----------
    name : str
        Of the data, as the results show it.
    X : (n_samples, n_features) uint8
    y : (n_samples,) int64, 0 to 9
    scale : float
        What X is multiplied by.
    """

    name: str
    X: npt.NDArray[np.uint8]
    y: npt.NDArray[np.int64]
    scale: float

    @property
    def sizes(self) -> dict[str, Any]:
        """What the results record of the data."""
        return {
            "data": self.name,
            "n_samples": len(self.X),
            "n_features": self.X.shape[1],
            "n_models": N_MODELS,
            "X_dtype": str(self.X.dtype),
        }

    @cached_property
    def rows_float64(self) -> Floats:
        """The scaled rows, as the notebook has them."""
        return self.X * self.scale

    @cached_property
    def rows_float32(self) -> Floats:
        """The scaled rows in single precision."""
        return self.rows_float64.astype(np.float32)

    @cached_property
    def targets(self) -> Floats:
        """Targets, (n_samples, 10) float64."""
        return (self.y[:, np.newaxis] == np.arange(N_MODELS)).astype(np.float64)

    @cached_property
    def theta(self) -> Floats:
        """Where one pass is timed, (n_features + 1, 10) float64: margins of about ±1."""
        shape = (self.X.shape[1] + 1, N_MODELS)
        return 0.1 * np.random.default_rng(0).standard_normal(shape)

    def reference_pass(self, theta: Floats) -> tuple[Floats, Floats]:
        """Cost (10,) and gradient (n_features + 1, 10) in float64, without gpulr's code."""
        m = len(self.X)
        Z = self.rows_float64 @ theta[:-1] + theta[-1]
        cost = np.mean(np.logaddexp(0.0, Z) - self.targets * Z, axis=0)
        R = 0.5 * (1.0 + np.tanh(Z / 2.0)) - self.targets
        return cost, np.vstack([self.rows_float64.T @ R, R.sum(axis=0)]) / m

    @cached_property
    def expected_pass(self) -> Floats:
        """Cost in the first row and gradient below at `theta`, (n_features + 2, 10) float64."""
        return np.vstack(self.reference_pass(self.theta))

    @cached_property
    def expected_training(self) -> Floats:
        """Parameters after gradient descent from zero, (n_features + 1, 10) float64."""
        theta = np.zeros_like(self.theta)
        for _ in range(ITERATIONS):
            theta = theta - LEARNING_RATE * self.reference_pass(theta)[1]
        return theta


@cache
def load_workload() -> Workload:
    """MNIST's 56,000 shuffled training rows, as in the notebook; else the bundled digits, tiled."""
    try:
        data = datasets.load_mnist_original().split(0.2, seed=0)
        return Workload("MNIST", data.X, data.y, 1.0 / 255.0)
    except DataUnavailableError as error:
        print(f"MNIST cannot be had; timing the bundled digits instead.\n{error}", file=sys.stderr)
    digits = datasets.load_digits()
    rows = np.arange(N_SAMPLES) % digits.n_samples
    name = f"digits (MNIST was not available), tiled to {N_SAMPLES:,} rows"
    return Workload(name, digits.X.astype(np.uint8)[rows], digits.y[rows], 1.0 / 16.0)
