"""The names of columns: what tells that they are the ones, in the order, that a model knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpulr.errors import DataError
from gpulr.validation.arrays import check_rows
from gpulr.validation.tables import column_names, is_table

if TYPE_CHECKING:
    from gpulr.model.one_vs_all import OneVsAll

__all__ = ["names_of", "order_of", "rows_for"]

SHOWN = 12  # names that a message lists


def rows_for(model: OneVsAll, X: Any) -> Any:
    """Check X as rows that a model is to predict, a table's columns put in the model's order.

    Raises
    ------
    DataError
        As :func:`check_rows`, or the columns have other names than in training.
    """
    expected, names, order = model.data.get("feature_names"), names_of(X), None
    if expected is not None and names is not None:
        order = order_of(names, expected, "X")
    rows = check_rows(X, n_features=model.n_features, trained_on=model.trained_on)
    return rows if order is None else rows[:, order]


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
        found += [f"has {_listed(others)} besides"] if others else []
        raise DataError(
            f"{what} {' and '.join(found)}: this model was trained on the columns "
            f"{_listed(expected)}. Pass these, in any order."
        )
    return [place[name] for name in expected]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:SHOWN])) + (", …" if len(names) > SHOWN else "")
