"""Reading a data set from a file or folder, by its name."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from gpulr.datasets.readers.arrays import Arrays, to_dataset
from gpulr.datasets.record import Dataset
from gpulr.errors import DataFileError, ParameterError

if TYPE_CHECKING:
    from gpulr.datasets.readers.delimited import Table

__all__ = ["SUPPORTED", "arrays_of", "expanded", "is_table", "read", "short_name"]

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
    return to_dataset(_read_arrays(path, label), path, short_name(path))


def is_table(path: str | os.PathLike[str]) -> bool:
    """Whether a path is, by its suffix, that of a text table."""
    return os.fspath(path).lower().endswith((".csv", ".tsv", ".csv.gz", ".tsv.gz"))


def _read_arrays(path: Path, label: str | int | None) -> Arrays:
    """Read with the reader of the format; each is imported when it is needed."""
    from gpulr.datasets.readers.idx import looks_like_idx, read_idx, read_idx_folder

    if _is_folder(path):
        return read_idx_folder(path)
    if is_table(path):
        from gpulr.datasets.readers.delimited import read_delimited

        return arrays_of(read_delimited(path, label=label))
    if path.name.lower().endswith(".npz"):
        from gpulr.datasets.readers.npz import read_npz

        return read_npz(path)
    if path.name.lower().endswith((".mat", ".zip")):
        from gpulr.datasets.readers.mat import read_mat

        return read_mat(path)
    if looks_like_idx(path):
        return read_idx(path)
    if not os.path.lexists(path):
        raise DataFileError(path, "does not exist", "Check the path.")
    raise DataFileError(
        path, f"has the unknown suffix {path.suffix!r}", f"Supported are {SUPPORTED}."
    )


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path with ``~`` expanded, or raise DataFileError for what is none."""
    try:
        return Path(path).expanduser()
    except TypeError as error:
        raise DataFileError(
            repr(path)[:60],
            f"is no name or path (of type {type(path).__name__})",
            "Pass a str or a Path.",
        ) from error
    except RuntimeError as error:
        raise DataFileError(
            os.fspath(path), f"cannot be expanded: {error}", "Write the path out."
        ) from error


def arrays_of(table: Table) -> Arrays:
    """Return a table that has labels as arrays."""
    assert table.y is not None
    return Arrays(table.X, table.y, label_name=table.label_name, feature_names=table.feature_names)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError) as error:
        raise DataFileError(
            path, f"cannot be looked at ({error})", "Check the path and its permissions."
        ) from error


def short_name(path: Path) -> str:
    """Return the name of the file without the suffixes of data files; of a folder, its name."""
    if path.is_dir():
        return path.resolve().name or str(path)
    return SUFFIXES.sub("", path.name) or path.name
