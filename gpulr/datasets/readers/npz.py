"""NumPy .npz archives, with scikit-learn's or Keras's array names."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.datasets.readers.arrays import Arrays
from gpulr.datasets.readers.faults import check_file, reading
from gpulr.datasets.readers.limits import check_expansion
from gpulr.datasets.readers.npy import check_header
from gpulr.errors import DataFileError

__all__ = ["read_npz"]

EXPECTED = "a NumPy .npz archive"
NAMES = (("X", "y", "X_test", "y_test"), ("x_train", "y_train", "x_test", "y_test"))
"""Names for X, y, X_test, y_test: np.savez(path, X=X, y=y), and Keras's mnist.npz."""


def read_npz(path: Path) -> Arrays:
    """Read ``X, y[, X_test, y_test]`` or ``x_train, y_train[, x_test, y_test]``.

    Pickled (object) arrays are never loaded. Each array's header is compared with the size of its
    zip member before memory is allocated; zip's CRC covers the values.

    Raises
    ------
    DataFileError
        If the archive is damaged, lacks arrays, or holds what is no plain array.
    """
    stored = check_file(path, EXPECTED)
    with reading(path, EXPECTED), zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        names = next((names for names in NAMES if {*names[:2]} <= members.keys()), None)
        if names is None:
            raise DataFileError(
                path,
                f"holds the arrays {', '.join(members) or 'none'}; expected X and y, or x_train "
                "and y_train",
                "Save it with np.savez_compressed(path, X=X, y=y).",
            )
        absent = [name for name in names[2:] if name not in members]
        if len(absent) == 1:
            raise DataFileError(
                path,
                f"holds half of a test part: {absent[0]} is missing",
                "Save both arrays of the test part, or neither.",
            )
        wanted = names[:2] if absent else names
        for name in wanted:
            check_expansion(
                path,
                min(members[name].compress_size, stored),
                members[name].file_size,
                f"array {name}",
            )
        return Arrays(*(_read_member(archive, members[name], name, path) for name in wanted))


def _read_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, path: Path
) -> npt.NDArray[Any]:
    """Read one .npy member after comparing its header with its size."""
    with archive.open(member) as stream:
        check_header(stream, path, f"array {name}", member.file_size, whole=True)
    with archive.open(member) as stream:
        array: npt.NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
        if stream.read(1):  # also makes zipfile compare the CRC
            raise ValueError(f"bytes follow array {name}")
        return array
