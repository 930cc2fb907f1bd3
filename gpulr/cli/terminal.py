"""Writing for people and for programs: results, messages, JSON, errors and exit codes.

Labels, names of files and messages of other libraries may hold characters that act on a terminal:
all that is written goes through :func:`escaped`. Errors of the library name Python's arguments:
here ``cv=1`` is ``--folds 1``.
"""

from __future__ import annotations

import errno
import functools
import json
import math
import os
import re
import sys
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from gpulr import errors
from gpulr.cli import process
from gpulr.cli.folding import with_hanging_lines
from gpulr.words import did_you_mean, is_there_another

Task = Callable[..., int | None]
"""What a command does with its options; it returns its exit code, None for 0."""

ENDLESS = 100_000  # columns
STARTING = "Starting …"
FAILED, USAGE, BAD_DATA, NO_BACKEND, INTERRUPTED = 1, 2, 3, 4, process.INTERRUPTED
_EXIT_CODES: Mapping[type[Exception], int] = {
    errors.FileNotWrittenError: FAILED,
    errors.ParameterError: USAGE,
    errors.DataError: BAD_DATA,
    errors.DataFileError: BAD_DATA,
    errors.DataUnavailableError: BAD_DATA,
    errors.BackendUnavailableError: NO_BACKEND,
}
_JOINERS = "\u200c\u200d"  # invisible, but they shape Persian and Indic letters, and emoji
_PARAMETERS = (
    "cv|C|Cs|backend|dtype|fps|label|scale|samples|scoring|seed|size|solver|tol|learning_rate|"
    "max_iter|test_size|pos_weight|weights|level|n|checkpoint|checkpoint_every"
)
_FLAGS = {
    "standardize=True": "--standardize",
    'class_weight="balanced"': "--balanced",
    "batched=False": "--loop",
    "mistakes=True": "--mistakes",
    'gpulr.datasets.load("digits")': "--data digits",
}
_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?"
_VALUE = rf"(?P<quote>[\"'])(?P<text>[^\"']*)(?P=quote)|(?P<bare>{_NUMBER}|[-+]?\w+)"
_SETTING = re.compile(rf"(?<![\w./-])(?P<name>{_PARAMETERS})=(?:{_VALUE})")
_NAME = re.compile(r"(?<![\w./-])(?:max_iter|learning_rate|tol)(?![\w=./-])")
_IMAGE_SHAPE = re.compile(r"(?<![\w./-])image_shape=(?:\([^)]*\))?")
_UsageError: Any = typer.BadParameter.__bases__[0]  # to which Typer gives no name of its own
_last_words: list[str] = []
_known: dict[str, Any] = {}


# ---- text that is safe for a terminal -----------------------------------------------------------


def escaped(
    text: str, *, write: Callable[[str], str] = repr, harmless: str = "\n\t" + _JOINERS
) -> str:
    r"""Return text with what is no visible character or space written out, such as ``\x1b``.

    These are control characters, which a terminal obeys; those that turn the direction of writing
    or are not seen; what is in no use yet; and halves of surrogates, which cannot be encoded.
    ``write`` writes such a character between quotes; what is ``harmless`` stays as it is.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in harmless or unicodedata.category(c) == "Zs" else write(c)[1:-1]
        for c in text
    )


def on_one_line(value: object) -> str:
    """Return a label or the name of a file, in which a line break is no part of a message."""
    return escaped(str(value), harmless=_JOINERS)


def option(parameter: str) -> str:
    """Return the option of the command line that one of Python's parameters is."""
    return "--folds" if parameter == "cv" else f"--{parameter.replace('_', '-')}"


def options(parameters: Iterable[str]) -> str:
    """Return parameters as a list of options."""
    return ", ".join(map(option, sorted(parameters)))


def in_options(message: str) -> str:
    """Return a message with options in the place of Python's arguments."""
    for switch, name in _FLAGS.items():
        message = message.replace(switch, name)
    message = _SETTING.sub(
        lambda found: f"{option(found['name'])} {found['text' if found['quote'] else 'bare']}",
        message,
    )
    message = _NAME.sub(lambda found: option(found[0]), message)
    return _IMAGE_SHAPE.sub(r"\g<0> in Python", message)


# ---- results and messages -----------------------------------------------------------------------


class _Console(Console):
    """A console whose text acts on no terminal.

    Labels and names of files may hold [brackets] and :colons:; they are neither markup nor emoji.
    """

    def __init__(self, **how: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **how)

    def render_str(self, text: str, **how: Any) -> Text:
        return super().render_str(escaped(text), **how)


def show(*results: RenderableType) -> None:
    """Print results, each on lines of its own, on standard output.

    Where that is no terminal, nobody's lines end: nothing is cut or folded, unless COLUMNS says so.
    """
    console = _Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = ENDLESS
    for result in results:
        if isinstance(result, str):
            result = Text(result)
        if isinstance(result, Text):
            result = _folded(result, console.width)
        console.print(result, soft_wrap=isinstance(result, Text))


def err() -> Console:
    """Return the console for everything else."""
    return _Console(stderr=True)


def is_screen() -> bool:
    """Return whether results go to a terminal, before somebody's eyes."""
    return _Console().is_terminal


def _tell(message: Text) -> None:
    console = err()
    width = console.width if console.is_terminal else ENDLESS
    console.print(_folded(message, width), soft_wrap=True)


def _folded(text: Text, width: int) -> Text:
    """Return text whose lines end between words."""
    words = with_hanging_lines(escaped(text.plain), width)
    folded = Text(words, text.style)
    for span in text.spans:
        folded.stylize(span.style, span.start, span.end)
    return folded


def say(message: str) -> None:
    """Tell the person at the terminal something that is not a result."""
    _tell(Text(on_one_line(message), "dim"))


def say_written(path: Path, what: str = "") -> int:
    """Tell of a file that was written, and return its size in bytes."""
    size = path.stat().st_size
    say(f"Wrote {path}{': ' if what else ''}{what}, {size:,} bytes")
    return size


def say_last(line: str) -> None:
    """Print a line on standard error when all else is written, where a script finds it."""
    _last_words.append(line)


def show_error(message: str) -> None:
    """Tell what failed."""
    _tell(Text.assemble(("error:", "bold red"), f" {message}"))


def _show_warning(message: Warning | str, category: type[Warning], *_: Any) -> None:
    words = str(message)
    if issubclass(category, errors.ResumedWarning):
        say(words)
        return
    ours = errors.ConvergenceWarning | errors.DataFallbackWarning | errors.ScaleWarning
    if issubclass(category, ours):
        words = in_options(words)
    _tell(Text.assemble(("warning:", "bold yellow"), f" {words}"))


def known(**facts: Any) -> None:
    """Keep what the JSON object of a command tells that is interrupted, beside its own."""
    _known.update(facts)


def print_json(record: Mapping[str, Any], *, interrupted: bool = False) -> None:
    """Print one JSON object on standard output; infinite and undefined numbers are null."""
    plain = _plain({**_known, **record, "interrupted": True} if interrupted else record)
    _known["printed"] = True
    ascii_only = not (sys.stdout.encoding or "ascii").lower().startswith("utf")
    written = json.dumps(plain, allow_nan=False, ensure_ascii=ascii_only, default=str)
    print(escaped(written, write=json.dumps))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy's arrays and scalars
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


# ---- commands -----------------------------------------------------------------------------------


def guarded(command: Callable[..., Task]) -> Callable[..., None]:
    """Turn gpulr's errors into a message on standard error and an exit code.

    The command imports what it needs, and returns what is then to be done with its options: while
    it imports, nothing is begun that could be lost, and Ctrl-C ends the process at once.
    """

    @functools.wraps(command)
    def run(**given: Any) -> None:
        _known.clear()
        code: int | None
        try:
            with starting():
                task = command(**given)
            if isinstance(sys.stdout, process.Stream):  # in a process of its own
                process.interrupt_from_here()
            warnings.showwarning = _show_warning  # type: ignore[assignment]
            # Messages here: PYTHONWARNINGS=error must not lose a model over one.
            warnings.simplefilter("always", errors.GpulrWarning)
            code = task(
                **{
                    name: value
                    for name, value in given.items()
                    if value is not None and name != "context"
                }
            )
        except (errors.GpulrError, MemoryError, OSError) as error:
            show_error(words_of(error) or "out of memory")
            kinds = (code for kind, code in _EXIT_CODES.items() if isinstance(error, kind))
            code = next(kinds, FAILED)
        except KeyboardInterrupt:
            show_error("interrupted")
            if given["json"] and "printed" not in _known:
                print_json(_known, interrupted=True)
            code = INTERRUPTED
        finally:
            _say_last_words()
        if code:
            raise typer.Exit(code)

    return run


@contextmanager
def starting() -> Iterator[None]:
    """Say at a terminal that something happens; what is written next takes the line's place."""
    if not sys.stderr.isatty():
        yield
        return
    sys.stderr.write(f"{STARTING}\r")
    sys.stderr.flush()
    try:
        yield
    finally:
        sys.stderr.write(f"{' ' * len(STARTING)}\r")
        sys.stderr.flush()


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
        name = f"{on_one_line(error.filename)}: " if error.filename else ""
        return name + error.strerror
    return str(error)
