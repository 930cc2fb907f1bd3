"""Sums over parts, added up by whoever has some of them: the same bits whoever that is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpulr.distributed.messages import LOST

Sum = tuple[Any, ...]  # arrays in float64, or None


@dataclass
class Sums:
    """Sums over parts, as a binary tree over the numbers of these.

    A node ``(level, i)`` is the sum over the parts from i 2^level to (i + 1) 2^level. Neighbours
    are added once both are there, wherever that is: so it is the parts' numbers that say which
    roundings there are, and a worker with parts that follow each other sends few sums for many.
    """

    n_parts: int
    nodes: dict[tuple[int, int], Sum] = field(default_factory=dict)
    lost: list[int] = field(default_factory=list)  # parts that answered LOST

    @classmethod
    def of(cls, n_parts: int, answers: Iterable[tuple[int, Any]]) -> Sums:
        """Return the sums of what parts answer, each with its number."""
        sums = cls(n_parts)
        for number, answer in answers:
            if isinstance(answer, str):
                assert answer == LOST
                sums.lost.append(number)
            else:
                each = (None if a is None else np.asarray(a, np.float64) for a in answer)
                sums._put(0, number, tuple(each))
        return sums

    def take(self, other: Sums) -> None:
        """Take in the sums over other parts, which are then of no use where they were."""
        for (level, i), value in other.nodes.items():
            self._put(level, i, value)
        self.lost += other.lost

    @property
    def total(self) -> Sum:
        """The sum over all parts."""
        (total,) = self.nodes.values()
        return total

    def _put(self, level: int, i: int, value: Sum) -> None:
        while self.n_parts > 1 << level:  # it is not the whole
            beside = i ^ 1
            if self.n_parts > beside << level:  # it has a neighbour
                if (level, beside) not in self.nodes:
                    break
                both = zip(self.nodes.pop((level, beside)), value, strict=True)
                value = tuple(None if a is None else a + b for a, b in both)
            level, i = level + 1, i >> 1
        self.nodes[level, i] = value
