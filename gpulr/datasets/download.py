"""Files whose every byte is known: found on this machine, or downloaded from mirrors.

Downloads are quick to fail offline and safe to interrupt. pooch transfers them. Not by
``pooch.retrieve``, which leaves files that no other user can read (mode 0600), writes to stderr,
and waits for name resolution as long as that takes.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

from gpulr.errors import (
    DataFileError,
    DataUnavailableError,
    MissingExtraError,
    ParameterError,
    needs_extra,
)
from gpulr.output_files import replaced

HOME_VARIABLE = "GPULR_DATA_HOME"
CONNECT_TIMEOUT = 3.0  # seconds to connect to a mirror
PROBE_TIMEOUT = 4.0  # seconds of silence after which a mirror's first answer is not awaited longer
PROBE_DEADLINE = 5.0  # seconds for all mirrors, probed at once; name resolution knows no timeout
# Seconds of silence after which a running transfer is given up. Two mirrors that stall and the
# probe take 13 s together; training on the default data goes on without them within 15.
READ_TIMEOUT = 4.0
LOCK_TIMEOUT = 300.0  # seconds to wait for another process; then this one goes on, also safely
# Else a server may compress the file once more, or declare it compressed and have it unpacked.
HEADERS = {"Accept-Encoding": "identity"}
GZIP_MAGIC = b"\x1f\x8b"


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


def obtain(files: Sequence[KnownFile], subfolder: str, mirrors: Sequence[str]) -> list[Located]:
    """Find known files on this machine, or download those that are missing.

    They are searched in ``$GPULR_DATA_HOME/subfolder``, then in the cache folder's. Missing ones
    are downloaded into the first of the two that can be written to; a damaged one is replaced if it
    lies in the cache folder, and never in ``$GPULR_DATA_HOME``. The `mirrors` are URLs of folders,
    each ending in "/", that hold the files by name.

    Raises
    ------
    DataUnavailableError
        They are neither on this machine nor downloadable, or nowhere can be written to.
    MissingExtraError
        They are not on this machine, and what a download needs is not installed.
    DataFileError
        A file in ``$GPULR_DATA_HOME`` is damaged and no good copy can be had.
    ParameterError
        ``$GPULR_DATA_HOME`` begins with the home of an unknown user.
    """
    folders = [folder / subfolder for folder in search_folders()]
    found, faults = search(files, folders)
    missing = [file for file in files if file.name not in found]
    if missing:
        of_user = [fault for fault in faults if not fault.path.is_relative_to(folders[-1])]
        try:
            writable = folders[-1:] if of_user else folders
            target = _download(missing, writable, subfolder, mirrors)
            fetched, late_faults = search(missing, [target])
            if len(fetched) < len(missing):  # somebody removed or spoilt it meanwhile
                cause = late_faults[0] if late_faults else f"  {target}: a download vanished"
                raise DataUnavailableError(str(cause))
        except MissingExtraError as error:
            if faults:
                raise faults[0] from error
            raise
        except DataUnavailableError as error:
            if of_user:
                raise of_user[0] from error
            cure = f"put the files into {folders[0].absolute()}"
            if len(folders) == 1:
                cure += f", or set {HOME_VARIABLE} to a folder whose {subfolder}/ holds them"
            lines = [f"{_names(missing)}: not on this machine, and not downloadable."]
            lines += [f"  searched {folder.absolute()}" for folder in folders]
            lines += [f"  damaged: {fault.path}: {fault.found}" for fault in faults]
            lines += [str(error), f"Connect to the network and try again; or {cure}."]
            raise DataUnavailableError("\n".join(lines)) from error
        found |= fetched
    return [found[file.name] for file in files]


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
    with contextlib.suppress(MissingExtraError):  # without it, nothing can have been downloaded
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
                located = _locate(file, folder)
            except DataFileError as error:
                faults.append(error)
                continue
            if located is not None:
                found[file.name] = located
                break
    return found, faults


def _locate(file: KnownFile, folder: Path) -> Located | None:
    """Read a known file, gzipped or decompressed; None if there is neither, or DataFileError."""
    plain = file.name.removesuffix(".gz"), file.plain_size, file.plain_sha256
    faults = []
    for name, size, sha256 in ((file.name, file.size, file.sha256), plain):
        try:
            content = _verified(folder / name, size, sha256)
        except DataFileError as error:
            faults.append(error)
            continue
        if content is not None:
            content = gzip.decompress(content) if name == file.name else content
            return Located(folder / name, size, content)
    if faults:
        raise faults[0]
    return None


def _verified(path: Path, size: int, sha256: str) -> bytes | None:
    """Content of a file if its hash is right, None if it is not there; else DataFileError."""
    cause = None
    try:
        if not path.exists():
            return None
        found = "is not a regular file"
        if path.is_file():
            with path.open("rb") as stream:
                there = os.fstat(stream.fileno()).st_size
                if there == size:
                    content = stream.read(size + 1)
                    digest = hashlib.sha256(content).hexdigest()
                else:  # perhaps huge: do not load it
                    digest = hashlib.file_digest(stream, "sha256").hexdigest()
            if there == size and digest == sha256:
                return content
            found = f"is damaged or another file: found {there:,} bytes, sha256 {digest}"
    except OSError as error:
        found, cause = f"cannot be read ({error.strerror or error})", error
    remedy = "Replace it with a good copy, or delete it so that it can be downloaded."
    found += f"; expected {size:,} bytes, sha256 {sha256}"
    raise DataFileError(path, found, remedy) from cause


def _download(
    files: Sequence[KnownFile], folders: Sequence[Path], subfolder: str, mirrors: Sequence[str]
) -> Path:
    """Download files into the first of the folders that can be written to, and return it.

    All mirrors are probed at once, each in a daemon thread, so that without a network the failure
    comes within `PROBE_DEADLINE`, and nothing is created on disk. A file is downloaded under a
    temporary name, verified, then moved; a lock makes a second process wait and find it there.
    The error names each mirror and what it answered.
    """
    what = (
        f"{_names(files)}: not on this machine. Set {HOME_VARIABLE} to a folder whose {subfolder}/ "
        "holds them. To download them, gpulr needs pooch and filelock"
    )
    with needs_extra("data", what):
        import filelock
        import platformdirs  # noqa: F401
        import pooch  # noqa: F401
        import requests  # noqa: F401
    refusals: dict[str, str | None] = {}
    target: Path | None = None
    for mirror in _answering(mirrors, files[0].name, refusals):
        target = target or _writable(folders)
        with contextlib.ExitStack() as locked:
            # Where the file system has no locks, moves are still atomic. Timeout is an OSError.
            with contextlib.suppress(OSError, NotImplementedError):
                lock = filelock.FileLock(target / ".download.lock", timeout=LOCK_TIMEOUT)
                locked.enter_context(lock)
            refusals[mirror] = _download_from(mirror, files, target)
        if refusals[mirror] is None:
            return target
    tried = [f"  tried {mirror}: {refusals[mirror]}" for mirror in mirrors]
    raise DataUnavailableError("\n".join(tried) or "  no mirrors to try")


def _answering(mirrors: Sequence[str], name: str, refusals: dict[str, str | None]) -> Iterator[str]:
    """Mirrors that serve the file, quickest first; what the others say goes to `refusals`."""
    answers: queue.SimpleQueue[tuple[str, str | None]] = queue.SimpleQueue()

    def probe(mirror: str) -> None:
        answers.put((mirror, _probe(mirror + name)))

    for mirror in mirrors:
        threading.Thread(target=probe, args=(mirror,), daemon=True, name="gpulr-probe").start()
        refusals[mirror] = f"no answer within {PROBE_DEADLINE:g} s"
    deadline = time.monotonic() + PROBE_DEADLINE
    for _ in mirrors:
        # A mirror that answered during another's download is taken although the time is over.
        try:
            mirror, refusal = answers.get(timeout=max(deadline - time.monotonic(), 0.001))
        except queue.Empty:
            return
        refusals[mirror] = refusal
        if refusal is None:
            yield mirror


def _probe(url: str) -> str | None:
    """Ask for a file and look at its first bytes; None if it comes, else what came instead."""
    import requests

    try:
        with requests.get(
            url, stream=True, timeout=(CONNECT_TIMEOUT, PROBE_TIMEOUT), headers=HEADERS
        ) as response:
            if response.status_code != 200:
                return f"HTTP {response.status_code} {response.reason}".rstrip()
            begin = next(response.iter_content(2), b"")
    except Exception as error:  # requests lets errors of urllib3, ssl and idna through
        return _reason(error)
    return None if begin == GZIP_MAGIC else f"no gzip file: it begins with {begin!r}"


def _download_from(mirror: str, files: Sequence[KnownFile], target: Path) -> str | None:
    """Download the files that are still missing; None if all are there, else what went wrong."""
    import pooch

    timeout = (CONNECT_TIMEOUT, READ_TIMEOUT)
    for file in files:
        with contextlib.suppress(DataFileError):  # a damaged one is replaced
            if _locate(file, target) is not None:  # another process was first
                continue
        try:
            with replaced(target / file.name) as temporary, _progress(file) as bar:
                fetch = pooch.HTTPDownloader(progressbar=bar, timeout=timeout, headers=HEADERS)
                fetch(mirror + file.name, str(temporary), None)
                _verified(temporary, file.size, file.sha256)
        except DataFileError as error:
            return f"{file.name} {error.found}"
        except Exception as error:  # network, full disk: the next mirror, or say it
            return f"{file.name}: {_reason(error)}"
    return None


def _writable(folders: Sequence[Path]) -> Path:
    """Return the first folder that takes a file, creating it if need be."""
    reasons = []
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Access bits say little on network and read-only file systems: try.
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError as error:
            reasons.append(f"  cannot write to {folder.absolute()}: {error.strerror or error}")
    raise DataUnavailableError("\n".join(reasons))


@contextlib.contextmanager
def _progress(file: KnownFile) -> Iterator[SimpleNamespace | None]:
    """Show what pooch takes for a progress bar, if stderr is a terminal and rich is installed."""
    if sys.stderr is None or not sys.stderr.isatty() or find_spec("rich") is None:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task(file.name, total=file.size)
        yield SimpleNamespace(
            total=file.size,
            update=lambda n_bytes: progress.advance(task, n_bytes),
            reset=lambda: progress.reset(task),
            close=progress.stop,
        )


def _reason(error: Exception) -> str:
    """One line about an error; of urllib3's nested ones the innermost, without the URL again."""
    inner = getattr(error.args[0], "reason", error) if error.args else error
    text = " ".join(str(inner).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def _names(files: Sequence[KnownFile]) -> str:
    return ", ".join(file.name for file in files)
