"""Weight sets by rules, which parts follow: so that nothing of the number of rows is sent.

A rule is small, and pickled into messages; ``sets`` returns how often each set has each row of a
part, (n_rows, n_sets) uint8.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.uint8]

AT_ONCE = 2**18  # draws


@dataclass(frozen=True, eq=False)
class StratifiedFolds:
    """Each set has all rows but a fold's, as scikit-learn's StratifiedKFold makes folds.

    A row's rank among those of its class, of all parts, says which fold it is in.
    """

    ends: npt.NDArray[np.int64]  # (n_classes, n_sets), the first rank that is beyond each fold

    @classmethod
    def of(
        cls, n_sets: int, counts: npt.NDArray[np.int64], order: npt.NDArray[Any]
    ) -> StratifiedFolds:
        """Return the rule for so many rows of each class, (n_classes,).

        ``order`` (n_classes,) sorts classes as their first rows are sorted, such as the number of
        each one's first row.
        """
        ordered = np.argsort(order, kind="stable")
        # Rows sorted by class, of which fold i gets each n-th from the i-th on.
        edges = np.concatenate([[0], np.cumsum(counts[ordered], dtype=np.int64)])
        up_to = (edges[:, np.newaxis] - np.arange(n_sets) + n_sets - 1) // n_sets
        ends = np.empty((len(counts), n_sets), np.int64)
        ends[ordered] = np.cumsum(np.diff(up_to, axis=0), axis=1)
        return cls(ends)

    @property
    def n_sets(self) -> int:
        """Number of folds."""
        return int(self.ends.shape[1])

    def folds(self, part: Any) -> npt.NDArray[np.int64]:
        """Return the fold that each row of a part is in, (n_rows,)."""
        codes = part.strata
        found = np.empty(len(codes), np.min_scalar_type(self.n_sets))
        for rows, folds in self.in_turn(codes, part.before.classes):
            found[rows] = folds
        return found

    def in_turn(
        self, codes: npt.NDArray[Any], before: npt.NDArray[np.int64] | None = None
    ) -> Iterator[tuple[slice, npt.NDArray[np.int64]]]:
        """Yield rows, a few at a time, and the fold that each of them is in.

        ``before`` (n_classes,) are the rows of each class in parts before; None: there are none.
        """
        n_classes = len(self.ends)
        seen = np.zeros(n_classes, np.int64) if before is None else before
        for start in range(0, len(codes), AT_ONCE):
            some = codes[start : start + AT_ONCE]
            order, counts = np.argsort(some, kind="stable"), np.bincount(some, minlength=n_classes)
            first = np.cumsum(counts) - counts  # of each class, in this order
            ranks = np.empty(len(some), np.int64)
            ranks[order] = np.arange(len(some)) + (seen - first)[some[order]]
            folds = sum(ranks >= ends[some] for ends in self.ends.T.astype(np.int64))
            yield slice(start, start + len(some)), np.asarray(folds, np.int64)
            seen = seen + counts

    def sets(self, part: Any) -> Counts:
        """Return how often each set has each row."""
        return np.asarray(self.folds(part)[:, np.newaxis] != np.arange(self.n_sets), np.uint8)


@dataclass(frozen=True, eq=False)
class Draws:
    """Each set has rows as often as a replicate of the bootstrap draws them.

    The draws are those that one process makes of all rows, one after the other: a part leaves those
    of other parts out, and makes them all the same. It cannot jump over them: a Poisson draw takes
    as many numbers of the generator's as chance has it, and any multinomial draw may be of any row.
    So a replicate is parts × n_rows draws, of 100 ns ("poisson") or 10 ns, by all workers' threads.
    """

    kind: str  # "poisson" or "multinomial"
    seeds: Sequence[np.random.SeedSequence]  # of each replicate
    redraws: npt.NDArray[np.int64]  # (n_sets,) how often the rows of each were drawn before
    n_rows: int  # of weight > 0, in all parts: others are not drawn

    @property
    def n_sets(self) -> int:
        """Number of replicates."""
        return len(self.seeds)

    def sets(self, part: Any) -> Counts:
        """Return how often each set has each row."""
        kept = part.kept
        first, counts = part.before.weighted, np.zeros((part.n_rows, self.n_sets), np.uint8)
        rows = slice(first, first + int(np.count_nonzero(kept)))
        for number, (seed, redraws) in enumerate(zip(self.seeds, self.redraws, strict=True)):
            generator = np.random.default_rng(seed)
            for _ in range(int(redraws)):
                deque(self._draws(generator), maxlen=0)
            counts[kept, number] = self._of(generator, rows)
        return counts

    def _of(self, generator: np.random.Generator, rows: slice) -> Counts:
        """Return how often some of the rows are drawn."""
        found = np.zeros(rows.stop - rows.start, np.uint8)
        for start, drawn in self._draws(generator):
            if self.kind == "poisson":
                a, b = max(start, rows.start), min(start + len(drawn), rows.stop)
                if a < b:
                    found[a - rows.start : b - rows.start] = drawn[a - start : b - start]
                if start >= rows.stop:
                    break
            else:
                inside = drawn[(drawn >= rows.start) & (drawn < rows.stop)] - rows.start
                np.add.at(found, inside, np.uint8(1))  # of another type ten times slower
        return found

    def _draws(self, generator: np.random.Generator) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
        return draws(self.kind, generator, self.n_rows)


def draws(
    kind: str, generator: np.random.Generator, n_rows: int
) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Yield where draws begin, and some of them, until each of so many rows had one.

    Of "poisson" they are how often each row is drawn, of "multinomial" which row is.
    """
    for start in range(0, n_rows, AT_ONCE):
        size = min(AT_ONCE, n_rows - start)
        if kind == "poisson":
            yield start, generator.poisson(1.0, size)
        else:
            yield start, generator.integers(0, n_rows, size)
