"""Words as the command line shows them: safe for a terminal, and ``cv=1`` is ``--folds 1``."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping

_JOINERS = "\u200c\u200d"  # invisible, but they shape Persian and Indic letters, and emoji

_OPTIONS: Mapping[str, str] = {
    "cv": "--folds",
    **{name: f"--{name}" for name in ("C", "Cs", "backend", "dtype", "fps", "label", "scale")},
    **{name: f"--{name}" for name in ("samples", "scoring", "seed", "size", "solver", "tol")},
    **{name: f"--{name.replace('_', '-')}" for name in ("learning_rate", "max_iter", "test_size")},
}
_FLAGS: Mapping[str, str] = {
    "standardize=True": "--standardize",
    'class_weight="balanced"': "--balanced",
    "batched=False": "--loop",
    'gpulr.datasets.load("digits")': "--data digits",
}
_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?"
_VALUE = rf"(?P<quote>[\"'])(?P<text>[^\"']*)(?P=quote)|(?P<bare>{_NUMBER}|[-+]?\w+)"
_SETTING = re.compile(rf"(?<![\w./-])(?P<name>{'|'.join(_OPTIONS)})=(?:{_VALUE})")
_NAME = re.compile(r"(?<![\w./-])(?:max_iter|learning_rate|tol)(?![\w=./-])")
_IMAGE_SHAPE = re.compile(r"(?<![\w./-])image_shape=(?:\([^)]*\))?")


def escaped(
    text: str, *, write: Callable[[str], str] = repr, harmless: str = "\n\t" + _JOINERS
) -> str:
    r"""Return text with what is no visible character or space written out, such as ``\x1b``.

    These are control characters, which a terminal obeys; those that turn the direction of writing
    or are not seen; what is in no use yet; and halves of surrogates, which cannot be encoded.

    Parameters
    ----------
    text : str
    write : callable
        Writes such a character between quotes: `repr`, or `json.dumps`.
    harmless : str
        What of them stays as it is.
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


def in_options(message: str) -> str:
    """Return a message with options in the place of Python's arguments."""
    for flag, option in _FLAGS.items():
        message = message.replace(flag, option)
    message = _SETTING.sub(_option, message)
    message = _NAME.sub(lambda found: _OPTIONS[found[0]], message)
    return _IMAGE_SHAPE.sub(r"\g<0> in Python", message)


def _option(found: re.Match[str]) -> str:
    value = found["bare"] if found["quote"] is None else found["text"]
    return f"{_OPTIONS[found['name']]} {value}"
