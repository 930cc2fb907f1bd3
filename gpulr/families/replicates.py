"""Bootstrap replicates as columns: draws of the rows, and the problems they make."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import to_host
from gpulr.core.problem import Problem
from gpulr.errors import DataError, ParameterError
from gpulr.families.prepare import TrainingData
from gpulr.words import shown

# What one group of replicates may take; results do not depend on it, but for rounding.
GROUP_BYTES = 2**30
# Draws of a replicate, until every model has rows of both kinds.
MOST_DRAWS = 100
# Replicates that tell how much gradients differ, and the share of it that is left to each. On MNIST
# half of the weights are then within 0.2 % of a standard error of their optimum, and of pixels that
# vary 98 % of the standard errors are right within 3 %; with tol=1e-4, between 3/4 and
# 4 times as large as they should be.
PROBES, SHARE = 8, 0.003


def seeds_of(random_state: Any, n: int) -> list[np.random.SeedSequence]:
    """Return a seed for each replicate, or raise ParameterError."""
    try:
        return np.random.default_rng(random_state).bit_generator.seed_seq.spawn(n)  # type: ignore
    except (TypeError, ValueError, AttributeError) as error:
        raise ParameterError(
            f"random_state={shown(random_state)}; expected a whole number ≥ 0, a NumPy Generator "
            "that was made from a seed, or None."
        ) from error


@dataclass(frozen=True, eq=False)
class Replicates:
    """Resamples of the rows, of which only counts are made.

    Columns of the problems are replicate by replicate, and model by model in each.

    Attributes
    ----------
    data : TrainingData
        A row's weight is that of a row that is drawn once.
    C : float or list of float, one for each model
    kind : "poisson" or "multinomial"
    seeds : sequence of SeedSequence, one for each replicate
    """

    data: TrainingData
    C: float | list[float]
    kind: str
    seeds: Sequence[np.random.SeedSequence]

    def groups(self, column_bytes: int) -> list[range]:
        """Return the replicates in as few, equally large groups as memory allows.

        ``column_bytes`` is what training takes for each column.
        """
        rows, n = self.data.rows, len(self.seeds)
        budget = rows.backend.available_bytes(GROUP_BYTES)
        most = max(1, budget // (self.data.n_models * column_bytes + rows.n_samples))
        count = math.ceil(n / most)
        return [range(n * i // count, n * (i + 1) // count) for i in range(count)]

    def problem(self, group: range) -> Problem:
        """Return the problem of some replicates, (n_features + 1, len(group) · n_models).

        A replicate in which some model has rows of one kind only, which all rows together have
        not, has no optimum of any meaning, and is drawn again.

        Raises
        ------
        DataError
            A hundred draws are not enough.
        """
        generators = [np.random.default_rng(self.seeds[r]) for r in group]
        counts = np.stack([self._draw(generator) for generator in generators])
        for _ in range(MOST_DRAWS):
            problem = self._counted(counts)
            lacking = self._possible & ~self._of_both_kinds(problem)
            again = np.flatnonzero(lacking.any(axis=1))
            if not len(again):
                return problem
            counts[again] = [self._draw(generators[i]) for i in again]
        names = self.data.inputs.labels.names[lacking.any(axis=0)][:10].tolist()
        raise DataError(
            f"{MOST_DRAWS} draws of the rows for replicate {group[again[0]]} all left classes "
            f"without rows (the last: {names}, or all but them). Merge classes that have a few "
            "rows only, or leave them out."
        )

    def tolerance(self, theta: npt.NDArray[np.float64]) -> float:
        """Return a tolerance that is small beside what resampling does to the gradients.

        Where the gradient of all rows is zero, those of replicates have entries of σ/√n_samples. A
        fixed tolerance may be larger, and all replicates then end where they start.
        """
        first = range(min(PROBES, len(self.seeds)))
        problem = self.problem(first)
        xp, k = problem.backend.xp, self.data.n_models
        start = problem.backend.asarray(np.tile(theta, (1, len(first))))
        gradient = problem.evaluate(start).gradient
        norm = to_host(xp.max(xp.abs(gradient), axis=0)).reshape(-1, k)
        typical = np.sqrt(np.mean(norm**2, axis=0))
        # What float32 can tell of them, in sums over n_samples.
        eps = float(xp.finfo(self.data.rows.dtype).eps)
        least = 4.0 * eps * math.sqrt(self.data.rows.n_samples) * float(typical.max())
        return max(SHARE * float(typical[typical > 0.0].min(initial=np.inf)), least)

    @cached_property
    def _possible(self) -> npt.NDArray[np.bool_]:
        """Which models have rows of both kinds at all, (1, n_models)."""
        return self._of_both_kinds(self.data.problem(self.C))

    def _counted(self, counts: npt.NDArray[np.uint8]) -> Problem:
        """Return the problem of replicates of these counts, (n_replicates, n_samples)."""
        return self.data.problem(self.C, weight_sets=np.ascontiguousarray(counts.T))

    def _draw(self, generator: np.random.Generator) -> npt.NDArray[np.uint8]:
        """Return how often each row is drawn, (n_samples,)."""
        # Rows of weight 0 count as absent: with them, draws of the others would vary in number.
        weight, n_samples = self.data.inputs.weight, self.data.rows.n_samples
        kept = np.ones(n_samples, np.bool_) if weight is None else weight > 0
        counts, size = np.zeros(len(kept), dtype=np.uint8), int(kept.sum())
        if self.kind == "poisson":
            counts[kept] = generator.poisson(1.0, size)
        else:
            counts[kept] = np.bincount(generator.integers(0, size, size), minlength=size)
        return counts

    def _of_both_kinds(self, problem: Problem) -> npt.NDArray[np.bool_]:
        """Tell which models have rows to answer with 1 and with 0, (n_replicates, n_models)."""
        positive, negative = map(to_host, problem.class_counts())
        return ((positive > 0) & (negative > 0)).reshape(-1, self.data.n_models)
