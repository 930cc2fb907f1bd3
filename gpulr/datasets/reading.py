"""Reading a data set, or rows for a model, from a file or folder of any supported format."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from gpulr.datasets.dataset import Dataset
from gpulr.datasets.readers.arrays import Arrays, to_dataset
from gpulr.errors import DataFileError, ParameterError

if TYPE_CHECKING:
    from gpulr.datasets.readers.table_columns import KnownColumns

SUPPORTED = (
    ".npz (X, y[, X_test, y_test] or x_train, y_train[, x_test, y_test]), "
    ".mat or a .zip of one .mat (data, label or X, y), "
    ".csv, .tsv or .csv.gz (a label column), "
    "IDX images (*images-idx3-ubyte[.gz], labels beside it) or a folder of IDX files"
)
"""What `read` takes, for messages and help."""

SUFFIXES = re.compile(r"(\.(csv|tsv|npz|mat|idx\d?|zip|gz)|[-._]idx\d?[-._]ubyte)+$", re.IGNORECASE)


def read(path: str | os.PathLike[str], *, label: str | int | None = None) -> Dataset:
    """Read a data set from a file or a folder.

    Parameters
    ----------
    path : path-like
        A .npz, .mat (or .zip of one .mat), .csv or .csv.gz file, an IDX file of images with its
        labels beside it, or a folder of IDX files; ``~`` is expanded.
    label : str or int, optional
        The label column of a text table, by name or index; not for other formats.

    Returns
    -------
    Dataset
        `name` is the file's name without suffixes, `source` the path. uint8 samples with a square
        number of features, 16 or more, get an `image_shape`; so do samples of more than one axis.
        Whole-number labels are int64, others text.

    Raises
    ------
    DataFileError
        If the file is missing, damaged, too large for this machine, or of no supported format.
    ParameterError
        If `label` is given for another format than a text table.
    """
    path = expanded(path)
    if label is not None and not is_table(path):
        raise ParameterError(
            f"label={label!r} was given for {path}; it chooses the column of a .csv table. "
            "Leave it out for other formats."
        )
    return to_dataset(_arrays(path, label), path, _short_name(path))


def read_labelled(
    path: str | os.PathLike[str], known: KnownColumns, *, label: str | None = None
) -> Dataset:
    """Read a table with labels for a trained model, features in the model's order.

    The label column is the one that `label` names, else the one named as the model's label, else
    the only one that is none of its features, else the one that :func:`read` would take.

    Raises
    ------
    DataFileError
        As :func:`read`.
    DataError
        The features have other names than the model's.
    """
    from gpulr.datasets.readers.table import read_table

    path = expanded(path)
    table = _in_order(read_table(path, label=label, known=known), known, path)
    return to_dataset(table, path, _short_name(path))


def read_rows(
    path: str | os.PathLike[str], known: KnownColumns, *, label: str | None = None
) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    """Read the features of a table, in the model's order, and its labels where it has them.

    A table with as many columns as the model has features has no labels, unless `label` or the
    model's label names one of its columns. Raises as :func:`read_labelled`.
    """
    from gpulr.datasets.readers.table import read_table

    path = expanded(path)
    table = read_table(path, label=label, known=known, unlabelled=True)
    table = _in_order(table, known, path)
    return table.X, table.y


def _in_order(table: Arrays, known: KnownColumns, path: Path) -> Arrays:
    from gpulr.validation.tables import order_of

    if table.feature_names is None or known.features is None:
        return table
    order = order_of(table.feature_names, known.features, str(path))
    if order is None:
        return table
    return replace(table, X=table.X[:, order], feature_names=known.features)


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


def _arrays(path: Path, label: str | int | None) -> Arrays:
    """Read with the reader of the format; each is imported when it is needed."""
    from gpulr.datasets.readers.idx import looks_like_idx, read_idx, read_idx_folder

    name = path.name.lower()
    if os.path.isdir(path):  # noqa: PTH112 (unlike Path.is_dir, it raises nothing)
        return read_idx_folder(path)
    if is_table(path):
        from gpulr.datasets.readers.table import read_table

        return read_table(path, label=label)
    if name.endswith(".npz"):
        from gpulr.datasets.readers.numpy_files import read_npz

        return read_npz(path)
    if name.endswith((".mat", ".zip")):
        from gpulr.datasets.readers.mat import read_mat

        return read_mat(path)
    if looks_like_idx(path):
        return read_idx(path)
    if not os.path.lexists(path):
        raise DataFileError(path, "does not exist", "Check the path.")
    raise DataFileError(
        path, f"has the unknown suffix {path.suffix!r}", f"Supported are {SUPPORTED}."
    )


def _short_name(path: Path) -> str:
    """Return the name of the file without the suffixes of data files; of a folder, its name."""
    if path.is_dir():
        return path.resolve().name or str(path)
    return SUFFIXES.sub("", path.name) or path.name
