"""What is checked of every file: that it is one, and that memory suffices for what it claims.

A damaged file gives one DataFileError, and never takes more memory than its size justifies.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

import numpy.typing as npt

from gpulr.errors import DataFileError, GpulrError, GpulrWarning

# Arrays up to so many bytes are read whatever their compression ratio. As int64, labels of one byte
# take eight times as much. Text takes seconds to parse, and as numbers twice as much or more.
ALWAYS_FINE = 64 * 1024**2
TEXT_ALWAYS_FINE = 16 * 1024**2

# Uncompressed / stored size from which larger data is refused as a decompression bomb. MNIST's
# pixels compress about 5 times (as uint8) to 40 times (as float64).
MAX_RATIO = 200

MEMORY_SHARE = 0.5  # of the physical memory, that one array of a file may take
UNKNOWN_MEMORY = 8 * 1024**3  # bytes; assumed where the system does not tell
CHUNK = 1024**2  # bytes read at a time, so that memory grows with the data and not with a claim
HASHED_UP_TO = 2 * 1024**3  # bytes; hashing more, only for an error message, would take too long

Stream = IO[bytes] | io.BufferedIOBase
Parts = tuple[npt.NDArray[Any], ...]
"""X (n_samples, ...) and y of a file, perhaps X_test and y_test: what a reader returns."""


class UnusableError(Exception):
    """What was found wrong in a file, and what to do about it, by a parser that knows no path."""


@contextmanager
def checked(path: Path, expected: str) -> Iterator[int]:
    """Give the size, in bytes, of a file to read, and turn every error within into a DataFileError.

    The file has to be there, regular, readable and not empty. `expected` says what it should be:
    "a NumPy .npz archive", … Parsers answer damaged bytes with a dozen exception types (zlib.error,
    EOFError, BadZipFile, struct.error, KeyError, MemoryError, …), and the list changes with their
    versions; so this catches ``Exception``, and names the file's size and sha256. gpulr's own
    errors, and warnings made errors, pass unchanged.
    """
    size = _size(path, expected)
    try:
        yield size
    except UnusableError as fault:
        raise DataFileError(path, *fault.args) from fault.__cause__
    except (GpulrError, GpulrWarning):
        raise
    except Exception as error:
        cause = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise DataFileError(
            path,
            f"cannot be read as {expected} ({_size_and_hash(path)}); the cause was {cause}",
            "The file is damaged or of another kind: compare size and sha256 with its source, "
            "and get it again.",
        ) from error


def _size(path: Path, expected: str) -> int:
    try:
        if path.is_dir():
            found, remedy = "is a folder", f"Give the path of {expected} in it."
        elif (size := path.stat().st_size) and path.is_file():
            with path.open("rb"):
                return size
        elif path.is_file():
            found, remedy = f"is empty (0 bytes); expected {expected}", "Get the file again."
        else:
            found, remedy = "is not a regular file", f"Give the path of {expected}."
    except FileNotFoundError as error:
        raise DataFileError(path, "does not exist", "Check the path.") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        reason = getattr(error, "strerror", None) or error
        remedy = "Check the path and its permissions."
        raise DataFileError(path, f"cannot be opened ({reason})", remedy) from error
    raise DataFileError(path, found, remedy)


def _size_and_hash(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > HASHED_UP_TO:
            return f"{size:,} bytes"
        with path.open("rb") as stream:
            return f"{size:,} bytes, sha256 {hashlib.file_digest(stream, 'sha256').hexdigest()}"
    except OSError as error:
        return f"not readable: {error.strerror or error}"


def check_expansion(
    stored: int, claimed: int, what: str = "its data", fine: int | None = None
) -> None:
    """Refuse data too large to be true or to be held.

    `what` takes `stored` bytes in the file and, or so it says, `claimed` bytes in memory. Above
    `fine` bytes (default `ALWAYS_FINE`) that is refused if it is 200 times as much or more, or over
    half of the memory.
    """
    if claimed <= (ALWAYS_FINE if fine is None else fine):
        return
    if claimed >= MAX_RATIO * stored:
        raise UnusableError(
            f"{what} would expand from {stored:,} bytes to {claimed:,} or more, "
            f"over {MAX_RATIO} times; such a file is damaged or a decompression bomb",
            "Get the file again, or save it uncompressed if it is right.",
        )
    memory = physical_memory() or UNKNOWN_MEMORY
    if claimed > MEMORY_SHARE * memory:
        raise UnusableError(
            f"{what} needs {claimed:,} bytes or more, over half of this machine's "
            f"{memory:,} bytes of memory",
            "Save it with a smaller dtype (uint8 for pixels, float32), or fewer samples.",
        )


def physical_memory() -> int | None:
    """Physical memory of this machine, in bytes, where the system tells (Windows does not)."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


@contextmanager
def decompressed(path: Path) -> Iterator[tuple[Stream, bool]]:
    """Open a file and tell whether it is gzipped by its content: browsers unpack, keeping names."""
    with path.open("rb") as raw:
        is_gzipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        with gzip.GzipFile(fileobj=raw) if is_gzipped else nullcontext(raw) as stream:
            yield stream, is_gzipped


class BoundedFile(io.BufferedReader):
    """A file of which no more is read than there is: Python makes room for what it is asked for."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """Return so many bytes, or as many as there are left."""
        if size is not None and size >= 0:
            size = max(0, min(size, self._size - self.tell()))
        return super().read(size)


def read_exactly(stream: Stream, size: int) -> bytearray:
    """Read `size` bytes, or as many as there are, allocating only as they arrive."""
    content = bytearray()
    while chunk := stream.read(min(CHUNK, size - len(content))):
        content += chunk
    return content


def read_capped(stream: Stream, stored: int, fine: int | None = None) -> bytes:
    """Read a stream of unknown length to its end, under the caps of `check_expansion`."""
    content = io.BytesIO()  # whose value is no copy
    while chunk := stream.read(CHUNK):
        content.write(chunk)
        check_expansion(stored, content.tell(), fine=fine)
    return content.getvalue()


def names_of_parts(
    choices: Sequence[Sequence[str]], listed: Collection[str], what: str, remedy: str
) -> list[str]:
    """Return the names of X and y, and of X_test and y_test if they are there, by the first choice.

    `listed` are the names of `what` a file holds; `remedy` tells how to save it otherwise.
    """
    names = next((names for names in choices if {*names[:2]} <= {*listed}), None)
    if names is None:
        expected = ", or ".join(f"{X} and {y}" for X, y, *_ in choices)
        found = f"holds the {what} {', '.join(listed) or 'none'}"
        raise UnusableError(f"{found}; expected {expected}", remedy)
    test = [name for name in names[2:] if name in listed]
    if len(test) == 1:
        raise UnusableError(
            f"holds half of a test part: {test[0]} alone",
            "Save both arrays of the test part, or neither.",
        )
    return [*names[:2], *test]


def square_side(n_features: int) -> int | None:
    """Return the side of a square image of so many pixels; None if it is none of 4×4 or more."""
    side = math.isqrt(n_features)
    return side if side >= 4 and side * side == n_features else None
