"""How models ended; what to say where they did not converge, and what to change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.core.rows import Rows
from gpulr.families.settings import Settings
from gpulr.solvers import Solution
from gpulr.words import counted

# How a model ended: the last values of a Solution.
END = np.dtype(
    [("n_iter", np.int64), ("cost", np.float64), ("gradient_norm", np.float64)]
    + [(name, np.bool_) for name in ("converged", "stalled", "rounding")]
)


def ends_of(*solutions: Solution) -> npt.NDArray[Any]:
    """Return how the models of solutions ended, one after the other, (n_models,) of END."""
    ends = np.zeros(sum(len(solution.converged) for solution in solutions), END)
    for name in END.names or ():
        last = [np.atleast_2d(getattr(solution, name))[-1] for solution in solutions]
        ends[name] = np.concatenate(last)
    return ends


@dataclass(frozen=True, slots=True)
class Advice:
    """What to say, once, of all models that did not converge.

    ``attainable`` tells whether the advice would help. False: all of them ended where nothing is
    left of their gradients that can be told from rounding (≤ 8 ε (1/m) Σ s |x r| in every entry).
    """

    message: str
    attainable: bool


def how_to_converge(
    ends: npt.NDArray[Any],
    rows: Rows,
    settings: Settings,
    *,
    who: str = "",
    which: str,
    use: str,
    or_else: str = "",
    always: str = "",
) -> Advice | None:
    """Say which models did not converge, and what to change; None if all did.

    ``ends`` is of END, in any shape. The words are how many did not ("2 of 3 models", unless
    given), and which these are; what becomes of them, up to what they are told to change "for";
    what else helps where iterations ran out, such as ", or lower C"; and what helps in any case.
    """
    left = ~ends["converged"]
    if not left.any():
        return None
    stalled = ends["stalled"]
    who = who or f"{left.sum()} of {left.size} models"
    n_iter = int(ends["n_iter"][left & ~stalled].max(initial=0))  # of a run that goes on: all
    how = f"in {counted(n_iter, 'iteration')}"
    change = f"raise max_iter, scale the features (standardize=True){or_else}"
    more = "" if settings.dtype == np.float64 else 'train with dtype="float64", or '
    why, instead = f"{settings.dtype} allows no closer approach", f"{more}raise tol"
    with rows.backend.activate():  # training has ended
        uneven = rows.uneven
    if uneven and not settings.standardize:
        why = f"features of such different sizes and offsets lose precision in {settings.dtype}"
        instead = f"scale the features (standardize=True), {instead}"
    if stalled[left].all():
        how, change = why, instead
    elif stalled.any():
        how += f", or as far as {settings.dtype} allows"
        change += f"; where models ended sooner, {instead}"
    message = f"{who} did not reach tol={settings.tol:g} ({how}){which}. {use} {change}{always}."
    return Advice(message, attainable=not ends["rounding"][left].all())
