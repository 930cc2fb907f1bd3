"""What margins predict: the one rule, with thresholds or without, that everything here goes by."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import backend_of
from gpulr.errors import ParameterError
from gpulr.namespaces import array_namespace
from gpulr.words import counted, shown

Array = Any
Thresholds = npt.NDArray[np.float64]


def check_thresholds(thresholds: Any, n_models: int) -> Thresholds:
    """Return thresholds as a model holds them, (n_models,) float64; a number is for all models.

    Raises ParameterError where they are none.
    """
    try:
        found = np.broadcast_to(np.asarray(thresholds, dtype=np.float64), (n_models,)).copy()
    except (TypeError, ValueError):
        found = np.full(n_models, np.nan)
    if not np.all(found > -np.inf):
        raise ParameterError(
            f"thresholds={shown(thresholds)}; expected {counted(n_models, 'number')}, one for each "
            "model, in units of its margin; infinity for a label that is never predicted."
        )
    return found


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
        index = xp.__array_namespace_info__().default_dtypes()["indexing"]  # JAX may lack int64
        return xp.astype(predicted(Z, thresholds)[:, 0], index)
    return xp.argmax(above(Z, thresholds), axis=1)


def above(Z: Array, thresholds: Thresholds | None = None) -> Array:
    """Return how far margins lie above their thresholds, (n_rows, n_models) float64 where any."""
    if thresholds is None:
        return Z
    backend = backend_of(Z)
    return Z - backend.asarray(thresholds, backend.widest)
