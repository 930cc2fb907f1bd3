"""Dask's arrays and tables: what they are known by, and the blocks of rows that they consist of."""

from __future__ import annotations

import math
import sys
from typing import Any

from gpulr.errors import RechunkWarning, warn

Array = Any


def is_dask(x: Any) -> bool:
    """Whether ``x`` is an array, DataFrame or Series of Dask's."""
    return hasattr(type(x), "to_delayed") and hasattr(type(x), "__dask_graph__")


def current_client() -> Any:
    """Return the ``distributed.Client`` that is current, or None."""
    distributed = sys.modules.get("distributed")  # where nobody has imported it, there is none
    try:
        return None if distributed is None else distributed.Client.current()
    except ValueError:
        return None


def whole_rows(x: Array, name: str = "X") -> Array:
    """Return a Dask array (or DataFrame) each of whose blocks holds whole rows.

    Warns
    -----
    RechunkWarning
        It was cut along other axes too.
    """
    if not hasattr(x, "numblocks") or math.prod(x.numblocks[1:]) == 1:
        return x
    cut = math.prod(x.numblocks[1:])
    most = max(x.chunks[0]) * math.prod(x.shape[1:]) * x.dtype.itemsize
    size = "of unknown size" if math.isnan(most) else f"of up to {most / 2**20:,.0f} MiB"
    warn(
        f"{name} is cut into {cut} chunks along its other axes. They are joined to rows, which "
        f"copies all of {name} whenever it is read, and makes blocks {size}. Chunk it by rows, "
        f"e.g. {name}.rechunk({{1: -1}}).persist().",
        RechunkWarning,
    )
    return x.rechunk(dict.fromkeys(range(1, x.ndim), -1))


def blocks_of(x: Array) -> list[Any]:
    """Return the blocks of rows of a Dask array, DataFrame or Series, as Dask's Delayed objects.

    Those that are known to have no rows are left out.
    """
    delayed = x.to_delayed()
    if not hasattr(x, "chunks"):
        return list(delayed)
    return [each for each, n in zip(delayed.ravel(), x.chunks[0], strict=True) if n != 0]
