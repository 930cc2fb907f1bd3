"""Turns whatever a damaged file sets off into one DataFileError."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpulr.errors import DataFileError, GpulrError, GpulrWarning

__all__ = ["check_file", "describe_file", "reading"]

HASHED_UP_TO = 2 * 1024**3
"""bytes; hashing more than this only to write an error message would take too long."""


def describe_file(path: Path) -> str:
    """Size and sha256 of a file, for an error message; whatever of it can be had."""
    try:
        size = path.stat().st_size
        if not path.is_file() or size > HASHED_UP_TO:
            return f"{size:,} bytes"
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        return f"not readable: {error.strerror or error}"
    return f"{size:,} bytes, sha256 {digest}"


def check_file(path: Path, expected: str) -> int:
    """Size of a regular, readable, non-empty file.

    Parameters
    ----------
    path : Path
        The file.
    expected : str
        What it should be, for the message: "a NumPy .npz archive", …

    Returns
    -------
    int
        Its size in bytes, at least 1.

    Raises
    ------
    DataFileError
        If it is missing, a folder, a device, empty, or not readable.
    """
    try:
        if path.is_dir():
            raise DataFileError(path, "is a folder", f"Give the path of {expected} in it.")
        size = path.stat().st_size
        if not path.is_file():
            raise DataFileError(path, "is not a regular file", f"Give the path of {expected}.")
        if size == 0:
            raise DataFileError(
                path, f"is empty (0 bytes); expected {expected}", "Get the file again."
            )
        with path.open("rb"):
            pass
    except DataFileError:
        raise
    except FileNotFoundError as error:
        raise DataFileError(path, "does not exist", "Check the path.") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise DataFileError(
            path, f"cannot be opened ({reason})", "Check the path and its permissions."
        ) from error
    return size


@contextmanager
def reading(path: Path, expected: str) -> Iterator[None]:
    """Raise DataFileError for any error within, naming size, sha256 and cause.

    Parsers answer damaged bytes with a dozen exception types (zlib.error, EOFError, BadZipFile,
    struct.error, KeyError, MemoryError, …), and the list changes with their versions; so this
    catches ``Exception``. gpulr's own errors, and warnings made errors, pass unchanged.

    Parameters
    ----------
    path : Path
        The file being read.
    expected : str
        What it should be: "a NumPy .npz archive", …
    """
    try:
        yield
    except (GpulrError, GpulrWarning):
        raise
    except Exception as error:
        cause = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise DataFileError(
            path,
            f"cannot be read as {expected} ({describe_file(path)}); the cause was {cause}",
            "The file is damaged or of another kind: compare size and sha256 with its source, "
            "and get it again.",
        ) from error
