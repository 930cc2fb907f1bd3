"""What is said between a problem and the parts of its rows."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

LOST = "lost"  # what a part answers that lacks margins: it was made anew, or moved


class Held(NamedTuple):
    """Stands in a message for margins that a part remembers, or has been told how to make."""

    number: int


class Recipe(NamedTuple):
    """How to make margins: with a value, from others."""

    number: int
    kind: str  # "linear" in parameters, "along" a direction, "where" flags say so, "take" models
    value: Any
    parents: tuple[int, ...]


_keys = itertools.count()


@dataclass(frozen=True, eq=False)
class Columns:
    """Which models a message is about: all that parts need to know of a problem."""

    models: npt.NDArray[np.int32]  # (n_models,) which of the labels' models
    positive: npt.NDArray[Any] | None  # as Targets have it
    rule: Any  # of weight sets (see gpulr.distributed.weight_sets), or None
    set_index: npt.NDArray[np.int32] | None  # (n_models,) the set that each model uses
    intercept: bool
    key: int = field(default_factory=lambda: next(_keys))  # no other columns have it
