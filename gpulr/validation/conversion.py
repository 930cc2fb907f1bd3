"""What users pass in, of any library and any kind of numbers, as arrays to compute with."""

from __future__ import annotations

import math
import numbers
import sys
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import (
    backend_of,
    detached,
    fits_float32,
    has_computed,
    is_device_array,
    is_sparse,
    library_of,
    to_host,
    wants_gradient,
)
from gpulr.backend.standard import shortcoming
from gpulr.errors import DataError, GpulrError
from gpulr.namespaces import array_namespace
from gpulr.validation.cures import (
    cure_of_batches,
    cure_of_dtype,
    cure_of_kind,
    cure_of_objects,
    cure_of_text,
    remedy_for,
)
from gpulr.words import first_line

Array = Any


def shape_of(x: Any) -> tuple[int, ...]:
    """Return the shape of an array-like; () of what has none, which its check reports."""
    try:
        return tuple(x.shape if hasattr(x, "shape") else np.shape(x))
    except Exception:  # whatever the library that x is of raises
        return ()


def is_extension_float(dtype: np.dtype[Any]) -> bool:
    """Whether it is a narrow float beside NumPy's own: bfloat16 and others of ml_dtypes."""
    return dtype.isbuiltin == 2 and np.can_cast(dtype, np.float32)


def is_masked(x: Any) -> bool:
    """Whether it is one of NumPy's masked arrays, and has values that are masked."""
    # Where nobody has imported them there are none, and importing them takes as long as small fits.
    return "numpy.ma" in sys.modules and isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x)


def refuse_batches(x: Any, name: str) -> None:
    """Raise DataError for a data set or loader of batches, which is no array."""
    if cure := cure_of_batches(x, name):
        raise DataError(f"{name} is an object of type {_type_name(x)}; expected an array. {cure}")


def as_numpy(x: Any, name: str, *, advice: str = "Pass rows of equal length.") -> npt.NDArray[Any]:
    """Return an object of any library as a NumPy array of whatever it holds.

    ``advice`` says what to do about elements of different lengths.

    Raises DataError, by the ``name`` of x, where it cannot be made into one or has masked values.
    """
    kind, rows = type(x), x if isinstance(x, list | tuple) else ()
    if kind is np.ndarray:
        return x  # type: ignore[no-any-return]
    no_array = not hasattr(kind, "__array__")
    if no_array and hasattr(kind, "agg"):  # as of pandas and polars, groups of rows
        raise DataError(
            f"{name} is an object of type {_type_name(x)}; expected an array. Pass what is made of "
            f"its groups, e.g. {name}.mean()."
        )
    refuse_batches(x, name)
    if isinstance(x, Mapping) or (no_array and hasattr(kind, "keys")):
        raise _mapping_refused(x, name)
    if is_masked(x) or any(map(is_masked, rows)):
        raise _masked_error(name, f"np.ma.stack({name})" if len(rows) else name)
    try:
        if len(rows) and is_device_array(rows[0]):
            x = [to_host(row) for row in rows]
        array = to_host(x)
    except MemoryError:
        raise
    except Exception as error:  # whatever the library that x is of raises
        said = first_line(error)
        cure = advice if isinstance(error, ValueError) and len(rows) else remedy_for(x, name)
        raise DataError(f"{name} cannot be made into an array: {said}. {cure}") from error
    if array.dtype.kind == "O" and not (array.ndim and (len(rows) or hasattr(kind, "__array__"))):
        raise DataError(
            f"{name} is an object of type {_type_name(x)}; expected an array. {remedy_for(x, name)}"
        )
    return array


def real_numbers(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Return an array of real numbers as it is, or raise DataError where it holds anything else.

    Wider ones than float64, and objects that are numbers or missing (None, ``pandas.NA``), become
    float64; an array of rows, each an array itself, becomes two-dimensional.
    """
    dtype = array.dtype
    if dtype.kind == "O":
        return _of_objects(array, name)
    if is_extension_float(dtype):
        return array
    if dtype.kind not in "buif" or dtype.isbuiltin == 2:
        cure = cure_of_text(array, name) if dtype.kind in "SUT" else cure_of_dtype(dtype, name)
        raise DataError(f"{name} has dtype {dtype}; expected real numbers. {cure}")
    return array.astype(np.float64) if dtype.itemsize > 8 else array


def _of_objects(array: npt.NDArray[np.object_], name: str) -> npt.NDArray[Any]:
    types = {type(value) for value in array.flat}
    if array.ndim == 1 and types and all(map(_is_row, types)):
        try:
            whole = np.stack([to_host(row) for row in array])
        except ValueError as error:
            raise DataError(
                f"{name} cannot be made into an array: {error}. Pass rows of equal length."
            ) from error
        return real_numbers(whole, name)
    if array.ndim == 1 and {list, np.ndarray} & types:
        missing = [i for i, row in enumerate(array) if not _is_row(type(row))]
        raise DataError(f"{name} has no array in row {missing[0]}. Leave such rows out.")
    if others := {t for t in types if not (_is_number(t) or _is_missing(t))}:
        listed = ", ".join(sorted(t.__name__ for t in others)[:10])
        raise DataError(
            f"{name} holds objects of type {listed}; expected real numbers. "
            + cure_of_objects(array, others, name)
        )
    if any(map(_is_missing, types)):
        values = [np.nan if _is_missing(type(value)) else value for value in array.flat]
        array = np.array(values, dtype=object).reshape(array.shape)
    try:
        return array.astype(np.float64)
    except OverflowError as error:
        raise DataError(f"{name} holds numbers beyond float64 ({error}). Scale it.") from error


def _is_row(kind: type) -> bool:
    others = (str, bytes, Mapping, set, frozenset)
    return hasattr(kind, "__len__") and not issubclass(kind, others)


def _is_number(kind: type) -> bool:
    # A np.timedelta64 is an integer to NumPy.
    real = numbers.Real | Decimal | np.bool_
    return issubclass(kind, real) and not issubclass(kind, np.timedelta64)


def _is_missing(kind: type) -> bool:
    return kind is type(None) or kind.__name__ == "NAType"


def _type_name(x: Any) -> str:
    kind = type(x)
    module = kind.__module__.split(".")[0]
    return kind.__qualname__ if module == "builtins" else f"{module}'s {kind.__qualname__}"


def _mapping_refused(x: Any, name: str) -> DataError:
    """Return the error of arrays that were passed under their names: it says how to pass one."""
    try:
        keys = [repr(key) for key in x]
    except Exception:  # a closed file, say
        keys = []
    likely = "'X'" if "'X'" in keys else next(iter(keys), "key")
    cure = f"{name}[{likely}]"
    if isinstance(x, dict):
        cure += f", or pandas.DataFrame({name}) if these are columns"
    return DataError(
        f"{name} is an object of type {_type_name(x)} with the keys {', '.join(keys[:5])}"
        f"{', …' if len(keys) > 5 else ''}; expected an array. Pass what it holds: {cure}."
    )


def _masked_error(name: str, at: str, way: str = "filled") -> DataError:
    return DataError(
        f"{name} is a masked array with masked values. Pass {at}.{way}(value), or leave these rows "
        "out."
    )


def on_device(x: Array, name: str) -> Array:
    """Return an array of a library other than NumPy as one that can be computed with.

    It keeps the gradient that is asked of it, if any. A dtype that the library stores but does
    not compute with (float8, PyTorch's unsigned integers) is converted. Raises DataError for a
    complex, lazy or sparse array, one without values, or of a library that lacks what is needed.
    """
    library = library_of(x)
    if hasattr(x, "compute"):
        raise DataError(
            f"{name} is a lazy array of {library}, whose values are yet to be computed. Pass "
            f"{name}.compute(), which brings all of it into memory."
        )
    if hasattr(x, "get_mask"):  # of torch.masked
        raise _masked_error(name, name, "to_tensor")
    try:
        x = detached(x, but_gradient=wants_gradient(x))
        xp = array_namespace(x)
        if lack := shortcoming(xp):
            raise DataError(
                f"{name} is an array of {library}, which {lack}. Update the library, or "
                f"p{remedy_for(x, name)[1:]}"
            )
        # Some look like tensors that have computed: nested ones, which have no shape, and those
        # that torch.func traces, which have no memory.
        size = math.prod(x.shape)
        if getattr(x, "is_cpu", False) or getattr(x, "is_cuda", False):
            x.data_ptr()
        if has_computed(x):
            return x
        if xp.isdtype(x.dtype, "complex floating"):
            cure = f"Pass what matters of it as real numbers, such as abs({name})."
            raise DataError(f"{name} has dtype {x.dtype}; expected real numbers. {cure}")
        if size == 0:
            return x
        own = backend_of(x)
        with own.activate():
            try:
                own.try_out(x)
            except MemoryError:
                raise
            except Exception:
                x = xp.astype(x, xp.float32 if fits_float32(x) else xp.float64)
                own.try_out(x)
        return x
    except (GpulrError, MemoryError):
        raise
    except Exception as error:  # whatever the library raises
        said = first_line(error)
        cure = cure_of_kind(x, name)
        said = f" that cannot be computed with{'' if cure else f': {said}'}"
        raise DataError(
            f"{name} is an array of {library}{said}. {cure or remedy_for(x, name)}"
        ) from error


def is_any_sparse(x: Any) -> bool:
    """Whether ``x`` is a sparse matrix, of SciPy or of another library."""
    return is_sparse(x) or hasattr(x, "to_scipy_sparse")


def as_csr(x: Any, name: str, *, here: bool = False) -> Any:
    """Return a sparse matrix of any format as a CSR array, whose rows are cheap to cut.

    It is SciPy's; of a matrix that is on a GPU, CuPy's where it is to stay ``here``.

    Its parts are checked first: compiled code reads and writes wherever indices lead. What the
    matrix has noted about them, as that they are sorted, may not hold any more either. Raises
    DataError where they do not fit, or what is not stored stands for something else than zeros.
    """
    from scipy import sparse

    if (fill := getattr(x, "fill_value", 0)) != 0:  # of pydata's sparse
        raise DataError(f"{name} is sparse with a fill_value of {fill}. Pass {name}.todense().")
    try:
        if x.dtype == np.float16:  # which SciPy does not have
            x = x.astype(np.float32)
        if here and library_of(x) == "cupy":
            return _csr_on_gpu(x)
        if not sparse.issparse(x):  # of pydata's sparse, or of CuPy's
            x = x.to_scipy_sparse() if hasattr(x, "to_scipy_sparse") else x.get()
        if x.ndim != 2:
            return x
        csr = _checked(sparse.csr_array(_checked(x)))
        if not csr.has_canonical_format:
            csr = csr.copy()  # SciPy sums duplicates and sorts indices in place
            csr.sum_duplicates()
        return csr
    except MemoryError:
        raise
    except Exception as error:  # whatever parts that do not fit lead to
        said = str(error).strip().rstrip(".")
        raise DataError(
            f"{name} is a sparse matrix that cannot be read: {said}. If its data or indices were "
            "changed after it was made, build it anew."
        ) from error


def _csr_on_gpu(x: Any) -> Any:
    with backend_of(x).activate():
        csr, xp = x.tocsr(), array_namespace(x.data)
        indices, indptr, (n_rows, n_columns) = csr.indices, csr.indptr, csr.shape
        fits = len(indptr) == n_rows + 1 and len(indices) == len(csr.data) == int(indptr[-1])
        fits = fits and int(indptr[0]) == 0 and bool(xp.all(indptr[1:] >= indptr[:-1]))
        if not fits or bool(xp.any((indices < 0) | (indices >= n_columns))):
            raise ValueError("its indices lead elsewhere")
        if not csr.has_canonical_format:
            csr = csr.copy()  # products sum duplicates and sort indices in place
            csr.sum_duplicates()
        return csr


def _checked(x: Any) -> Any:
    """Return a sparse matrix of the same parts, which fit together; raise ValueError if not."""
    from scipy import sparse

    make = getattr(sparse, f"{x.format}_array")
    if x.format in ("csr", "csc", "bsr"):
        if x.indices.dtype.kind not in "iu" or x.indptr.dtype.kind not in "iu":
            raise ValueError("its indices are not whole numbers")
        whole = make((x.data, x.indices, x.indptr), shape=x.shape)
        # Which SciPy checks by differences, that may overflow, and not where nothing is stored.
        if np.any(whole.indptr[1:] < whole.indptr[:-1]):
            raise ValueError("indptr must be a non-decreasing sequence")
        whole.check_format(full_check=True)
        return whole
    if x.format in ("coo", "dia"):
        return make((x.data, x.coords if x.format == "coo" else x.offsets), shape=x.shape)
    if x.format == "lil" and (
        [len(x.rows), len(x.data)] != [x.shape[0]] * 2
        or any(len(columns) != len(values) for columns, values in zip(x.rows, x.data, strict=True))
    ):
        raise ValueError("its rows and data do not belong together")
    return x  # what is made of it is checked
