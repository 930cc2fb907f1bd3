"""Finds the line and column at fault in a text table, after NumPy's parser refused it."""

from __future__ import annotations

import csv
import math
from collections import deque

import numpy as np

from gpulr.datasets.readers.table_columns import Columns, text_lines
from gpulr.words import counted

MISSING = frozenset(["", "nan"])  # fields, in small letters, without a value; also as labels
FLOAT32_MAX = float(np.finfo(np.float32).max)


def first_fault(content: bytes, columns: Columns) -> str | None:
    """Describe the first row that is ragged, lacks a value, or has text among its features.

    As "line 3, column 2 ('width'): …", both counted from 1; None if the csv module finds nothing
    wrong.
    """
    rows = csv.reader(text_lines(content, columns.skipped), delimiter=columns.delimiter)
    n_columns = len(columns.header) if columns.header is not None else None
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            return f"line {columns.skipped + rows.line_num}: {error}"
        if row is None:
            return None
        if not row:
            continue
        line = f"line {columns.skipped + rows.line_num}"
        n_columns = n_columns or len(row)
        if len(row) != n_columns:
            return f"{line}: {counted(len(row), 'column')}, expected {n_columns}"
        for i in range(columns.row_numbers, n_columns):
            fault = _field_fault(row[i].strip(), is_label=i == columns.label)
            if fault is not None:
                name = "" if columns.header is None else f" ({columns.header[i]!r})"
                return f"{line}, column {i + 1}{name}: {fault}"


def has_unclosed_quote(content: bytes, columns: Columns) -> bool:
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
    try:
        number = float(field)
    except ValueError:
        return (
            f"the text {field[:40]!r}, expected a number (if it is the label, say so with --label)"
        )
    if math.isnan(number):
        return f"{field!r}, which is no number"
    if math.isinf(number) or abs(number) > FLOAT32_MAX:
        return f"{field[:40]}, which float32 cannot hold"
    if "_" in field or not field.isascii():
        return f"{field[:40]!r}, expected a number in plain digits"
    return None
