"""Writing for people and for programs: results, messages, JSON, errors and exit codes.

Labels, names of files and messages of other libraries may hold characters that act on a terminal:
all that is written goes through :func:`gpulr.cli.wording.escaped`.
"""

from __future__ import annotations

import errno
import functools
import json
import math
import os
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ParamSpec

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from gpulr import errors
from gpulr.cli import signals
from gpulr.cli.streams import Stream
from gpulr.cli.wording import escaped, in_options, on_one_line
from gpulr.words import did_you_mean, is_there_another

P = ParamSpec("P")
Task = Callable[[], None]

FAILED, USAGE, BAD_DATA, NO_BACKEND, INTERRUPTED = 1, 2, 3, 4, signals.INTERRUPTED

_EXIT_CODES: Mapping[type[Exception], int] = {
    errors.FileNotWrittenError: FAILED,
    errors.ParameterError: USAGE,
    errors.DataError: BAD_DATA,
    errors.DataFileError: BAD_DATA,
    errors.DataUnavailableError: BAD_DATA,
    errors.BackendUnavailableError: NO_BACKEND,
}

_UsageError: Any = typer.BadParameter.__bases__[0]  # to which Typer gives no name of its own
_last_words: list[str] = []
_known: dict[str, Any] = {}


class _Console(Console):
    """A console whose text acts on no terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(escaped(text), **options)


def _console(stderr: bool = False) -> Console:
    # Labels and names of files may hold [brackets] and :colons:; they are neither markup nor emoji.
    return _Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def show(*results: RenderableType, soft_wrap: bool = False) -> None:
    """Print results, each on lines of its own, on standard output."""
    console = _console()
    for result in results:
        console.print(result, soft_wrap=soft_wrap)


def err() -> Console:
    """Return the console for everything else."""
    return _console(stderr=True)


def text(*parts: str | tuple[str, str]) -> Text:
    """Return text of parts, each alone or with its style."""
    each = ((part, "") if isinstance(part, str) else part for part in parts)
    return Text.assemble(*((escaped(words), style) for words, style in each))


def say(message: str) -> None:
    """Tell the person at the terminal something that is not a result."""
    err().print(on_one_line(message), style="dim", soft_wrap=True)


def say_written(path: Path, what: str = "") -> int:
    """Tell of a file that was written, and return its size in bytes."""
    size = path.stat().st_size
    say(f"Wrote {path}{': ' if what else ''}{what}, {size:,} bytes")
    return size


def say_last(line: str) -> None:
    """Print a line on standard error when all else is written, where a script finds it."""
    _last_words.append(line)


def known(**facts: Any) -> None:
    """Keep what the JSON object of a command tells that is interrupted before it prints its own."""
    _known.update(facts)


def print_json(record: Mapping[str, Any]) -> None:
    """Print one JSON object on standard output; infinite and undefined numbers are null."""
    _known["printed"] = True
    ascii_only = not (sys.stdout.encoding or "ascii").lower().startswith("utf")
    written = json.dumps(_plain(record), allow_nan=False, ensure_ascii=ascii_only, default=str)
    print(escaped(written, write=json.dumps))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy's arrays and scalars
        return _plain(value.tolist())
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def guarded(command: Callable[P, Task]) -> Callable[P, None]:
    """Turn gpulr's errors into a message on standard error and an exit code.

    The command imports what it needs, and returns what is then to be done: while it imports,
    nothing is begun that could be lost, and Ctrl-C ends the process at once.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        _known.clear()
        try:
            task = command(*args, **kwargs)
            if isinstance(sys.stdout, Stream):  # in a process of its own
                signals.interrupt_from_here()
            warnings.showwarning = _show_warning  # type: ignore[assignment]
            # Messages here: PYTHONWARNINGS=error must not lose a model over one.
            warnings.simplefilter("always", errors.GpulrWarning)
            task()
        except (errors.GpulrError, MemoryError, OSError) as error:
            show_error(words_of(error) or "out of memory")
            raise typer.Exit(_exit_code(error)) from None
        except KeyboardInterrupt:
            show_error("interrupted")
            if kwargs.get("json") and "printed" not in _known:
                print_json({**_known, "interrupted": True})
            raise typer.Exit(INTERRUPTED) from None
        finally:
            _say_last_words()

    return run


def run(app: typer.Typer) -> int:
    """Run the command that the process was started with, and return its exit code."""
    try:
        code = app(standalone_mode=False) or 0
    except (KeyboardInterrupt, typer.Abort):  # outside of any command
        code = INTERRUPTED
    except _UsageError as error:
        code = USAGE
        if type(error).__name__ != "NoArgsIsHelpError":  # the help is the answer
            show_error(_usage(error))
    sys.stdout.flush()
    fault = getattr(sys.stdout, "fault", None)
    if fault is not None and fault.errno != errno.EPIPE:  # a reader, such as `head`, that has gone
        code = code or FAILED
        show_error(f"standard output cannot be written to: {fault.strerror}")
        _say_last_words()
    return int(code)


def _say_last_words() -> None:
    while _last_words:
        err().print(_last_words.pop(0), soft_wrap=True)


def _usage(error: Any) -> str:
    """Return in words what is wrong with a command line, and where its options are listed."""
    message = error.format_message().replace("argument(s)", "argument").rstrip(".")
    command: Any = getattr(error.ctx, "command", None)
    if unknown := re.match(r"No such command '([^']*)'", message):
        near = did_you_mean(unknown[1], getattr(command, "commands", ()))
        message = unknown[0] + near  # Typer may ask as well, in other words
    if "extra argument" in message and any(each.name == "data" for each in command.params):
        message += ". Data are named by --data"
    path = getattr(error.ctx, "command_path", "gpulr")
    return f"{message}. `{path} --help` tells what there is."


def words_of(error: BaseException) -> str:
    """Return the message; those on files hold paths, in which nothing is a setting."""
    if isinstance(error, errors.FileNotWrittenError):
        remedy = "What was there before is untouched; make room, or choose another path."
        return f"{on_one_line(error.path)}: {error.found}. {remedy}"
    if isinstance(error, errors.DataFileError):
        near = "" if os.path.lexists(error.path) else is_there_another(error.path)
        asked = near in str(error)
        words = f"{error.path}: {error.found}{'' if asked else near}. {error.remedy}"
        return words.replace(str(error.path), on_one_line(error.path))
    if isinstance(error, errors.ParameterError | errors.DataError):
        return in_options(str(error))
    if isinstance(error, OSError) and error.strerror and not isinstance(error, errors.GpulrError):
        return (
            f"{on_one_line(error.filename)}: {error.strerror}" if error.filename else error.strerror
        )
    return str(error)


def _exit_code(error: BaseException) -> int:
    return next((code for kind, code in _EXIT_CODES.items() if isinstance(error, kind)), FAILED)


def show_error(message: str) -> None:
    """Tell what failed."""
    _show_labelled(("error:", "bold red"), message)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any) -> None:
    words = str(message)
    if issubclass(category, errors.ConvergenceWarning | errors.ScaleWarning):
        words = in_options(words)
    _show_labelled(("warning:", "bold yellow"), words)


def _show_labelled(label: tuple[str, str], message: str) -> None:
    err().print(text(label, " ", message), soft_wrap=True)
