"""Finds out what the columns of a text table are, from its first rows and what a model knows."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from gpulr.datasets.readers.table_fault import text_lines
from gpulr.datasets.readers.table_header import has_text, is_header, label_column, named_column
from gpulr.errors import DataFileError
from gpulr.words import counted

__all__ = ["Columns", "KnownColumns", "find_columns"]

DELIMITERS = ",;\t"
INDEX = re.compile(r"[+-]?[0-9]{1,9}")

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
    """What the first rows tell: the header, and the label column; None without."""

    delimiter: str
    header: list[str] | None
    label: int | None
    guessed: bool
    skipped: int
    """lines before the first sample."""


def find_columns(
    content: bytes,
    path: Path,
    label: str | int | None,
    known: KnownColumns | None,
    unlabelled: bool,
) -> Columns:
    """Find out what the columns are, from the first rows; see `delimited.read_delimited`."""
    unlabelled = unlabelled and known is not None and label is None
    single = unlabelled and known is not None and known.n_features == 1
    delimiter, rows, skipped = _first_rows(content, path, single=single)
    first, second = rows[0], rows[1] if len(rows) > 1 else []
    if known is not None and (
        (unlabelled and len(first) == known.n_features and has_text(first))
        or (known.features is not None and set(known.features) <= set(first))
    ):
        header: list[str] | None = first  # of numbers only, it may be, where the model knows them
    else:
        wanted = known.label if known is not None and label is None else label
        header = first if is_header(first, second, wanted) else None
    skipped -= header is None
    if known is not None and label is None:
        column, certain = _known_label(header, len(first), known, path, required=not unlabelled)
        if certain:
            return Columns(delimiter, header, column, False, skipped)
    samples = rows if header is None else rows[1:]
    column, guessed = label_column(header, len(first), samples, label, path)
    return Columns(delimiter, header, column, guessed, skipped)


def _known_label(
    header: list[str] | None, n_columns: int, known: KnownColumns, path: Path, *, required: bool
) -> tuple[int | None, bool]:
    """Index of the label column of a table for a model, and whether that much is known.

    It is the column of the label's name; else, unless it is `required`, there is none (index None)
    in a table that has as many columns as the model has features; else, with one column more, it is
    the one that is no feature, by the names, or without any the one at the label's index.

    Raises
    ------
    DataFileError
        A label is `required`, and there is no column for it.
    """
    if header is not None and known.label is not None:
        column = named_column(header, (known.label,), path, exact=True)
        if column is not None:
            return column, True
    if n_columns == known.n_features:
        if not required:
            return None, True
        label = "" if known.label is None else f" {known.label!r}"
        raise DataFileError(
            path,
            f"has {counted(n_columns, 'column')}, as many as the model has features, so none for "
            "the label"
            f"{label}",
            "Add the labels, or use `gpulr predict` for rows without.",
        )
    if n_columns != known.n_features + 1:
        return None, False
    if header is not None and known.features is not None:
        others = [i for i, name in enumerate(header) if name not in known.features]
        if len(others) == 1:
            return others[0], True
    elif header is None and known.label is not None and INDEX.fullmatch(known.label):
        return label_column(None, n_columns, [], known.label, path)[0], True
    return None, False


def _first_rows(content: bytes, path: Path, *, single: bool) -> tuple[str, list[list[str]], int]:
    """Delimiter, first rows that are not blank, and number of lines to skip as the header."""
    lines = text_lines(content)
    blank = 0
    for line in lines:
        if line.strip():
            break
        blank += 1
    else:
        raise DataFileError(path, "holds no rows", "Give a table with one row for each sample.")
    unquoted = re.sub(r'"[^"]*"', "", line)
    delimiter = max(DELIMITERS, key=unquoted.count)
    if not unquoted.count(delimiter) and not single:
        raise DataFileError(
            path,
            f"has a single column: no comma, semicolon or tab in line {blank + 1}, "
            f"{line.strip()[:60]!r}",
            "Give a table with a label column and feature columns.",
        )
    others = islice((line for line in lines if line.strip()), FIRST_SAMPLES)
    rows = [
        [field.strip() for field in row] for row in csv.reader([line, *others], delimiter=delimiter)
    ]
    return delimiter, rows, blank + 1
