"""Tells whether a text table has a header, and which column is the label."""

from __future__ import annotations

from pathlib import Path

from gpulr.errors import DataFileError, LabelColumnWarning, warn

__all__ = ["LABEL_NAMES", "is_header", "label_column"]

LABEL_NAMES = ("label", "class", "target", "y")
"""Names, in this order of preference, that make a column the label."""


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def is_header(first: list[str], second: list[str], label: str | int | None) -> bool:
    """Whether the first row names the columns.

    It does if it holds text, unless that may be the text label of a sample: a single text, that is
    no usual name of a label column, beside numbers that do not count the features (0, 1, 2, …),
    or above another text.
    """
    texts = [i for i, field in enumerate(first) if field and not _is_number(field)]
    if len(texts) != 1:
        return bool(texts)
    name = first[texts[0]]
    if name.casefold() in LABEL_NAMES or name == label:
        return True
    if texts[0] < len(second) and second[texts[0]] and not _is_number(second[texts[0]]):
        return False
    others = first[: texts[0]] + first[texts[0] + 1 :]
    return others in ([str(i + start) for i in range(len(others))] for start in (0, 1))


def label_column(
    header: list[str] | None, n_columns: int, label: str | int | None, path: Path
) -> int:
    """Index of the label column, from 0."""
    if header is not None:
        folded = [name.casefold() for name in header]
        if label is None:
            wanted = next((name for name in LABEL_NAMES if name in folded), None)
            matches = [i for i, name in enumerate(folded) if name == wanted]
        elif isinstance(label, int):
            matches = []
        else:
            matches = [i for i, name in enumerate(header) if name == label]
            if not matches:
                matches = [i for i, name in enumerate(folded) if name == label.casefold()]
        if len(matches) > 1:
            raise DataFileError(
                path,
                f"has {len(matches)} columns named {header[matches[0]]!r}, at indices "
                f"{', '.join(map(str, matches))}",
                "Rename them, or give the label column's index as label.",
            )
        if matches:
            return matches[0]
    if label is None:
        if header is not None:
            warn(
                f"{path}: no column is named {', '.join(LABEL_NAMES)}; the first, {header[0]!r}, "
                "is taken for the label. Name another with --label (label= in Python).",
                LabelColumnWarning,
            )
        return 0
    try:
        index = int(label)
    except ValueError as error:
        columns = (
            ", ".join(header[:12]) if header is not None else f"no header, {n_columns} columns"
        )
        raise DataFileError(
            path,
            f"has no column {label!r} (columns: {columns}{'…' if n_columns > 12 else ''})",
            "Give the label column's name or its index from 0.",
        ) from error
    if not -n_columns <= index < n_columns:
        raise DataFileError(
            path,
            f"has {n_columns} columns, so none with index {index}",
            f"Give an index from 0 to {n_columns - 1}, or a name.",
        )
    return index % n_columns
