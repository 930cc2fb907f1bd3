"""Passes over rows in files beside one over rows in memory: ``bench goals --only sources``.

The files are in the page cache. A pass over a memory map is to take little longer than one over an
array; over other files no longer than whichever takes longer, that pass or reading all blocks once,
by their own library and one thread. Both the rows and the files are made, 400 MB each.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.data import Data, overlapping
from bench.ratios import Result, compared
from bench.run import Patience, race, take_turn
from gpulr.backend import select, to_host
from gpulr.core.problem import Problem
from gpulr.core.rows import Rows
from gpulr.core.targets import ClassTargets
from gpulr.validation.arrays import check_rows

ROUNDS, CHUNK = 15, 10_000
MOST = 1.3


def sources(size: float, patience: Patience) -> Iterator[Result]:
    """One pass of ten models, for each kind of file."""
    work = overlapping("rows in files", int(1_000_000 * size), 100, 10)
    memory = a_pass(work.X, work)
    with tempfile.TemporaryDirectory() as folder:
        for name, make in FILES.items():
            file, version = make(work.X, Path(folder))
            ours = a_pass(file, work)
            np.testing.assert_allclose(ours(), memory(), rtol=1e-4, atol=1e-5)
            mapped = isinstance(file, np.memmap)
            runs: dict[str, Callable[[], Any]] = {"ours": ours, "memory": memory}
            if not mapped:
                runs["reading"] = partial(read, file)
            turn = partial(take_turn, patience=patience, untimed=2)
            taken = race(runs, ROUNDS, turn, seconds=40.0)
            times = {run: [each.seconds for each in taken[run]] for run in runs}
            base = np.max([times[run] for run in runs if run != "ours"], axis=0).tolist()
            label = "rows in memory" if mapped else "reading alone, or rows in memory"
            what = f"one pass, {len(work.X):,} × 100 float32, {name}"
            found = compared(what, times["ours"], base, label=label, at_most=MOST)
            yield {**found, "versions": version}


def a_pass(X: Any, work: Data) -> Callable[[], Any]:
    """Return cost and gradient of ten models, as a function without arguments."""
    backend = select("numpy")
    theta = np.random.default_rng(0).normal(size=(X.shape[1] + 1, work.n_classes)) / 10.0
    with backend.activate():
        targets = ClassTargets(
            work.y.astype(np.int32), np.eye(work.n_classes, dtype=np.float32), backend
        )
        rows = Rows(backend.place(check_rows(X)), 1.0, None, backend, np.float32)
        problem = Problem.of(rows, targets, np.full(work.n_classes, np.inf))

    def run() -> Any:
        with backend.activate():
            found = problem.evaluate(theta)
        return np.vstack([to_host(part) for part in found])

    return run


def read(file: Any) -> None:
    """Read all rows, a block after the other."""
    for start in range(0, file.shape[0], CHUNK):
        file[start : start + CHUNK]


def memory_map(X: Any, folder: Path) -> tuple[Any, dict[str, str]]:
    """Return the rows as NumPy maps them."""
    np.save(folder / "X.npy", X)
    return np.load(folder / "X.npy", mmap_mode="r"), {}


def hdf5(chunks: tuple[int, int] | None, X: Any, folder: Path) -> tuple[Any, dict[str, str]]:
    """Return the rows in HDF5, one after the other or in chunks."""
    import h5py

    file = h5py.File(folder / f"{chunks}.h5", "w")
    return file.create_dataset("X", data=X, chunks=chunks), {"h5py": h5py.__version__}


def zarr(compressors: Any, X: Any, folder: Path) -> tuple[Any, dict[str, str]]:
    """Return the rows in Zarr's chunks, as they are or compressed."""
    import zarr

    name = str(folder / f"{compressors}.zarr")
    made = zarr.create_array(name, data=X, chunks=(CHUNK, X.shape[1]), compressors=compressors)
    return made, {"zarr": zarr.__version__}


FILES: dict[str, Callable[[Any, Path], tuple[Any, dict[str, str]]]] = {
    "memory map": memory_map,
    "HDF5": partial(hdf5, None),
    "HDF5, chunks": partial(hdf5, (CHUNK, 100)),
    "Zarr": partial(zarr, None),
    "Zarr, compressed": partial(zarr, "auto"),
}
