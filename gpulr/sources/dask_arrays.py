"""Dask's arrays and tables: what they are known by, and the blocks of rows that they consist of."""

from __future__ import annotations

import math
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from gpulr.errors import DataError, RechunkWarning, warn
from gpulr.sources.blocks import Blocks
from gpulr.words import counted

Array = Any

SHOWN = 5  # columns that an error names
MEMORY = 2**28  # that blocks may take which are kept from pass to pass, without a client


def is_dask(x: Any) -> bool:
    """Whether ``x`` is an array, DataFrame or Series of Dask's."""
    return all(hasattr(type(x), name) for name in ("to_delayed", "__dask_graph__", "ndim"))


def n_rows(block: Any) -> int:
    """Return how many rows a block has, of whatever kind."""
    return int(block.shape[0]) if hasattr(block, "shape") else len(block)


def dask_of(x: Any) -> Any:
    """Return an array or table of Dask's, also that inside of an xarray DataArray; else None."""
    if hasattr(type(x), "coords") and hasattr(type(x), "data"):
        x = x.data if x.chunks else None  # what is in a file, it would read
    return x if is_dask(x) else None


def computed(x: Any) -> Any:
    """Return what an array or table of Dask's is, computed on Dask's threads; others as they are.

    Of labels and weights, one for each row.
    """
    lazy = dask_of(x)
    return x if lazy is None else lazy.compute(scheduler="threads")


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


def check_columns(x: Array) -> None:
    """Raise DataError for columns of a Dask DataFrame that are no numbers, before it is computed.

    Columns of objects are looked at when they are: they may be numbers.
    """
    if hasattr(x, "chunks"):
        return
    found = [
        f"{label!r} ({dtype})"
        for label, dtype in zip(x.columns, x.dtypes, strict=True)
        if getattr(dtype, "kind", "O") not in "buif" and str(dtype) != "object"
    ]
    if found:
        raise DataError(
            f"X has columns that are not numbers: {', '.join(found[:SHOWN])}"
            f"{f', … ({len(found)} of them)' if len(found) > SHOWN else ''}. Pass those that are, "
            'such as X.select_dtypes("number"), or encode the others.'
        )


def blocks_of(x: Array) -> tuple[dict[int, Any], int]:
    """Return the blocks of rows of a Dask array, DataFrame or Series, and how many there are.

    They are Dask's Delayed objects, by their numbers; those known to have no rows are left out.
    """
    delayed = x.to_delayed()
    if not hasattr(x, "chunks"):
        return dict(enumerate(delayed)), len(delayed)
    blocks = list(delayed.ravel())
    return {i: b for i, b in enumerate(blocks) if x.chunks[0][i] != 0}, len(blocks)


def n_blocks_of(x: Any) -> int:
    """Return how many blocks of rows something of Dask's has; 0 for anything else."""
    lazy = dask_of(x)
    return 0 if lazy is None else blocks_of(lazy)[1]


@dataclass(frozen=True, eq=False)
class BlockLoader:
    """Computes one of the blocks of a Dask array or DataFrame, on Dask's threads."""

    name: str  # for messages
    block: Any  # Dask's Delayed

    def __call__(self) -> Any:
        """Return the block."""
        return self.block.compute(scheduler="threads")

    def __str__(self) -> str:
        return self.name


def as_blocks(x: Array) -> Blocks:
    """Return the blocks of a Dask array or DataFrame as parts that are computed in each pass.

    Where lengths are not known they are found out, by computing all blocks once, and those without
    rows left out.
    """
    check_columns(x)
    blocks, _ = blocks_of(whole_rows(x))
    way = "blocks" if hasattr(x, "chunks") else "partitions"
    lengths: Any = [x.chunks[0][i] for i in blocks] if hasattr(x, "chunks") else [math.nan]
    if any(map(math.isnan, lengths)):
        import dask

        lazy = [dask.delayed(n_rows)(block) for block in blocks.values()]
        lengths = dask.compute(*lazy, scheduler="threads")
    some = [(i, n) for i, n in zip(blocks, lengths, strict=True) if n]
    if not some:
        raise DataError(
            f"X is empty: its shape is {x.shape}. Pass at least one row and one feature."
        )
    return Blocks(
        [BlockLoader(f"X.{way}[{i}]", blocks[i]) for i, _ in some],
        n_samples=[n for _, n in some],
        n_features=len(x.columns) if way == "partitions" else math.prod(x.shape[1:]),
        memory=MEMORY,
    )


def blocks_like(
    values: Any,
    kept: Sequence[int],
    n_blocks: int,
    edges: npt.NDArray[np.int64] | None,
    name: str,
) -> list[Any]:
    """Return the blocks of labels or weights that go with blocks of X.

    Parameters
    ----------
    values : one for each row
        A Dask array, DataFrame or Series, or what can be cut by slices.
    kept : which of X's ``n_blocks`` blocks are wanted
    edges : (len(kept) + 1,), optional
        Where the rows of each begin, and the last ones end; they may be unknown (None) where values
        have as many blocks.
    name : of the values, for messages

    Raises
    ------
    DataError
        They are of another length.
    """
    lazy = dask_of(values)
    if lazy is None:
        edges = cast(npt.NDArray[np.int64], edges)
        return [values[a:b] for a, b in pairwise(edges.tolist())]
    lazy = whole_rows(lazy, name)
    if edges is not None and hasattr(lazy, "chunks") and not math.isnan(lazy.shape[0]):
        n = int(edges[-1])
        if lazy.shape[0] != n:
            raise DataError(
                f"X has {counted(n, 'row')} and {name} has {lazy.shape[0]:,}; expected as many of "
                "each."
            )
        lengths = tuple(np.diff(edges).tolist())
        lazy = lazy if lazy.chunks[0] == lengths else lazy.rechunk({0: lengths})
        return list(blocks_of(lazy)[0].values())
    blocks, own = blocks_of(lazy)
    if own != n_blocks:
        return _cut_elsewhere(list(blocks.values()), cast(npt.NDArray[np.int64], edges), name)
    return [blocks.get(i) for i in kept]


def edges_of(blocks: Sequence[Any]) -> npt.NDArray[np.int64]:
    """Return where blocks of unknown lengths begin, and the last one ends: it computes them all."""
    import dask

    lengths = dask.compute(*(dask.delayed(n_rows)(block) for block in blocks))
    return np.cumsum([0, *lengths])


def _cut_elsewhere(blocks: Sequence[Any], edges: npt.NDArray[np.int64], name: str) -> list[Any]:
    """Return blocks of unknown lengths cut where X's are.

    Dask reads Parquet files together of which few columns are needed: so ``table["label"]`` has
    fewer blocks than ``table.drop(columns="label")``.
    """
    import dask

    own = edges_of(blocks).tolist()
    if own[-1] != edges[-1]:
        raise DataError(
            f"X has {counted(int(edges[-1]), 'row')} and {name} has {own[-1]:,}; expected as many "
            "of each."
        )
    cut = []
    for a, b in pairwise(edges.tolist()):
        first = min(bisect_right(own, a), len(blocks)) - 1
        some = list(blocks[first : max(first + 1, bisect_left(own, b))])
        cut.append(dask.delayed(_joined)(some, a - own[first], b - own[first]))
    return cut


def _joined(blocks: Sequence[Any], start: int, stop: int) -> Any:
    if not hasattr(blocks[0], "iloc"):
        return np.concatenate(blocks)[start:stop]
    from pandas import concat

    return concat(blocks).iloc[start:stop]
