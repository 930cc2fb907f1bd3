"""Small parts of messages that occur everywhere: numbers with their nouns, and near misses."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any

_MOST_FILES = 10_000  # of a folder that is looked through


def brief(record: Any) -> str:
    """Return a dataclass in one line, for its ``__repr__``; of arrays only shape and dtype."""
    values = ((field.name, getattr(record, field.name)) for field in fields(record))
    shown = (f"{name}={_brief(value)}" for name, value in values)
    return f"{type(record).__name__}({', '.join(shown)})"


def _brief(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"<{'×'.join(map(str, value.shape))} {value.dtype}>"
    return repr(value)


def counted(n: int, one: str, many: str = "") -> str:
    """Return a number and its noun, with an s or as ``many``: 1 model, 2 models, 3 classes."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def shown(value: object) -> str:
    """Return what was passed, for an error that refuses it: its repr, or the beginning of that."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of more digits than Python writes
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 80 else f"{text[:60]}…"


def listed(names: Sequence[object]) -> str:
    """Return names after each other, ten at most and how many more there are."""
    more = len(names) - 10
    return ", ".join(map(str, names[:10])) + (f" and {more:,} more" if more > 0 else "")


def first_line(error: BaseException) -> str:
    """Return what an error says first, without a full stop; its name where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".!")


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return a question, after a space, that names the known word most like this; or nothing."""
    name = _nearest(str(word), known)
    return f" (did you mean {name}?)" if name else ""


def is_there_another(path: str | os.PathLike[str]) -> str:
    """Return a question, after a space, that names the file most like a missing one; or nothing."""
    missing = Path(path)
    try:
        with os.scandir(missing.parent) as entries:
            names = [entry.name for entry in islice(entries, _MOST_FILES)]
    except (OSError, ValueError):  # no such folder either, or one that cannot be listed
        return ""
    name = _nearest(missing.name, names)
    return f" (did you mean {missing.with_name(name)}?)" if name else ""


def _nearest(word: str, known: Iterable[str]) -> str:
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.7)
    return by_lower[near[0]] if near else ""


# What scores are called where they are read, beyond "_" as a space.
_SCORES = {"f1": "F1", "roc": "ROC", "auc": "AUC", "ovr": "(one-vs-rest)", "ovo": "(one-vs-one)"}
_SCORES |= {name: f"({name})" for name in ("macro", "micro", "weighted", "samples")}


def score_words(scoring: str) -> str:
    """Return the name of a score as a reader has it: "ROC AUC (one-vs-rest)", "minus log loss"."""
    words = [_SCORES.get(word, word) for word in scoring.split("_")]
    return " ".join(["minus" if word == "neg" else word for word in words])
