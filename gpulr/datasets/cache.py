"""Where named data sets lie, and proof that their files are the right ones."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpulr.errors import DataFileError, DataUnavailableError, ParameterError

__all__ = [
    "KnownFile",
    "Located",
    "cache_folder",
    "data_home",
    "locate",
    "obtain",
    "search_folders",
]

HOME_VARIABLE = "GPULR_DATA_HOME"


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A gzipped file whose every byte is known, also under its name without ``.gz``.

    Parameters
    ----------
    name : str
        Ends in ".gz".
    size, plain_size : int
        bytes, as stored and decompressed.
    sha256, plain_sha256 : str
        Hexadecimal digests of the two.
    """

    name: str
    size: int
    sha256: str
    plain_size: int
    plain_sha256: str

    @property
    def forms(self) -> tuple[tuple[str, int, str], tuple[str, int, str]]:
        """Name, size and sha256 of the gzipped and of the decompressed file."""
        plain = self.name.removesuffix(".gz"), self.plain_size, self.plain_sha256
        return (self.name, self.size, self.sha256), plain


@dataclass(frozen=True, slots=True)
class Located:
    """A file that was found and verified.

    Parameters
    ----------
    path : Path
        Where.
    size : int
        bytes on disk.
    content : bytes
        Decompressed.
    """

    path: Path
    size: int
    content: bytes


def data_home() -> Path | None:
    """``$GPULR_DATA_HOME`` as it stands now, ``~`` expanded; None where unset or empty.

    Raises
    ------
    ParameterError
        If it names an unknown user's home.
    """
    value = os.environ.get(HOME_VARIABLE)
    if not value:
        return None
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise ParameterError(
            f"{HOME_VARIABLE} is {value!r}: {error} Set it to an existing folder, or unset it."
        ) from error


def cache_folder() -> Path:
    """Return gpulr's folder in the user's cache, which it may write to; perhaps not there yet."""
    import platformdirs

    return Path(platformdirs.user_cache_path("gpulr", appauthor=False))


def search_folders() -> list[Path]:
    """Folders to search for named data sets, in order."""
    home = data_home()
    return [cache_folder()] if home is None else [home, cache_folder()]


def locate(file: KnownFile, folder: Path) -> Located | None:
    """Open a known file in a folder and verify its sha256.

    Returns
    -------
    Located or None
        None if neither it nor its decompressed form is there.

    Raises
    ------
    DataFileError
        If what is there under its name is damaged, another file, or not readable.
    """
    fault: DataFileError | None = None
    for name, size, sha256 in file.forms:
        path = folder / name
        try:
            content = _verified(path, size, sha256)
        except DataFileError as error:
            fault = fault or error
            continue
        if content is not None:
            plain = gzip.decompress(content) if name.endswith(".gz") else content
            return Located(path, size, plain)
    if fault is not None:
        raise fault
    return None


def obtain(files: Sequence[KnownFile], subfolder: str, mirrors: Sequence[str]) -> list[Located]:
    """Find known files on this machine, or download those that are missing.

    They are searched in ``$GPULR_DATA_HOME/subfolder``, then ``cache_folder()/subfolder``. Missing
    ones are downloaded into the first of the two that can be written to; a damaged one is
    replaced if it lies in the cache folder, and never in ``$GPULR_DATA_HOME``.

    Parameters
    ----------
    files : sequence of KnownFile
        The files.
    subfolder : str
        Their folder beneath each of the search folders.
    mirrors : sequence of str
        URLs of folders, each ending in "/", that hold the files by name.

    Returns
    -------
    list of Located
        One for each of `files`.

    Raises
    ------
    DataFileError
        If a damaged file lies in ``$GPULR_DATA_HOME`` and no good one can be had.
    DataUnavailableError
        If a file is neither found nor downloadable.
    """
    from gpulr.datasets.download import download

    folders = [folder / subfolder for folder in search_folders()]
    found, faults = _search(files, folders)
    missing = [file for file in files if file.name not in found]
    if missing:
        cache = folders[-1]
        of_user = [fault for fault in faults if not fault.path.is_relative_to(cache)]
        targets = [cache] if of_user else folders
        try:
            target = download(missing, targets, mirrors)
            fetched, late_faults = _search(missing, [target])
            if len(fetched) < len(missing):  # somebody removed or spoilt it meanwhile
                cause = late_faults[0] if late_faults else f"  {target}: a download vanished"
                raise DataUnavailableError(str(cause))
        except DataUnavailableError as error:
            if of_user:
                raise of_user[0] from error
            raise DataUnavailableError(_unavailable(missing, folders, faults, error)) from error
        found |= fetched
    return [found[file.name] for file in files]


def _search(
    files: Sequence[KnownFile], folders: Sequence[Path]
) -> tuple[dict[str, Located], list[DataFileError]]:
    """Return the files that are there, by name, and what is wrong with damaged ones."""
    found: dict[str, Located] = {}
    faults = []
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


def _unavailable(
    missing: Sequence[KnownFile],
    folders: Sequence[Path],
    faults: Sequence[DataFileError],
    error: DataUnavailableError,
) -> str:
    names = ", ".join(file.name for file in missing)
    lines = [f"{names}: not on this machine, and not downloadable."]
    lines += [f"  searched {folder.absolute()}" for folder in folders]
    lines += [f"  damaged: {fault.path}: {fault.found}" for fault in faults]
    lines.append(str(error))
    cure = f"put the files into {folders[0].absolute()}"
    if len(folders) == 1:
        cure += f", or set {HOME_VARIABLE} to a folder whose {folders[0].name}/ holds them"
    lines.append(f"Connect to the network and try again; or {cure}.")
    return "\n".join(lines)
