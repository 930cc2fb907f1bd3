"""Models are saved where they should be, or else where they can be found again."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import platformdirs

from gpulr.cli import terminal
from gpulr.cli.wording import on_one_line
from gpulr.errors import ModelFileError
from gpulr.families.interrupt import ctrl_c
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.storage import SUFFIX

__all__ = ["RESCUE", "Saved", "save"]

RESCUE = "GPULR_RESCUE"
"""Variable of the environment that names the folder for models that go nowhere else."""


@dataclass(frozen=True, slots=True)
class Saved:
    """Where a model was saved.

    Attributes
    ----------
    path : Path or None
        None: it could not be written anywhere.
    as_asked : bool
        It is where it should be.
    interrupted : bool
        Ctrl-C was pressed meanwhile.
    """

    path: Path | None
    as_asked: bool
    interrupted: bool = False


def save(model: OneVsAll, path: Path, words: str = "Saved") -> Saved:
    """Save a model to ``path``, or, where that fails, to the first folder that takes it.

    Those are the one that ``GPULR_RESCUE`` names, the working folder, the user's for the state of
    programs, and the temporary one. The file gets a new name there, which is the last line on
    standard error. ``words`` tell of the file where all is well. Ctrl-C waits until the file is
    complete; a second one does not.
    """
    with ctrl_c() as interrupted:
        saved = _save(model, path, words)
    terminal.known(output=saved.path)
    return replace(saved, interrupted=interrupted())


def _save(model: OneVsAll, path: Path, words: str) -> Saved:
    try:
        model.save(path)
    except (ModelFileError, OSError) as error:  # OSError: the working folder is gone
        fault = f"{on_one_line(path)}: {getattr(error, 'found', error)}."
    else:
        terminal.say(f"{words} {path}")
        return Saved(path, as_asked=True)
    name = f"rescued-{secrets.token_hex(4)}{SUFFIX}"
    for folder in _folders():
        try:
            rescued = folder().expanduser().absolute() / name
            rescued.parent.mkdir(parents=True, exist_ok=True)
            _save_new(model, rescued)
        except (OSError, RuntimeError, ModelFileError):  # RuntimeError: "~" of a user without home
            continue
        terminal.show_error(f"{fault} The model is saved in a new file, which the last line names.")
        terminal.say_last(str(rescued))
        return Saved(rescued, as_asked=False)
    terminal.show_error(
        f"{fault} It could not be written to {RESCUE}, the working folder, the user's state folder "
        "or the temporary one either, and is lost. Make room, and train again."
    )
    return Saved(None, as_asked=False)


def _save_new(model: OneVsAll, path: Path) -> None:
    path.touch(exist_ok=False)  # never over a file that is there
    try:
        model.save(path)
    except BaseException:
        path.unlink()
        raise


def _folders() -> Iterator[Callable[[], Path]]:
    """Yield what returns each folder, or raises OSError where there is none."""
    if asked := os.environ.get(RESCUE, "").strip():
        yield lambda: Path(asked)
    yield Path.cwd
    yield lambda: platformdirs.user_state_path("gpulr", appauthor=False)
    yield lambda: Path(tempfile.gettempdir())
