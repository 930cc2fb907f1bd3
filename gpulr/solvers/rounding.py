"""Whether a gradient is what rounding makes of it: the last look at models that are to end.

What a solver sees is computed in the problem's dtype, partly from margins that it has carried along
for some iterations. Where features have an offset, or weights are large, it may be off by more than
the tolerance. Then models are evaluated once more, in float64 and as they will be returned.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr import logistic
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
    gradient, noise = _in_float64(problem, theta, with_noise=bool(stalled.any()))
    size = np.abs(to_host(gradient))
    norm = norm.copy()
    norm[look] = size.max(axis=0)
    if noise is not None:
        rounding[look] = np.all(size <= to_host(noise), axis=0)
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


def _in_float64(problem: Problem, theta: Array, *, with_noise: bool) -> tuple[Array, Array | None]:
    """Return the gradient of models as they will be returned, and what of it may be rounding.

    Both are (n_features + 1, n_models) float64. The latter takes as long, and whole blocks of rows.
    """
    backend, xp, rows = problem.backend, problem.backend.xp, problem.rows
    exact = replace(rows, dtype=xp.float64)
    W, b = (xp.astype(part, xp.float64) for part in rows.absorb_scaling(theta))

    def propagate(block: slice) -> tuple[Array, ...]:
        X, (Y, s, signed) = exact.operand(block), problem.answers(block)
        Y = xp.astype(Y, xp.float64)
        s = None if s is None else xp.astype(s, xp.float64)
        R, loss, db = backend.activate_margins(backend.affine(X, W, b), Y, s, signed)
        sums = loss, (R.T @ X).T, db
        if not with_noise:
            return sums
        return *sums, *logistic.backward(abs(exact.block(block)), xp.abs(R))

    # As for more models: float64, and both X and |X|, take more.
    blocks = exact.blocks(2 * problem.n_models)
    if with_noise:
        blocks = exact.converted_blocks(problem.n_models + backend.row_width(rows.X) // 2)
    loss, dW, db, *noises = exact.sum(propagate, blocks)
    gradient = problem.finish(theta, loss, dW, db).gradient
    if not noises:
        return gradient, None
    noise, db_noise = noises
    if rows.center is not None and rows.center_in_block is None:
        noise = noise + xp.abs(rows.center) * db_noise
    noise = xp.concat([rows.multiplier * noise, xp.expand_dims(db_noise, axis=0)], axis=0)
    eps = float(xp.finfo(rows.dtype).eps)
    return gradient, ROUNDINGS * eps * noise / problem.m
