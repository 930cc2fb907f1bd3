"""Text tables: .csv, .csv.gz, .tsv; one row a sample, one column the label."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.datasets.readers.arrays import Arrays, square_image_shape
from gpulr.datasets.readers.checks import (
    TEXT_ALWAYS_FINE,
    as_data_file_error,
    check_expansion,
    check_file,
    read_capped,
)
from gpulr.datasets.readers.table_columns import Columns, KnownColumns, find_columns
from gpulr.datasets.readers.table_faults import (
    MISSING,
    first_fault,
    lines_from,
    text_lines,
    unclosed_quote,
)
from gpulr.datasets.readers.table_header import check_guess
from gpulr.errors import DataFileError

__all__ = ["read_table"]

EXPECTED = "a CSV table"
NEWLINE = b"\n"
WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,30}")
MAX_LABELS = 2**24
"""Labels pass through float32 as codes, which are exact up to here."""

MAX_LABEL_LENGTH = 1000
"""characters; NumPy gives each sample's label the room of the longest."""


def read_table(
    path: Path,
    *,
    label: str | int | None = None,
    known: KnownColumns | None = None,
    unlabelled: bool = False,
) -> Arrays:
    """Read a table of numbers with a label column.

    The first row is a header if it holds text other than a sample's text label (see
    `table_header.is_header`). The delimiter is the one of comma, semicolon and tab that is most
    frequent in the first row.

    Features become float32. Where all are whole numbers in 0..255 with a maximum above 127, and
    their count is a square of 16 or more, they are pixels and become uint8, so that an MNIST
    table is as small, and scaled the same way, as the IDX files.

    Of the columns under a header, a first one without a name that numbers the rows (an index, as
    pandas writes it) is left out, with a warning: see `table_header.row_numbers`.

    Parameters
    ----------
    path : Path
        UTF-8 text, with or without byte order mark, gzipped or not.
    label : str or int, optional
        Name of the label column, or its index from 0 (negative: from the end), also as text.
        Default: the column named label, class, target or y (in any case, in this order), else
        the only column of text (in the first 20 samples), else the first, after a warning where
        there is a header.
    known : KnownColumns, optional
        What the model that the table is for knows: names that go before that default.
    unlabelled : bool
        A table of as many columns as the model has features has no label column, then, unless
        `label` or the model's label names it.

    Returns
    -------
    Arrays
        X float32 or uint8 (n_samples, n_features), y int64 or str (n_samples,), or None without a
        label column.

    Raises
    ------
    DataFileError
        Naming line and column, if values are missing or not numbers, or rows differ in length;
        also if the label column is unknown or ambiguous, or the first column, taken for it,
        holds fractions; or there are no samples.
    """
    stored = check_file(path, EXPECTED)
    with as_data_file_error(path, EXPECTED):
        content = _content(path, stored)
        try:
            content.decode("utf-8-sig")  # now, where the line is easily told
        except UnicodeDecodeError as error:
            line = content.count(NEWLINE, 0, error.start) + 1
            raise DataFileError(
                path,
                f"is not UTF-8 text: byte 0x{content[error.start]:02x} in line {line}",
                "Save it as CSV with the encoding UTF-8.",
            ) from error
        if (nul := content.find(b"\0")) >= 0:  # NumPy drops those at a label's end
            raise DataFileError(
                path,
                f"is not text: a NUL byte in line {content.count(NEWLINE, 0, nul) + 1}",
                "Save it as CSV with the encoding UTF-8.",
            )
        columns = find_columns(content, path, label, known, unlabelled)
        return _parse(content, path, columns)


def _content(path: Path, stored: int) -> bytes:
    with path.open("rb") as raw:
        gzipped = raw.read(2) == b"\x1f\x8b"  # by content: browsers unpack and keep the name
        raw.seek(0)
        if not gzipped:
            check_expansion(path, stored, stored)
            return raw.read()
        with gzip.GzipFile(fileobj=raw) as stream:
            return read_capped(stream, path, stored, fine=TEXT_ALWAYS_FINE)


def _parse(content: bytes, path: Path, columns: Columns) -> Arrays:
    """Parse all rows in one pass of NumPy's C parser; on failure, find the line and say it."""
    delimiter, header, skipped = columns.delimiter, columns.header, columns.skipped
    column, left_out = columns.label, columns.row_numbers
    codes: dict[str, int] = {}

    def code(field: str) -> float:
        return codes.setdefault(field, len(codes))

    converters: dict[int | str, Callable[[str], float]] = {
        i: lambda _: 0.0 for i in range(left_out)
    }
    if column is not None:
        converters[column] = code
    if not any(line.strip() for line in lines_from(content, skipped)):
        raise DataFileError(path, "holds a header and no samples", "Add rows to the table.")
    try:
        table = np.loadtxt(
            text_lines(content),
            dtype=np.float32,
            delimiter=delimiter,
            comments=None,
            quotechar='"',
            skiprows=skipped,
            converters=converters or None,
            ndmin=2,
        )
        texts = [field.strip() for field in codes]
        bad = (
            not MISSING.isdisjoint(map(str.casefold, texts))
            or not np.isfinite(table).all()
            or (header is not None and table.shape[1] != len(header))
        )
        cause = None
    except ValueError as error:
        bad, cause = True, error
    if bad:
        fault = first_fault(content, delimiter, header, column, skipped, left_out)
        if fault is None and cause is not None:
            raise cause
        raise DataFileError(
            path, fault or "holds values that float32 cannot", "Correct the table, then try again."
        ) from cause
    if any("\n" in field for field in codes) and unclosed_quote(content, delimiter, skipped):
        raise DataFileError(
            path, "ends within a quote, so a label holds the lines after it", "Close the quote."
        )
    if left_out and header is not None:
        table, header = table[:, left_out:], header[left_out:]
        column = None if column is None else column - left_out
    X = _features(table, column)
    if column is None:
        return Arrays(X, None, feature_names=_unique(header))
    longest = max(map(len, texts))
    if len(codes) > MAX_LABELS or longest > MAX_LABEL_LENGTH:
        raise DataFileError(
            path,
            f"has {len(codes):,} different labels of up to {longest:,} characters in column "
            f"{left_out + column + 1}",
            "Choose the label column with `label`.",
        )
    if columns.guessed:
        check_guess(texts, header, table.shape[1], path)
    y = _labels(texts)[table[:, column].astype(np.int64)]
    names = None if header is None else _unique(header[:column] + header[column + 1 :])
    name = header[column] if header is not None and header.count(header[column]) == 1 else None
    return Arrays(X, y, label_name=name or None, feature_names=names)


def _unique(names: list[str] | None) -> tuple[str, ...] | None:
    """Names, if every column has one of its own."""
    if names is None or "" in names or len(set(names)) < len(names):
        return None
    return tuple(names)


def _labels(texts: list[str]) -> npt.NDArray[Any]:
    """Return each code's label: int64 if all are whole numbers within its range, else text."""
    numbers = [_whole_number(text) for text in texts]
    if None in numbers:
        return np.array(texts, dtype=np.str_)
    return np.array(numbers, dtype=np.int64)


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


def _features(table: npt.NDArray[np.float32], column: int | None) -> npt.NDArray[Any]:
    """All columns but the label's; as uint8 if they are pixels."""
    parts = _without(column)
    n_features = table.shape[1] - (column is not None)
    X = np.empty((len(table), n_features), dtype=np.uint8)
    if square_image_shape(X) is not None and _holds_pixels(table, parts):
        kept: npt.NDArray[Any] = X
    elif column is None:
        return table
    else:
        kept = np.empty((len(table), n_features), dtype=np.float32)
    start = 0
    for part in parts:
        block = table[:, part]
        kept[:, start : start + block.shape[1]] = block
        start += block.shape[1]
    return kept


def _without(column: int | None) -> list[slice]:
    """Slices of all columns but one."""
    return [slice(None)] if column is None else [slice(column), slice(column + 1, None)]


def _holds_pixels(table: npt.NDArray[np.float32], parts: list[slice]) -> bool:
    """Whether the columns of these parts are whole numbers in 0..255, some above 127."""
    highest = 0.0
    for start in range(0, len(table), 4096):  # blocks that stay in cache, and no table-sized mask
        for columns in parts:
            part = table[start : start + 4096, columns]
            if not part.size:
                continue
            low, high = float(part.min()), float(part.max())
            if low < 0 or high > 255 or not np.array_equal(part, np.trunc(part)):
                return False
            highest = max(highest, high)
    return highest > 127
