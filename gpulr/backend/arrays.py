"""Which library an array belongs to, and how it comes to the host."""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np
import numpy.typing as npt

Array = Any

_computes: set[tuple[object, ...]] = set()  # kinds of arrays that have been tried out


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
    return hasattr(type(x), "tocsr") and hasattr(type(x), "nnz")  # of a damaged one it may raise


def to_host(x: Any) -> npt.NDArray[Any]:
    """Return ``x`` as a NumPy array, copied from its device where it is on one.

    A floating dtype that NumPy does not have, such as bfloat16, becomes float32.
    """
    if not is_device_array(x):
        return np.asarray(x)
    x = detached(x)
    try:
        return np.asarray(array_api_compat.to_device(x, "cpu"))
    except ValueError:  # a library whose host device has another name
        try:
            return np.from_dlpack(x)
        except (BufferError, RuntimeError):  # such as bfloat16 of JAX, which ml_dtypes knows
            return np.asarray(x)
    except TypeError:  # no such dtype
        xp = array_api_compat.array_namespace(x)
        if x.dtype == xp.float32:
            raise
        return to_host(xp.astype(x, xp.float32))


def detached(x: Array) -> Array:
    """Return a tensor without what waits to be done with it: gradients, conjugates, signs."""
    for name in ("detach", "resolve_conj", "resolve_neg"):  # PyTorch's
        if hasattr(x, name):
            x = getattr(x, name)()
    return x


def floating_dtype(x: Array, xp: Any) -> Any:
    """Return the dtype of ``x`` if it is real floating, else None; float32 for ml_dtypes's own."""
    if isinstance(x.dtype, np.dtype) and x.dtype.isbuiltin == 2:  # registered: bfloat16, int4, …
        return np.dtype(np.float32)
    return x.dtype if xp.isdtype(x.dtype, "real floating") else None


def fits_float32(x: Array) -> bool:
    """Whether float32 holds all numbers of the dtype of ``x``: bfloat16, int16, >f4, … ."""
    if isinstance(x.dtype, np.dtype):
        return np.can_cast(x.dtype, np.float32)
    xp = array_api_compat.array_namespace(x)
    if xp.isdtype(x.dtype, "bool"):
        return True
    if xp.isdtype(x.dtype, "real floating"):
        return bool(xp.finfo(x.dtype).bits <= 32)
    return bool(xp.isdtype(x.dtype, "integral") and xp.iinfo(x.dtype).bits <= 16)


def offers_float64(xp: Any, device: Any) -> bool:
    """Whether a library has float64 there: JAX has it on request, Apple's GPUs have not."""
    return "float64" in xp.__array_namespace_info__().dtypes(device=device, kind="real floating")


def check_computes(x: Array) -> None:
    """Try on the first row of ``x`` what is done with rows, once for each kind of array.

    Raises
    ------
    Exception
        Whatever the library of ``x`` raises where it does not do these things, or not there.
    """
    xp = array_api_compat.array_namespace(x)
    version = getattr(xp, "__array_api_version__", None)
    device = str(array_api_compat.device(x))
    layout = str(getattr(x, "layout", None))  # PyTorch's: strided or sparse
    kind = (type(x), xp.__name__, version, str(x.dtype), layout, device)
    if kind in _computes:
        return
    row = x[:1, ...]
    if not xp.isdtype(x.dtype, "bool"):
        least, most = xp.min(row), xp.max(row)
        row = xp.where(xp.abs(row) <= most, row, least)
    to_host(xp.maximum(xp.astype(row, xp.float32), 0.0))
    _computes.add(kind)
