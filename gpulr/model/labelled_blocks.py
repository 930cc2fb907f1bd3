"""Blocks of Dask's with labels, scored where they are: what comes to the client is scores' sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpulr.distributed import Engine, added
from gpulr.errors import DataError, named
from gpulr.model.ranked import Column, Entries, shared_out
from gpulr.sources.dask_arrays import (
    blocks_like,
    blocks_of,
    current_client,
    edges_of,
    n_blocks_of,
    n_rows,
    whole_rows,
)

Array = Any
# (X, y, weights) of a block -> margins, truth and weights
Read = Callable[[Any, Any, Any], tuple[Array, Array, Array | None]]


def sums_of_blocks(
    X: Any,
    y: Any,
    sample_weight: Any,
    read: Read,
    sums: Callable[..., tuple[Any, ...]],
    *,
    name: str = "X",
    keep: bool = False,
) -> tuple[tuple[Any, ...], Engine]:
    """Return sums over all rows of Dask blocks, each computed where its rows are.

    ``read`` makes of X, y and weights of a block margins, truth and weights, of which ``sums``
    makes what adds up. The engine's parts, :class:`LabelledBlock`, ``keep`` these or do not. X may
    be something else than rows, of that ``name``.

    Raises DataError for labels or weights that do not go with the rows, or a block that cannot be
    computed, and WorkersLostError where no worker is left.
    """
    import dask

    from gpulr.distributed.dask_engine import DaskEngine  # which imports distributed

    X = whole_rows(X)
    blocks, n_blocks = blocks_of(X)
    edges, columns = None, [list(blocks.values())]
    if hasattr(X, "chunks") and not np.isnan(X.shape[0]):
        edges = np.cumsum([0, *(X.chunks[0][i] for i in blocks)])
    elif not all(
        values is None or n_blocks_of(values) == n_blocks for values in (y, sample_weight)
    ):
        edges = edges_of(list(blocks.values()))
    for beside, values in (("y", y), ("sample_weight", sample_weight)):
        each = [None] * len(blocks)
        if values is not None:
            each = blocks_like(values, list(blocks), n_blocks, edges, beside)
        columns.append(each)
    shared = dask.delayed((read, sums, keep, name), traverse=False)  # sent to each worker once
    rows = [shared] * len(blocks), list(blocks), *columns
    engine = DaskEngine.make(current_client(), LabelledBlock.of, *rows)
    found = [each for each in engine.call("answer") if each is not None]
    if not any(weight for weight, _ in found):
        raise DataError("There is no row to be scored, or all have weight 0.")
    return added([sums for _, sums in found]), engine


@dataclass(frozen=True, eq=False)
class LabelledBlock:
    """Where a block's rows are: their weight and sums, or None where it has no rows.

    Their margins, truth and weights are there where they are kept.
    """

    sums: tuple[float, tuple[Any, ...]] | None
    rows: tuple[Array, Array, Array] | None

    @classmethod
    def of(
        cls,
        how: tuple[Read, Callable[..., Any], bool, str],
        number: int,
        X: Any,
        y: Any,
        weight: Any,
    ) -> LabelledBlock:
        """Return what a block's rows are; raises DataError that names it."""
        read, sums, keep, name = how
        if not n_rows(X):
            return cls(None, None)
        with named(f"Block {number} of {name}"):
            Z, truth, w = read(X, y, weight)
        w = np.ones(len(Z)) if w is None else w
        return cls((float(w.sum()), sums(Z, truth, w)), (Z, truth, w) if keep else None)

    def answer(self) -> tuple[float, tuple[Any, ...]] | None:
        """Return weight and sums, for the client."""
        return self.sums

    def ranked_columns(self, n_groups: int, *entries: Entries) -> Sequence[list[Column] | None]:
        """Return the columns of all entries of margins for each group; None of no rows."""
        if self.rows is None:
            return [None] * n_groups
        return shared_out(n_groups, (each(*self.rows) for each in entries))
