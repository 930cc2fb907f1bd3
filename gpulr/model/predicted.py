"""What margins predict: the one rule, with thresholds or without, that everything here goes by."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import backend_of
from gpulr.namespaces import array_namespace

Array = Any
Thresholds = npt.NDArray[np.float64]


def predicted(Z: Array, thresholds: Thresholds | None = None) -> Array:
    """Return which models say yes to each row, bool (n_rows, n_models), where Z is.

    A model says yes where its margin is positive, or with ``thresholds`` (n_models,) where it is
    at least as large as its threshold, compared in float64.
    """
    if thresholds is None:
        return Z > 0
    backend = backend_of(Z)
    return backend.asarray(thresholds, backend.widest) <= Z


def predicted_codes(Z: Array, thresholds: Thresholds | None = None) -> Array:
    """Return each row's class as an index, (n_rows,), where Z is.

    That is the class with the largest margin, or with ``thresholds`` the one whose margin lies
    furthest above its own; of one model for two classes, 1 where it says yes, else 0.
    """
    xp = array_namespace(Z)
    if Z.shape[1] == 1:
        return xp.astype(predicted(Z, thresholds)[:, 0], xp.int64)
    return xp.argmax(above(Z, thresholds), axis=1)


def above(Z: Array, thresholds: Thresholds | None = None) -> Array:
    """Return how far margins lie above their thresholds, (n_rows, n_models) float64 where any."""
    if thresholds is None:
        return Z
    backend = backend_of(Z)
    return Z - backend.asarray(thresholds, backend.widest)
