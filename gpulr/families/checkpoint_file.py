"""Checkpoint files: safetensors with JSON metadata and a sha256, the last two of them.

PATH holds the newest one, PATH.previous the one before it. A new one is written beside them, synced
and moved there, so that whatever ends the process, and if it is the power, one is whole.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import FileArray
from gpulr.errors import CheckpointError, CheckpointWarning, warn
from gpulr.output_files import replaced
from gpulr.words import first_line

FORMAT = "gpulr-checkpoint"
VERSION = "1"
PREVIOUS = ".previous"
BLOCK = 2**24  # bytes that are read, or written, at once
MARK = 256  # that hold the format and the digest
_DTYPES = {
    np.dtype(kind): name
    for kind, name in {
        **{"?": "BOOL", "u1": "U8", "i1": "I8", "<f2": "F16", "<f4": "F32", "<f8": "F64"},
        **{f"<{kind}{size}": f"{kind.upper()}{8 * size}" for kind in "iu" for size in (2, 4, 8)},
    }.items()
}

CURE = "Delete it to begin anew, or choose another path."


@dataclass(frozen=True)
class Stored:
    """A checkpoint in a file, whose arrays are read when they are asked for.

    Attributes
    ----------
    path : Path
        Where it is: PATH, or PATH.previous.
    fingerprint : dict
        What the run is of: names, and values as text.
    about : dict
        How far it has come, in words and numbers.
    tree : what JSON holds of the run; see :mod:`gpulr.families.checkpoint_tree`
    arrays : by name
    """

    path: Path
    fingerprint: dict[str, str]
    about: dict[str, Any]
    tree: Any
    arrays: Mapping[str, Any]


def previous_of(path: Path) -> Path:
    """Return where the checkpoint before the one at ``path`` is."""
    return path.with_name(path.name + PREVIOUS)


def write(
    path: Path,
    arrays: Mapping[str, npt.NDArray[Any] | FileArray],
    *,
    fingerprint: Mapping[str, str],
    about: Mapping[str, Any],
    tree: Any,
    keep: bool = True,
) -> None:
    """Write a checkpoint; the one that is there becomes PATH.previous, unless ``keep`` is False.

    Raises OSError where it cannot be written: what was there before is untouched.
    """
    texts = {"fingerprint": fingerprint, "about": about, "tree": tree}
    texts = {name: json.dumps(each, allow_nan=False) for name, each in texts.items()}
    metadata = {"format": FORMAT, "format_version": VERSION}  # the name comes first, and by its
    digest = _digest(metadata | texts, arrays)  # digest a file is known by its first bytes
    metadata |= {"sha256": digest, **texts}
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, array in arrays.items():
        start, end = end, end + math.prod(array.shape) * array.dtype.itemsize
        dtype, shape = _DTYPES[array.dtype.newbyteorder("<")], list(array.shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    previous = previous_of(path) if keep else None
    with replaced(path, previous) as temporary, temporary.open("wb") as file:
        file.write(len(head).to_bytes(8, "little"))
        file.write(head)
        for array in arrays.values():
            for block in _blocks(array):
                file.write(block)


def _blocks(array: Any) -> Iterator[memoryview]:
    """Yield the bytes of an array."""
    shape = array.shape
    if not shape or 0 in shape:
        yield memoryview(array[...].tobytes())
        return
    length = max(1, BLOCK // (array.dtype.itemsize * math.prod(shape[1:])))
    for start in range(0, shape[0], length):
        block = np.ascontiguousarray(array[start : min(start + length, shape[0])])
        block = block.astype(block.dtype.newbyteorder("<"), copy=False)
        yield block.reshape(-1).view(np.uint8).data


def _digest(metadata: Mapping[str, str], arrays: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in ("format", "format_version", "fingerprint", "about", "tree"):
        digest.update(metadata.get(name, "").encode() + b"\0")
    for name in sorted(arrays):
        array = arrays[name]
        dtype, shape = np.dtype(array.dtype).newbyteorder("<").str, tuple(map(int, array.shape))
        digest.update(f"\0{name} {dtype} {shape}\0".encode())
        for block in _blocks(array):
            digest.update(block)
    return digest.hexdigest()


def mark_of(path: Path) -> bytes | None:
    """Return what tells a checkpoint in a file from any other: its first bytes; None without one.

    Raises OSError where it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(MARK)
    except FileNotFoundError:
        return None


class _Damaged(Exception):  # noqa: N818
    """Says what is wrong with a file that looks like a checkpoint."""


def read(path: Path) -> tuple[Stored | None, bool]:
    """Return the newest whole checkpoint of a path, and whether what is at the path is damaged.

    None: there is none, and nothing else either. Warns of one that is damaged, where the one before
    it serves, with a :class:`CheckpointWarning`.

    Raises
    ------
    CheckpointError
        What is there is no checkpoint, is one of another version, or none there is whole.
    """
    previous = previous_of(path)
    here = [each for each in (path, previous) if os.path.lexists(each)]
    for each in here:
        if not _looks_like_one(each):
            raise CheckpointError(
                each,
                "it is there, and is no checkpoint of gpulr's: it is not overwritten",
                "Choose another path, or move it away.",
            )
    faults = []
    for each in here:
        try:
            found = _read(each)
        except _Damaged as error:
            faults.append((each, str(error)))
            continue
        if faults:
            warn(
                f"{path}: it is damaged ({faults[0][1]}). The checkpoint before it, {previous}, "
                "serves instead.",
                CheckpointWarning,
            )
        return found, bool(faults)
    if path in here:
        also = f", as is {previous}" if len(faults) > 1 else ""
        raise CheckpointError(
            faults[0][0], f"the checkpoint is damaged ({faults[0][1]}){also}", CURE
        )
    return None, False


def read_one(path: Path) -> Stored:
    """Return the checkpoint in a file; raises CheckpointError where it is none, or not whole."""
    if not os.path.lexists(path):
        raise CheckpointError(path, "there is no such file", "Pass the path of a checkpoint.")
    if not _looks_like_one(path):
        raise CheckpointError(path, "it is no checkpoint of gpulr's", "Pass the path of one.")
    try:
        return _read(path)
    except _Damaged as error:
        cure = f"{previous_of(path)} may be whole." if not path.name.endswith(PREVIOUS) else CURE
        raise CheckpointError(path, f"the checkpoint is damaged ({error})", cure) from error


def _looks_like_one(path: Path) -> bool:
    """Whether a file is a checkpoint, whole or damaged, by its first bytes; an empty one may be."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            first = file.read(4096)
    except OSError as error:
        raise CheckpointError(
            path, f"it cannot be read ({error.strerror or error})", CURE
        ) from error
    return not first.strip(b"\0") or FORMAT.encode() in first


def _read(path: Path) -> Stored:
    """Return the checkpoint in a file; raises _Damaged, or CheckpointError of another version."""
    from safetensors import safe_open

    try:
        file: Any = safe_open(path, framework="numpy")  # closed with what reads its arrays
        metadata = file.metadata() or {}
        arrays = {name: _Lazy(file, name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # not only SafetensorError: OSError, TypeError, UnicodeDecodeError…
        raise _Damaged(first_line(error)) from error
    version = metadata.get("format_version")
    if metadata.get("format") == FORMAT and version is not None and version != VERSION:
        raise CheckpointError(
            path, f"it is of version {version} of the format, and this gpulr reads {VERSION}", CURE
        )
    try:
        whole = metadata.get("sha256") == _digest(metadata, arrays)
    except Exception as error:  # of a library's
        raise _Damaged(first_line(error)) from error
    if not whole:
        raise _Damaged("its content does not match its sha256")
    try:
        texts = {name: json.loads(metadata[name]) for name in ("fingerprint", "about", "tree")}
    except (ValueError, KeyError, RecursionError) as error:
        raise _Damaged(first_line(error)) from error
    fingerprint, about = texts["fingerprint"], texts["about"]
    known = isinstance(fingerprint, dict) and isinstance(about, dict)
    if not known or not all(isinstance(value, str) for value in fingerprint.values()):
        raise _Damaged("it lacks what it is of")
    return Stored(path, fingerprint, about, texts["tree"], arrays)


class _Lazy:
    """An array in a file, of which slices of rows are read."""

    def __init__(self, file: Any, name: str) -> None:
        self._file, self._name = file, name
        part = file.get_slice(name)
        self.shape = tuple(part.get_shape())
        self.ndim = len(self.shape)
        self.dtype = next(kind for kind, each in _DTYPES.items() if each == part.get_dtype())

    def __getitem__(self, rows: Any) -> npt.NDArray[Any]:
        if rows in (Ellipsis, slice(None)):
            whole: npt.NDArray[Any] = self._file.get_tensor(self._name)
            return whole
        part: npt.NDArray[Any] = self._file.get_slice(self._name)[rows]
        return part
