"""Finds out what the columns of a text table are, from its first rows and what a model knows."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from gpulr.datasets.readers.table_faults import lines_from, text_lines
from gpulr.datasets.readers.table_header import (
    has_text,
    is_header,
    label_column,
    named_column,
    row_numbers,
    warn_of_row_numbers,
)
from gpulr.errors import DataFileError
from gpulr.words import counted

__all__ = ["Columns", "KnownColumns", "find_columns"]

DELIMITERS = ",;\t"
INDEX = re.compile(r"[+-]?[0-9]{1,9}")

MOST_COLUMNS = 1_000_000
"""Beyond, the names alone take longer to look at than a table is worth."""

FIRST_SAMPLES = 20
"""rows that are looked at for a column of text."""


@dataclass(frozen=True, slots=True)
class KnownColumns:
    """What a model knows of its table's columns.

    Parameters
    ----------
    n_features : int
    label : str, optional
        The label column's name, or its index where it had none.
    features : tuple of str, optional
        The names of the features, in the model's order.
    """

    n_features: int
    label: str | None = None
    features: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """What the first rows tell of a table's columns.

    Parameters
    ----------
    delimiter : str
    header : list of str, optional
    label : int, optional
        Index of the label column.
    guessed : bool
        Whether nothing but its place tells that it is the label.
    skipped : int
        Lines before the first sample.
    row_numbers : int
        How many of the first columns number or name the rows: no features.
    """

    delimiter: str
    header: list[str] | None
    label: int | None
    guessed: bool
    skipped: int
    row_numbers: int


def find_columns(
    content: bytes,
    path: Path,
    label: str | int | None,
    known: KnownColumns | None,
    unlabelled: bool,
) -> Columns:
    """Find out what the columns are, from the first rows; see `delimited.read_table`."""
    unlabelled = unlabelled and known is not None and label is None
    single = unlabelled and known is not None and known.n_features == 1
    delimiter, rows, before, skipped = _first_rows(content, path, single=single)
    first, second = rows[0], rows[1] if len(rows) > 1 else []
    if known is not None and (
        (unlabelled and len(first) == known.n_features and has_text(first))
        or (known.features is not None and set(known.features) <= set(first))
    ):
        header: list[str] | None = first  # of numbers only, it may be, where the model knows them
    else:
        wanted = known.label if known is not None and label is None else label
        header = first if is_header(first, second, wanted) else None
    samples, skipped = (rows, before) if header is None else (rows[1:], skipped)
    features = None if known is None else known.features
    numbers = 0 if header is None else row_numbers(header, samples, features)
    needed = 2  # a label and a feature
    if known is not None:
        named = header is not None and known.label in header
        needed = known.n_features + (named or not unlabelled)
    if features is None:  # where they are known, their names decide, whatever is missing
        numbers = max(0, min(numbers, len(first) - needed))
    column, certain = None, False
    if known is not None and label is None:
        column, certain = _known_label(
            header, len(first), numbers, known, path, required=not unlabelled
        )
    guessed = False
    if not certain:
        column, guessed = label_column(header, len(first), samples, label, path, first=numbers)
    if column is not None:
        numbers = min(numbers, column)
    if numbers and features is None:  # where they are known, it is none by their names
        warn_of_row_numbers(numbers, path)
    return Columns(delimiter, header, column, guessed, skipped, numbers)


def _known_label(
    header: list[str] | None,
    n_columns: int,
    row_numbers: int,
    known: KnownColumns,
    path: Path,
    *,
    required: bool,
) -> tuple[int | None, bool]:
    """Index of the label column of a table for a model, and whether that much is known.

    It is the column of the label's name; else, unless it is `required`, there is none (index None)
    in a table that has as many columns as the model has features, not counting `row_numbers`; else,
    with one column more, it is the one that is no feature, by the names, or without any the one at
    the label's index.

    Raises
    ------
    DataFileError
        A label is `required`, and there is no column for it.
    """
    if header is not None and known.label is not None:
        column = named_column(header, (known.label,), path, exact=True)
        if column is not None:
            return column, True
    n_others = n_columns - row_numbers
    columns = [] if header is None else range(row_numbers, n_columns)
    others = [i for i in columns if header and header[i] not in (known.features or ())]
    if header is not None and not others and not required:
        return None, True  # also where features are missing, which their names will tell
    if n_others == known.n_features:
        if not required:
            return None, True
        label = "" if known.label is None else f" {known.label!r}"
        raise DataFileError(
            path,
            f"has {counted(n_others, 'column')}, as many as the model has features, so none for "
            "the label"
            f"{label}",
            "Add the labels, or use `gpulr predict` for rows without.",
        )
    if n_others != known.n_features + 1:
        return None, False
    if header is not None and known.features is not None:
        if len(others) == 1:
            return others[0], True
    elif header is None and known.label is not None and INDEX.fullmatch(known.label):
        return label_column(None, n_columns, [], known.label, path)[0], True
    return None, False


def _first_rows(
    content: bytes, path: Path, *, single: bool
) -> tuple[str, list[list[str]], int, int]:
    """Delimiter, first rows that are not blank, and the lines before and up to the first's end."""
    lines = () if content.isspace() else text_lines(content)  # quickly, of millions
    before, line = next(((i, line) for i, line in enumerate(lines) if line.strip()), (0, ""))
    if not line:
        raise DataFileError(path, "holds no rows", "Give a table with one row for each sample.")
    found: list[tuple[str, list[str], int]] = []
    refusal = None
    for delimiter in DELIMITERS:
        reader = csv.reader(lines_from(content, before), delimiter=delimiter, strict=True)
        try:
            found.append((delimiter, next(reader), before + reader.line_num))
        except csv.Error as error:
            refusal = error
    delimiter, first, end = max(found, key=lambda item: len(item[1]), default=("", [], 0))
    if len(first) < 2 and refusal is not None:
        raise DataFileError(
            path,
            f"line {before + 1}, {line.strip()[:60]!r}, cannot be told apart into columns: "
            f"{refusal}; perhaps a quote is not closed",
            "Close the quote, or write a quote inside of quotes twice.",
        )
    if len(first) < 2 and not single:
        raise DataFileError(
            path,
            f"has a single column: no comma, semicolon or tab in line {before + 1}, "
            f"{line.strip()[:60]!r}",
            "Give a table with a label column and feature columns.",
        )
    if len(first) > MOST_COLUMNS:
        raise DataFileError(
            path,
            f"has {len(first):,} columns, which is more than {MOST_COLUMNS:,}",
            "Give a table with one row for each sample, or save it as .npz.",
        )
    others = islice((line for line in lines_from(content, end) if line.strip()), FIRST_SAMPLES)
    rows = [first, *csv.reader(others, delimiter=delimiter)]
    return delimiter, [[field.strip() for field in row] for row in rows], before, end
