"""Which library an array belongs to, how it comes to the host, and what type holds its numbers."""

from __future__ import annotations

import sys
from typing import Any

import array_api_compat
import numpy as np
import numpy.typing as npt

from gpulr.backend import threads
from gpulr.namespaces import array_namespace, device
from gpulr.sources import Source

Array = Any

_libraries: dict[type, str] = {}  # of types of arrays
_computes: set[tuple[object, ...]] = set()  # kinds of arrays that have been tried out

# From the smallest on, with the whole numbers that each is sure to hold: the types that kernels and
# tensor cores take (an int16 would hold more than a float16, but has to be converted first). Each
# holds all that those before it do.
_CANDIDATES = {
    "uint8": (0, 2**8 - 1),
    "float16": (-(2**11), 2**11),
    "float32": (-(2**24), 2**24),
}
FIRST_ROWS = 64  # most fractions are found out to be such in the first few rows
CHUNK_BYTES = 8 * 2**20  # what a thread looks at,
LOOK_BYTES = 2**20  # so much at a time, in cache


def library_of(x: Any) -> str | None:
    """Return the name of the array library that ``x`` belongs to, or None for other objects."""
    if isinstance(x, np.ndarray):
        return "numpy"
    if type(x) in _libraries:
        return _libraries[type(x)]
    if is_sparse(x):  # SciPy's are no arrays
        return "cupy" if type(x).__module__.startswith("cupyx.") else None
    if isinstance(x, np.generic) or not array_api_compat.is_array_api_obj(x):
        return None
    namespace: str = array_namespace(x).__name__
    _libraries[type(x)] = name = namespace.removeprefix("array_api_compat.").split(".")[0]
    return name


def is_device_array(x: Any) -> bool:
    """Whether ``x`` is an array of a library other than NumPy."""
    return library_of(x) not in (None, "numpy")


def is_sparse(x: Any) -> bool:
    """Whether ``x`` is a sparse matrix or array of SciPy's kind, CuPy's too, or a source of it."""
    if isinstance(x, Source):
        return x.sparse
    return hasattr(type(x), "tocsr") and hasattr(type(x), "nnz")  # of a damaged one it may raise


def to_host(x: Any) -> npt.NDArray[Any]:
    """Return ``x`` as a NumPy array, copied from its device where it is on one.

    Where a library keeps it on the host anyway, it is over the same memory. A floating dtype that
    NumPy does not have becomes float32.
    """
    if library_of(x) in (None, "numpy", "jax"):  # JAX has no name for the host
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
        xp = array_namespace(x)
        if x.dtype == xp.float32:
            raise
        is_brain_float = str(x.dtype) == "torch.bfloat16"
        return _brain_floats(x) if is_brain_float else to_host(xp.astype(x, xp.float32))


def _brain_floats(x: Array) -> npt.NDArray[Any]:
    """Return a tensor of bfloat16, which NumPy has by ml_dtypes alone; without that as float32."""
    try:
        from ml_dtypes import bfloat16
    except ImportError:
        return np.asarray(x.float().cpu())
    bits: npt.NDArray[Any] = to_host(x.view(array_namespace(x).int16))
    return bits.view(bfloat16)


def detached(x: Array, *, but_gradient: bool = False) -> Array:
    """Return a tensor without what waits to be done with it: gradients, conjugates, signs."""
    for name in ("detach", "resolve_conj", "resolve_neg")[but_gradient:]:  # PyTorch's
        if hasattr(x, name):
            x = getattr(x, name)()
    return x


def wants_gradient(x: Array) -> bool:
    """Whether what is computed from ``x`` is to be differentiated by it, as PyTorch says."""
    return bool(getattr(x, "requires_grad", False)) and sys.modules["torch"].is_grad_enabled()


def floating_dtype(x: Array, xp: Any) -> Any:
    """Return the dtype of ``x`` if it is real floating, else None; float32 for ml_dtypes's own."""
    if isinstance(x.dtype, np.dtype) and x.dtype.isbuiltin == 2:  # registered: bfloat16, int4, …
        return np.dtype(np.float32)
    return x.dtype if xp.isdtype(x.dtype, "real floating") else None


def fits_float32(x: Array) -> bool:
    """Whether float32 holds all numbers of the dtype of ``x``: bfloat16, int16, >f4, … ."""
    if isinstance(x.dtype, np.dtype):
        return np.can_cast(x.dtype, np.float32)
    xp = array_namespace(x)
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
    if has_computed(x):
        return
    xp, row = array_namespace(x), x[:1, ...]
    if not xp.isdtype(x.dtype, "bool"):
        least, most = xp.min(row), xp.max(row)
        row = xp.where(xp.abs(row) <= most, row, least)
    to_host(xp.maximum(xp.astype(row, xp.float32), 0.0))
    _computes.add(_kind(x))


def has_computed(x: Array) -> bool:
    """Whether :func:`check_computes` has found that arrays like ``x`` can be computed with."""
    return _kind(x) in _computes


def _kind(x: Array) -> tuple[object, ...]:
    xp, layout = array_namespace(x), getattr(x, "layout", None)  # PyTorch's: strided or sparse
    version = getattr(xp, "__array_api_version__", None)
    return type(x), xp.__name__, version, str(x.dtype), str(layout), str(device(x))


def storage_type(
    X: npt.NDArray[Any] | Source, rounds_to: np.dtype[Any] | None, available: Any
) -> np.dtype[Any]:
    """Return the smallest dtype that holds X exactly, or to which blocks are rounded first.

    Bytes stay bytes, bits become bytes. Whole numbers and fractions of wider types are looked at in
    chunks of rows, until one shows that no smaller type will do: for most fractions the first.

    ``rounds_to`` is what each block is converted to before anything else is done to it: an X that
    takes as much or more is stored as that, since it is rounded once in either case, to the same
    bits. None: blocks are centred first, and nothing may be rounded before. Types that the
    namespace ``available`` lacks (array-api-strict has no float16, CuPy no bfloat16) are left out.
    """
    if X.dtype.kind == "b":
        return np.dtype(np.uint8)
    extension = X.dtype.isbuiltin == 2  # bfloat16, and others of ml_dtypes
    last = X.dtype.newbyteorder("=")
    if extension and not (last.name == "bfloat16" and hasattr(available, "bfloat16")):
        last = np.dtype(np.float32)
    if rounds_to is not None and rounds_to.itemsize <= last.itemsize:
        last = rounds_to
    if isinstance(X, Source):  # to be looked at, all of it would have to be read
        return last
    candidates = [
        dtype
        for dtype in map(np.dtype, _CANDIDATES)
        if dtype.itemsize < last.itemsize + (last.name not in _CANDIDATES)
        and hasattr(available, dtype.name)
    ]
    smallest = 0

    def look(rows: slice) -> int:
        """Return the index of the first candidate, from ``smallest`` on, that holds these rows."""
        found = smallest
        for a in range(rows.start, rows.stop, step):
            part = X[a : min(a + step, rows.stop)]
            if extension:  # conversions between those and others may wrap around
                part = part.astype(np.float32)
            while found < len(candidates) and not _holds(candidates[found], part):
                found += 1
        return found

    n, row_bytes = len(X), X.shape[1] * X.itemsize
    length, step = max(1, CHUNK_BYTES // row_bytes), max(1, LOOK_BYTES // row_bytes)
    chunks = [slice(a, min(a + length, n)) for a in range(FIRST_ROWS, n, length)]
    for batch in ([slice(0, min(FIRST_ROWS, n))], chunks):
        if smallest < len(candidates):
            for found in threads.map_blocks(look, batch):
                smallest = max(smallest, found)
                if smallest == len(candidates):
                    break
    return [*candidates, last][smallest]


def _holds(dtype: np.dtype[Any], part: npt.NDArray[Any]) -> bool:
    if part.dtype.kind in "iu":  # 64 bits would be rounded by the comparison itself
        least, most = _CANDIDATES[dtype.name]
        return least <= int(part.min()) and int(part.max()) <= most
    with np.errstate(all="ignore"):  # NaN, infinity and what is too large come back as others
        return np.array_equal(part.astype(dtype).astype(part.dtype), part)
