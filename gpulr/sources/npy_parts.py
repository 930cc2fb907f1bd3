"""Loaders of runs of rows of .npy files, and of the labels beside them."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.errors import DataFileError, ParameterError
from gpulr.sources.npy_header import read_header
from gpulr.sources.part_files import Paths, files_of, first_of, reading, runs
from gpulr.words import counted

Array = Any


@dataclass(frozen=True)
class FileRows:
    """Rows of a .npy file from a first to before a last, and labels from another."""

    path: Path
    labels: Path | None
    start: int
    stop: int

    def __str__(self) -> str:
        return f"{self.path}, rows {self.start:,} to {self.stop - 1:,}"

    def __call__(self) -> Array:
        """Return the rows, read into memory, and their labels if there is a file of these."""
        X = _rows(self.path, self.start, self.stop)
        return X if self.labels is None else (X, _rows(self.labels, self.start, self.stop))


def _header(path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Return what a .npy file holds: its shape, whether by columns, its dtype, and where it begins.

    Pickles are refused, and shapes beyond the file's size.
    """
    with reading(path, "a NumPy .npy file"), path.open("rb") as file:
        size = path.stat().st_size
        shape, by_columns, dtype = read_header(file, size)
        if dtype.hasobject:
            raise ValueError("it holds pickled objects, which could run anything")
        start = file.tell()
        if size < start + math.prod(shape) * dtype.itemsize:
            raise ValueError(f"its {size:,} bytes are fewer than an array of shape {shape} has")
    return shape, by_columns, dtype, start


def _rows(path: Path, start: int, stop: int) -> npt.NDArray[Any]:
    """Read rows of a .npy file; to map all of it, there may not be addresses enough."""
    shape, by_columns, dtype, first = _header(path)
    with reading(path, "a NumPy .npy file"):
        if by_columns:
            return np.array(np.load(path, mmap_mode="r")[start:stop])
        each = math.prod(shape[1:])
        first += start * each * dtype.itemsize
        rows = np.fromfile(path, dtype, (stop - start) * each, offset=first)
        return rows.reshape(stop - start, *shape[1:])


def npy_parts(files: Paths, labels: Paths | None) -> tuple[list[FileRows], list[int]]:
    """Return loaders of .npy files, in parts of :data:`PART_BYTES`, and their numbers of rows."""
    paths = files_of(files, ".npy")
    beside: list[Path | None] = [None] * len(paths)
    if labels is not None:
        beside[:] = files_of(labels, ".npy")
        if len(beside) != len(paths):
            raise ParameterError(
                f"labels names {counted(len(beside), 'file')}; expected one for each of "
                f"{counted(len(paths), 'file')} of rows, in their order."
            )
    elif isinstance(files, str | os.PathLike):
        found = {path: label_file(path) for path in paths}
        paths = [path for path in paths if path not in found.values()]
        beside = [found[path] for path in paths]
    loaders = []
    for path, own in zip(paths, beside, strict=True):
        shape, _, dtype, _ = _header(path)
        n = shape[0] if shape else 0
        if own is not None and (of_labels := (*_header(own)[0], 0)[0]) != n:
            raise DataFileError(
                own,
                f"holds {counted(of_labels, 'label')}; {path} has {counted(n, 'row')}",
                "Save one label for each row.",
            )
        each = dtype.itemsize * math.prod(shape[1:])
        loaders += [FileRows(path, own, a, b) for a, b in runs(n, each)] if n else []
    if not loaders:
        raise DataFileError(first_of(files), "holds no rows", "Name files that have some.")
    return loaders, [loader.stop - loader.start for loader in loaders]


def label_file(path: Path) -> Path | None:
    """Return the file beside a .npy file that holds the labels of its rows, if there is one.

    Of ``X.npy``, ``X_train.npy``, … it is ``y.npy``, ``y_train.npy``, …; of any ``name.npy`` it is
    ``name_labels.npy``, ``name_y.npy``, or either with a hyphen or a dot.
    """
    stem = path.stem
    names = [f"{stem}{mark}{word}" for word in ("labels", "label", "y") for mark in "_-."]
    if stem[:1] in "Xx" and not stem[1:2].isalpha():
        names.insert(0, f"y{stem[1:]}")
    there = (path.with_name(f"{name}{path.suffix}") for name in names)
    return next((file for file in there if file.is_file()), None)
