"""Headers of .npy files, of which no length is believed before it is compared with the file."""

from __future__ import annotations

from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format

LONGEST = 10_000  # bytes; NumPy parses no longer header, but reads it before it says so


def read_header(stream: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return the shape of an array, whether it is stored by columns, and its dtype.

    ``stream`` stands at the beginning of ``size`` bytes, and is left where the values begin.

    Raises ValueError for what is no header, or one that is longer than it may be.
    """
    is_first = npy_format.read_magic(stream) == (1, 0)
    width = 2 if is_first else 4  # of the header's length
    start = stream.tell()
    length = int.from_bytes(stream.read(width), "little")
    if length > min(LONGEST, size - start - width):
        raise ValueError(f"its header claims {length:,} bytes, and all of it has {size:,}")
    stream.seek(start)
    read = npy_format.read_array_header_1_0 if is_first else npy_format.read_array_header_2_0
    shape, by_columns, dtype = read(stream)
    if min(shape, default=0) < 0:
        raise ValueError(f"its header claims the shape {shape}")
    return shape, by_columns, dtype
