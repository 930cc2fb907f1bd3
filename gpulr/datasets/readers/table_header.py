"""Tells whether a text table has a header, and which of its columns number the rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from gpulr.errors import RowNumberWarning, warn

LABEL_NAMES = ("label", "class", "target", "y")  # in this order of preference
# No name, or one under which pandas reads an index that it has written without.
NAMELESS = re.compile(r"(Unnamed: \d+(\.\d+)*)?")


def is_number(field: str) -> bool:
    """Whether a field is a number, of any way of writing that Python knows."""
    try:
        float(field)
    except ValueError:
        return False
    return True


def is_text(field: str) -> bool:
    """Whether a field is neither empty nor a number."""
    return field != "" and not is_number(field)


def is_header(first: list[str], second: list[str], label: str | int | None) -> bool:
    """Whether the first row names the columns.

    A row with text is a header, unless it may be a sample with a text label: a single text, not a
    usual name of a label column, with text below it or among numbers that do not just count the
    features (0, 1, 2, …). A row of numbers is a header if it has three fields or more that count
    the columns from 0, perhaps after an empty field, and the next row does not go on counting.
    """
    texts = [i for i, field in enumerate(first) if is_text(field)]
    if not texts:
        names = first[1:] if first[0] == "" else first
        n, numbers = len(names), list(map(str, range(2 * len(names))))
        return len(first) > 2 and names == numbers[:n] and second not in ([], numbers[n:])
    place = texts[0]
    if len(texts) > 1 or first[place].casefold() in LABEL_NAMES or first[place] == label:
        return True
    if place < len(second) and is_text(second[place]):
        return False
    others = first[:place] + first[place + 1 :]
    others = others[1:] if first[0] == "" and others[1:] else others
    return others in ([str(i + start) for i in range(len(others))] for start in (0, 1))


def row_numbers(header: list[str], samples: list[list[str]], features: Sequence[str] | None) -> int:
    """Count the first columns that have no name and number the rows, as an index of pandas does.

    Where the model's `features` are known, these are the nameless columns that are not among them,
    whatever they hold; otherwise those with whole numbers, none twice, in the first `samples`.
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
