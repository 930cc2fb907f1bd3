"""Text tables: .csv, .csv.gz, .tsv; one row a sample, one column the label.

NumPy parses the numbers, many times faster than the csv module and without an object for each
field. It does not tell the column of a fault, drops NUL characters, and takes a quote that is never
closed; what it refuses, the csv module reads once more to say what is wrong.
"""

from __future__ import annotations

import csv
import math
import re
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gpulr.datasets.readers.checks import (
    TEXT_ALWAYS_FINE,
    UnusableError,
    check_expansion,
    checked,
    decompressed,
    read_capped,
    square_side,
)
from gpulr.datasets.readers.table_columns import (
    Columns,
    KnownColumns,
    check_guess,
    find_columns,
    text_lines,
)
from gpulr.words import counted

NEWLINE = b"\n"
MISSING = frozenset(["", "nan"])  # fields, in small letters, without a value; also as labels
FLOAT32_MAX = float(np.finfo(np.float32).max)
WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,30}")
MAX_LABELS = 2**24  # they pass through float32 as codes, which are exact up to here
MAX_LABEL_LENGTH = 1000  # characters; NumPy gives each sample's label the bytes of the longest


class Table(NamedTuple):
    """X float32 or uint8 (n_samples, n_features), and y int64 or str (n_samples,) if it has labels.

    The names are those of the columns, if there is a header and no two are the same.
    """

    X: npt.NDArray[Any]
    y: npt.NDArray[Any] | None
    label_name: str | None
    feature_names: tuple[str, ...] | None


def read_table(
    path: Path,
    *,
    label: str | int | None = None,
    known: KnownColumns | None = None,
    unlabelled: bool = False,
) -> Table:
    """Read a table of numbers with a label column.

    The text is UTF-8, with or without byte order mark, gzipped or not. Delimiter, header, label
    column and columns of row numbers are found by `table_columns.find_columns`. Features become
    float32. Where all are whole numbers in 0..255 with a maximum above 127, and their count is a
    square of 16 or more, they are pixels and become uint8, so that an MNIST table is as small, and
    scaled the same way, as the IDX files.

    `label` is the name of the label column, or its index from 0 (negative: from the end), also as
    text. Default: the column named label, class, target or y (in any case, in this order), else the
    only column of text (in the first 20 samples), else the first, after a warning where there is a
    header. What the model that the table is for knows (`known`) goes before that default. Where it
    may be `unlabelled`, a table with as many columns as the model has features has no label column,
    unless `label` or the model's label names one.

    Raises DataFileError naming line and column, if values are missing or not numbers, or rows
    differ in length; also if the label column is unknown or ambiguous, or the first column, taken
    for it, holds fractions; or there are no samples.
    """
    with checked(path, "a CSV table") as stored:
        content = _content(path, stored)
        columns = find_columns(content, path, label, known, unlabelled)
        return _parse(content, path, columns)


def _content(path: Path, stored: int) -> bytes:
    """Return the content of a file, decompressed, which is UTF-8 text without NUL characters."""
    with decompressed(path) as (stream, is_gzipped):
        if is_gzipped:
            content = read_capped(stream, stored, fine=TEXT_ALWAYS_FINE)
        else:
            check_expansion(stored, stored)
            content = stream.read(stored)
    fault, place = "is not text: a NUL byte", content.find(b"\0")
    try:
        content.decode("utf-8-sig")  # now, where the line is easily told
    except UnicodeDecodeError as error:
        fault, place = f"is not UTF-8 text: byte 0x{content[error.start]:02x}", error.start
    if place >= 0:
        line = content.count(NEWLINE, 0, place) + 1
        remedy = "Save it as CSV with the encoding UTF-8."
        raise UnusableError(f"{fault} in line {line}", remedy)
    return content


def _parse(content: bytes, path: Path, columns: Columns) -> Table:
    """Parse all rows in one pass of NumPy's C parser; on failure, find the line and say it."""
    header, column, left_out = columns.header, columns.label, columns.row_numbers
    if not any(line.strip() for line in text_lines(content, columns.skipped)):
        raise UnusableError("holds a header and no samples", "Add rows to the table.")
    codes: dict[str, int] = {}
    converters: dict[int | str, Callable[[str], float]]
    converters = dict.fromkeys(columns.unread, lambda _: 0.0)
    if column is not None:
        converters[column] = lambda field: codes.setdefault(field, len(codes))
    table, cause = None, None
    try:
        table = np.loadtxt(
            text_lines(content, columns.skipped),
            dtype=np.float32,
            delimiter=columns.delimiter,
            comments=None,
            quotechar='"',
            converters=converters or None,
            ndmin=2,
        )
    except ValueError as error:
        cause = error
    texts = [field.strip() for field in codes]
    if (
        table is None
        or not MISSING.isdisjoint(map(str.casefold, texts))
        or not np.isfinite(table).all()
        or (header is not None and table.shape[1] != len(header))
    ):
        fault = _first_fault(content, columns)
        if fault is None and cause is not None:
            raise cause
        raise UnusableError(
            fault or "holds values that float32 cannot", "Correct the table, then try again."
        ) from cause
    if any("\n" in field for field in codes) and _has_unclosed_quote(content, columns):
        fault = "ends within a quote, so a label holds the lines after it"
        raise UnusableError(fault, "Close the quote.")
    if columns.chosen is not None and header is not None:
        X, chosen = _features([table[:, columns.chosen]]), [header[i] for i in columns.chosen]
        if column is None:
            return Table(X, None, None, _unique(chosen))
        y = _labels(texts)[table[:, column].astype(np.int64)]
        return Table(X, y, header[column] or None, _unique(chosen))
    table, names = table[:, left_out:], None if header is None else header[left_out:]
    if column is None:
        return Table(_features([table]), None, None, _unique(names))
    longest = max(map(len, texts))
    if len(codes) > MAX_LABELS or longest > MAX_LABEL_LENGTH:
        raise UnusableError(
            f"has {len(codes):,} different labels of up to {longest:,} characters in column "
            f"{column + 1}",
            "Choose the label column with `label`.",
        )
    column -= left_out
    if columns.guessed:
        check_guess(texts, names, table.shape[1], path)
    y = _labels(texts)[table[:, column].astype(np.int64)]
    X = _features([table[:, :column], table[:, column + 1 :]])
    if names is None:
        return Table(X, y, None, None)
    name = names.pop(column)
    return Table(X, y, None if name in names else name or None, _unique(names))


def _unique(names: list[str] | None) -> tuple[str, ...] | None:
    """Names, if every column has one of its own."""
    if names is None or "" in names or len(set(names)) < len(names):
        return None
    return tuple(names)


def _labels(texts: list[str]) -> npt.NDArray[Any]:
    """Return each code's label: int64 if all are whole numbers within its range, else text."""
    numbers = [_whole_number(text) for text in texts]
    return np.array(texts, np.str_) if None in numbers else np.array(numbers, np.int64)


def _whole_number(text: str) -> int | None:
    """Return the int64 that a text means, also as "3.0" or "3e+00"; None if it is none."""
    if WHOLE_NUMBER.fullmatch(text):
        number = int(text)  # not by way of a float, which is exact up to 2**53 only
        return number if abs(number) < 2**63 else None
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if value.is_integer() and abs(value) < 2**53 else None


def _features(parts: list[npt.NDArray[np.float32]]) -> npt.NDArray[Any]:
    """Return columns side by side; as uint8 if they are pixels: whole, 0 to 255, some above 127."""
    blocks = [part[i : i + 4096] for part in parts if part.size for i in range(0, len(part), 4096)]
    if (
        square_side(sum(part.shape[1] for part in parts))
        and any(block.max() > 127 for block in blocks)
        and all(
            block.min() >= 0 and block.max() <= 255 and np.array_equal(block, np.trunc(block))
            for block in blocks
        )
    ):
        return np.concatenate(parts, axis=1, dtype=np.uint8, casting="unsafe")
    return np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]


def _first_fault(content: bytes, columns: Columns) -> str | None:
    """Say what is wrong in the first bad row, "line 3, column 2 ('width'): …"; None if none is."""
    rows = csv.reader(text_lines(content, columns.skipped), delimiter=columns.delimiter)
    n_columns = len(columns.header) if columns.header is not None else None
    try:
        for row in filter(None, rows):
            line = f"line {columns.skipped + rows.line_num}"
            n_columns = n_columns or len(row)
            if len(row) != n_columns:
                return f"{line}: {counted(len(row), 'column')}, expected {n_columns}"
            for i in sorted({*range(n_columns)} - {*columns.unread}):
                fault = _field_fault(row[i].strip(), is_label=i == columns.label)
                if fault is not None:
                    name = "" if columns.header is None else f" ({columns.header[i]!r})"
                    return f"{line}, column {i + 1}{name}: {fault}"
    except csv.Error as error:
        return f"line {columns.skipped + rows.line_num}: {error}"
    return None


def _has_unclosed_quote(content: bytes, columns: Columns) -> bool:
    """Whether the rows end within a quote, which NumPy's parser accepts."""
    lines = text_lines(content, columns.skipped)
    try:
        deque(csv.reader(lines, delimiter=columns.delimiter, strict=True), maxlen=0)
    except csv.Error:
        return True
    return False


def _field_fault(field: str, *, is_label: bool) -> str | None:
    if field.casefold() in MISSING:
        return f"a missing value ({field})" if field else "a missing value"
    if is_label:
        return None
    shown = f"{field[:40]!r}"
    try:
        number = float(field)
    except ValueError:
        return (
            f"the text {shown}, expected a number (if it is the label, say so with --label; to "
            "leave it out, name the columns to train on with --features)"
        )
    if math.isnan(number):
        return f"{shown}, which is no number"
    if abs(number) > FLOAT32_MAX:
        return f"{field[:40]}, which float32 cannot hold"
    if "_" in field or not field.isascii():
        return f"{shown}, expected a number in plain digits"
    return None
