"""The functions that compute on an array: those of its library, by the array API's names."""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np

Array = Any

_NUMPY = np.ndarray, np.generic


def array_namespace(x: Array) -> Any:
    """Return the namespace of an array. NumPy's is NumPy itself, which follows the standard."""
    # array_api_compat.numpy wraps the same functions, and imports all of NumPy's submodules.
    return np if isinstance(x, _NUMPY) else array_api_compat.array_namespace(x)


def device(x: Array) -> Any:
    """Return where an array is, as its library takes it; None is NumPy's."""
    return None if isinstance(x, _NUMPY) else array_api_compat.device(x)
