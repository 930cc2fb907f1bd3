"""Caps on what a file may claim or expand to, checked before memory is allocated for it."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Protocol

from gpulr.errors import DataFileError

__all__ = [
    "TEXT_ALWAYS_FINE",
    "check_expansion",
    "physical_memory",
    "read_capped",
    "read_exactly",
]

ALWAYS_FINE = 64 * 1024**2
"""bytes; arrays up to this size are read whatever their compression ratio. As int64, labels of one
byte take eight times as much."""

TEXT_ALWAYS_FINE = 16 * 1024**2
"""bytes; so is text, which takes seconds to parse, and as numbers twice as much memory or more."""

MAX_RATIO = 200
"""uncompressed / stored size from which larger data is refused as a decompression bomb.

MNIST's pixels compress about 5 times (as uint8) to 40 times (as float64)."""

MEMORY_SHARE = 0.5
"""Share of the physical memory that one array of a file may take."""

UNKNOWN_MEMORY = 8 * 1024**3
"""bytes; assumed where the system does not tell its memory (Windows)."""

CHUNK = 1024**2
"""bytes read at a time, so that memory grows with the data and not with a claim."""


class Readable(Protocol):
    """What has ``read(size) -> bytes``."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end."""


def physical_memory() -> int:
    """Physical memory of this machine, in bytes."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return UNKNOWN_MEMORY


def check_expansion(
    path: Path, stored: int, claimed: int, what: str = "its data", fine: int | None = None
) -> None:
    """Refuse data too large to be true or to be held.

    Parameters
    ----------
    path : Path
        The file, for the message.
    stored : int
        Bytes that the data takes in the file.
    claimed : int
        Bytes that it takes, or says it takes, in memory.
    what : str
        The part of the file, for the message.
    fine : int, optional
        bytes that are read whatever their compression ratio; default `ALWAYS_FINE`.

    Raises
    ------
    DataFileError
        Above `fine`, if `claimed` is 200 times `stored` or more, or over half of the memory.
    """
    if claimed <= (ALWAYS_FINE if fine is None else fine):
        return
    if claimed >= MAX_RATIO * stored:
        raise DataFileError(
            path,
            f"{what} would expand from {stored:,} bytes to {claimed:,} or more, "
            f"over {MAX_RATIO} times; such a file is damaged or a decompression bomb",
            "Get the file again, or save it uncompressed if it is right.",
        )
    if claimed > MEMORY_SHARE * physical_memory():
        raise DataFileError(
            path,
            f"{what} needs {claimed:,} bytes or more, over half of this machine's "
            f"{physical_memory():,} bytes of memory",
            "Save it with a smaller dtype (uint8 for pixels, float32), or fewer samples.",
        )


def read_exactly(stream: Readable, size: int) -> bytearray:
    """Read `size` bytes, or as many as there are, allocating only as they arrive."""
    content = bytearray()
    while len(content) < size:
        chunk = stream.read(min(CHUNK, size - len(content)))
        if not chunk:
            break
        content += chunk
    return content


def read_capped(stream: Readable, path: Path, stored: int, fine: int | None = None) -> bytes:
    """Read a stream of unknown length to its end, under the caps of `check_expansion`."""
    content = io.BytesIO()  # whose value is no copy
    while chunk := stream.read(CHUNK):
        content.write(chunk)
        check_expansion(path, stored, content.tell(), fine=fine)
    return content.getvalue()
