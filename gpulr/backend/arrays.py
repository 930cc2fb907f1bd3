"""Which library an array belongs to, and how it comes to the host."""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np
import numpy.typing as npt

__all__ = ["is_device_array", "is_sparse", "library_of", "to_host"]


def library_of(x: Any) -> str | None:
    """Return the name of the array library that ``x`` belongs to, or None for other objects."""
    if isinstance(x, np.ndarray):
        return "numpy"
    if isinstance(x, np.generic) or not array_api_compat.is_array_api_obj(x):
        return None
    namespace: str = array_api_compat.array_namespace(x).__name__
    return namespace.removeprefix("array_api_compat.").split(".")[0]


def is_device_array(x: Any) -> bool:
    """Whether ``x`` is an array of a library other than NumPy."""
    return library_of(x) not in (None, "numpy")


def is_sparse(x: Any) -> bool:
    """Whether ``x`` is a sparse matrix or array of SciPy's kind."""
    return hasattr(x, "tocsr") and hasattr(x, "nnz")


def to_host(x: Any) -> npt.NDArray[Any]:
    """Return ``x`` as a NumPy array, copied from its device where it is on one."""
    if not is_device_array(x):
        return np.asarray(x)
    try:
        return np.asarray(array_api_compat.to_device(x, "cpu"))
    except ValueError:  # a library whose host device has another name
        return np.from_dlpack(x)
