"""Tells whether a text table has a header, and which column is the label."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from gpulr.errors import DataFileError, LabelColumnWarning, RowNumberWarning, warn
from gpulr.words import counted

__all__ = [
    "LABEL_NAMES",
    "check_guess",
    "columns_in_words",
    "has_text",
    "is_header",
    "label_column",
    "named_column",
    "row_numbers",
    "warn_of_row_numbers",
]

LABEL_NAMES = ("label", "class", "target", "y")
"""Names, in this order of preference, that make a column the label."""

NAMELESS = re.compile(r"(Unnamed: \d+(\.\d+)*)?")
"""No name; pandas reads an index that it has written under one of the others."""


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _is_text(field: list[str]) -> bool:
    """Whether there is a field, and neither empty nor a number."""
    return field != [] and field[0] != "" and not _is_number(field[0])


def has_text(row: list[str]) -> bool:
    """Whether any field is neither empty nor a number."""
    return any(_is_text([field]) for field in row)


def is_header(first: list[str], second: list[str], label: str | int | None) -> bool:
    """Whether the first row names the columns.

    It does if it holds text, unless that may be the text label of a sample: a single text, that is
    no usual name of a label column, beside numbers that do not count the features (0, 1, 2, …),
    or above another text. Without a text, it does if its numbers count the columns from 0, perhaps
    after an empty field, three or more in all, unless the next row counts on.
    """
    texts = [i for i, field in enumerate(first) if field and not _is_number(field)]
    if not texts:
        names = first[1:] if first[0] == "" else first
        n, numbers = len(names), list(map(str, range(2 * len(names))))
        return len(first) > 2 and names == numbers[:n] and second not in ([], numbers[n:])
    if len(texts) != 1:
        return True
    name = first[texts[0]]
    if name.casefold() in LABEL_NAMES or name == label:
        return True
    if texts[0] < len(second) and second[texts[0]] and not _is_number(second[texts[0]]):
        return False
    others = first[: texts[0]] + first[texts[0] + 1 :]
    return _counts(others[1:] if first[0] == "" and others[1:] else others)


def _counts(fields: list[str]) -> bool:
    """Whether they are 0, 1, 2, … or 1, 2, 3, …."""
    return fields in ([str(i + start) for i in range(len(fields))] for start in (0, 1))


def row_numbers(header: list[str], samples: list[list[str]], features: Sequence[str] | None) -> int:
    """Count the first columns that have no name and number the rows, as an index of pandas does.

    Where the model's `features` are known they are those that are none of these, whatever they
    hold; else those of whole numbers, in the first `samples`, none of them twice.
    """
    nameless = list(takewhile(NAMELESS.fullmatch, header))
    if features is not None:
        return len(list(takewhile(lambda name: name not in features, nameless)))
    columns = ([row[i] for row in samples if i < len(row)] for i in range(len(nameless)))
    return len(list(takewhile(_are_row_numbers, columns)))


def _are_row_numbers(fields: list[str]) -> bool:
    whole = all(field.isascii() and field.isdecimal() for field in fields)
    return bool(fields) and whole and len(set(fields)) == len(fields)


def warn_of_row_numbers(n_columns: int, path: Path) -> None:
    """Warn that the first columns are left out."""
    which = "the first column has" if n_columns == 1 else f"the first {n_columns} columns have"
    warn(
        f"{path}: {which} no name and whole numbers, none twice, as row numbers are; left out. If "
        "it is a feature, name it in the first line; if it is the label, pass --label 0 (label= in "
        "Python).",
        RowNumberWarning,
    )


def label_column(
    header: list[str] | None,
    n_columns: int,
    samples: list[list[str]],
    label: str | int | None,
    path: Path,
    *,
    first: int = 0,
) -> tuple[int, bool]:
    """Index of the label column, from 0, and whether it is a mere guess.

    Without `label` it is the column with a usual name; else the only one that holds text in each of
    the first `samples`; else the `first`, which is the guess: see `check_guess`. So is the `first`
    where it holds the text and has no name.
    """
    if label is None:
        column = named_column(header or [], LABEL_NAMES, path)
        if column is None:
            column = _only_text(samples, n_columns)
        if column is None:
            return first, True
        return column, column == first and header is not None and header[column] == ""
    if header is not None and isinstance(label, str):
        column = named_column(header, (label,), path, exact=True)
        if column is None:
            column = named_column(header, (label.casefold(),), path)
        if column is not None:
            return column, False
    try:
        index = int(label)
    except ValueError as error:
        raise DataFileError(
            path,
            f"has no column {label!r} ({columns_in_words(header, n_columns)})",
            "Give the label column's name or its index from 0.",
        ) from error
    if not -n_columns <= index < n_columns:
        raise DataFileError(
            path,
            f"has {counted(n_columns, 'column')}, so none with index {index}",
            f"Give an index from 0 to {n_columns - 1}, or a name.",
        )
    return index % n_columns, False


def named_column(
    header: list[str], wanted: tuple[str, ...], path: Path, *, exact: bool = False
) -> int | None:
    """Index of the column with the first of the wanted names that there is; None without."""
    names = header if exact else [name.casefold() for name in header]
    name = next((name for name in wanted if name in names), None)
    matches = [i for i, other in enumerate(names) if other == name]
    if len(matches) > 1:
        raise DataFileError(
            path,
            f"has {len(matches)} columns named {header[matches[0]]!r}, at indices "
            f"{', '.join(map(str, matches))}",
            "Rename them, or give the label column's index as label.",
        )
    return matches[0] if matches else None


def _only_text(samples: list[list[str]], n_columns: int) -> int | None:
    """Index of the one column that holds text in each of the samples; None of none or more.

    One text alone may be a slip in a column of numbers, which is to be told as such.
    """
    texts = [
        column
        for column in range(n_columns)
        if samples and all(_is_text(row[column : column + 1]) for row in samples)
    ]
    return texts[0] if len(texts) == 1 else None


def check_guess(labels: list[str], header: list[str] | None, n_columns: int, path: Path) -> None:
    """Warn that the first column is taken for the label, or refuse if it holds fractions.

    Raises
    ------
    DataFileError
        All its values are numbers, and some are not whole.
    """
    first = "the first" if header is None else f"the first, {header[0]!r},"
    if all(map(_is_number, labels)) and not all(float(text).is_integer() for text in labels):
        raise DataFileError(
            path,
            f"has no column named {', '.join(LABEL_NAMES)} and no column of text, and {first} "
            f"holds fractions, which are no labels ({columns_in_words(header, n_columns)})",
            "Name the label column with --label NAME, or its index from 0 (label= in Python).",
        )
    if header is not None:
        warn(
            f"{path}: no column is named {', '.join(LABEL_NAMES)}; {first} "
            "is taken for the label. Name another with --label (label= in Python).",
            LabelColumnWarning,
        )


def columns_in_words(header: list[str] | None, n_columns: int) -> str:
    """Return the first columns' names, or how many columns there are."""
    if header is None:
        return f"columns: no header, {counted(n_columns, 'column')}"
    return f"columns: {', '.join(header[:12])}{'…' if n_columns > 12 else ''}"
