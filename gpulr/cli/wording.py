"""The library's messages in the words of the command line: ``cv=1`` is ``--folds 1`` there."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["in_options"]

_OPTIONS: Mapping[str, str] = {
    "cv": "--folds",
    **{name: f"--{name}" for name in ("C", "Cs", "backend", "dtype", "fps", "scale")},
    **{name: f"--{name}" for name in ("samples", "scoring", "seed", "size", "solver", "tol")},
    **{name: f"--{name.replace('_', '-')}" for name in ("learning_rate", "max_iter", "test_size")},
}
_FLAGS: Mapping[str, str] = {
    "standardize=True": "--standardize",
    'class_weight="balanced"': "--balanced",
    "batched=False": "--loop",
}
_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?"
_VALUE = rf"(?P<quote>[\"'])(?P<text>[^\"']*)(?P=quote)|(?P<bare>{_NUMBER}|[-+]?\w+)"
_SETTING = re.compile(rf"(?<![\w./-])(?P<name>{'|'.join(_OPTIONS)})=(?:{_VALUE})")
_NAME = re.compile(r"(?<![\w./-])(?:max_iter|learning_rate|tol)(?![\w=./-])")
_IMAGE_SHAPE = re.compile(r"(?<![\w./-])image_shape=(?:\([^)]*\))?")


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
