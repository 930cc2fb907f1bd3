"""Tables, whose columns have names and types of their own, as arrays of numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.errors import DataError
from gpulr.validation.conversion import as_numpy, real_numbers

__all__ = ["column_names", "columns_of", "from_table", "is_table"]

SHOWN = 10  # columns that a message lists


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


def from_table(table: Any, name: str) -> npt.NDArray[Any]:
    """Return a table as an array (n_rows, n_columns) of real numbers.

    Of columns of different types, or with missing values, it is float64, missing ones NaN.

    Raises
    ------
    DataError
        Some columns are not numbers, which it names: text, dates, categories, arrays, ….
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
            others.append(f"{label!r} ({_words(column)})")
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


def _words(column: Any) -> str:
    """Say what a column holds: its type, or those of the objects in it."""
    dtype = _dtype(column)
    if str(dtype) == "object":
        return ", ".join(sorted({type(value).__name__ for value in np.asarray(column)})[:5])
    return str(dtype)
