"""Finds out what the columns of a text table are, from its first rows and what a model knows."""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from gpulr.datasets.readers.checks import UnusableError
from gpulr.datasets.readers.table_header import (
    is_header,
    is_text,
    row_numbers,
    warn_of_row_numbers,
)
from gpulr.datasets.readers.table_label import label_at, label_column, named_column
from gpulr.words import counted

DELIMITERS = ",;\t"
INDEX = re.compile(r"[+-]?[0-9]{1,9}")

MOST_COLUMNS = 1_000_000  # beyond, the names alone take longer to look at than a table is worth
FIRST_SAMPLES = 20  # rows that are looked at for a column of text


@dataclass(frozen=True, slots=True)
class KnownColumns:
    """What a model knows of its table's columns.

    `label` is the label column's name, or its index where it had none; `features` are the names of
    the features, in the model's order.
    """

    n_features: int
    label: str | None = None
    features: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """What the first rows tell of a table's columns."""

    delimiter: str
    header: list[str] | None
    label: int | None
    """Index of the label column."""
    guessed: bool
    """Whether nothing but its place tells that it is the label."""
    skipped: int
    """Lines before the first sample."""
    row_numbers: int
    """How many of the first columns number or name the rows: no features."""


def find_columns(
    content: bytes,
    path: Path,
    label: str | int | None,
    known: KnownColumns | None,
    unlabelled: bool,
) -> Columns:
    """Find out what the columns are, from the first rows; see `table.read_table`."""
    unlabelled = unlabelled and known is not None and label is None
    known = known or KnownColumns(1)  # of a table: a label and a feature
    delimiter, rows, before, end = _first_rows(content, single=unlabelled and known.n_features == 1)
    first, second = rows[0], rows[1] if len(rows) > 1 else []
    n_columns = len(first)
    if (unlabelled and n_columns == known.n_features and any(map(is_text, first))) or (
        known.features is not None and set(known.features) <= set(first)
    ):
        has_header = True  # of numbers only, it may be, where the model knows them
    else:
        has_header = is_header(first, second, known.label if label is None else label)
    header = first if has_header else None
    samples, skipped = (rows, before) if header is None else (rows[1:], end)
    numbers = 0 if header is None else row_numbers(header, samples, known.features)
    if known.features is None:  # where they are known, their names decide, whatever is missing
        named = header is not None and known.label in header
        needed = known.n_features + (named or not unlabelled)
        numbers = max(0, min(numbers, n_columns - needed))
    column, certain, guessed = None, False, False
    if label is None:
        column, certain = _known_label(header, n_columns, numbers, known, required=not unlabelled)
    if not certain:
        column, guessed = label_column(header, samples, n_columns, label, first=numbers)
    if column is not None:
        numbers = min(numbers, column)
    if numbers and known.features is None:  # where they are known, it is none by their names
        warn_of_row_numbers(numbers, path)
    return Columns(delimiter, header, column, guessed, skipped, numbers)


def _known_label(
    header: list[str] | None,
    n_columns: int,
    row_numbers: int,
    known: KnownColumns,
    *,
    required: bool,
) -> tuple[int | None, bool]:
    """Index of the label column of a table for a model (or None), and whether that is certain.

    It is the column of the label's name. Otherwise a table with as many columns as the model has
    features, not counting `row_numbers`, has none, which is an error if one is `required`. Of one
    column more it is the one that is not among the features' names, or, where there are no names,
    the one at the label's index.
    """
    if header is not None and known.label is not None:
        column = named_column(header, [known.label], exact=True)
        if column is not None:
            return column, True
    names = () if header is None else header[row_numbers:]
    others = [i for i, name in enumerate(names, row_numbers) if name not in (known.features or ())]
    if header is not None and not others and not required:
        return None, True  # also where features are missing, which their names will tell
    n_others = n_columns - row_numbers
    if n_others == known.n_features:
        if not required:
            return None, True
        label = "" if known.label is None else f" {known.label!r}"
        raise UnusableError(
            f"has {counted(n_others, 'column')}, as many as the model has features, so none for "
            f"the label{label}",
            "Add the labels, or use `gpulr predict` for rows without.",
        )
    if n_others == known.n_features + 1:
        if header is not None and known.features is not None and len(others) == 1:
            return others[0], True
        if header is None and known.label is not None and INDEX.fullmatch(known.label):
            return label_at(known.label, None, n_columns), True
    return None, False


def _first_rows(content: bytes, *, single: bool) -> tuple[str, list[list[str]], int, int]:
    """Delimiter, first rows that are not blank, and the lines before and up to the first's end."""
    lines = () if content.isspace() else text_lines(content)  # quickly, of millions
    before, line = next(((i, line) for i, line in enumerate(lines) if line.strip()), (0, ""))
    if not line:
        raise UnusableError("holds no rows", "Give a table with one row for each sample.")
    found: list[tuple[str, list[str], int]] = []
    refusal = None
    for delimiter in DELIMITERS:
        reader = csv.reader(text_lines(content, before), delimiter=delimiter, strict=True)
        try:
            found.append((delimiter, next(reader), before + reader.line_num))
        except csv.Error as error:
            refusal = error
    delimiter, first, end = max(found, key=lambda item: len(item[1]), default=("", [], 0))
    begin = f"line {before + 1}, {line.strip()[:60]!r}"
    if len(first) < 2 and refusal is not None:
        raise UnusableError(
            f"{begin}, cannot be told apart into columns: {refusal}; perhaps a quote is not closed",
            "Close the quote, or write a quote inside of quotes twice.",
        )
    if len(first) < 2 and not single:
        raise UnusableError(
            f"has a single column: no comma, semicolon or tab in {begin}",
            "Give a table with a label column and feature columns.",
        )
    if len(first) > MOST_COLUMNS:
        raise UnusableError(
            f"has {len(first):,} columns, which is more than {MOST_COLUMNS:,}",
            "Give a table with one row for each sample, or save it as .npz.",
        )
    others = islice((line for line in text_lines(content, end) if line.strip()), FIRST_SAMPLES)
    rows = [first, *csv.reader(others, delimiter=delimiter)]
    return delimiter, [[field.strip() for field in row] for row in rows], before, end


def text_lines(content: bytes, skipped: int = 0) -> io.TextIOWrapper:
    """Lines of UTF-8 text with any line ends, after the first, which are skipped.

    Unlike those of StringIO they do not take 4 bytes a letter.
    """
    lines = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig")
    deque(islice(lines, skipped), maxlen=0)
    return lines
