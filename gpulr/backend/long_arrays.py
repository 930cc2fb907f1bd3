"""Arrays as long as the rows, such as margins: in memory, or where they do not fit, in a file.

The file is a temporary one, of the folder that TMPDIR names (which had better be on a disk), and is
unlinked at once: nothing is left behind, however the process ends. Blocks of it are mapped while
they are used, so that it takes no more of the address space than they do.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
import time
import weakref
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from gpulr.backend.environment import memory_left
from gpulr.backend.memory import in_words
from gpulr.errors import DeviceMemoryError

Array = npt.NDArray[Any]

LONG = 16 * 2**20  # bytes from which on it is asked what memory there is
# What is left to all else, such as blocks of a pass; an array of at most a sixteenth of what memory
# there is stays in it all the same.
RESERVE, SHARE = 128 * 2**20, 16
LOOK_SECONDS = 1.0  # to look takes 0.1 ms, and six in some sandboxes


def long_array(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array | FileArray:
    """Return an array of whatever its memory holds, or one in a file where it would not fit.

    Raises DeviceMemoryError where it fits in neither.
    """
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    if n_bytes < LONG or _memory.fits(n_bytes):
        try:
            return np.empty(shape, dtype)
        except MemoryError:
            pass
    return FileArray(shape, dtype)


class _Memory:
    """What memory is left to long arrays, as it was found lately and less what they took since."""

    def __init__(self) -> None:
        self._left, self._looked = 0.0, -math.inf

    def fits(self, n_bytes: int) -> bool:
        """Return whether an array fits; where it seems not to, that is looked at anew."""
        if time.monotonic() > self._looked + LOOK_SECONDS or n_bytes > self._most:
            left = memory_left()
            self._left, self._looked = math.inf if left is None else left, time.monotonic()
        found = n_bytes <= self._most
        self._left -= n_bytes if found else 0
        return found

    @property
    def _most(self) -> float:
        return max(self._left - RESERVE, self._left / SHARE)


_memory = _Memory()


def host_array(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Return a long array as one of NumPy's: where it is in a file, that is mapped whole."""
    array = long_array(shape, dtype)
    return array[:] if isinstance(array, FileArray) else array


class FileArray:
    """An array (n_rows, …) in a temporary file, of which rows are arrays of NumPy's.

    ``array[block]`` and ``array[block, :]`` are over the file: what is written to them stays.
    ``array[index]`` is a copy of the rows that an array of whole numbers names.
    """

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self.shape, self.dtype, self.ndim = shape, np.dtype(dtype), len(shape)
        self._row_bytes = math.prod(shape[1:]) * self.dtype.itemsize
        self._file = _temporary(shape[0] * self._row_bytes, shape)
        weakref.finalize(self, self._file.close)  # which is then on purpose, and warns of nothing

    def __getitem__(self, key: Any) -> Array:
        rows, *others = key if isinstance(key, tuple) else (key,)
        if not isinstance(rows, slice):
            return self._rows(np.asarray(rows))
        start, stop, step = rows.indices(self.shape[0])
        n, first = max(0, stop - start), start * self._row_bytes
        before = first % mmap.ALLOCATIONGRANULARITY
        n_bytes = max(1, before + n * self._row_bytes)
        try:
            window = mmap.mmap(self._file.fileno(), n_bytes, offset=first - before)
        except OSError as error:
            raise MemoryError(f"{n_bytes:,} bytes of a file cannot be mapped: {error}") from error
        numbers = n * self._row_bytes // self.dtype.itemsize
        block = np.frombuffer(window, self.dtype, numbers, before).reshape(n, *self.shape[1:])
        return block[(slice(None, None, step), *others)]

    def _rows(self, index: Array) -> Array:
        found = np.empty((len(index), *self.shape[1:]), self.dtype)
        order = np.argsort(index, kind="stable")
        length = max(1, LONG // self._row_bytes)
        for start in range(0, self.shape[0], length):
            first, last = np.searchsorted(index, (start, start + length), sorter=order)
            some = order[first:last]
            if len(some):
                found[some] = self[start : start + length][index[some] - start]
        return found


def _temporary(n_bytes: int, shape: tuple[int, ...]) -> IO[bytes]:
    """Return an unlinked file of so many bytes, for which the disk has room."""
    folder, file = "the temporary folder", None
    try:
        folder = tempfile.gettempdir()
        file = tempfile.TemporaryFile(prefix="gpulr-")  # noqa: SIM115 (the array closes it)
        if hasattr(os, "posix_fallocate"):  # a map of a file with holes would end in SIGBUS
            os.posix_fallocate(file.fileno(), 0, n_bytes)
        else:
            zeros = bytes(2**20)
            for start in range(0, n_bytes, len(zeros)):
                file.write(zeros[: n_bytes - start])
            file.flush()
    except OSError as error:
        if file is not None:
            file.close()
        raise DeviceMemoryError(
            f"Margins of {shape[-2]:,} rows and {shape[-1]:,} models take {in_words(n_bytes)}. The "
            f"host has no memory for them, nor {folder} room: {error.strerror or error}. Set "
            "TMPDIR to a folder on a disk that has, train fewer models at once (batched=False; "
            "memory= of a search), or end what else takes memory.",
            n_bytes,
        ) from error
    return file
