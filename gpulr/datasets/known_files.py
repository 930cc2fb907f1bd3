"""Files whose every byte is known: where they are looked for, and proof that they are right."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gpulr.errors import DataFileError, MissingExtraError, ParameterError, needs_extra

HOME_VARIABLE = "GPULR_DATA_HOME"


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A gzipped file (its name ends in ".gz"), also known by its name without ``.gz``.

    Sizes are bytes, as stored and decompressed; the digests of the two are hexadecimal.
    """

    name: str
    size: int
    sha256: str
    plain_size: int
    plain_sha256: str


@dataclass(frozen=True, slots=True)
class Located:
    """A file that was found and verified: its path, bytes on disk, and decompressed content."""

    path: Path
    size: int
    content: bytes


def search_folders() -> list[Path]:
    """Folders to search for named data sets, in order: ``$GPULR_DATA_HOME``, then the cache."""
    folders = []
    if value := os.environ.get(HOME_VARIABLE):
        try:
            folders.append(Path(value).expanduser())
        except RuntimeError as error:
            raise ParameterError(
                f"{HOME_VARIABLE} is {value!r}: {error} Set it to an existing folder, or unset it."
            ) from error
    with suppress(MissingExtraError):  # which nothing can have been downloaded without
        folders.append(cache_folder())
    return folders


def cache_folder() -> Path:
    """Return gpulr's folder in the user's cache, which it may write to; perhaps not there yet."""
    with needs_extra("data", "Finding the user's cache folder needs platformdirs"):
        import platformdirs

    return Path(platformdirs.user_cache_path("gpulr", appauthor=False))


def search(
    files: Sequence[KnownFile], folders: Sequence[Path]
) -> tuple[dict[str, Located], list[DataFileError]]:
    """Find the first good copy of each file, by name, and what is wrong with other copies."""
    found: dict[str, Located] = {}
    faults: list[DataFileError] = []
    for file in files:
        for folder in folders:
            try:
                located = locate(file, folder)
            except DataFileError as error:
                faults.append(error)
                continue
            if located is not None:
                found[file.name] = located
                break
    return found, faults


def locate(file: KnownFile, folder: Path) -> Located | None:
    """Read a known file in a folder, gzipped or decompressed, and verify its sha256.

    None if it is there in neither form; a DataFileError if what is there is damaged, another file,
    or not readable.
    """
    plain = file.name.removesuffix(".gz"), file.plain_size, file.plain_sha256
    fault: DataFileError | None = None
    for name, size, sha256 in ((file.name, file.size, file.sha256), plain):
        path = folder / name
        try:
            content = _verified(path, size, sha256)
        except DataFileError as error:
            fault = fault or error
            continue
        if content is not None:
            content = gzip.decompress(content) if name == file.name else content
            return Located(path, size, content)
    if fault is not None:
        raise fault
    return None


def _verified(path: Path, size: int, sha256: str) -> bytes | None:
    """Content of a file if its hash is right, None if it is not there; else DataFileError."""
    expected = f"expected {size:,} bytes, sha256 {sha256}"
    remedy = "Replace it with a good copy, or delete it so that it can be downloaded."
    try:
        if not path.exists():
            return None
        if not path.is_file():
            raise DataFileError(path, f"is not a regular file; {expected}", remedy)
        with path.open("rb") as stream:
            found_size = os.fstat(stream.fileno()).st_size
            if found_size == size:
                content = stream.read(size + 1)
                digest = hashlib.sha256(content).hexdigest()
                if digest == sha256:
                    return content
            else:  # perhaps huge: do not load it
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataFileError(
            path, f"cannot be read ({error.strerror or error}); {expected}", remedy
        ) from error
    raise DataFileError(
        path,
        f"is damaged or another file: found {found_size:,} bytes, sha256 {digest}; {expected}",
        remedy,
    )
