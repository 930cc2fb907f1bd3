"""Predictions of Dask's arrays and tables: Dask arrays too, of which nothing is computed yet."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.errors import DataError, named
from gpulr.model.record import Trained
from gpulr.sources.dask_arrays import dask_of, n_rows, whole_rows
from gpulr.validation.tables import feature_names_of, is_table, order_of
from gpulr.words import counted

Array = Any


def dask_rows(model: Trained, X: Any) -> Any:
    """Return X where it is of Dask's, also inside of an xarray DataArray; None where it is not.

    Raises DataError for other features than the model's, as far as these are known.
    """
    if (rows := dask_of(X)) is None:
        return None
    expected, names = model.data.get("feature_names"), feature_names_of(X)
    if expected is not None and names is not None:
        order_of(names, expected, "X")
    n_features = len(rows.columns) if is_table(rows) else math.prod(rows.shape[1:])
    if rows.ndim < 2 or n_features not in (model.n_features, math.nan):
        raise DataError(
            f"X is a Dask array of shape {rows.shape}; this model was trained on "
            f"{counted(model.n_features, 'feature')}. Pass rows of the same features."
        )
    return rows


def in_blocks(
    X: Array, function: Callable[[Any], Any], shape: tuple[int, ...], dtype: npt.DTypeLike
) -> Array:
    """Return a Dask array of what ``function`` makes of the rows of each block of X.

    ``shape`` and ``dtype`` are those of what it makes of a row. No client is needed, and no block
    is computed: a row that cannot be predicted is told of when the result is.
    """
    X, nothing = whole_rows(X), np.empty((0, *shape), dtype)
    if not hasattr(X, "chunks"):  # a DataFrame, whose partitions are those of pandas, with names
        return X.map_partitions(_of_block, function, nothing, meta=nothing)
    return X.map_blocks(
        _of_block,
        function,
        nothing,
        dtype=nothing.dtype,
        meta=nothing,
        chunks=(X.chunks[0], *((size,) for size in shape)),
        drop_axis=list(range(1, X.ndim)),
        new_axis=list(range(1, nothing.ndim)),
    )


def _of_block(
    block: Any,
    function: Callable[[Any], Any],
    nothing: npt.NDArray[Any],
    block_id: tuple[int, ...] | None = None,  # which Dask tells, of an array
    partition_info: dict[str, Any] | None = None,  # and of a DataFrame
) -> Any:
    """Return what a block's rows are predicted to be; a filter may have left it without any.

    Raises DataError that names the block, in which rows are numbered from 0.
    """
    if not n_rows(block):
        return nothing
    number = block_id[0] if block_id else (partition_info or {}).get("number")
    with named(f"Block {number} of X"):
        return function(block)
