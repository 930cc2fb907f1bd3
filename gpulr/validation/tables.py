"""Tables, whose columns have names and types of their own: their numbers and their names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.errors import DataError
from gpulr.validation.conversion import as_numpy, real_numbers
from gpulr.validation.cures import cure_of_columns

SHOWN, SHOWN_NAMES = 10, 12  # columns that a message lists, with and without their types
BLOCK_BYTES = 2**21  # of rows that columns are written to at a time, in cache


def is_table(x: Any) -> bool:
    """Whether ``x`` is a table: a DataFrame of any library, Arrow's table or NumPy's records.

    Or a LazyFrame, or an xarray Dataset whose variables have one dimension, the same.
    """
    if isinstance(x, np.ndarray):
        return x.ndim == 1 and x.dtype.names is not None
    kind = type(x)
    if hasattr(kind, "data_vars"):
        return len(x.sizes) == 1
    # Asked of the class: a lazy table would have to find out its columns.
    named = hasattr(kind, "columns") and (hasattr(kind, "collect_schema") or not _is_lazy(x))
    return named and getattr(x, "ndim", 2) == 2  # Dask's Series have columns too


def _is_lazy(table: Any) -> bool:
    return hasattr(type(table), "collect")


def column_names(table: Any) -> list[Any]:
    """Return the names of a table's columns."""
    if isinstance(table, np.ndarray):
        return list(table.dtype.names or ())
    if _is_lazy(table):
        return list(table.collect_schema().names())
    # Arrow's columns are the values themselves.
    for name in ("data_vars", "column_names"):
        if hasattr(table, name):
            return list(getattr(table, name))
    return list(table.columns)


def feature_names_of(X: Any) -> tuple[str, ...] | None:
    """Return the names of the columns of X, if all are text and no two the same.

    One column of arrays has no names of these.
    """
    names = names_of(X) or ()
    if len(names) == 1 and is_table(X) and column_of_arrays(X) is not None:
        return None
    every = names and all(isinstance(name, str) for name in names)
    return tuple(names) if every and len(set(names)) == len(names) else None


def names_of(x: Any) -> list[Any] | None:
    """Return the names of columns: a table's, or those along the second axis of a DataArray."""
    if is_table(x):
        return column_names(x)
    if is_labelled(x) and x.ndim == 2 and x.dims[1] in x.coords:
        return list(x.coords[x.dims[1]].values.tolist())
    return None


def is_labelled(x: Any) -> bool:
    """Whether ``x`` is an xarray DataArray: an array, its ``data``, and labels of its axes."""
    return hasattr(type(x), "coords") and hasattr(type(x), "data") and hasattr(type(x), "dims")


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

    Of columns of different types it is as wide as holds them all; missing values are NaN. One
    column of arrays is the matrix of these. A table of one block of numbers is not copied. Raises
    DataError that names the columns that are no numbers: text, dates, categories, arrays, ….
    """
    at = name
    for way in ("collect", "compute"):  # of polars; of Dask, and of xarray over it
        if hasattr(type(table), way):
            table, at = getattr(table, way)(), f"{name}.{way}()"
    # One block of pandas's. Of several it would make an array column after column, on which
    # training takes twice as long as on rows.
    dtypes = set(getattr(table, "dtypes", ()))
    one = dtypes.pop() if len(dtypes) == 1 else None
    if isinstance(one, np.dtype) and one.kind in "buif":
        array = as_numpy(table, name)
        if array.dtype.kind in "buif":
            return real_numbers(array, name)
    if (column := column_of_arrays(table)) is not None:
        return real_numbers(as_numpy(column, name), name)
    columns, others = [], {}
    for label, column in columns_of(table):
        try:
            columns.append(_numbers(column, name))
        except DataError:
            others[label] = column
    if others:
        listed = [f"{label!r} ({_type_of(column)})" for label, column in others.items()]
        raise DataError(
            f"{name} has columns that are not numbers: {', '.join(listed[:SHOWN])}"
            f"{f', … ({len(others)} of them)' if len(others) > SHOWN else ''}. "
            + cure_of_columns(table, {label: _kind(each) for label, each in others.items()}, at)
        )
    return _side_by_side(columns) if columns else np.empty((len(table), 0))


def sparse_columns(table: Any) -> Any:
    """Return a table of pandas's sparse columns as SciPy's matrix; None where it is another."""
    if not hasattr(type(table), "sparse"):
        return None
    fill = [getattr(dtype, "fill_value", None) for dtype in table.dtypes]
    return table.sparse.to_coo() if fill and all(value == 0 for value in fill) else None


def _side_by_side(columns: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Return columns as an array, row after row, in one pass over the memory of both."""
    kinds = {column.dtype for column in columns}
    if len(kinds) > 1:  # bits beside bytes are no pixels, which bytes alone are taken for
        kinds = {np.dtype(np.int16) if dtype == np.bool_ else dtype for dtype in kinds}
    whole = np.empty((len(columns[0]), len(columns)), np.result_type(*kinds))
    step = max(16, BLOCK_BYTES // max(1, whole.strides[0]))
    for start in range(0, len(whole), step):
        block = whole[start : start + step]
        for j, column in enumerate(columns):
            block[:, j] = column[start : start + step]
    return whole


def columns_of(table: Any) -> Iterable[tuple[Any, Any]]:
    """Return the names and columns of a table, also where several have one name."""
    if _is_lazy(table):
        table = table.collect()
    if hasattr(table, "column_names"):  # Arrow's
        return zip(table.column_names, table.columns, strict=True)
    if hasattr(table, "items"):  # of pandas, and of those that are like it
        return table.items()  # type: ignore[no-any-return]
    return ((label, table[label]) for label in column_names(table))


def column_of_arrays(table: Any) -> Any:
    """Return a table's column if there is one only, and its entries are arrays; else None."""
    if len(column_names(table)) != 1:
        return None
    ((_, column),) = columns_of(table)
    return column if _kind(column) == "arrays" else None


def _numbers(column: Any, name: str) -> npt.NDArray[Any]:
    dtype = _dtype(column)
    if hasattr(dtype, "categories") or str(dtype).startswith("dictionary"):
        raise DataError("categories, be they numbers, are names")
    values = as_numpy(column, name)
    if values.dtype.kind == "O" and getattr(dtype, "kind", "O") in "buif":  # has missing values
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    if values.ndim != 1 or _kind(values) == "arrays":
        raise DataError("arrays")
    return real_numbers(values, name)


def _dtype(column: Any) -> Any:
    return getattr(column, "dtype", None) or getattr(column, "type", None)


def _kind(column: Any) -> str:
    """Say what a column holds, by its type and first entries: plain, dates, arrays or objects."""
    dtype = _dtype(column)
    name = str(dtype).lower()
    if name.startswith("date32") and hasattr(column, "dtype"):  # of which pandas makes no numbers
        return "plain"
    if getattr(dtype, "kind", "O") in "mM" or hasattr(dtype, "freq"):
        return "dates"
    if getattr(dtype, "kind", "O") in "buifcSUV" and getattr(column, "ndim", 1) == 1:
        return "plain"
    if name.startswith(("struct", "map", "dense_union", "sparse_union")):
        return "objects"
    try:
        values = np.asarray(column.head(100) if hasattr(column, "head") else column[:100])
    except Exception:  # whatever its library raises of what NumPy does not have
        return "plain"
    entry = next((value for value in values if value is not None), None)
    if values.ndim > 1 or isinstance(entry, list | tuple) or getattr(entry, "ndim", False):
        return "arrays"
    if values.dtype.kind in "mM":
        return "dates"
    return "objects" if isinstance(entry, Mapping | Set) else "plain"


def _type_of(column: Any) -> str:
    """Say what a column holds: its type, or those of the objects in it."""
    dtype = _dtype(column)
    if str(dtype) == "object":
        return ", ".join(sorted({type(value).__name__ for value in np.asarray(column)})[:5])
    return str(dtype)
