"""Text tables: .csv, .csv.gz, .tsv; one row a sample, one column the label.

NumPy parses the numbers, many times faster than the csv module and without an object for each
field. It does not tell the column of a fault, drops NUL characters, and takes a quote that is never
closed; what it refuses, the csv module reads once more to say what is wrong (`table_faults`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.datasets.readers.arrays import Arrays, square_image_shape
from gpulr.datasets.readers.checks import (
    TEXT_ALWAYS_FINE,
    UnusableError,
    check_expansion,
    checked,
    decompressed,
    read_capped,
)
from gpulr.datasets.readers.table_columns import Columns, KnownColumns, find_columns, text_lines
from gpulr.datasets.readers.table_faults import MISSING, first_fault, has_unclosed_quote
from gpulr.datasets.readers.table_label import check_guess

NEWLINE = b"\n"
WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,30}")
MAX_LABELS = 2**24  # they pass through float32 as codes, which are exact up to here
MAX_LABEL_LENGTH = 1000  # characters; NumPy gives each sample's label the bytes of the longest


def read_table(
    path: Path,
    *,
    label: str | int | None = None,
    known: KnownColumns | None = None,
    unlabelled: bool = False,
) -> Arrays:
    """Read a table of numbers with a label column.

    The text is UTF-8, with or without byte order mark, gzipped or not. The delimiter is the one of
    comma, semicolon and tab that is most frequent in the first row, which is a header if it holds
    text other than a sample's text label (see `table_header.is_header`). Of the columns under a
    header, a first one without a name that numbers the rows (an index, as pandas writes it) is left
    out, with a warning (`table_header.row_numbers`).

    Features become float32. Where all are whole numbers in 0..255 with a maximum above 127, and
    their count is a square of 16 or more, they are pixels and become uint8, so that an MNIST
    table is as small, and scaled the same way, as the IDX files.

    Parameters
    ----------
    path : Path
    label : str or int, optional
        Name of the label column, or its index from 0 (negative: from the end), also as text.
        Default: the column named label, class, target or y (in any case, in this order), else
        the only column of text (in the first 20 samples), else the first, after a warning where
        there is a header.
    known : KnownColumns, optional
        What the model that the table is for knows: its names go before that default.
    unlabelled : bool
        Whether a table with as many columns as the model has features is taken to have no label
        column, unless `label` or the model's label names one.

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
    if place < 0:
        return content
    raise UnusableError(
        f"{fault} in line {content.count(NEWLINE, 0, place) + 1}",
        "Save it as CSV with the encoding UTF-8.",
    )


def _parse(content: bytes, path: Path, columns: Columns) -> Arrays:
    """Parse all rows in one pass of NumPy's C parser; on failure, find the line and say it."""
    header, column, left_out = columns.header, columns.label, columns.row_numbers
    codes: dict[str, int] = {}
    converters: dict[int | str, Callable[[str], float]] = {
        i: lambda _: 0.0 for i in range(left_out)
    }
    if column is not None:
        converters[column] = lambda field: codes.setdefault(field, len(codes))
    if not any(line.strip() for line in text_lines(content, columns.skipped)):
        raise UnusableError("holds a header and no samples", "Add rows to the table.")
    texts: list[str] = []
    cause: ValueError | None = None
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
        texts = [field.strip() for field in codes]
        is_bad = (
            not MISSING.isdisjoint(map(str.casefold, texts))
            or not np.isfinite(table).all()
            or (header is not None and table.shape[1] != len(header))
        )
    except ValueError as error:
        is_bad, cause = True, error
    if is_bad:
        fault = first_fault(content, columns)
        if fault is None and cause is not None:
            raise cause
        raise UnusableError(
            fault or "holds values that float32 cannot", "Correct the table, then try again."
        ) from cause
    if any("\n" in field for field in codes) and has_unclosed_quote(content, columns):
        raise UnusableError(
            "ends within a quote, so a label holds the lines after it", "Close the quote."
        )
    table, names = table[:, left_out:], None if header is None else header[left_out:]
    if column is None:
        return Arrays(_features(table, None), None, feature_names=_unique(names))
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
    X = _features(table, column)
    if names is None:
        return Arrays(X, y)
    name = names[column] if names.count(names[column]) == 1 else None
    others = _unique(names[:column] + names[column + 1 :])
    return Arrays(X, y, label_name=name or None, feature_names=others)


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
    parts = [table] if column is None else [table[:, :column], table[:, column + 1 :]]
    n_features = sum(part.shape[1] for part in parts)
    if square_image_shape(np.uint8, n_features) is not None and _are_pixels(parts):
        return np.concatenate(parts, axis=1, dtype=np.uint8, casting="unsafe")
    return table if column is None else np.concatenate(parts, axis=1)


def _are_pixels(parts: list[npt.NDArray[np.float32]]) -> bool:
    """Whether all are whole numbers in 0..255, some above 127."""
    highest = 0.0
    for part in parts:
        for start in range(0, len(part) if part.size else 0, 4096):  # blocks that stay in cache
            block = part[start : start + 4096]
            low, high = float(block.min()), float(block.max())
            if low < 0 or high > 255 or not np.array_equal(block, np.trunc(block)):
                return False
            highest = max(highest, high)
    return highest > 127
