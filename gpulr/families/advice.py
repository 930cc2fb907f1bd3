"""What to say where models did not converge, and what to change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gpulr.core.rows import Rows
from gpulr.families.settings import Settings
from gpulr.words import counted


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


@dataclass(frozen=True, slots=True)
class Ends:
    """How models ended; as in :class:`gpulr.solvers.Solution`, in arrays of any one shape."""

    gradient_norm: npt.NDArray[np.float64]
    converged: npt.NDArray[np.bool_]
    stalled: npt.NDArray[np.bool_]
    rounding: npt.NDArray[np.bool_]

    @property
    def share(self) -> str:
        """How many did not converge, in words."""
        return f"{(~self.converged).sum()} of {self.converged.size} models"

    @property
    def largest(self) -> str:
        """The largest gradient entry of those that did not converge, in words."""
        return f"{self.gradient_norm[~self.converged].max():.1e}"


def how_to_converge(
    ends: Ends,
    rows: Rows,
    settings: Settings,
    *,
    who: str,
    which: str,
    use: str,
    or_else: str = "",
    always: str = "",
) -> Advice | None:
    """Say once for all models which did not converge, and what to change; None if all did.

    Parameters
    ----------
    who, which : str
        How many did not, and which these are.
    use : str
        What becomes of them, up to what they are told to change "for".
    or_else : str
        What else helps where iterations ran out, such as ", or lower C".
    always : str
        What helps in any case.
    """
    left = ~ends.converged
    if not left.any():
        return None
    how = f"in {counted(settings.max_iter, 'iteration')}"
    change = f"raise max_iter, scale the features (standardize=True){or_else}"
    more = "" if settings.dtype == np.float64 else 'train with dtype="float64", or '
    why, instead = f"{settings.dtype} allows no closer approach", f"{more}raise tol"
    if rows.uneven and not settings.standardize:
        why = f"features of such different sizes and offsets lose precision in {settings.dtype}"
        instead = f"scale the features (standardize=True), {instead}"
    if ends.stalled[left].all():
        how, change = why, instead
    elif ends.stalled.any():
        how += f", or as far as {settings.dtype} allows"
        change += f"; where models ended sooner, {instead}"
    message = f"{who} did not reach tol={settings.tol:g} ({how}){which}. {use} {change}{always}."
    return Advice(message, attainable=not ends.rounding[left].all())
