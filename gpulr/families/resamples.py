"""How often each replicate of a bootstrap draws each row: here, or by a rule where the rows are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gpulr.distributed import Draws
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
        self._kept = np.ones(n_samples, np.bool_) if weight is None else weight > 0
        self._generators = [np.random.default_rng(seed) for seed in seeds]
        self._counts = np.stack([self._draw(generator) for generator in self._generators])

    @property
    def sets(self) -> npt.NDArray[np.uint8]:
        """The counts."""
        return np.ascontiguousarray(self._counts.T)

    def draw_again(self, which: npt.NDArray[np.int64]) -> None:
        """Draw some of the replicates again."""
        self._counts[which] = [self._draw(self._generators[i]) for i in which]

    def _draw(self, generator: np.random.Generator) -> npt.NDArray[np.uint8]:
        """Return how often each row is drawn, (n_samples,)."""
        counts, size = np.zeros(len(self._kept), dtype=np.uint8), int(self._kept.sum())
        if self._kind == "poisson":
            counts[self._kept] = generator.poisson(1.0, size)
        else:
            counts[self._kept] = np.bincount(generator.integers(0, size, size), minlength=size)
        return counts


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
