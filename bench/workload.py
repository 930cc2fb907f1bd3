"""The rows, labels and parameters that every contestant gets, and the float64 reference."""

from __future__ import annotations

import os
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
MADE_UP = "made-up rows (MNIST was not available)"


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
    """MNIST's 56,000 shuffled training rows, as in the notebook; else made-up rows, as many.

    Under ``GPULR_BENCH_DATA=local`` nothing is downloaded.
    """
    if rehearsal():
        return small_workload()
    if may_load("mnist-original"):
        try:
            data = datasets.load_mnist_original().split(0.2, seed=0)
            return Workload("MNIST", data.X, data.y, 1.0 / 255.0)
        except DataUnavailableError as error:
            print(error, file=sys.stderr)
    print("MNIST cannot be had; timing made-up rows instead.", file=sys.stderr)
    X, y = made_up(N_SAMPLES)
    return Workload(MADE_UP, X, y, 1.0 / 255.0)


def small_workload() -> Workload:
    """Return some of the made-up rows: enough to see that everything runs."""
    X, y = made_up(400, 64)
    return Workload(f"{MADE_UP}, few of them", X, y, 1.0 / 255.0)


def rehearsal() -> str | None:
    """Return where a run without a GPU only shows that everything works; None if it measures."""
    return os.environ.get("GPULR_BENCH_REHEARSE") or None


def may_load(name: str) -> bool:
    """Whether a data set is on this machine, or may be downloaded."""
    if os.environ.get("GPULR_BENCH_DATA") != "local":
        return True
    return any(found.name == name and found.available for found in datasets.describe())


def made_up(
    n_samples: int, n_features: int = 784
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return rows as MNIST's are: bytes, most of them zero, in ten classes that overlap.

    Every class has its own strokes; each row mixes in some of another class's, and noise.
    """
    rng = np.random.default_rng(0)
    strokes = 255.0 * (rng.random((N_MODELS, n_features)) < 0.25)
    y = rng.permutation(np.arange(n_samples) % N_MODELS)
    share = 0.5 * rng.random((n_samples, 1)) + 0.45  # below a half, the other class is the stronger
    X = np.empty((n_samples, n_features), np.uint8)
    for start in range(0, n_samples, 4096):  # in float64, all rows at once would be 350 MB
        rows = slice(start, start + 4096)
        other = rng.integers(N_MODELS, size=len(y[rows]))
        mixed = share[rows] * strokes[y[rows]] + (1.0 - share[rows]) * strokes[other]
        kept = rng.random(mixed.shape) < 0.6
        X[rows] = np.where(kept, mixed, 0.0)
    return X, y
