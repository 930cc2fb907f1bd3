"""Parameters of the scaled rows as those of X as it was passed, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import to_host
from gpulr.core.rows import Rows
from gpulr.model.record import Trained

Array = Any


def absorb_scaling(theta: npt.NDArray[Any], rows: Rows) -> dict[str, npt.NDArray[Any]]:
    """Return parameters (n_features + 1, n_columns) as arrays of OneVsAll, which take X as is."""
    scale = rows.multiplier if isinstance(rows.multiplier, float) else to_host(rows.multiplier)
    W, b = scale * theta[:-1], theta[-1]
    if rows.center is None:
        return {"weights": W, "intercept": b}
    center = to_host(rows.center)
    return {
        "weights": W,
        "intercept": b - (center * W).sum(axis=0),
        "center": center[:, 0],
        "intercept_at_center": b,
    }


def scaled_parameters(model: Trained, rows: Rows, *, intercept: bool) -> Array:
    """Return a model's parameters as those of the scaled rows, on their device.

    (n_features + 1, n_models) float64; the intercept is 0 where there is to be none.
    """
    W = to_host(model.weights).astype(np.float64)
    scale = rows.multiplier if isinstance(rows.multiplier, float) else to_host(rows.multiplier)
    center = np.zeros((len(W), 1)) if rows.center is None else to_host(rows.center)
    b = to_host(model.intercept).astype(np.float64)
    if model.center is not None:  # from one centre to the other: nothing large cancels
        b = to_host(model.intercept_at_center).astype(np.float64)
        center = center - to_host(model.center)[:, np.newaxis]
    b = b + (center * W).sum(axis=0)
    # A feature that is constant here is scaled by 0; what it adds to the margins is in b.
    W = np.where(scale == 0.0, 0.0, W / np.where(scale == 0.0, 1.0, scale))
    return rows.backend.asarray(np.vstack([W, b if intercept else np.zeros_like(b)]))
