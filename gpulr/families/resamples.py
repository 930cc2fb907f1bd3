"""How often each replicate of a bootstrap draws each row: here, or by a rule where the rows are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gpulr.distributed import Draws, draws
from gpulr.families.partitioned_data import PartitionedData
from gpulr.families.training_data import TrainingData


class Resamples:
    """Counts of some replicates, ``sets`` (n_samples, n_replicates), for problems to weigh by.

    Parameters
    ----------
    data : TrainingData
        Rows of weight 0 count as absent: with them, draws of the others would vary in number.
    kind : "poisson" or "multinomial"
    seeds : of each replicate
    """

    def __init__(
        self, data: TrainingData, kind: str, seeds: Sequence[np.random.SeedSequence]
    ) -> None:
        weight, self._kind = data.inputs.weight, kind
        n_samples = data.rows.n_samples
        self._kept = None if weight is None else weight > 0
        self._generators = [np.random.default_rng(seed) for seed in seeds]
        # A byte each: that a row is drawn 256 times, nobody will see.
        self.sets: npt.NDArray[np.uint8] = np.zeros((n_samples, len(seeds)), np.uint8)
        self.draw_again(np.arange(len(seeds)))

    def draw_again(self, which: npt.NDArray[np.int64]) -> None:
        """Draw some of the replicates again."""
        for i in which:
            self._draw(self._generators[i], self.sets[:, i])

    def _draw(self, generator: np.random.Generator, counts: npt.NDArray[np.uint8]) -> None:
        """Write how often each row is drawn to ``counts`` (n_samples,)."""
        kept = self._kept
        size = len(counts) if kept is None else int(np.count_nonzero(kept))
        drawn_of = np.zeros(size, np.uint8)
        for start, drawn in draws(self._kind, generator, size):
            if self._kind == "poisson":
                drawn_of[start : start + len(drawn)] = drawn
            else:
                np.add.at(drawn_of, drawn, np.uint8(1))
        counts[slice(None) if kept is None else kept] = drawn_of


class ResamplesElsewhere:
    """What :class:`Resamples` has, by the rule that parts follow to the same counts."""

    def __init__(
        self, data: PartitionedData, kind: str, seeds: Sequence[np.random.SeedSequence]
    ) -> None:
        self._drawn = kind, seeds, data.parts.n_weighted
        self._redraws = np.zeros(len(seeds), np.int64)

    @property
    def sets(self) -> Draws:
        """The rule."""
        kind, seeds, n_rows = self._drawn
        return Draws(kind, seeds, self._redraws.copy(), n_rows)

    def draw_again(self, which: npt.NDArray[np.int64]) -> None:
        """Draw some of the replicates again."""
        self._redraws[which] += 1
