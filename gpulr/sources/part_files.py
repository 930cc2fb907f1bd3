"""Loaders of parts in files: row groups of Parquet, and runs of rows of .npy and Zarr.

Each is an object of few words, that can be pickled, and is called by the thread that loads.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.errors import DataFileError, GpulrError, ParameterError, needs_extra
from gpulr.sources.npy_header import read_header
from gpulr.words import counted, first_line, listed

Array = Any
Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

PARQUET, ZARR = "a Parquet file", "a Zarr array or group"
PART_BYTES = 32 * 2**20  # of rows that are read at once, of files that have no parts of their own


@dataclass(frozen=True)
class RowGroup:
    """A row group of a Parquet file, which is opened anew: two threads must not share one."""

    path: Path
    number: int
    features: tuple[str, ...]
    label: str | None

    def __str__(self) -> str:
        return f"{self.path}, row group {self.number}"

    def schema(self) -> Any:
        """Return Arrow's fields of the file."""
        from pyarrow.parquet import read_schema

        with reading(self.path, PARQUET):
            return read_schema(self.path)

    def __call__(self) -> Array:
        """Return the rows as an Arrow table, and their labels if there is a column of these."""
        from pyarrow.parquet import ParquetFile

        names = [*self.features, *([] if self.label is None else [self.label])]
        with reading(self.path, PARQUET), ParquetFile(self.path) as file:
            table = file.read_row_group(self.number, columns=names)
        X = table.select(self.features)
        return X if self.label is None else (X, table.column(self.label))


def row_groups(
    paths: Paths, label: str | None, features: Sequence[str] | None
) -> tuple[list[RowGroup], list[int]]:
    """Return loaders of the row groups of Parquet files, and their numbers of rows.

    Groups without rows are left out. Raises DataFileError for what is no such file or lacks a
    column.
    """
    with needs_extra("sources", "Reading Parquet files needs pyarrow"):
        from pyarrow.parquet import ParquetFile

    if isinstance(features, str):
        raise ParameterError(f"features={features!r}; expected a list of names, [{features!r}].")
    loaders, lengths = [], []
    for path in files_of(paths, ".parquet"):
        with reading(path, PARQUET), ParquetFile(path) as file:
            names = [name for name in file.schema_arrow.names if not name.startswith("__index")]
            groups = range(file.metadata.num_row_groups)
            rows = [file.metadata.row_group(i).num_rows for i in groups]
        wanted = [*(features or ()), *([] if label is None else [label])]
        if missing := [name for name in wanted if name not in names]:
            raise DataFileError(
                path,
                f"has no column {listed(missing)}; it has {listed(names)}",
                "Name columns that are there.",
            )
        if features is None:  # of the first file, for all
            features = [name for name in names if name != label]
        for i, n in enumerate(rows):
            if n:
                loaders.append(RowGroup(path, i, tuple(features), label))
                lengths.append(n)
    if not loaders:
        raise DataFileError(_first(paths), "holds no rows", "Name files that have some.")
    return loaders, lengths


def check_numbers(group: RowGroup) -> None:
    """Raise DataFileError for features that are text or dates, by what the file says of them."""
    kinds = {field.name: field.type for field in group.schema()}
    if other := [
        f"{name} ({kinds[name]})" for name in group.features if _is_no_number(kinds[name])
    ]:
        raise DataFileError(
            group.path,
            f"has columns that hold no numbers: {listed(other)}",
            "Name the labels' column with label= (--label), and those to train on with features= "
            "(--features); or leave them out of the files.",
        )


def _is_no_number(kind: Any) -> bool:
    """Whether an Arrow type is one of text, bytes or dates, or of categories of these."""
    from pyarrow import types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    text = types.is_string, types.is_large_string, types.is_binary, types.is_large_binary
    return any(is_kind(kind) for is_kind in (*text, types.is_temporal))


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
        raise DataFileError(_first(files), "holds no rows", "Name files that have some.")
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


@dataclass(frozen=True, eq=False)
class ZarrRows:
    """Rows of a Zarr array from a first to before a last, and their labels from another."""

    X: Any
    y: Any
    start: int
    stop: int

    def __str__(self) -> str:
        return f"{self.X.store_path}, rows {self.start:,} to {self.stop - 1:,}"

    def __call__(self) -> Array:
        """Return the rows, and their labels if there is an array of these."""
        with reading(str(self.X.store_path), ZARR):
            X = self.X[self.start : self.stop]
            return X if self.y is None else (X, self.y[self.start : self.stop])


def zarr_parts(
    store: Any, label: str | None, features: str | None
) -> tuple[list[ZarrRows], list[int]]:
    """Return loaders of a Zarr array, in runs of whole chunks, and their numbers of rows."""
    X, y = zarr_arrays(store, label, features)
    n, chunk = int(X.shape[0]), int(X.chunks[0])
    if not n:
        raise DataFileError(str(X.store_path), "holds no rows", "Name an array that has some.")
    loaders = [ZarrRows(X, y, a, b) for a, b in runs(n, max(1, X.nbytes // n), chunk)]
    return loaders, [loader.stop - loader.start for loader in loaders]


def zarr_store(store: Any) -> Any:
    """Return a Zarr array or group, opened where it is a path."""
    with needs_extra("sources", "Reading Zarr arrays needs zarr"):
        import zarr
    if isinstance(store, zarr.Array | zarr.Group):
        return store
    path = Path(store).expanduser().absolute()  # as others see it, who load parts
    with reading(path, ZARR):
        return zarr.open(path, mode="r")


def zarr_arrays(store: Any, label: str | None, features: str | None) -> tuple[Any, Any]:
    """Return a Zarr store's rows and labels (or None), as arrays that are read when they are cut.

    An array is the rows; in a group they are the one that is named, else ``X``, and labels the one
    that is named, else ``y``. Arrays of pickled objects are refused.
    """
    store = zarr_store(store)
    if not hasattr(store, "arrays"):
        if label is not None or features is not None:
            raise ParameterError(
                f"{store.store_path} is an array, which has no others in it to be named with "
                "label= (--label) or features=. Leave them out, or name a group."
            )
        return no_pickles(store), None
    with reading(str(store.store_path), ZARR):
        names = sorted(name for name, _ in store.arrays())
    of_labels = label or ("y" if "y" in names else None)
    wanted = [features or "X", *([] if of_labels is None else [of_labels])]
    if missing := [name for name in wanted if name not in names]:
        raise DataFileError(
            str(store.store_path),
            f"holds the arrays {listed(names) or 'none'}, and no {listed(missing)}",
            "Name them with features= and label= (--label).",
        )
    with reading(str(store.store_path), ZARR):
        X, y = (*(no_pickles(store[name]) for name in wanted), None)[:2]
    if y is not None and X.shape[:1] != y.shape[:1]:
        raise DataFileError(
            str(store.store_path),
            f"holds rows of shape {X.shape} and labels of shape {y.shape}",
            "Save one label for each row.",
        )
    return X, y


def no_pickles(array: Any) -> Any:
    """Return an array none of whose codecs runs what is in the file; DataFileError for others."""
    if "pickle" in json.dumps(array.metadata.to_dict(), default=str):
        found = "holds pickled objects, which are not read: they could run anything"
        remedy = "Save it as numbers, or labels as text."
        raise DataFileError(str(array.store_path), found, remedy)
    return array


def runs(n: int, row_bytes: int, chunk: int = 1) -> list[tuple[int, int]]:
    """Cut rows into runs of whole chunks, of :data:`PART_BYTES` or a chunk."""
    step = chunk * max(1, PART_BYTES // max(1, row_bytes * chunk))
    return list(pairwise([*range(0, n, step), n]))


def files_of(paths: Paths, suffix: str) -> list[Path]:
    """Return the files of a kind in a folder and those below it, by name; or those that are named.

    Files and folders that begin with a dot or an underscore are left out: they are notes of what
    wrote the others.
    """
    if not isinstance(paths, str | os.PathLike):
        listed_paths = [Path(path).expanduser() for path in paths]
        if not listed_paths:
            raise ParameterError(f"No {suffix} files are named. Name some, or their folder.")
        return listed_paths
    path = Path(paths).expanduser()
    if not path.is_dir():
        return [path]
    found = [
        file
        for file in sorted(path.rglob(f"*{suffix}"))
        if not any(part[0] in "._" for part in file.relative_to(path).parts) and file.is_file()
    ]
    if not found:
        raise DataFileError(path, f"has no {suffix} files in it", "Name their folder.")
    return found


def _first(paths: Paths) -> str:
    return os.fspath(paths if isinstance(paths, str | os.PathLike) else paths[0])


@contextmanager
def reading(path: Path | str, expected: str) -> Iterator[None]:
    """Turn what a library raises of a file into a DataFileError, with that as its cause."""
    try:
        yield
    except GpulrError:
        raise
    except Exception as error:  # whatever damaged bytes lead to
        if isinstance(error, FileNotFoundError) and not (named := Path(path)).exists():
            pattern = any(mark in named.name for mark in "*?[")
            remedy = "Pass the folder, or sorted(Path().glob(…))." if pattern else "Check the path."
            raise DataFileError(path, "does not exist", remedy) from error
        raise DataFileError(
            path,
            f"cannot be read as {expected}: {first_line(error)}",
            "Get the file again, or name another.",
        ) from error
