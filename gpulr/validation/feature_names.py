"""The names of columns: what tells that they are the ones, in the order, that a model knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpulr.errors import DataError
from gpulr.validation.tables import column_names, is_table

__all__ = ["names_of", "order_of"]

SHOWN = 12  # names that a message lists


def names_of(X: Any) -> tuple[str, ...] | None:
    """Return the names of a table's columns, if all are text and no two the same."""
    if not is_table(X):
        return None
    names = tuple(column_names(X))
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        return None
    return names


def order_of(names: Sequence[str], expected: Sequence[str], what: str) -> list[int] | None:
    """Return where each expected column is among the names; None if they are in order already.

    Raises
    ------
    DataError
        Some are missing, or there are others; ``what`` says of what.
    """
    if list(names) == list(expected):
        return None
    place = {name: i for i, name in enumerate(names)}
    missing = [name for name in expected if name not in place]
    known = set(expected)
    others = [name for name in names if name not in known]
    if missing or others:
        found = [f"lacks {_listed(missing)}"] if missing else []
        found += [f"has extra columns: {_listed(others)}"] if others else []
        raise DataError(
            f"{what} {' and '.join(found)}. This model was trained on the columns "
            f"{_listed(expected)}. Pass these, in any order."
        )
    return [place[name] for name in expected]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:SHOWN])) + (", …" if len(names) > SHOWN else "")
