"""Memory that a thread uses again and again: fresh pages take as long as the arithmetic on them."""

from __future__ import annotations

import threading
from typing import Any

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


def buffer(name: str, size: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return this thread's array (size,) of that name and dtype: valid until it asks again."""
    key = f"{name} {np.dtype(dtype).str}"
    array: npt.NDArray[Any] | None = getattr(_kept, key, None)
    if array is None or array.size < size:
        array = aligned(size, dtype)
        setattr(_kept, key, array)
    return array[:size]
