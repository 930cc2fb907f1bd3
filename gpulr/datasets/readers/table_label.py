"""Finds the label column of a text table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gpulr.datasets.readers.checks import UnusableError
from gpulr.datasets.readers.table_header import LABEL_NAMES, is_number, is_text
from gpulr.errors import LabelColumnWarning, warn
from gpulr.words import counted


def label_column(
    header: list[str] | None,
    samples: list[list[str]],
    n_columns: int,
    label: str | int | None,
    *,
    first: int = 0,
) -> tuple[int, bool]:
    """Index of the label column, from 0, and whether it is a mere guess.

    Without `label` it is the column with a usual name; else the only one that holds text in each of
    the first `samples` (one text alone may be a slip in a column of numbers); else the `first`,
    which is the guess: see `check_guess`. So it is where it holds the text and has no name.
    """
    if label is not None:
        named = None
        if header is not None and isinstance(label, str):
            named = named_column(header, [label], exact=True)
            if named is None:
                named = named_column(header, [label.casefold()])
        return label_at(label, header, n_columns) if named is None else named, False
    column = named_column(header or [], LABEL_NAMES)
    if column is None:
        texts = [
            i
            for i in range(n_columns)
            if samples and all(i < len(row) and is_text(row[i]) for row in samples)
        ]
        if len(texts) != 1:
            return first, True
        column = texts[0]
    return column, column == first and header is not None and header[column] == ""


def label_at(label: str | int, header: list[str] | None, n_columns: int) -> int:
    """Return an index that may be text or count from the end, as one from 0; or refuse it."""
    try:
        index = int(label)
    except ValueError as error:
        raise UnusableError(
            f"has no column {label!r} ({_in_words(header, n_columns)})",
            "Give the label column's name or its index from 0.",
        ) from error
    if not -n_columns <= index < n_columns:
        raise UnusableError(
            f"has {counted(n_columns, 'column')}, so none with index {index}",
            f"Give an index from 0 to {n_columns - 1}, or a name.",
        )
    return index % n_columns


def named_column(header: list[str], wanted: Sequence[str], *, exact: bool = False) -> int | None:
    """Index of the column with the first of the wanted names that there is; None without."""
    names = header if exact else [name.casefold() for name in header]
    name = next((name for name in wanted if name in names), None)
    matches = [i for i, other in enumerate(names) if other == name]
    if len(matches) > 1:
        raise UnusableError(
            f"has {len(matches)} columns named {header[matches[0]]!r}, at indices "
            f"{', '.join(map(str, matches))}",
            "Rename them, or give the label column's index as label.",
        )
    return matches[0] if matches else None


def check_guess(labels: list[str], header: list[str] | None, n_columns: int, path: Path) -> None:
    """Warn that the first column is taken for the label, or refuse it if it holds fractions."""
    first = "the first" if header is None else f"the first, {header[0]!r},"
    if all(map(is_number, labels)) and not all(float(text).is_integer() for text in labels):
        raise UnusableError(
            f"has no column named {', '.join(LABEL_NAMES)} and no column of text, and {first} "
            f"holds fractions, which are no labels ({_in_words(header, n_columns)})",
            "Name the label column with --label NAME, or its index from 0 (label= in Python).",
        )
    if header is not None:
        warn(
            f"{path}: no column is named {', '.join(LABEL_NAMES)}; {first} "
            "is taken for the label. Name another with --label (label= in Python).",
            LabelColumnWarning,
        )


def _in_words(header: list[str] | None, n_columns: int) -> str:
    """Return the first columns' names, or how many columns there are."""
    if header is None:
        return f"columns: no header, {counted(n_columns, 'column')}"
    return f"columns: {', '.join(header[:12])}{'…' if n_columns > 12 else ''}"
