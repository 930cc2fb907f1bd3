"""Tables, whose columns have names and types of their own: their numbers and their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.errors import DataError
from gpulr.validation.conversion import as_numpy, real_numbers

SHOWN, SHOWN_NAMES = 10, 12  # columns that a message lists, with and without their types


def is_table(x: Any) -> bool:
    """Whether ``x`` is a table: a DataFrame of any library, Arrow's table or NumPy's records."""
    if isinstance(x, np.ndarray):
        return x.ndim == 1 and x.dtype.names is not None
    # Asked of the class: a lazy table would have to find out its columns. It has no values either.
    named = hasattr(type(x), "columns") and not hasattr(type(x), "collect")
    return named and getattr(x, "ndim", 2) == 2  # Dask's Series have columns too


def column_names(table: Any) -> list[Any]:
    """Return the names of a table's columns."""
    if isinstance(table, np.ndarray):
        return list(table.dtype.names or ())
    # Arrow's columns are the values themselves.
    return list(table.column_names if hasattr(table, "column_names") else table.columns)


def feature_names_of(X: Any) -> tuple[str, ...] | None:
    """Return the names of a table's columns, if all are text and no two the same."""
    if not is_table(X):
        return None
    names = tuple(column_names(X))
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        return None
    return names


def order_of(names: Sequence[str], expected: Sequence[str], what: str) -> list[int] | None:
    """Return where each expected column is among the names; None if they are in order already.

    Raises DataError where some are missing, or there are others; ``what`` says of what.
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
    return ", ".join(map(repr, names[:SHOWN_NAMES])) + (", …" if len(names) > SHOWN_NAMES else "")


def from_table(table: Any, name: str) -> npt.NDArray[Any]:
    """Return a table as an array (n_rows, n_columns) of real numbers.

    Of columns of different types, or with missing values, it is float64, missing ones NaN. Raises
    DataError that names the columns that are no numbers: text, dates, categories, arrays, ….
    """
    kinds = {getattr(dtype, "kind", "O") for dtype in getattr(table, "dtypes", (None,))}
    if kinds <= set("buif"):  # as pandas has them
        array = as_numpy(table, name)
        if array.dtype.kind in "buif":
            return real_numbers(array, name)
    columns, others, of_arrays = [], [], None
    for label, column in columns_of(table):
        try:
            columns.append(_numbers(column, name))
        except DataError:
            others.append(f"{label!r} ({_type_of(column)})")
            of_arrays = label if _holds_arrays(column) else of_arrays
    if others:
        raise DataError(
            f"{name} has columns that are not numbers: {', '.join(others[:SHOWN])}"
            f"{f', … ({len(others)} of them)' if len(others) > SHOWN else ''}. "
            + (
                f"For the arrays of a column to be the rows, pass it alone: {name}[{of_arrays!r}]."
                if of_arrays is not None
                else "Drop them, or encode them, e.g. with pandas.get_dummies."
            )
        )
    if not columns:
        return np.empty((len(table), 0))
    same = len({column.dtype for column in columns}) == 1
    return np.stack(columns, axis=1, dtype=None if same else np.float64)


def columns_of(table: Any) -> Iterable[tuple[Any, Any]]:
    """Return the names and columns of a table, also where several have one name."""
    if hasattr(table, "column_names"):  # Arrow's
        return zip(table.column_names, table.columns, strict=True)
    if hasattr(table, "items"):  # of pandas, and of those that are like it
        return table.items()  # type: ignore[no-any-return]
    return ((label, table[label]) for label in column_names(table))


def _numbers(column: Any, name: str) -> npt.NDArray[Any]:
    dtype = _dtype(column)
    if hasattr(dtype, "categories") or str(dtype).startswith("dictionary"):
        raise DataError("categories, be they numbers, are names")
    values = as_numpy(column, name)
    if values.dtype.kind == "O" and getattr(dtype, "kind", "O") in "buif":  # has missing values
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    if values.ndim != 1 or _holds_arrays(values):
        raise DataError("arrays")
    return real_numbers(values, name)


def _dtype(column: Any) -> Any:
    return getattr(column, "dtype", None) or getattr(column, "type", None)


def _holds_arrays(column: Any) -> bool:
    values = np.asarray(column)
    first = values[0] if len(values) else None
    return values.ndim > 1 or isinstance(first, list | tuple | np.ndarray)


def _type_of(column: Any) -> str:
    """Say what a column holds: its type, or those of the objects in it."""
    dtype = _dtype(column)
    if str(dtype) == "object":
        return ", ".join(sorted({type(value).__name__ for value in np.asarray(column)})[:5])
    return str(dtype)
