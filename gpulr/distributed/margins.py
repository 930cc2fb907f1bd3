"""Margins that are where the rows are: here is only known how they come about."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any

from gpulr.core.problem import Margins
from gpulr.distributed.messages import Columns, Recipe

Array = Any

_numbers = itertools.count()


@dataclass(frozen=True, eq=False, slots=True)
class Lineage:
    """How margins come about, from parameters on.

    It is another object than the handle: so that an ancestor's margins are dropped with its handle,
    and can be made again as long as something descends from them.
    """

    kind: str  # as Recipe has it
    value: Array
    parents: tuple[Lineage, ...]
    columns: Columns
    number: int = field(default_factory=lambda: next(_numbers))

    @property
    def recipe(self) -> Recipe:
        """What parts are told."""
        return Recipe(self.number, self.kind, self.value, tuple(p.number for p in self.parents))


def plan(wanted: Iterable[Lineage], held: Collection[int]) -> list[tuple[Recipe, Columns]]:
    """Return the recipes of margins that are wanted, after those of what they come from.

    Parts have those that are ``held`` already.
    """
    found: dict[int, tuple[Recipe, Columns]] = {}
    left = list(wanted)[::-1]
    while left:
        one = left[-1]
        if one.number in held or one.number in found:
            left.pop()
        elif missing := [p for p in one.parents if p.number not in held and p.number not in found]:
            left.extend(missing)
        else:
            found[one.number] = one.recipe, one.columns
            left.pop()
    return list(found.values())


@dataclass(frozen=True, eq=False)
class PartitionedMargins(Margins):
    """A handle of margins that parts make when they are first needed, and drop with it."""

    Z: None
    lineage: Lineage
    # the parameters that they are those of
    theta: Annotated[Array, "(n_features + 1, n_models) float64"]
    parts: Any  # gpulr.distributed.parts.Parts

    def __post_init__(self) -> None:
        self.parts.live[self.lineage.number] = self

    def _made(self, kind: str, value: Array, theta: Array, *others: PartitionedMargins) -> Margins:
        parents = (self.lineage, *(other.lineage for other in others))
        lineage = Lineage(kind, value, parents, self.lineage.columns)
        return PartitionedMargins(None, self.backend, lineage, theta, self.parts)

    def along(self, direction: Margins, t: Array) -> Margins:
        assert isinstance(direction, PartitionedMargins)
        return self._made("along", t, self.theta + t * direction.theta, direction)

    def where(self, flags: Array, other: Margins) -> Margins:
        assert isinstance(other, PartitionedMargins)
        theta = self.backend.xp.where(flags, self.theta, other.theta)
        return self._made("where", flags, theta, other)

    def take(self, models: Array) -> Margins:
        return self._made("take", models, self.backend.xp.take(self.theta, models, axis=1))

    def stored(self) -> dict[str, Any]:
        steps = plan([self.lineage], ())
        place = {recipe.number: i for i, (recipe, _) in enumerate(steps)}
        columns = {each.key: each for _, each in steps}
        which = {key: i for i, key in enumerate(columns)}
        return {
            "columns": [(c.models, c.positive, c.set_index) for c in columns.values()],
            "recipes": [
                (r.kind, r.value, tuple(place[p] for p in r.parents), which[c.key])
                for r, c in steps
            ],
            "theta": self.theta,
        }

    @classmethod
    def restored(cls, read: Callable[..., Any], problem: Any) -> PartitionedMargins:
        same = problem.columns.rule, problem.intercept
        columns = [Columns(m, p, same[0], index, same[1]) for m, p, index in read("columns")]
        made: list[Lineage] = []
        for kind, value, parents, i in read("recipes"):
            made.append(Lineage(kind, value, tuple(made[p] for p in parents), columns[i]))
        return cls(None, problem.backend, made[-1], read("theta"), problem.parts)

    def blocks(self) -> list[slice]:
        raise NotImplementedError  # their rows are elsewhere

    def rows(self, index: Array) -> Margins:
        raise NotImplementedError
