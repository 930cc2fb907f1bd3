"""Files of parts: which they are, in what runs they are read, and what is raised of damaged ones.

Loaders of their parts are in the modules beside this: each is an object of few words, that can be
pickled, and is called by the thread that loads.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from gpulr.errors import DataFileError, GpulrError, ParameterError
from gpulr.words import first_line

Array = Any
Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

PARQUET, ZARR = "a Parquet file", "a Zarr array or group"
PART_BYTES = 32 * 2**20  # of rows that are read at once, of files that have no parts of their own


def runs(n: int, row_bytes: int, chunk: int = 1) -> list[tuple[int, int]]:
    """Cut rows into runs of whole chunks, of :data:`PART_BYTES` or a chunk."""
    step = chunk * max(1, PART_BYTES // max(1, row_bytes * chunk))
    return list(pairwise([*range(0, n, step), n]))


def files_of(paths: Paths, suffix: str) -> list[Path]:
    """Return the files of a kind in a folder and those below it, by name; or those that are named.

    Files and folders that begin with a dot or an underscore are left out: they are notes of what
    wrote the others.
    """
    if not isinstance(paths, str | os.PathLike):
        listed_paths = [Path(path).expanduser() for path in paths]
        if not listed_paths:
            raise ParameterError(f"No {suffix} files are named. Name some, or their folder.")
        return listed_paths
    path = Path(paths).expanduser()
    if not path.is_dir():
        return [path]
    found = [
        file
        for file in sorted(path.rglob(f"*{suffix}"))
        if not any(part[0] in "._" for part in file.relative_to(path).parts) and file.is_file()
    ]
    if not found:
        raise DataFileError(path, f"has no {suffix} files in it", "Name their folder.")
    return found


def first_of(paths: Paths) -> str:
    """Return the first path, for messages."""
    return os.fspath(paths if isinstance(paths, str | os.PathLike) else paths[0])


@contextmanager
def reading(path: Path | str, expected: str) -> Iterator[None]:
    """Turn what a library raises of a file into a DataFileError, with that as its cause."""
    try:
        yield
    except GpulrError:
        raise
    except Exception as error:  # whatever damaged bytes lead to
        if isinstance(error, FileNotFoundError) and not (named := Path(path)).exists():
            pattern = any(mark in named.name for mark in "*?[")
            remedy = "Pass the folder, or sorted(Path().glob(…))." if pattern else "Check the path."
            raise DataFileError(path, "does not exist", remedy) from error
        raise DataFileError(
            path,
            f"cannot be read as {expected}: {first_line(error)}",
            "Get the file again, or name another.",
        ) from error
