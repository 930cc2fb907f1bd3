"""Finds out what the columns of a text table are, from its first rows and what a model knows."""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path

from gpulr.datasets.readers.checks import UnusableError
from gpulr.errors import LabelColumnWarning, RowNumberWarning, warn
from gpulr.words import counted, listed

DELIMITERS = ",;\t"
LABEL_NAMES = ("label", "class", "target", "y")  # in this order of preference
INDEX = re.compile(r"[+-]?[0-9]{1,9}")
# No name, or one under which pandas reads an index that it has written without.
NAMELESS = re.compile(r"(Unnamed: \d+(\.\d+)*)?")

MOST_COLUMNS = 1_000_000  # beyond, the names alone take longer to look at than a table is worth
FIRST_SAMPLES = 20  # rows that are looked at for a column of text


@dataclass(frozen=True, slots=True)
class KnownColumns:
    """What a model knows of its table's columns.

    `label` is the label column's name, or its index where it had none; `features` are the names of
    the features, in the model's order, of `chosen` ones where the table may have other columns too.
    Or they were `asked` for, without a model: then they have to be there, the label beside them.
    """

    n_features: int
    label: str | None = None
    features: tuple[str, ...] | None = None
    chosen: bool = False
    asked: bool = False

    def check_asked(self, names: Sequence[str] | None, label: str | int | None) -> None:
        """Raise UnusableError where the features are not among columns, or one is the label."""
        features = self.features if self.asked and self.features is not None else ()
        if missing := [name for name in features if name not in (names or ())]:
            there = "has columns without names" if names is None else f"it has {listed(names)}"
            raise UnusableError(
                f"has no column {listed(missing)}; {there}",
                "Name columns that are there with --features (features= in Python).",
            )
        if label in features:
            raise UnusableError(
                f"has one column {label!r}, which cannot be the label and a feature",
                "Name another label with --label, or other features (label=, features= in Python).",
            )


@dataclass(frozen=True, slots=True)
class Columns:
    """What the first rows tell of a table's columns."""

    delimiter: str
    header: list[str] | None
    label: int | None  # its index
    guessed: bool  # whether nothing but its place tells that it is the label
    skipped: int  # lines before the first sample
    row_numbers: int  # how many of the first columns number or name the rows: no features
    chosen: list[int] | None = None  # the features' indices, where there are other columns too

    @property
    def unread(self) -> list[int]:
        """The indices of columns that are neither features nor the label."""
        if self.chosen is None or self.header is None:
            return list(range(self.row_numbers))
        return sorted({*range(len(self.header))} - {*self.chosen, self.label})


def find_columns(
    content: bytes,
    path: Path,
    label: str | int | None,
    known: KnownColumns | None,
    unlabelled: bool,
) -> Columns:
    """Find out what the columns are, from the first rows; see `table.read_table`.

    The delimiter is the one of comma, semicolon and tab that is most frequent in the first row,
    which is a header if it holds text other than a sample's text label. Of the columns under a
    header, first ones without a name that number the rows (an index, as pandas writes it) are left
    out, with a warning. So are, without one, those that are none of the features that are known.
    """
    unlabelled = unlabelled and known is not None and label is None
    known = known or KnownColumns(1)  # of a table: a label and a feature
    delimiter, rows, before, end = _first_rows(content, single=unlabelled and known.n_features == 1)
    first, second = rows[0], rows[1] if len(rows) > 1 else []
    n_columns = len(first)
    has_header = (
        (unlabelled and n_columns == known.n_features and any(map(_is_text, first)))
        or (known.features is not None and set(known.features) <= set(first))
        or _is_header(first, second, known.label if label is None else label)
    )
    header = first if has_header else None
    known.check_asked(header, label)
    samples, skipped = (rows[1:], end) if has_header else (rows, before)
    numbers = _row_numbers(first, samples, known.features) if has_header else 0
    if known.features is None:  # where they are known, their names decide, whatever is missing
        named = header is not None and known.label in header
        numbers = max(0, min(numbers, n_columns - known.n_features - (named or not unlabelled)))
    column, guessed = _label_column(
        header, samples, n_columns, label, known, numbers, required=not unlabelled
    )
    if column is not None:
        numbers = min(numbers, column)
    if numbers and known.features is None:
        which = "the first column has" if numbers == 1 else f"the first {numbers} columns have"
        warn(
            f"{path}: {which} no name and whole numbers, none twice, as row numbers are; left out. "
            "If it is a feature, name it in the first line; if it is the label, pass --label 0 "
            "(label= in Python).",
            RowNumberWarning,
        )
    if known.asked and guessed:
        raise UnusableError(
            f"has no column named {', '.join(LABEL_NAMES)} beside the features, and not one of "
            f"text ({_listed(header, n_columns)})",
            "Name the label column with --label (label= in Python).",
        )
    chosen = None
    if known.chosen and header is not None and known.features is not None:
        chosen = _chosen(header, known.features, column)
    return Columns(delimiter, header, column, guessed, skipped, numbers, chosen)


def _chosen(header: list[str], features: tuple[str, ...], label: int | None) -> list[int] | None:
    """Return the features' indices; None where all columns are features, or not all are there."""
    if not set(features) <= set(header) or len(header) == len(features) + (label is not None):
        return None
    chosen = [_named(header, [name], exact=True) for name in features]
    return [column for column in chosen if column is not None]


def check_guess(labels: list[str], header: list[str] | None, n_columns: int, path: Path) -> None:
    """Warn that the first column is taken for the label, or refuse it if it holds fractions."""
    first, names = "the first" + (f", {header[0]!r}," if header else ""), ", ".join(LABEL_NAMES)
    if all(map(_is_number, labels)) and not all(float(text).is_integer() for text in labels):
        raise UnusableError(
            f"has no column named {names} and no column of text, and {first} holds fractions, "
            f"which are no labels ({_listed(header, n_columns)})",
            "Name the label column with --label NAME, or its index from 0 (label= in Python).",
        )
    if header is not None:
        warn(
            f"{path}: no column is named {names}; {first} is taken for the label. "
            "Name another with --label (label= in Python).",
            LabelColumnWarning,
        )


def text_lines(content: bytes, skipped: int = 0) -> io.TextIOWrapper:
    """Lines of UTF-8 text with any line ends, after the first, which are skipped.

    Unlike those of StringIO they do not take 4 bytes a letter.
    """
    lines = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig")
    deque(islice(lines, skipped), maxlen=0)
    return lines


def _first_rows(content: bytes, *, single: bool) -> tuple[str, list[list[str]], int, int]:
    """Delimiter, first rows that are not blank, and the lines before and up to the first's end."""
    lines = () if content.isspace() else text_lines(content)  # quickly, of millions
    before, line = next(((i, line) for i, line in enumerate(lines) if line.strip()), (0, ""))
    if not line:
        raise UnusableError("holds no rows", "Give a table with one row for each sample.")
    first: list[str] = []
    delimiter, end, refusal = "", 0, None
    for each in DELIMITERS:
        reader = csv.reader(text_lines(content, before), delimiter=each, strict=True)
        try:
            row = next(reader)
        except csv.Error as error:
            refusal = error
            continue
        if len(row) > len(first):
            delimiter, first, end = each, row, before + reader.line_num
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


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _is_text(field: str) -> bool:
    return field != "" and not _is_number(field)


def _is_header(first: list[str], second: list[str], label: str | int | None) -> bool:
    """Whether the first row names the columns.

    A row with text is a header, unless it may be a sample with a text label: a single text, not a
    usual name of a label column, with text below it or among numbers that do not just count the
    features (0, 1, 2, …). A row of numbers is a header if it has three fields or more that count
    the columns from 0, perhaps after an empty field, and the next row does not go on counting.
    """
    texts = [i for i, field in enumerate(first) if _is_text(field)]
    if not texts:
        names = first[1:] if first[0] == "" else first
        n, numbers = len(names), list(map(str, range(2 * len(names))))
        return len(first) > 2 and names == numbers[:n] and second not in ([], numbers[n:])
    place = texts[0]
    if len(texts) > 1 or first[place].casefold() in LABEL_NAMES or first[place] == label:
        return True
    if place < len(second) and _is_text(second[place]):
        return False
    others = first[:place] + first[place + 1 :]
    others = others[1:] if first[0] == "" and others[1:] else others
    return others in ([str(i + start) for i in range(len(others))] for start in (0, 1))


def _row_numbers(
    header: list[str], samples: list[list[str]], features: Sequence[str] | None
) -> int:
    """Count the first columns that have no name and number the rows, as an index of pandas does.

    Where the model's `features` are known, these are the nameless columns that are not among them,
    whatever they hold; otherwise those with whole numbers, none twice, in the first `samples`.
    """

    def numbers_rows(i: int) -> bool:
        if features is not None:
            return header[i] not in features
        fields = [row[i] for row in samples if i < len(row)]
        whole = all(field.isascii() and field.isdecimal() for field in fields)
        return bool(fields) and whole and len(set(fields)) == len(fields)

    nameless = takewhile(lambda i: NAMELESS.fullmatch(header[i]), range(len(header)))
    return len(list(takewhile(numbers_rows, nameless)))


def _label_column(
    header: list[str] | None,
    samples: list[list[str]],
    n_columns: int,
    label: str | int | None,
    known: KnownColumns,
    row_numbers: int,
    *,
    required: bool,
) -> tuple[int | None, bool]:
    """Index of the label column, from 0, or None; and whether it is a mere guess.

    It is what `label` names, else the column of the model's label. Otherwise a table with as many
    columns as the model has features, not counting `row_numbers`, has none, which is an error if
    one is `required`. Of one column more it is the one that is not among the features' names, or,
    where there are no names, the one at the label's index. Else it is the column with a usual name,
    or the only one that holds text in each of the first `samples` (one text alone may be a slip in
    a column of numbers), or the first, which is the guess: see `check_guess`. So it is where it
    holds the text and has no name.
    """
    if label is not None:
        column = None
        if header is not None and isinstance(label, str):
            column = _named(header, [label], exact=True)
            column = _named(header, [label.casefold()]) if column is None else column
        return _label_at(label, header, n_columns) if column is None else column, False
    if header is not None and known.label is not None:
        column = _named(header, [known.label], exact=True)
        if column is not None:
            return column, False
    if known.chosen and header is not None and not required:
        return None, False
    names = () if header is None else header[row_numbers:]
    others = [i for i, name in enumerate(names, row_numbers) if name not in (known.features or ())]
    n_more = n_columns - row_numbers - known.n_features
    # Without others also where features are missing, which their names will tell.
    if not required and (n_more == 0 or (header is not None and not others)):
        return None, False
    if n_more == 0:
        named = "" if known.label is None else f" {known.label!r}"
        raise UnusableError(
            f"has {counted(known.n_features, 'column')}, as many as the model has features, so "
            f"none for the label{named}",
            "Add the labels, or use `gpulr predict` for rows without.",
        )
    if n_more == 1:
        if header is not None and known.features is not None and len(others) == 1:
            return others[0], False
        if header is None and known.label is not None and INDEX.fullmatch(known.label):
            return _label_at(known.label, None, n_columns), False
    asked = known.features if known.asked and known.features is not None else ()
    column = _named(["" if name in asked else name for name in header or []], LABEL_NAMES)
    if column is None:
        texts = [
            i
            for i in range(n_columns)
            if (header is None or header[i] not in asked)
            and samples
            and all(i < len(row) and _is_text(row[i]) for row in samples)
        ]
        if len(texts) != 1:
            return row_numbers, True
        column = texts[0]
    return column, column == row_numbers and header is not None and header[column] == ""


def _label_at(label: str | int, header: list[str] | None, n_columns: int) -> int:
    """Return an index that may be text or count from the end, as one from 0; or refuse it."""
    try:
        index = int(label)
    except ValueError as error:
        found = f"has no column {label!r} ({_listed(header, n_columns)})"
        remedy = "Give the label column's name or its index from 0."
        raise UnusableError(found, remedy) from error
    if not -n_columns <= index < n_columns:
        raise UnusableError(
            f"has {counted(n_columns, 'column')}, so none with index {index}",
            f"Give an index from 0 to {n_columns - 1}, or a name.",
        )
    return index % n_columns


def _named(header: list[str], wanted: Sequence[str], *, exact: bool = False) -> int | None:
    """Index of the column with the first of the wanted names that there is; None without."""
    names = header if exact else [name.casefold() for name in header]
    name = next((name for name in wanted if name in names), None)
    matches = [i for i, other in enumerate(names) if other == name]
    if len(matches) > 1:
        raise UnusableError(
            f"has {len(matches)} columns named {header[matches[0]]!r}, at indices "
            f"{', '.join(map(str, matches))}",
            "Rename them, or give the label column's index as label.",
        )
    return matches[0] if matches else None


def _listed(header: list[str] | None, n_columns: int) -> str:
    """Return the first columns' names, or how many columns there are."""
    if header is None:
        return f"columns: no header, {counted(n_columns, 'column')}"
    return f"columns: {', '.join(header[:12])}{'…' if n_columns > 12 else ''}"
