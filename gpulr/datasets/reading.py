"""Reading a data set, or rows for a model, from a file or folder of any supported format."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.datasets.dataset import Dataset, is_indicator
from gpulr.datasets.readers.checks import square_side
from gpulr.datasets.readers.idx import looks_like_idx, read_idx, read_idx_folder
from gpulr.datasets.readers.mat import read_mat
from gpulr.datasets.readers.numpy_files import read_npz
from gpulr.datasets.readers.stored import Stored, kind_of, read_stored
from gpulr.datasets.readers.table import Table, read_table
from gpulr.datasets.readers.table_columns import KnownColumns
from gpulr.errors import DataError, DataFileError, ParameterError
from gpulr.sources import Source
from gpulr.validation.tables import order_of
from gpulr.words import shown

Array = Any

SUPPORTED = (
    ".npz (X, y[, X_test, y_test] or x_train, y_train[, x_test, y_test]), "
    ".mat or a .zip of one .mat (data, label or X, y), "
    ".csv, .tsv or .csv.gz (a label column), "
    "IDX images (*images-idx3-ubyte[.gz], labels beside it) or a folder of IDX files, "
    ".npy (labels beside it, as name_labels.npy, or y.npy beside X.npy), .parquet, or a folder of "
    "either, .zarr or .h5 (X and y), .h5ad (a column of obs)"
)
"""What `read` takes, for messages and help."""

SUFFIXES = re.compile(
    r"(\.(csv|tsv|npz|mat|idx\d?|zip|gz|npy|parquet|zarr|h5|hdf5|h5ad)|[-._]idx\d?[-._]ubyte)+$",
    re.IGNORECASE,
)


def read(
    path: str | os.PathLike[str],
    *,
    label: str | int | None = None,
    features: Sequence[str] | None = None,
) -> Dataset:
    """Read a data set from a file or a folder.

    Parameters
    ----------
    path : path-like
        A .npz, .mat (or .zip of one .mat), .csv or .csv.gz file, an IDX file of images with its
        labels beside it, or a folder of IDX files; ``~`` is expanded. Formats that may be larger
        than memory are read block by block: .npy with labels beside it, .parquet, a folder of
        either, .zarr, .h5, .h5ad.
    label : str or int, optional
        The label column of a text table, by name or index; that of Parquet and .h5ad by name; or
        the name of the array of labels in .zarr and .h5. Other formats have none.
    features : sequence of str, optional
        The columns to use as features, in this order, of a text table with a header or of Parquet.
        Of the others, only the label is read.

    Returns
    -------
    Dataset
        `name` is the file's name without suffixes, `source` the path. uint8 samples with a square
        number of features, 16 or more, get an `image_shape`; so do samples of more than one axis.
        Whole-number labels are int64, others text.

    Raises
    ------
    DataFileError
        The file is missing, damaged, too large for this machine, or of no supported format.
    ParameterError
        `label` or `features` was given for another format than those.
    """
    path, columns = expanded(path), None
    if features is not None:
        names = tuple(map(str, [features] if isinstance(features, str) else features))
        columns = KnownColumns(len(names), None, names, chosen=True, asked=True)
        if not names or len(set(names)) < len(names):
            raise ParameterError(
                f"{shown(names)} are no columns to train on; name each once with --features "
                "(features= in Python)."
            )
    if is_table(path) and not os.path.isdir(path):  # noqa: PTH112 (see below)
        table = read_table(path, label=label, known=columns)
        return _of_table(table if columns is None else _in_order(table, columns, path), path)
    kind = kind_of(path)
    if columns is not None and kind != ".parquet":
        raise ParameterError(
            f"--features (features= in Python) was given for {path}; it chooses columns of a .csv "
            "table or of Parquet. Leave it out for other formats."
        )
    if kind and os.path.lexists(path):
        return _of_stored(read_stored(path, label=label, known=columns), path)
    if label is not None:
        raise ParameterError(
            f"--label {label} (label={label!r} in Python) was given for {path}; it chooses the "
            "column of a .csv table. Leave it out for other formats."
        )
    name = path.name.lower()
    if os.path.isdir(path):  # noqa: PTH112 (unlike Path.is_dir, it raises nothing)
        parts = read_idx_folder(path)
    elif name.endswith(".npz"):
        parts = read_npz(path)
    elif name.endswith((".mat", ".zip")):
        parts = read_mat(path)
    elif looks_like_idx(path):
        parts = read_idx(path)
    elif not os.path.lexists(path):
        raise DataFileError(path, "does not exist", "Check the path.")
    else:
        found = f"has the unknown suffix {path.suffix!r}"
        raise DataFileError(path, found, f"Supported are {SUPPORTED}.")
    return _dataset(path, *parts)


def read_labelled(
    path: str | os.PathLike[str], known: KnownColumns, *, label: str | None = None
) -> Dataset:
    """Read a table with labels for a trained model, features in the model's order.

    The label column is the one that `label` names, else the one named as the model's label, else
    the only one that is none of its features, else the one that :func:`read` would take.
    Raises as :func:`read`, and DataError where the features have other names than the model's.
    """
    path = expanded(path)
    if kind_of(path):
        return _of_stored(read_stored(path, label=label, known=known), path)
    return _of_table(_in_order(read_table(path, label=label, known=known), known, path), path)


def read_rows(
    path: str | os.PathLike[str], known: KnownColumns, *, label: str | None = None
) -> tuple[Array, npt.NDArray[Any] | None]:
    """Read the features of a table, in the model's order, and its labels where it has them.

    A table with as many columns as the model has features has no labels, unless `label` or the
    model's label names one of its columns. Raises as :func:`read_labelled`.
    """
    path = expanded(path)
    if kind_of(path):
        stored = read_stored(path, label=label, known=known, unlabelled=True)
        return stored.X, stored.y
    table = read_table(path, label=label, known=known, unlabelled=True)
    table = _in_order(table, known, path)
    return table.X, table.y


def _in_order(table: Table, known: KnownColumns, path: Path) -> Table:
    if table.feature_names is None or known.features is None:
        return table
    order = order_of(table.feature_names, known.features, str(path))
    if order is None:
        return table
    return table._replace(X=table.X[:, order], feature_names=known.features)


def is_stored(path: str | os.PathLike[str]) -> bool:
    """Whether a path is, by its suffix or what is in it, of rows that are read block by block."""
    return bool(kind_of(expanded(path)))


def is_table(path: str | os.PathLike[str]) -> bool:
    """Whether a path is, by its suffix, that of a text table."""
    return os.fspath(path).lower().endswith((".csv", ".tsv", ".csv.gz", ".tsv.gz"))


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path with ``~`` expanded, or raise DataFileError for what is none."""
    try:
        return Path(path).expanduser()
    except TypeError as error:
        found = f"is no name or path (of type {type(path).__name__})"
        raise DataFileError(repr(path)[:60], found, "Pass a str or a Path.") from error
    except RuntimeError as error:  # an unknown user's home
        found = f"cannot be expanded: {error}"
        raise DataFileError(os.fspath(path), found, "Write the path out.") from error


def _of_stored(stored: Stored, path: Path) -> Dataset:
    assert stored.y is not None
    parts = (stored.X, stored.y, stored.X_test, stored.y_test)
    dataset = _dataset(path, *parts, image_shape=stored.image_shape)
    return replace(dataset, label_name=stored.label_name, feature_names=stored.feature_names)


def _of_table(table: Table, path: Path) -> Dataset:
    assert table.y is not None
    dataset = _dataset(path, table.X, table.y)
    return replace(dataset, label_name=table.label_name, feature_names=table.feature_names)


def _dataset(
    path: Path,
    X: Array,
    y: npt.NDArray[Any],
    X_test: Array = None,
    y_test: npt.NDArray[Any] | None = None,
    *,
    image_shape: tuple[int, ...] | None = None,
) -> Dataset:
    """Tidy what a file holds into a Dataset, or raise DataFileError for what cannot be one."""
    name = path.resolve().name if path.is_dir() else SUFFIXES.sub("", path.name) or path.name
    try:
        are_images = X.ndim > 2 and X_test is not None and X_test.ndim > 2
        X, shape = _samples(X, "X")
        image_shape = image_shape or shape
        if X_test is not None and y_test is not None:
            X_test, test_shape = _samples(X_test, "X_test")
            if are_images and test_shape != image_shape:
                raise DataError(
                    f"X has images of shape {image_shape}, but X_test of shape {test_shape}."
                )
            y_test = _labels(y_test, "y_test", len(X_test))
        y = _labels(y, "y", len(X))
        return Dataset(X, y, X_test, y_test, image_shape, name or str(path), str(path))
    except DataError as error:
        found = f"holds unusable arrays: {str(error).rstrip('.')}"
        raise DataFileError(path, found, "Correct and save it again.") from error


def _samples(X: Array, name: str) -> tuple[Array, tuple[int, ...] | None]:
    """Make a table in native byte order; also return the shape of one sample if it is an image.

    So are samples of more than one axis, and uint8 ones whose number is a square of 16 or more.
    """
    if X.ndim < 2:
        raise DataError(f"{name} has shape {X.shape}; expected (n_samples, n_features)")
    dtype = X.dtype.newbyteorder("=")
    if dtype.kind == "b":
        dtype = np.dtype(np.uint8)
    elif dtype.kind == "f" and dtype.itemsize > 8:  # long double: no other library takes it
        dtype = np.dtype(np.float64)
    image_shape = tuple(int(n) for n in X.shape[1:]) if X.ndim > 2 and X.size else None
    if image_shape is not None:
        X = X.reshape(len(X), -1)
    elif X.ndim == 2 and dtype == np.uint8 and (side := square_side(X.shape[1])):
        image_shape = (side, side)
    return X if isinstance(X, Source) else np.ascontiguousarray(X, dtype), image_shape


def _labels(y: npt.NDArray[Any], name: str, n_samples: int) -> npt.NDArray[Any]:
    """Labels as a vector: int64 where they are whole numbers, text as text; or 0/1 columns."""
    if y.ndim == 2 and (y.shape[1] == 1 or len(y) == 1 != n_samples):
        y = y.ravel()
    # A single 1 in every row stands for one class each. The test part is as the other is.
    if is_indicator(y) and (name == "y_test" or not np.all(y.sum(axis=1) == 1)):
        return np.ascontiguousarray(y, dtype=np.float32 if np.isnan(y).any() else np.uint8)
    if y.ndim != 1:
        hint = " (one-hot columns? save their argmax; several labels a row? save 0, 1 and NaN only)"
        raise DataError(
            f"{name} has shape {y.shape}; expected one label per sample{hint * (y.ndim == 2)}"
        )
    if y.dtype.kind == "S":
        try:
            # The first is several times faster.
            ascii_only = y.tobytes().isascii()
            return y.astype(np.str_) if ascii_only else np.char.decode(y, "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{name} holds bytes that are not UTF-8 text") from error
    if y.dtype.kind == "f":
        if not np.isfinite(y).all():
            raise DataError(f"{name} holds NaN or infinite labels")
        if np.abs(y).max(initial=0) >= 2**53 or not np.array_equal(y, np.trunc(y)):
            raise DataError(f"{name} holds labels that are not whole numbers")
    if y.dtype.kind == "u" and y.max(initial=0) > np.iinfo(np.int64).max:
        raise DataError(f"{name} holds labels above the int64 range")
    return y.astype(np.int64 if y.dtype.kind in "biuf" else y.dtype.newbyteorder("="), copy=False)
