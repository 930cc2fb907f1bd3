"""Models are saved where they should be, or else where they can be found again."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path

from gpulr.cli import terminal
from gpulr.errors import ModelFileError
from gpulr.families.interrupt import ctrl_c
from gpulr.families.intervals import Bootstrap
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.storage import SUFFIX
from gpulr.words import counted

RESCUE = "GPULR_RESCUE"
"""Variable of the environment that names the folder for models that go nowhere else."""


def unfinished(model: OneVsAll) -> str:
    """Return what is said of a model whose training was interrupted, before its path."""
    return f"Interrupted after {counted(model.n_iter, 'iteration')}; saved the model so far as"


def save(
    found: OneVsAll | Bootstrap, output: Path | None, *, interrupted: str = ""
) -> tuple[Path | None, int]:
    """Save what was found to ``output``, or say how it would have been.

    Returns where, and an exit code.

    Where the command was interrupted, ``interrupted`` says what is saved as the path, and the model
    goes to a new name if none was given. Where it cannot be written, it goes to the first folder
    that takes it: the one that ``GPULR_RESCUE`` names, the working folder, the user's for the state
    of programs, or the temporary one. The file gets a new name there, which is the last line on
    standard error. Ctrl-C waits until the file is complete; a second one does not.
    """
    words = "Saved"
    model = found.model if isinstance(found, Bootstrap) else found
    what = "bootstrap" if isinstance(found, Bootstrap) else "model"
    if interrupted:
        output = output or Path(f"interrupted-{secrets.token_hex(3)}{SUFFIX}")
        words = interrupted
    elif output is None:
        _say_backend(model)
        terminal.say(f"The {what} was not saved; --output {what}.safetensors keeps it")
        return None, 0
    with ctrl_c() as pressed:
        path = _save(found, output, words)
    terminal.known(output=path)
    _say_backend(model)
    if interrupted or pressed():
        return path, terminal.INTERRUPTED
    return path, 0 if path == output else terminal.FAILED


def _say_backend(model: OneVsAll) -> None:
    if model.fallback_reason:
        terminal.say(f"Trained on {model.backend}: {' '.join(model.fallback_reason.split())}")


def _save(found: OneVsAll | Bootstrap, path: Path, words: str) -> Path | None:
    """Save, and say where; returns the path of the file, None if there is none."""
    try:
        found.save(path)
    except (ModelFileError, OSError) as error:  # OSError: the working folder is gone
        fault = f"{terminal.on_one_line(path)}: {getattr(error, 'found', error)}."
    else:
        terminal.say(f"{words} {path}")
        return path
    name = f"rescued-{secrets.token_hex(4)}{SUFFIX}"
    for folder in folders():
        try:
            rescued = Path(folder()).expanduser().absolute() / name
            rescued.parent.mkdir(parents=True, exist_ok=True)
            rescued.touch(exist_ok=False)  # never over a file that is there
            try:
                found.save(rescued)
            except BaseException:
                rescued.unlink()
                raise
        except (OSError, RuntimeError, ModelFileError, ImportError):
            continue  # RuntimeError: "~" of a user without home; ImportError: without platformdirs
        terminal.show_error(f"{fault} The model is saved in a new file, which the last line names.")
        terminal.say_last(str(rescued))
        return rescued
    terminal.show_error(
        f"{fault} It could not be written to {RESCUE}, the working folder, the user's state folder "
        "or the temporary one either, and is lost. Make room, and train again."
    )
    return None


def folders() -> tuple[Callable[[], str | Path], ...]:
    """Return what tells where files may go that have no other place, the first choice first."""
    return (
        lambda: os.environ.get(RESCUE, "").strip(),  # nothing is the working folder
        lambda: ".",
        _state_folder,
        tempfile.gettempdir,
    )


def _state_folder() -> Path:
    import platformdirs

    return platformdirs.user_state_path("gpulr", appauthor=False)
