"""Checks what the HDF5 library (up to 2.0) trusts in a file, and reads for ever where it is wrong.

Text of any length lies in global heaps, collections of objects one behind the other. The library
steps from one to the next by the size that each claims, and stays where a size is 0.
"HDF5 File Format Specification", III.E, The HDF Group.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

BEGIN = b"GCOL\1\0\0\0"  # of a collection; its size follows, 8 bytes, in which it counts
HEADER, OBJECT = 16, struct.Struct("<HHIQ")  # of an object: number, references, 0, size
MOST = 2**30  # bytes; larger files are not searched, which would take as long as to read them
MAGIC = b"\x89HDF\r\n\x1a\n"


def check_heaps(path: Path, size: int) -> None:
    """Raise ValueError where a heap of a file of ``size`` bytes does not add up."""
    if size > MOST:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as bytes_:
        if not _has_long_sizes(bytes_[:16]):
            return
        at = bytes_.find(BEGIN)
        while at >= 0:
            _check_heap(bytes_, at)
            at = bytes_.find(BEGIN, at + 1)


def _has_long_sizes(superblock: bytes) -> bool:
    """Whether sizes have 8 bytes, as all but a few files have them."""
    place = 14 if superblock[8:9] in (b"\0", b"\1") else 10
    return superblock[:8] == MAGIC and superblock[place : place + 1] == b"\x08"


def _check_heap(content: mmap.mmap, start: int) -> None:
    """Step through a collection as the library does."""
    end = min(start + int.from_bytes(content[start + 8 : start + HEADER], "little"), len(content))
    at = start + HEADER
    while at + OBJECT.size <= end:
        number, _, _, n = OBJECT.unpack_from(content, at)
        taken = OBJECT.size + n + -n % 8 if number else n  # 0 is what is free, with its header
        if not OBJECT.size <= taken <= end - at:
            raise ValueError(f"a heap's object at byte {at:,} claims {n:,} bytes")
        at += taken
