"""NumPy's files: .npz archives with scikit-learn's or Keras's array names, and .npy rows.

NumPy parses them; what it takes on trust is checked before: it allocates what a header claims, maps
what is not there, and compares no checksum unless the last byte is read.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy_format

from gpulr.datasets.readers.checks import (
    Parts,
    UnusableError,
    check_expansion,
    checked,
    names_of_parts,
)
from gpulr.sources.npy_header import read_header

END = 22  # bytes of the record at the end of a zip archive, before a comment

# For X, y, X_test, y_test: np.savez(path, X=X, y=y), and Keras's mnist.npz.
NAMES = (("X", "y", "X_test", "y_test"), ("x_train", "y_train", "x_test", "y_test"))


def read_npz(path: Path) -> Parts:
    """Read ``X, y[, X_test, y_test]`` or ``x_train, y_train[, x_test, y_test]``.

    Pickled (object) arrays are never loaded. Each array's header is compared with the size of its
    zip member before memory is allocated; zip's CRC covers the values.
    """
    with checked(path, "a NumPy .npz archive") as stored, zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        _check_directory(path, archive)
        remedy = "Save it with np.savez_compressed(path, X=X, y=y)."
        wanted = names_of_parts(NAMES, members, "arrays", remedy)
        for name in wanted:
            packed, size = members[name].compress_size, members[name].file_size
            check_expansion(min(packed, stored), size, f"array {name}")
        return tuple(_read_member(archive, members[name], f"array {name}") for name in wanted)


def _check_directory(path: Path, archive: zipfile.ZipFile) -> None:
    """Compare what no checksum covers: else a test part might be left out without a word."""
    for member in archive.infolist():
        archive.open(member).close()  # compares its name here and there
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - END - 2**16))
        _, found, end = file.read().rpartition(b"PK\5\6")
    count = int.from_bytes(end[6:8], "little")
    if found and count not in (len(archive.infolist()), 0xFFFF):  # which stands for more
        raise ValueError(f"its directory lists {len(archive.infolist())} of {count} arrays")


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, what: str) -> npt.NDArray[Any]:
    with archive.open(member) as stream:
        _check_header(stream, what, member.file_size, whole=True)
    with archive.open(member) as stream:
        array: npt.NDArray[Any] = npy_format.read_array(stream, allow_pickle=False)
        if stream.read(1):  # also makes zipfile compare the CRC
            raise ValueError(f"bytes follow {what}")
        return array


def read_npy(path: Path, *, labels: bool = False) -> npt.NDArray[Any]:
    """Map a .npy file of rows, (n_samples, ...) integer, boolean or floating, into memory.

    Or one of ``labels``, which may also be text. They are read when they are used, and the system
    ends a process (SIGBUS) that uses rows of a file which has been cut meanwhile.
    """
    with checked(path, "a NumPy .npy file") as stored:
        with path.open("rb") as stream:
            shape, dtype = _check_header(stream, "its array", stored)
        if (not labels and dtype.kind not in "biuf") or not shape or math.prod(shape) == 0:
            raise UnusableError(
                f"holds an array of shape {shape} and dtype {dtype}; expected rows of numbers",
                "Save it with numpy.save(path, X), X of shape (n_samples, n_features).",
            )
        rows: npt.NDArray[Any] = npy_format.open_memmap(path, mode="r")
        return rows


def _check_header(
    stream: IO[bytes], what: str, size: int, *, whole: bool = False
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and dtype of an array after comparing its header with the bytes there are.

    `size` counts the bytes of header and values that the file holds; with `whole`, no others may
    follow the array. Values have to be numbers or text, and of at least a byte each.
    """
    shape, _, dtype = read_header(stream, size)
    if dtype.hasobject or dtype.kind not in "biufUS":
        raise UnusableError(
            f"{what} has dtype {dtype}; pickled, structured and complex arrays are not read",
            "Save it as numbers, or labels as text: np.asarray(values).astype(str).",
        )
    claimed, there = math.prod(shape) * dtype.itemsize, size - stream.tell()
    is_wrong = claimed != there if whole else claimed > there
    # Values of no bytes would be as many as a file likes.
    if is_wrong or dtype.itemsize == 0:
        claim = f"shape {shape} and dtype {dtype} ({claimed:,} bytes)"
        raise ValueError(f"{what} claims {claim}, but {there:,} bytes follow")
    return shape, dtype
