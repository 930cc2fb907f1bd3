"""NumPy .npy files, and the headers of arrays that .npz archives hold too."""

from __future__ import annotations

import math
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from gpulr.datasets.readers.faults import check_file, reading
from gpulr.errors import DataFileError

__all__ = ["check_header", "read_npy"]

EXPECTED = "a NumPy .npy file"


def read_npy(path: Path) -> npt.NDArray[Any]:
    """Map a .npy file of rows into memory; what it claims is checked before.

    The rows are read when they are used, and the system ends a process (SIGBUS) that uses rows of
    a file which has been cut meanwhile.

    Parameters
    ----------
    path : Path

    Returns
    -------
    ndarray of shape (n_samples, ...), integer, boolean or floating

    Raises
    ------
    DataFileError
        The file is missing, no regular file, damaged, or holds no rows of numbers.
    """
    stored = check_file(path, EXPECTED)
    with reading(path, EXPECTED):
        with path.open("rb") as stream:
            shape, dtype = check_header(stream, path, "its array", stored)
        if dtype.kind not in "biuf" or not shape or math.prod(shape) == 0:
            raise DataFileError(
                path,
                f"holds an array of shape {shape} and dtype {dtype}; expected rows of numbers",
                "Save it with numpy.save(path, X), X of shape (n_samples, n_features).",
            )
        rows: npt.NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
        return rows


def check_header(
    stream: IO[bytes], path: Path, what: str, size: int, *, whole: bool = False
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read the header of an array and compare it with the bytes that there are.

    Parameters
    ----------
    stream : binary file
        At the begin of the array; left after its header.
    path : Path
    what : str
        Names the array in the error.
    size : int
        bytes of header and values that the file holds.
    whole : bool
        Whether no others may follow.

    Returns
    -------
    shape : tuple of int
    dtype : dtype

    Raises
    ------
    DataFileError
        It claims values of no bytes, more than there are, or values that are no numbers or text.
    """
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    if dtype.hasobject or dtype.kind not in "biufUS":
        raise DataFileError(
            path,
            f"{what} has dtype {dtype}; pickled, structured and complex arrays are not read",
            "Save it as numbers, or labels as text: np.asarray(values).astype(str).",
        )
    claimed, there = math.prod(shape) * dtype.itemsize, size - stream.tell()
    # Values of no bytes would be as many as a file likes.
    if (
        min(shape, default=1) < 0
        or dtype.itemsize == 0
        or claimed > there
        or (whole and claimed < there)
    ):
        raise DataFileError(
            path,
            f"{what} claims shape {shape} and dtype {dtype} ({claimed:,} bytes), but {there:,} "
            "bytes follow",
            "The file is damaged; get it again.",
        )
    return shape, dtype
