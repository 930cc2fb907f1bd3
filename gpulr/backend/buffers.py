"""Memory that a thread uses again and again: fresh pages take as long as the arithmetic on them."""

from __future__ import annotations

import ctypes
import threading
from typing import Any, cast

import numpy as np
import numpy.typing as npt

LINE = 64  # bytes of a cache line, and of the widest vector
SUB_BLOCK_BYTES = 192 * 1024  # of rows: this sub-block and the next one fit in 1 MiB of cache

_kept = threading.local()


def aligned(size: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return an array (size,) that begins with a cache line, of whatever its memory holds."""
    dtype = np.dtype(dtype)
    memory = np.empty(size * dtype.itemsize + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + size * dtype.itemsize].view(dtype)


def address(array: npt.NDArray[Any]) -> int:
    """Return where an array's numbers begin, for compiled functions.

    ``array.ctypes.data`` makes two objects first, and takes five times as long: as all else that a
    call on some hundred rows does.
    """
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(cast(Any, array)))
    except (TypeError, ValueError, BufferError):  # read-only, empty, not contiguous, …
        return int(array.ctypes.data)


def ones(size: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return ones (size,), which are this thread's for as long as nobody writes to them."""
    key = f"all ones {np.dtype(dtype).str}"
    array: npt.NDArray[Any] | None = getattr(_kept, key, None)
    if array is None or array.size < size:
        array = aligned(size, dtype)
        array[:] = 1.0
        setattr(_kept, key, array)
    return array[:size]


def buffer(name: str, size: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return this thread's array (size,) of that name and dtype: valid until it asks again."""
    key = f"{name} {np.dtype(dtype).str}"
    array: npt.NDArray[Any] | None = getattr(_kept, key, None)
    if array is None or array.size < size:
        array = aligned(size, dtype)
        setattr(_kept, key, array)
    return array[:size]
