"""Files that are whole or not there: written beside their target, then moved over it.

What is being written lies in the target's folder as ``.gpulr-<random>.tmp``, and its writer holds a
lock on it, which the system releases however the process ends. So whoever writes in that folder
next can tell what a dead process left behind, and removes it.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows, where nobody can remove a file that is open
    fcntl = None  # type: ignore[assignment]

from gpulr.errors import FileNotWrittenError, ParameterError
from gpulr.words import shown

TEMPORARY = re.compile(r"\.gpulr-[0-9a-f]{16}\.tmp")


def path_of(name: str, value: Any) -> Path:
    """Return ``value`` as a path, or raise ParameterError."""
    if isinstance(value, str | os.PathLike) and "\0" not in str(value):
        with contextlib.suppress(TypeError):  # one of bytes
            return Path(value)
    raise ParameterError(f"{name}={shown(value)}; expected a path: a str or a pathlib.Path.")


def replace_file(path: str | Path, content: bytes, what: str = "model") -> None:
    """Write a file beside ``path`` and move it there; links are followed. Errors name ``what``.

    Raises FileNotWrittenError where it cannot be written; what was there before is untouched.
    """
    path = Path(os.path.realpath(path_of("path", path)))
    try:
        with replaced(path) as temporary, temporary.open("wb") as file:
            file.write(content)
    except OSError as error:
        raise FileNotWrittenError(
            path,
            f"the {what} could not be written: {error.strerror or error}",
            f"What was there before is untouched; the {what} is still in memory: save it elsewhere."
            if what == "model"
            else "What was there before is untouched; choose another path.",
        ) from error


def check_folder(path: Path, subject: str, example: str) -> None:
    """Raise ParameterError where no file can be written, which is tried; nothing is left behind.

    ``subject`` is what names the path, such as "--output m.safetensors"; ``example`` is what a file
    there could be called.
    """
    try:
        folder = path.absolute().parent  # raises where the working directory was removed
        if path.is_dir():
            raise ParameterError(
                f"{subject}: that is a folder; expected a file name, such as {path / example}."
            )
        if not folder.is_dir():
            raise ParameterError(
                f"{subject}: expected a file name in a folder that exists. Create {folder} first, "
                "or choose another path."
            )
        path.exists()  # raises where the name is too long
        with replaced(Path(os.path.realpath(path))) as temporary:
            temporary.write_bytes(bytes(4096))
            raise _Tried
    except _Tried:
        return
    except OSError as error:
        raise ParameterError(
            f"{subject}: no file can be written there ({error.strerror or error}). Choose another "
            "path."
        ) from error


class _Tried(Exception):  # noqa: N818
    """Leaves :func:`replaced` before anything is replaced."""


@contextmanager
def replaced(path: Path, previous: Path | None = None) -> Iterator[Path]:
    """Yield an empty file beside ``path``: once written it is moved there, after an error removed.

    It gets the mode, and as far as this user may give them away, the owner and group of the file
    that it replaces; a new file those that any new file has. Links are not followed. What it
    replaces becomes ``previous``, if that is named, in the same folder: at every moment one of both
    is whole, after a loss of power too.

    Raises OSError where it cannot be written; what was at ``path`` is untouched.
    """
    before = None
    with contextlib.suppress(FileNotFoundError):
        before = path.stat()
    if before is not None and not stat.S_ISREG(before.st_mode):
        raise OSError("it exists and is not a regular file")
    _remove_abandoned(path.parent)
    temporary, lock = _created(path.parent, 0o666 if before is None else before.st_mode & 0o777)
    with contextlib.ExitStack() as opened:
        opened.callback(os.close, lock)
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            if before is not None:
                _copy_permissions(before, temporary)
            if fcntl is None:
                opened.close()  # what is open cannot be moved there
            if previous is not None and before is not None:
                _keep(path, previous)
            temporary.replace(path)
            if previous is not None:
                _sync_folder(path.parent)
        except BaseException:
            opened.close()
            temporary.unlink(missing_ok=True)
            raise


def _keep(path: Path, previous: Path) -> None:
    """Make a file known as ``previous`` too; or by that name alone, where files have one only."""
    other = _temporary(path.parent)
    try:
        os.link(path, other)
        other.replace(previous)
    except OSError:
        path.replace(previous)
    finally:
        other.unlink(missing_ok=True)  # two names of one file are not replaced by each other


def _sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, where folders can be synchronised."""
    with contextlib.suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _temporary(folder: Path) -> Path:
    return folder / f".gpulr-{os.urandom(8).hex()}.tmp"


def _created(folder: Path, mode: int) -> tuple[Path, int]:
    """Create a temporary file, at first readable by no others than ``mode`` says, and lock it."""
    mode |= stat.S_IRUSR | stat.S_IWUSR
    while True:
        temporary = _temporary(folder)
        lock = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        if fcntl is None:
            return temporary, lock
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # another process takes it for abandoned
            pass
        except OSError:  # a file system without locks, where nothing is taken for abandoned
            return temporary, lock
        else:
            if temporary.exists():
                return temporary, lock
        os.close(lock)
        temporary.unlink(missing_ok=True)


def _remove_abandoned(folder: Path) -> None:
    """Remove what processes that ended while they wrote have left in a folder."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if TEMPORARY.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(OSError):  # in use, another user's, gone meanwhile
                    _remove_if_abandoned(entry.path)


def _remove_if_abandoned(path: str) -> None:
    if fcntl is None:
        Path(path).unlink()
        return
    # O_NONBLOCK: it may have become a FIFO. For writing, since NFS locks nothing else.
    file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if stat.S_ISREG(os.fstat(file).st_mode):
            Path(path).unlink()
    finally:
        os.close(file)


def _copy_permissions(before: os.stat_result, path: Path) -> None:
    """Give a file the owner, group and mode of another, where the file system has them."""
    mode, now = stat.S_IMODE(before.st_mode), path.stat()
    if now.st_uid != before.st_uid:
        with contextlib.suppress(OSError):
            os.chown(path, before.st_uid, -1)
    if now.st_gid != before.st_gid:
        try:
            os.chown(path, -1, before.st_gid)
        except OSError:
            mode &= ~stat.S_IRWXG  # which was meant for another group
    with contextlib.suppress(OSError):
        path.chmod(mode)
