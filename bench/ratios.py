"""Two ways to the same thing, in turn, and their ratio: ours, and what it is compared with."""

from __future__ import annotations

import compileall
from functools import partial
from typing import Any

import numpy as np

from bench.files import ROOT
from bench.run import Patience, quartiles, race, take_turn

Result = dict[str, Any]


def turns(
    what: str,
    ours: Any,
    base: Any,
    rounds: int,
    *,
    patience: Patience,
    label: str,
    untimed: int = 0,
    **goal: float,
) -> Result:
    """Race gpulr and what it is compared with; ``goal`` says at_least (base ÷ ours) or at_most."""
    turn = partial(take_turn, patience=patience, untimed=untimed)
    taken = race({"ours": ours, "base": base}, rounds, turn, seconds=20.0)
    times = {name: [each.seconds for each in taken[name]] for name in taken}
    return compared(what, times["ours"], times["base"], label=label, **goal)


def compared(
    what: str, ours: list[float], base: list[float], *, label: str, **goal: float
) -> Result:
    """Return what the JSON records of two ways; the ratio is base ÷ ours if that is the goal's."""
    pair = (base, ours) if "at_least" in goal else (ours, base)
    ratio = quartiles(np.divide(*(np.asarray(each) for each in pair)))
    about = {"what": what, "label": label, **goal, "ratio": ratio, "rounds": len(ours)}
    return {**about, "ours_seconds": quartiles(ours), "base_seconds": quartiles(base)}


def as_installed() -> None:
    """Compile gpulr's modules to bytecode, as installing does, which not every checkout keeps."""
    compileall.compile_dir(ROOT / "gpulr", quiet=1)
