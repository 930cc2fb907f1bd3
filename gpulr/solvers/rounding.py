"""Whether a gradient is what rounding makes of it: the last look at models that are to end.

What a solver sees is computed in the problem's dtype, partly from margins that it has carried along
for some iterations. Where features have an offset, or weights are large, it may be off by more than
the tolerance. Then models are evaluated once more, in float64 and as they will be returned.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import to_host
from gpulr.core.problem import Problem

Array = Any
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

# A sum of many terms is off by about so many roundings of the sum of their magnitudes, at most.
ROUNDINGS = 8.0


def last_look(
    problem: Problem, theta: Array, cost: Floats, norm: Floats, stalled: Flags, tol: float
) -> tuple[Floats, Flags]:
    """Look at models of ``problem``, at ``theta``, where a solver has found ``cost`` and ``norm``.

    A pass over the rows is made only where rounding can matter for ``tol``, or a model stalled.

    Returns
    -------
    norm : (n_models,)
        The largest absolute entry of the gradient.
    rounding : (n_models,)
        Which models stalled with nothing left of the gradient that could be told from rounding: no
        entry exceeds 8 ε (1/m) Σ s |x r|, with ε of the problem's dtype.
    """
    rounding = np.zeros(len(norm), dtype=np.bool_)
    look = stalled | (_doubt(problem, theta, cost) > tol)
    if not look.any():
        return norm, rounding
    if not look.all():
        index = problem.backend.asarray(np.flatnonzero(look))
        problem = problem.select(index)
        theta = problem.backend.xp.take(theta, index, axis=1)
    gradient, noise = problem.exact_gradient(theta, bool(stalled.any()))
    size = np.abs(to_host(gradient))
    norm = norm.copy()
    norm[look] = size.max(axis=0)
    if noise is not None:
        eps = float(problem.backend.xp.finfo(problem.rows.dtype).eps)
        rounding[look] = np.all(size <= ROUNDINGS * eps * to_host(noise), axis=0)
    return norm, rounding & stalled


def _doubt(problem: Problem, theta: Array, cost: Floats) -> Floats:
    """Return about how far entries of the gradient may be off, at most, (n_models,).

    Margins are off by roundings of Σ |x w| + |b|, and residuals by these times σ' and by their own.
    The means of both σ' and |r| are at most that of the log-loss.
    """
    xp, rows = problem.backend.xp, problem.rows
    eps, reach = float(xp.finfo(rows.dtype).eps), rows.reach
    sizes = xp.abs(theta[:-1, :])
    margins = xp.sum(reach * sizes, axis=0)
    if math.isfinite(rows.longest):
        margins = xp.minimum(margins, rows.longest * xp.max(sizes, axis=0))
    margins = margins + xp.abs(theta[-1, :])
    # Both in one transfer: a device is kept waiting for each.
    figures = to_host(xp.stack([margins, xp.max(reach) + 0.0 * margins]))
    largest = max(1.0, float(figures[1, 0]))
    off = ROUNDINGS * np.minimum(cost, 1.0) + 2.0 * np.minimum(cost, 0.25) * figures[0]
    doubt: Floats = eps * largest * off
    return doubt
