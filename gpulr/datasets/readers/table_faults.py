"""Finds the line and column at fault in a text table, after the fast parser refused it."""

from __future__ import annotations

import csv
import io
import math
from collections import deque
from itertools import islice

import numpy as np

from gpulr.words import counted

__all__ = ["MISSING", "first_fault", "lines_from", "text_lines", "unclosed_quote"]

MISSING = frozenset(["", "nan"])
"""Fields, in small letters, that stand for a missing value, among the labels too."""

FLOAT32_MAX = float(np.finfo(np.float32).max)


def text_lines(content: bytes) -> io.TextIOWrapper:
    """Lines of UTF-8 text with any line ends; unlike StringIO it does not hold 4 bytes a letter."""
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig")


def lines_from(content: bytes, skipped: int) -> io.TextIOWrapper:
    """Lines after the first ones, which are skipped."""
    lines = text_lines(content)
    deque(islice(lines, skipped), maxlen=0)
    return lines


def first_fault(
    content: bytes,
    delimiter: str,
    header: list[str] | None,
    label_column: int | None,
    skipped: int,
    left_out: int = 0,
) -> str | None:
    """Describe the first row that is ragged, lacks a value, or has text among its features.

    Parameters
    ----------
    content : bytes
        The table, in UTF-8.
    delimiter : str
        One character.
    header : list of str, optional
        Names of the columns; without, the first row tells how many there are.
    label_column : int, optional
        The column that may hold text.
    skipped : int
        Lines before the first sample.
    left_out : int, default 0
        First columns that may hold anything.

    Returns
    -------
    str or None
        "line 3, column 2 ('width'): …", lines counted from 1 and columns from 1; None if the
        csv module finds nothing wrong.
    """
    rows = csv.reader(lines_from(content, skipped), delimiter=delimiter)
    n_columns = len(header) if header is not None else None
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            return f"line {skipped + rows.line_num}: {error}"
        if row is None:
            return None
        if not row:
            continue
        line = f"line {skipped + rows.line_num}"
        if n_columns is None:
            n_columns = len(row)
        if len(row) != n_columns:
            return f"{line}: {counted(len(row), 'column')}, expected {n_columns}"
        for column, field in enumerate(row):
            if column < left_out:
                continue
            fault = _field_fault(field.strip(), column == label_column)
            if fault is not None:
                name = f" ({header[column]!r})" if header is not None else ""
                return f"{line}, column {column + 1}{name}: {fault}"


def unclosed_quote(content: bytes, delimiter: str, skipped: int) -> bool:
    """Whether the rows after so many lines end within a quote, which NumPy's parser accepts."""
    try:
        deque(csv.reader(lines_from(content, skipped), delimiter=delimiter, strict=True), maxlen=0)
    except csv.Error:
        return True
    return False


def _field_fault(field: str, is_label: bool) -> str | None:
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
