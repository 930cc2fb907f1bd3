"""Writing for people and for programs: consoles, JSON, errors and exit codes."""

from __future__ import annotations

import functools
import json
import math
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ParamSpec

import typer
from rich.console import Console
from rich.text import Text

from gpulr import errors
from gpulr.cli.wording import in_options

P = ParamSpec("P")

FAILED, USAGE, BAD_DATA, NO_BACKEND, INTERRUPTED = 1, 2, 3, 4, 130

_EXIT_CODES: Mapping[type[Exception], int] = {
    errors.ParameterError: USAGE,
    errors.DataError: BAD_DATA,
    errors.DataFileError: BAD_DATA,
    errors.DataUnavailableError: BAD_DATA,
    errors.BackendUnavailableError: NO_BACKEND,
}


def out() -> Console:
    """Return the console for results."""
    return _console()


def err() -> Console:
    """Return the console for everything else."""
    return _console(stderr=True)


def _console(stderr: bool = False) -> Console:
    # Labels and names of files may hold [brackets] and :colons:; they are neither markup nor emoji.
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def say(message: str) -> None:
    """Tell the person at the terminal something that is not a result."""
    err().print(message, style="dim", soft_wrap=True)


def print_json(record: Mapping[str, Any]) -> None:
    """Print one JSON object on standard output; infinite and undefined numbers are null."""
    print(json.dumps(_plain(record), allow_nan=False, ensure_ascii=False, default=str))


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


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Turn gpulr's errors into a message on standard error and an exit code."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        warnings.showwarning = _show_warning  # type: ignore[assignment]
        try:
            command(*args, **kwargs)
        except (errors.GpulrError, MemoryError) as error:
            show_error(words_of(error) or "out of memory")
            raise typer.Exit(_exit_code(error)) from None
        except BrokenPipeError:  # the reader, such as `head`, has seen enough
            sys.stderr.close()
            raise typer.Exit(0) from None
        except KeyboardInterrupt:
            show_error("interrupted")
            raise typer.Exit(INTERRUPTED) from None

    return run


def words_of(error: BaseException) -> str:
    """Return the message; those on files hold paths, in which nothing is a setting."""
    settings = isinstance(error, errors.ParameterError | errors.DataError)
    return in_options(str(error)) if settings else str(error)


def _exit_code(error: BaseException) -> int:
    return next((code for kind, code in _EXIT_CODES.items() if isinstance(error, kind)), FAILED)


def show_error(message: str) -> None:
    """Tell what failed."""
    err().print(Text.assemble(("error:", "bold red"), " ", message), soft_wrap=True)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any) -> None:
    words = str(message)
    if issubclass(category, errors.ConvergenceWarning | errors.ScaleWarning):
        words = in_options(words)
    err().print(Text.assemble(("warning:", "bold yellow"), " ", words), soft_wrap=True)
