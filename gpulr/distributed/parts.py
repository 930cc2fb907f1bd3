"""All parts of some rows, as problems of them see them: sums, and the rows of a sample."""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import is_sparse
from gpulr.core.rows import Rows
from gpulr.core.targets import ClassTargets, Targets
from gpulr.distributed.engine import Engine
from gpulr.distributed.margins import PartitionedMargins, plan
from gpulr.distributed.messages import Columns, Held

Array = Any
Integers = npt.NDArray[np.int64]

MESSAGE_BYTES = 2**24  # of rows that are brought here at once


@dataclass(frozen=True, eq=False)
class PartitionedRows(Rows):
    """Rows of which X is elsewhere, in parts."""

    parts: Any = None

    @property
    def longest(self) -> float:
        sums = is_sparse(self.X) and self.center is None
        return self.parts.longest if sums else math.inf

    def sample(self, index: Array) -> Rows:
        """Return some of the rows that have weight, by their ranks; they are brought here once."""
        X, _, _ = self.parts.take(index)
        scaled = self.scale, self.center, self.backend, self.dtype, self.factor
        return Rows(X, *scaled, known=self.extremes)


class Parts:
    """The parts that an engine holds, and what is known of them here.

    Parameters
    ----------
    engine : Engine
        Of :class:`gpulr.distributed.part.Part`.
    rows : Rows
        What all rows are like, on NumPy: X is a :class:`gpulr.sources.elsewhere.Elsewhere`.
    targets : Targets
        Those of no rows, for all models of the labels, on NumPy.
    """

    def __init__(self, engine: Engine, rows: Rows, targets: Targets) -> None:
        self.engine, self._rows, self.targets = engine, rows, targets
        _, kept, masses = zip(*engine.call("counts"), strict=True)
        self._edges = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])
        self.mass = float(sum(masses))
        # Handles of margins that somebody has, and which of them parts have made.
        self.live: weakref.WeakValueDictionary[int, PartitionedMargins] = (
            weakref.WeakValueDictionary()
        )
        self._held: set[int] = set()
        self._taken: tuple[Integers, tuple[Array, Targets, Array | None]] | None = None
        self._sets: tuple[Any, Integers, Array] | None = None

    @property
    def rows(self) -> PartitionedRows:
        """The rows as problems of them have them; not kept here, where they would be a circle."""
        rows = self._rows
        scaled = rows.scale, rows.center, rows.backend, rows.dtype, rows.factor
        return PartitionedRows(rows.X, *scaled, known=rows.known, parts=self)

    @cached_property
    def longest(self) -> float:
        """The largest Σ |x| of a row; see :attr:`gpulr.core.rows.Rows.longest`."""
        return float(max(self.engine.call("longest")))

    @property
    def n_weighted(self) -> int:
        """Number of rows of weight > 0."""
        return int(self._edges[-1])

    def sums(self, method: str, columns: Columns, *arguments: Any) -> tuple[Any, ...]:
        """Return what a method of the parts' problems returns, added up in float64.

        Where it is None of each part, it is None. Parts that lack margins are asked once more, with
        all of their lineage: so these compute what they had computed, to the last bit.
        """
        wanted = [each.lineage for each in arguments if isinstance(each, PartitionedMargins)]
        sent = tuple(
            Held(each.lineage.number) if isinstance(each, PartitionedMargins) else each
            for each in arguments
        )
        live = tuple(self.live)
        made = plan(wanted, self._held)
        sums = self.engine.sums("answer", method, columns, made, live, sent)
        if lost := sums.lost:
            message = columns, plan(wanted, ()), live, sent
            sums.lost = []
            sums.take(self.engine.sums("answer", method, *message, which=lost))
            assert not sums.lost  # all that they need was in the message
        self._held = (self._held | {recipe.number for recipe, _ in made}) & set(live)
        return sums.total

    def take(self, ranks: Integers) -> tuple[Array, Targets, Array | None]:
        """Return rows, targets and weights of some of the rows that have weight.

        ``ranks`` are their numbers among these, ascending. What was brought here last is not
        brought again.
        """
        if self._taken is None or not np.isin(ranks, self._taken[0]).all():
            X, answers, weight = self._brought(ranks)
            name = "codes" if isinstance(self.targets, ClassTargets) else "indicator"
            self._taken = ranks, (X, replace(self.targets, **{name: answers}), weight)
        known, (X, targets, weight) = self._taken
        if len(known) == len(ranks):
            return X, targets, weight
        some = np.searchsorted(known, ranks)
        return X[some], targets.sample(some), None if weight is None else weight[some]

    def _brought(self, ranks: Integers) -> tuple[Array, Array, Array]:
        """Return what parts have of some rows, in messages that are small beside all of it."""
        X = self._rows.X
        n_bytes = len(ranks) * self._rows.backend.row_width(X) * X.itemsize
        stacks = [_Stack(len(ranks)) for _ in range(3)]
        for some in np.array_split(ranks, max(1, math.ceil(n_bytes / MESSAGE_BYTES))):
            for part in self._of_parts("take", some):
                for stack, rows in zip(stacks, part, strict=True):
                    stack.add(rows)
        first, second, third = (stack.whole() for stack in stacks)
        return first, second, third

    def take_sets(self, ranks: Integers, rule: Any) -> Array:
        """Return the weight sets that a rule makes of rows as :meth:`take` returns them."""
        known = self._sets
        if known is None or known[0] is not rule or not np.array_equal(known[1], ranks):
            stack = _Stack(len(ranks))
            for sets in self._of_parts("take_sets", ranks, rule):
                stack.add(sets)
            self._sets = known = rule, ranks, stack.whole()
        return known[2]

    def _of_parts(self, method: str, ranks: Integers, *more: Any) -> list[Any]:
        edges = np.searchsorted(ranks, self._edges)
        each = [
            ranks[a:b] - first for (a, b), first in zip(pairwise(edges), self._edges, strict=False)
        ]
        return self.engine.call_each(method, [(some, *more) for some in each])


class _Stack:
    """Rows of parts, one below the other, of ``n_rows`` in the end; or None, of each part."""

    def __init__(self, n_rows: int) -> None:
        self._n_rows, self._filled = n_rows, 0
        self._dense: Array = None
        self._sparse: list[Array] = []

    def add(self, rows: Array) -> None:
        """Put rows below the others."""
        if is_sparse(rows):
            self._sparse.append(rows)
        elif rows is not None:
            if self._dense is None:
                self._dense = np.empty((self._n_rows, *rows.shape[1:]), rows.dtype)
            start, self._filled = self._filled, self._filled + len(rows)
            self._dense[start : self._filled] = rows

    def whole(self) -> Array:
        """Return all rows."""
        if not self._sparse:
            return self._dense
        from scipy import sparse

        return sparse.vstack(self._sparse, format="csr")
