"""Looks at the device after bursts of iterations: how they are taken, and when."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import to_host

Array = Any

__all__ = ["look", "until_next_look"]


def look(
    xp: Any, measured: Array, state: Any
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return what was measured, and which models have stalled, in one transfer to the host."""
    n, _, k = measured.shape
    flags = xp.zeros_like(state.cost)
    if hasattr(state, "stalled"):
        flags = xp.astype(state.stalled, measured.dtype)
    both = [xp.reshape(measured, (2 * n, k)), xp.expand_dims(flags, axis=0)]
    values = to_host(xp.concat(both, axis=0))
    return values[:-1].reshape(n, 2, k), values[-1] > 0.0


def until_next_look(
    before: npt.NDArray[np.float64], now: npt.NDArray[np.float64], n: int, tol: float, most: int
) -> int:
    """Return how many iterations to take, at most ``most``, until a quarter of the models is done.

    That is, if gradients go on to fall as from ``before`` to ``now`` in the last ``n`` iterations;
    and at most twice as many as these. A look costs some microseconds, and a model that goes on
    beyond ``tol`` its part of an iteration: whole bursts of 8 made the 500 models of a search (of
    10,000 rows of MNIST) take 1.45 times as many iterations as were needed, and these 1.03 times.
    """
    if tol == 0.0:
        return most
    falls = now < before
    rate = np.log(np.where(falls, before, 1.0) / np.where(falls, now, 1.0)) / n
    left = np.where(falls, np.log(now / tol), np.inf) / np.where(falls, rate, 1.0)
    expected = float(np.sort(left)[len(left) // 4])
    return max(1, min(most, 2 * n, math.ceil(min(most, expected))))
