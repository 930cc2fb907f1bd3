"""MATLAB .mat files up to version 7, and a zip archive that holds one.

SciPy reads them. Its parser (1.17) ends the process (segmentation fault) on an unknown value type
in an array of version 5, takes the memory that a tag claims, and ignores zlib's checksum; so the
elements of such a file are checked before.

The format: a header of 128 bytes, then elements: a tag of type and size, then the content. A
matrix element, perhaps compressed, consists of flags, dimensions, name and values, again elements.
"MATLAB MAT-File Format", The MathWorks, chapter 1.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.datasets.readers.checks import (
    CHUNK,
    Parts,
    UnusableError,
    check_expansion,
    checked,
    names_of_parts,
    read_capped,
)

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
NAMES = (("data", "label", "X_test", "y_test"), ("X", "y", "X_test", "y_test"))
INTEGERS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
NUMERIC = INTEGERS | {"double", "single", "logical"}

MI_MATRIX, MI_COMPRESSED = 14, 15
# Bytes for each value of the numeric types miINT8, miUINT8, … miUINT64.
MI_SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}
# mxDOUBLE_CLASS to mxUINT64_CLASS; the others' content is skipped, never parsed, though their
# dimensions and name are, but for those of mxOPAQUE_CLASS.
NUMERIC_CLASSES, OPAQUE_CLASS = range(6, 16), 17
COMPLEX_FLAG = 0x0800
# SciPy takes the other types, miUINT32 and miUTF8, of writers that err.
FLAGS_TYPE, DIMENSIONS_TYPES, NAME_TYPES = 6, (5, 6), (1, 16)
MAX_DIMENSIONS = 32

HEAD = 64 * 1024  # bytes of a matrix that are kept for its tags, dimensions and name
INPUT_CHUNK = 64 * 1024  # bytes: zlib copies what it has not consumed on every call


def read_mat(path: Path) -> Parts:
    """Read the variables ``data`` and ``label``, or ``X`` and ``y`` (``X_test``, ``y_test``).

    The path is that of a file of version 4, 6 or 7, or of a .zip archive holding exactly one. The
    axis of `data` or `X` whose length is the number of labels is that of the samples. Where more
    than one fits, `data` is features × samples, as in mnist-original.mat, and `X` is samples ×
    features. More than two axes are images.
    """
    with checked(path, "a MATLAB .mat file") as stored:
        if path.suffix.lower() == ".zip":
            content = _unzip(path, stored)
        else:
            check_expansion(stored, stored)
            content = path.read_bytes()
        if HDF5_MAGIC in (content[:8], content[512:520]):
            raise UnusableError(
                "is a MATLAB v7.3 (HDF5) file",
                "Save it in MATLAB with save(file, '-v7'), or as .npz.",
            )
        names, arrays = _load(content)
        for i in range(0, len(names), 2):
            arrays[i] = _samples_first(arrays[i], arrays[i + 1].size, names[i])
        return tuple(arrays)


def _unzip(path: Path, stored: int) -> bytes:
    """Content of the one .mat file in a zip archive; zipfile checks its CRC."""
    with zipfile.ZipFile(path) as archive:
        members = [
            info
            for info in archive.infolist()
            if info.filename.lower().endswith(".mat") and not info.filename.startswith("__MACOSX/")
        ]
        if len(members) != 1:
            raise UnusableError(
                f"holds {len(members)} .mat files; expected exactly one",
                "Unpack the archive and give the path of the file you mean.",
            )
        check_expansion(min(members[0].compress_size, stored), members[0].file_size)
        with archive.open(members[0]) as stream:
            return read_capped(stream, stored)


def _load(content: bytes) -> tuple[list[str], list[npt.NDArray[Any]]]:
    """Names and arrays of the two or four variables wanted, in the order X, y, X_test, y_test."""
    from scipy.io import loadmat, whosmat

    # As SciPy tells version 4, which has no header; its parser checks sizes by itself.
    complex_names = set() if 0 in content[:4] else _complex_variables(content)
    variables = whosmat(io.BytesIO(content))
    listed = {name: (tuple(shape), kind) for name, shape, kind in variables}
    if len(listed) < len(variables):
        raise ValueError("two variables have the same name")
    remedy = "Save it in MATLAB with save(file, 'X', 'y', '-v7')."
    wanted = names_of_parts(NAMES, listed, "variables", remedy)

    def check(name: str, *, is_complex: bool) -> None:
        shape, kind = listed[name]
        if kind not in NUMERIC or 0 in shape or is_complex:
            remedy = (
                f"Save real numbers, for example real({name})."
                if is_complex
                else f"Convert it in MATLAB, for example with full({name}), double({name}) or "
                f"grp2idx({name}), and save it again."
            )
            raise UnusableError(
                f"variable {name} is {'×'.join(map(str, shape))} of class "
                f"{'complex ' * is_complex}{kind}; expected a full array of real numbers",
                remedy,
            )

    for name in wanted:
        check(name, is_complex=name in complex_names)
    loaded = loadmat(io.BytesIO(content), variable_names=wanted)
    for name in wanted:
        check(name, is_complex=np.iscomplexobj(loaded[name]))  # of version 4
        if loaded[name].shape != listed[name][0] or loaded[name].dtype.kind not in "biuf":
            raise ValueError(f"variable {name} is listed as {listed[name]}, but loads otherwise")
    return wanted, [loaded[name] for name in wanted]


def _samples_first(X: npt.NDArray[Any], n_samples: int, name: str) -> npt.NDArray[Any]:
    """Bring the axis with as many entries as there are labels to the front."""
    first, last = X.shape[0] == n_samples, X.shape[-1] == n_samples
    if not first and not last:
        raise UnusableError(
            f"variable {name} is {'×'.join(map(str, X.shape))}, but there are {n_samples} labels",
            f"Save {name} with one row or one column for each label.",
        )
    return np.moveaxis(X, -1, 0) if last and (not first or name == "data") else X


def _complex_variables(content: bytes) -> set[str]:
    """Check each element of a version 5 file, and name the variables of complex numbers."""
    if content[124:128] not in (b"\x00\x01IM", b"\x01\x00MI"):
        raise ValueError(f"the header ends with {content[124:128]!r}, no known version")
    order = "<" if content[126:128] == b"IM" else ">"
    names: set[str] = set()
    position = 128
    while position < len(content):
        kind, size = struct.unpack_from(order + "2I", content, position)
        position += 8
        if size > len(content) - position:
            follow = len(content) - position
            raise EOFError(f"an element claims {size:,} bytes where {follow:,} follow")
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
    position = 0

    def content(*expected: int) -> bytes:
        nonlocal position
        kind, size, start, position = _tag(head, position, order)
        if kind not in expected or start + size > len(head):
            raise ValueError(f"a variable's element has type {kind} and {size:,} bytes")
        return head[start : start + size]

    word, _ = struct.unpack(order + "2I", content(FLAGS_TYPE))
    if word & 0xFF == OPAQUE_CLASS:
        return set()
    dimensions = content(*DIMENSIONS_TYPES)
    n_dimensions = len(dimensions) // 4
    if not 2 <= n_dimensions <= MAX_DIMENSIONS:
        raise ValueError(f"a variable has {n_dimensions} dimensions")
    shape = struct.unpack(f"{order}{n_dimensions}i", dimensions)
    if min(shape) < 0:
        raise ValueError(f"a variable has the shape {shape}")
    name = content(*NAME_TYPES).decode("latin-1")
    if (word & 0xFF) not in NUMERIC_CLASSES:
        return set()
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


def _tag(head: bytes, position: int, order: str) -> tuple[int, int, int, int]:
    """Type, size, start and padded end of an element; small ones lie in their tag."""
    (first,) = struct.unpack_from(order + "I", head, position)
    if first >> 16:
        return first & 0xFFFF, first >> 16, position + 4, position + 8
    kind, size = struct.unpack_from(order + "2I", head, position)
    return kind, size, position + 8, position + 8 + size + -size % 8
