"""What to say where models did not converge, and what to change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gpulr.core.rows import Rows
from gpulr.families.settings import Settings
from gpulr.model.one_vs_all import OneVsAll
from gpulr.words import counted

__all__ = ["Advice", "how_to_converge", "stall"]


@dataclass(frozen=True, slots=True)
class Advice:
    """What to say of models that did not converge.

    Attributes
    ----------
    message : str
        Which did not, once for all of them, and what to change.
    attainable : bool
        Whether that would help. False: all of them ended where nothing is left of their gradients
        that can be told from rounding (≤ 8 ε (1/m) Σ s |x r| in every entry).
    """

    message: str
    attainable: bool


def stall(rows: Rows, settings: Settings) -> tuple[str, str]:
    """Return why models of these rows get no closer in this dtype, and what lets them."""
    more = "" if settings.dtype == np.float64 else 'train with dtype="float64", or '
    if rows.uneven and not settings.standardize:
        why = f"features of such different sizes and offsets lose precision in {settings.dtype}"
        return why, f"scale the features (standardize=True), {more}raise tol"
    return f"{settings.dtype} allows no closer approach", f"{more}raise tol"


def how_to_converge(
    model: OneVsAll, rounding: npt.NDArray[np.bool_], rows: Rows, settings: Settings
) -> Advice:
    """Say once for all models which did not converge, and what to change.

    ``rounding`` (n_models,) is that of the solver's solution.
    """
    history, max_iter = model.history, settings.max_iter
    left = np.flatnonzero(~history.converged)
    names = model.classes[-model.n_models :][left]
    norms = history.gradient_norm[-1, left]
    shown = ", ".join(f"{c} ({g:.1e})" for c, g in zip(names[:10], norms[:10], strict=True))
    how = f"in {counted(max_iter, 'iteration')}"
    advice = "raise max_iter, scale the features (standardize=True), or lower C"
    if np.isinf(model.settings["C"]).any():
        advice += " (C = ∞ never converges on separable data)"
    why, instead = stall(rows, settings)
    if history.stalled[left].all():
        how, advice = why, instead
    elif history.stalled.any():
        how += f", or as far as {settings.dtype} allows"
        advice += f"; where models ended sooner, {instead}"
    message = (
        f"{len(left)} of {model.n_models} models did not reach tol={settings.tol:g} ({how}); class "
        f"(largest gradient entry): {shown}{', …' if len(left) > 10 else ''}. The model is usable; "
        f"for a closer optimum {advice}."
    )
    return Advice(message, attainable=not rounding[left].all())
