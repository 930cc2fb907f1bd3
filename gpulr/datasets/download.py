"""Download of known files from mirrors: quick to fail offline, safe to interrupt or run twice."""

from __future__ import annotations

import contextlib
import hashlib
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpulr.errors import DataFileError, DataUnavailableError
from gpulr.output_files import replaced

if TYPE_CHECKING:
    from gpulr.datasets.cache import KnownFile

__all__ = ["download"]

CONNECT_TIMEOUT = 3.0
"""seconds to connect to a mirror."""

PROBE_TIMEOUT = 4.0
"""seconds of silence after which a mirror's first answer is not awaited any longer."""

PROBE_DEADLINE = 5.0
"""seconds for all mirrors, probed at once, to answer; name resolution ignores other timeouts."""

READ_TIMEOUT = 4.0
"""seconds of silence after which a running transfer is given up. Two mirrors that stall and the
probe take 13 s together; training on the default data goes on without them within 15."""

LOCK_TIMEOUT = 300.0
"""seconds to wait for another process's download; then this one goes on, which is also safe."""

GZIP_MAGIC = b"\x1f\x8b"


def download(files: Sequence[KnownFile], folders: Sequence[Path], mirrors: Sequence[str]) -> Path:
    """Download files into the first of the folders that can be written to.

    All mirrors are probed at once, each in a daemon thread, so that without a network the failure
    comes within `PROBE_DEADLINE`, and nothing is created on disk. A file is downloaded under a
    temporary name, verified, then moved; a lock makes a second process wait and find it there.

    Parameters
    ----------
    files : sequence of KnownFile
        What to download.
    folders : sequence of Path
        Where to, in order of preference; created if need be.
    mirrors : sequence of str
        URLs of folders, each ending in "/".

    Returns
    -------
    Path
        The folder used.

    Raises
    ------
    DataUnavailableError
        Naming each mirror and what it answered.
    """
    refusals: dict[str, str] = {}
    target: Path | None = None
    for mirror in _answering(mirrors, files[0].name, refusals):
        if target is None:
            target = _writable(folders)
        with _locked(target / ".download.lock"):
            refusal = _download_from(mirror, files, target)
        if refusal is None:
            return target
        refusals[mirror] = refusal
    tried = [f"  tried {mirror}: {refusals.get(mirror, 'not tried')}" for mirror in mirrors]
    raise DataUnavailableError("\n".join(tried) or "  no mirrors to try")


def _answering(mirrors: Sequence[str], name: str, refusals: dict[str, str]) -> Iterator[str]:
    """Mirrors that serve the file, quickest first; what the others say goes to `refusals`."""
    answers: queue.SimpleQueue[tuple[str, str | None]] = queue.SimpleQueue()

    def probe(mirror: str) -> None:
        answers.put((mirror, _probe(mirror + name)))

    for mirror in mirrors:
        threading.Thread(target=probe, args=(mirror,), daemon=True, name="gpulr-probe").start()
    waiting = set(mirrors)
    deadline = time.monotonic() + PROBE_DEADLINE
    while waiting:
        # A mirror that answered during another's download is taken although the time is over.
        try:
            mirror, refusal = answers.get(timeout=max(deadline - time.monotonic(), 0.001))
        except queue.Empty:
            break
        waiting.discard(mirror)
        if refusal is None:
            yield mirror
        else:
            refusals[mirror] = refusal
    for mirror in waiting:
        refusals[mirror] = f"no answer within {PROBE_DEADLINE:g} s"


def _probe(url: str) -> str | None:
    """Ask for a file and look at its first bytes; None if it comes, else what came instead."""
    import requests

    try:
        with requests.get(
            url, stream=True, timeout=(CONNECT_TIMEOUT, PROBE_TIMEOUT), headers=_headers()
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

    from gpulr.datasets.cache import locate

    for file in files:
        try:
            if locate(file, target) is not None:  # another process was first
                continue
        except DataFileError:
            if (target / file.name).is_dir():  # a move would put the file inside it
                return f"not downloaded: {target / file.name} is a folder; remove it"
        with _progress(file) as progress:
            downloader = pooch.HTTPDownloader(
                progressbar=progress,
                timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
                headers=_headers(),
            )
            try:
                with replaced(target / file.name) as temporary:
                    downloader(mirror + file.name, str(temporary), None)
                    _check_hash(temporary, file)
            except Exception as error:  # network, wrong hash, full disk: the next mirror, or say it
                return f"{file.name}: {_reason(error)}"
    return None


def _check_hash(path: Path, file: KnownFile) -> None:
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    if sha256 != file.sha256:
        size = path.stat().st_size
        raise ValueError(f"wrong hash: {size:,} bytes, sha256 {sha256} instead of {file.sha256}")


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
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file, where the file system has locks; without, moves are still atomic."""
    import filelock

    lock = filelock.FileLock(path)
    with contextlib.ExitStack() as stack:
        # Timeout is an OSError, too.
        with contextlib.suppress(OSError, NotImplementedError):
            stack.enter_context(lock.acquire(timeout=LOCK_TIMEOUT))
        yield


class _Bar:
    """What pooch wants of a progress bar, over rich's."""

    def __init__(self, progress: Any, name: str, total: int) -> None:
        self.total = total
        self._progress = progress
        self._task = progress.add_task(name, total=total)

    def update(self, n_bytes: int) -> None:
        self._progress.update(self._task, total=self.total or None, advance=n_bytes)

    def reset(self) -> None:
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        self._progress.stop()


@contextlib.contextmanager
def _progress(file: KnownFile) -> Iterator[_Bar | None]:
    """Show a progress bar on stderr where that is a terminal, else give None."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        yield _Bar(progress, file.name, file.size)


def _headers() -> dict[str, str]:
    # Else a server may compress the file once more, or declare it compressed and have it unpacked.
    return {"Accept-Encoding": "identity"}


def _reason(error: Exception) -> str:
    """One line about an error; of urllib3's nested ones the innermost, without the URL again."""
    inner = getattr(error.args[0], "reason", error) if error.args else error
    text = " ".join(str(inner).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
