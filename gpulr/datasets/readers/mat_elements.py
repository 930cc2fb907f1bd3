"""Checks the elements of a MATLAB version 5 file before SciPy's parser sees them.

SciPy 1.17 crashes the interpreter (segmentation fault) on an unknown value type in an array, takes
the memory that a tag claims, and ignores zlib's checksum.

The format: a header of 128 bytes, then elements: a tag of type and size, then the content. A
matrix element, perhaps compressed, consists of flags, dimensions, name and values, again elements.
"MATLAB MAT-File Format", The MathWorks, chapter 1.
"""

from __future__ import annotations

import math
import struct
import zlib

from gpulr.datasets.readers.checks import CHUNK, check_expansion

MI_MATRIX, MI_COMPRESSED = 14, 15
# Bytes for each value of the numeric types miINT8, miUINT8, … miUINT64.
MI_SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}
# mxDOUBLE_CLASS to mxUINT64_CLASS; the others' content is skipped, never parsed.
NUMERIC_CLASSES = range(6, 16)
COMPLEX_FLAG = 0x0800
FLAGS_TYPE, DIMENSIONS_TYPE, NAME_TYPE = 6, 5, 1
MAX_DIMENSIONS = 32

HEAD = 64 * 1024  # bytes of a matrix that are kept for its tags, dimensions and name
INPUT_CHUNK = 64 * 1024  # bytes: zlib copies what it has not consumed on every call


def complex_variables(content: bytes) -> set[str]:
    """Check each element of a version 5 file, and name the variables of complex numbers.

    A decompression bomb is an UnusableError; other damage a ValueError, EOFError,
    struct.error or zlib.error.
    """
    if content[124:128] not in (b"\x00\x01IM", b"\x01\x00MI"):
        raise ValueError(f"the header ends with {content[124:128]!r}, no known version")
    order = "<" if content[126:128] == b"IM" else ">"
    names: set[str] = set()
    position = 128
    while position < len(content):
        kind, size = struct.unpack_from(order + "2I", content, position)
        position += 8
        if size > len(content) - position:
            raise EOFError(
                f"an element claims {size:,} bytes where {len(content) - position:,} follow"
            )
        element = memoryview(content)[position : position + size]
        position += size
        if kind == MI_COMPRESSED:
            head, total = _inflated(element)
            kind, claimed = struct.unpack_from(order + "2I", head)
            if claimed != total - 8:
                raise ValueError(f"a variable claims {claimed:,} bytes and has {total - 8:,}")
            head, size = head[8:], total - 8
        else:
            head = bytes(element[:HEAD])
        if kind != MI_MATRIX:
            raise ValueError(f"an element has the unknown type {kind}")
        names |= _complex_name(head, size, order)
    return names


def _inflated(element: memoryview) -> tuple[bytes, int]:
    """Inflate to the end, to know size and checksum; keep the head alone."""
    inflater = zlib.decompressobj()
    head, total = b"", 0
    for start in range(0, len(element), INPUT_CHUNK):
        waiting: bytes | memoryview = element[start : start + INPUT_CHUNK]
        while chunk := inflater.decompress(waiting, CHUNK):
            if len(head) < HEAD:
                head = (head + chunk)[:HEAD]
            total += len(chunk)
            check_expansion(len(element), total, "a compressed variable")
            waiting = inflater.unconsumed_tail
    if not inflater.eof or inflater.unused_data:
        raise EOFError("a compressed element is truncated or followed by other bytes")
    return head, total


def _complex_name(head: bytes, size: int, order: str) -> set[str]:
    """Check a matrix of so many bytes by its first; return its name if its values are complex."""
    flags, position = _content(head, 0, order, FLAGS_TYPE)
    word, _ = struct.unpack(order + "2I", flags)
    if (word & 0xFF) not in NUMERIC_CLASSES:
        return set()
    dimensions, position = _content(head, position, order, DIMENSIONS_TYPE)
    n_dimensions = len(dimensions) // 4
    if not 2 <= n_dimensions <= MAX_DIMENSIONS:
        raise ValueError(f"a variable has {n_dimensions} dimensions")
    shape = struct.unpack(f"{order}{n_dimensions}i", dimensions)
    if min(shape) < 0:
        raise ValueError(f"a variable has the shape {shape}")
    encoded, position = _content(head, position, order, NAME_TYPE)
    name = encoded.decode("latin-1")
    kind, n_bytes, start, end = _tag(head, position, order)
    if kind not in MI_SIZES:
        raise ValueError(f"the values of variable {name} have the unknown type {kind}")
    if n_bytes != math.prod(shape) * MI_SIZES[kind]:
        raise ValueError(f"variable {name} has the shape {shape}, but {n_bytes:,} bytes of values")
    if word & COMPLEX_FLAG:
        return {name}
    if not start + n_bytes <= size <= end:
        raise EOFError(f"variable {name} is not as long as its tags claim")
    return set()


def _content(head: bytes, position: int, order: str, expected: int) -> tuple[bytes, int]:
    """Content and end of the element at a position, which lies in the head."""
    kind, size, start, end = _tag(head, position, order)
    if kind != expected or start + size > len(head):
        raise ValueError(f"a variable's element has type {kind} and {size:,} bytes")
    return head[start : start + size], end


def _tag(head: bytes, position: int, order: str) -> tuple[int, int, int, int]:
    """Type, size, start and padded end of an element; small ones lie in their tag."""
    (first,) = struct.unpack_from(order + "I", head, position)
    if first >> 16:
        return first & 0xFFFF, first >> 16, position + 4, position + 8
    kind, size = struct.unpack_from(order + "2I", head, position)
    return kind, size, position + 8, position + 8 + size + -size % 8
