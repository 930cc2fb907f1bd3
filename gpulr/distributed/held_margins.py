"""Margins of the rows of a part, which it makes as it is told, and remembers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gpulr.backend import NumPyBackend
from gpulr.core.problem import Margins, Problem
from gpulr.distributed.messages import Columns, Recipe

Array = Any


class HeldMargins(dict[int, Margins]):
    """Margins by their numbers."""

    def __init__(self) -> None:
        super().__init__()
        self._spare: Array = None  # memory of margins that were dropped

    def follow(
        self,
        plan: Sequence[tuple[Recipe, Columns]],
        keep: set[int],
        problem: Callable[[Columns], Problem],
    ) -> bool:
        """Make margins, and drop those that are no longer needed meanwhile.

        Return whether all are there that were needed for it.
        """
        left = [set(recipe.parents) for recipe, _ in plan]
        for i, (recipe, columns) in enumerate(plan):
            self.drop_others(keep.union(*left[i:]))
            if recipe.number in self:
                continue
            if not self.keys() >= left[i]:
                return False
            self[recipe.number] = self._made(recipe, problem(columns))
        self.drop_others(keep)
        return True

    def drop_others(self, keep: set[int]) -> None:
        """Drop all but some."""
        for number in self.keys() - keep:
            dropped = self.pop(number)
            if isinstance(dropped.backend, NumPyBackend):
                self._spare = dropped.Z

    def _made(self, recipe: Recipe, problem: Problem) -> Margins:
        parents, value = recipe.parents, problem.backend.asarray(recipe.value)
        match recipe.kind:
            case "linear":
                return problem.margins(value, self._memory(problem.rows.n_samples, value.shape[1]))
            case "along":  # which uses up the direction
                return self[parents[0]].along(self.pop(parents[1]), value)
            case "where":  # which uses up the first
                return self.pop(parents[0]).where(value, self[parents[1]])
        return self[parents[0]].take(value)

    def _memory(self, n_rows: int, k: int) -> Array:
        """Return what margins of k models may be written to, or None.

        Fresh pages take the system a tenth of the time that margins take.
        """
        spare, self._spare = self._spare, None
        return spare if spare is not None and spare.shape == (n_rows, int(k)) else None
