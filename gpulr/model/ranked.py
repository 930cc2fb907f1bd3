"""Scores of how margins rank rows, for which all those of a model have to be in one place.

Where rows lie in parts, these give each other their margins, all of a model to one worker; what
comes to the client is what each model's ranking says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np

from gpulr.distributed import Engine
from gpulr.model.binary import Bytes, Each, Floats, Measure, Truth, counts, of_each_model, problems
from gpulr.model.predicted import Thresholds

# (margins (n, k), truth (n,) or (n, k), weight (n,)) -> the same of what is ranked
Entries = Callable[[Floats, Truth, Floats], tuple[Floats, Truth, Floats]]
# Margins, truth and weights (None: 1 each) of some rows, of one model.
Column = tuple[Floats, Bytes, Floats | None]

Result = TypeVar("Result", covariant=True)

TOGETHER = 2**22  # margins that one worker ranks, if not of one model: in half a second


def as_they_are(Z: Floats, truth: Truth, weight: Floats) -> tuple[Floats, Truth, Floats]:
    """Return margins and truth: what most scores rank by."""
    return Z, truth, weight


def each(values: Each, true: Each | None) -> Each:
    """Return the values, of each model."""
    return values


@dataclass(frozen=True)
class RankedScore(Generic[Result]):
    """A :class:`gpulr.model.measures.Score` of how each model ranks all rows: no sum over these.

    Attributes
    ----------
    measure : Measure
        Says of one model's margins, truth and weights one number.
    average : callable
        Returns the score, given these (n_models,), and the weights of each model's positives
        (n_models,) or None.
    entries : Entries
        What is ranked, as a matrix of columns that are measured each by itself.
    weighted : bool
        Whether the score depends on the weights of positives.
    """

    measure: Measure
    average: Callable[[Each, Each | None], Result]
    entries: Entries = as_they_are
    weighted: bool = False

    def __call__(
        self, Z: Floats, truth: Truth, weight: Floats, thresholds: Thresholds | None = None
    ) -> Result:
        """Return the score of rows that are here."""
        (values,), true = of_each_model(self.measure, *self.entries(Z, truth, weight)), None
        if self.weighted:
            _, _, missed, right = of_each_model(counts, Z, truth, weight)
            true = right + missed
        return self.finish(values, true)

    def finish(self, values: Each, true: Each | None) -> Result:
        """Return the score of what was measured; ``true`` are the weights of positives."""
        return self.average(values, true if self.weighted else None)


def shared_out(n_groups: int, sets: Iterable[tuple[Floats, Truth, Floats]]) -> list[list[Column]]:
    """Return, for each group, its columns of what is ranked of a part's rows.

    ``sets`` are entries of margins, truth and weights. Of the columns of all sets, one after the
    other, the groups get one each in turn.
    """
    groups: list[list[Column]] = [[] for _ in range(n_groups)]
    number = 0
    for Z, truth, weight in sets:
        even = bool((weight == 1.0).all())
        for z, y, w in problems(Z, truth, weight, slice(0, Z.shape[1])):
            groups[number % n_groups].append((np.ascontiguousarray(z), y, None if even else w))
            number += 1
    return groups


@dataclass(frozen=True, eq=False)
class Ranked:
    """What a measure says of each column of a group, and the weight of its positives."""

    values: list[tuple[float, ...]]

    @classmethod
    def of(cls, measure: Measure, *parts: list[Column] | None) -> Ranked:
        """Measure columns of which every part has given its rows, or None: it has none."""
        found = []
        for pieces in zip(*(part for part in parts if part is not None), strict=True):
            whole = ((z, y, np.ones(len(z)) if w is None else w) for z, y, w in pieces)
            z, y, w = map(np.concatenate, zip(*whole, strict=True))
            found.append((*measure(z, y, w, None), float(y @ w)))
        return cls(found)

    def answer(self) -> list[tuple[float, ...]]:
        """Return them, for the client."""
        return self.values


def ranked(
    engine: Engine, measure: Measure, n_columns: int, n_margins: int, method: str, *arguments: Any
) -> list[Each]:
    """Return what a measure says of columns of the margins of all parts' rows.

    ``method`` of the parts returns what :func:`shared_out` does, of ``n_columns`` or fewer columns,
    in which there are ``n_margins``. Each group takes as many messages as there are parts: so there
    are no more groups than the margins are worth. The results are each (n_columns,), the last one
    the weights of positives.
    """
    n_groups = max(1, min(n_columns, math.ceil(n_margins / TOGETHER)))
    exchanged = engine.exchange(method, partial(Ranked.of, measure), n_groups, *arguments)
    groups = exchanged.call("answer")
    columns = [groups[i % n_groups][i // n_groups] for i in range(sum(map(len, groups)))]
    return list(np.array(columns, dtype=np.float64).T)
