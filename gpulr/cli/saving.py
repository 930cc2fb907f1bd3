"""Models are saved where they should be, or else where they can be found again."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from gpulr.cli import terminal
from gpulr.cli.wording import on_one_line
from gpulr.errors import ModelFileError
from gpulr.families.interrupt import ctrl_c
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.storage import SUFFIX
from gpulr.words import counted

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

    def leave(self, interrupted: bool) -> None:
        """End the command with another exit code than 0, if not all is as it should be."""
        if interrupted or not self.as_asked:
            raise typer.Exit(terminal.INTERRUPTED if interrupted else terminal.FAILED)


def save(model: OneVsAll, output: Path | None) -> Saved:
    """Save a model to ``output``, or say how it would have been.

    Where it cannot be written, it goes to the first folder that takes it: the one that
    ``GPULR_RESCUE`` names, the working folder, the user's for the state of programs, or the
    temporary one. The file gets a new name there, which is the last line on standard error. Ctrl-C
    waits until the file is complete; a second one does not.
    """
    if output is None:
        terminal.say("The model was not saved; --output model.safetensors keeps it")
        return Saved(None, as_asked=True)
    return _uninterrupted(model, output, "Saved")


def save_interrupted(model: OneVsAll, output: Path | None) -> Saved:
    """Save the model so far, to a new name if none was given."""
    path = output or Path(f"interrupted-{secrets.token_hex(3)}{SUFFIX}")
    done = counted(model.n_iter, "iteration")
    return _uninterrupted(model, path, f"Interrupted after {done}; saved the model so far as")


def say_where(model: OneVsAll) -> None:
    """Tell of a backend that was not to be had."""
    if model.fallback_reason:
        terminal.say(f"Trained on {model.backend}: {' '.join(model.fallback_reason.split())}")


def _uninterrupted(model: OneVsAll, path: Path, words: str) -> Saved:
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
        except (OSError, RuntimeError, ModelFileError, ImportError):
            continue  # RuntimeError: "~" of a user without home; ImportError: without platformdirs
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
    yield _state_folder
    yield lambda: Path(tempfile.gettempdir())


def _state_folder() -> Path:
    import platformdirs

    return platformdirs.user_state_path("gpulr", appauthor=False)
