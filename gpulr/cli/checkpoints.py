"""`--checkpoint`, with which an interrupted command goes on; and `gpulr checkpoint`."""

from __future__ import annotations

import secrets
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.table import Column

from gpulr.cli import terminal
from gpulr.cli.data import in_a_cell
from gpulr.cli.saving import folders
from gpulr.cli.tables import table
from gpulr.errors import CheckpointError, DataError, ParameterError
from gpulr.families.checkpoint_file import previous_of, read_one
from gpulr.families.checkpoint_place import place_of
from gpulr.families.fingerprint import DATA
from gpulr.families.row_hashes import HASH
from gpulr.output_files import check_folder

SUFFIX = ".ckpt"
SHOWN = len(HASH) + 12  # characters of a hash
# Errors after which the same call would end as it did.
FOR_GOOD = (CheckpointError, DataError, ParameterError)


@contextmanager
def kept(
    path: Path | None, every: float | None = None, *, always: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield the arguments with which a family keeps checkpoints.

    Where it is interrupted, the last line on standard error is the command that goes on. Without a
    path, a family that is ``always`` to be kept has a new file for that, and only then.
    """
    place = _somewhere() if path is None and always else path
    if place is None:
        yield {}
        return
    try:
        yield {"checkpoint": place, "checkpoint_every": None if path is None else every}
    except FOR_GOOD:
        raise
    except BaseException:
        if place.exists():
            terminal.known(checkpoint=place)
            terminal.say_last(f"To go on: {_command(None if path else place)}")
        raise
    if path is None:
        for each in (place, previous_of(place)):
            each.unlink(missing_ok=True)


def check_checkpoint(path: Path | None, every: float | None) -> None:
    """Raise ParameterError for a checkpoint that could not be written, before data are loaded."""
    place_of(path, every)


def _somewhere() -> Path | None:
    """Return a new file in the first folder that takes one: the working folder, if it does."""
    name = f"interrupted-{secrets.token_hex(3)}{SUFFIX}"
    for folder in (lambda: ".", *folders()):
        try:
            path = Path(folder()).expanduser() / name
            check_folder(path, "", name)
        except (OSError, RuntimeError, ImportError, ParameterError):
            continue
        return path
    return None


def _command(place: Path | None) -> str:
    """Return what was typed, with the option for a checkpoint that was not asked for."""
    words = ["gpulr", *sys.argv[1:]]
    return shlex.join(words if place is None else [*words, "--checkpoint", str(place)])


def checkpoint(*, path: Path, json: bool) -> None:
    """Print what a checkpoint holds: whose it is, how far that has come, and of which data."""
    found = read_one(path)
    about, settings = dict(found.about), dict(found.fingerprint)
    record: dict[str, Any] = {
        "checkpoint": path,
        "function": settings.pop("function", None),
        "where": about.pop("where", None),
        "finished": about.pop("finished", False),
        "written": _time(about.pop("time", None)),
        "bytes": path.stat().st_size,
        "gpulr": settings.pop("gpulr", None),
        "progress": about,
        "data": {name: settings.pop(name, None) for name in (*DATA, *_names_of(settings))},
        "settings": settings,
    }
    if json:
        terminal.print_json(record)
        return
    rows = []
    for name, value in record.items():
        items = value.items() if isinstance(value, dict) else [(name, value)]
        rows += [[key.replace("_", " "), in_a_cell(_in_words(key, item))] for key, item in items]
    terminal.show(table(["", Column("", overflow="fold")], rows, show_header=False))


def _names_of(settings: dict[str, str]) -> list[str]:
    """Return the names in a fingerprint that say of the data what they are like."""
    return [name for name in settings if " of " in name]


def _time(seconds: Any) -> str | None:
    if not isinstance(seconds, int | float):
        return None
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")


def _in_words(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "bytes":
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.1f}"
    text = str(value)
    return f"{text[:SHOWN]}…" if text.startswith(HASH) else text
