"""Folds of rows that lie in parts: what a number of folds makes of them, by a rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpulr.distributed import StratifiedFolds
from gpulr.errors import ParameterError
from gpulr.families.folds import check_number
from gpulr.families.partitioned_inputs import Common
from gpulr.words import shown


@dataclass(frozen=True, eq=False)
class PartitionedFolds:
    """Folds by a rule, in place of :class:`gpulr.families.folds.Folds`.

    ``counts`` is that rule, by which parts make what Folds has; there are no ``tests`` here.
    """

    counts: StratifiedFolds
    tests: tuple[()] = ()

    def __len__(self) -> int:
        return self.counts.n_sets


def split_parts(cv: Any, groups: Any, common: Common) -> PartitionedFolds:
    """Return stratified folds of the rows of all parts; raises ParameterError for others."""
    if groups is not None or isinstance(cv, bool) or not isinstance(cv, int | np.integer):
        what = f"cv={shown(cv)}" if groups is None else "groups="
        raise ParameterError(
            f"{what} says of each row which fold it is in, and the rows are on the workers of a "
            "cluster. Pass a number of folds, such as cv=5: they are stratified, as rows come."
        )
    counts = common.rows.sum(axis=0)
    check_number(cv, largest=int(counts.max()))
    return PartitionedFolds(StratifiedFolds.of(int(cv), counts, common.order))
