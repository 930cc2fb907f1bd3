"""Sparse matrices of any library and format as CSR arrays, whose parts are checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpulr.backend import is_sparse
from gpulr.errors import DataError


def is_any_sparse(x: Any) -> bool:
    """Whether ``x`` is a sparse matrix, of SciPy or of another library."""
    return is_sparse(x) or hasattr(x, "to_scipy_sparse")


def as_csr(x: Any, name: str) -> Any:
    """Return a sparse matrix of any format as a CSR array, whose rows are cheap to cut.

    Its parts are checked first: SciPy's compiled code reads and writes wherever indices lead. What
    the matrix has noted about them, as that they are sorted, may not hold any more either.

    Raises DataError where its parts do not fit together, or it is of another library than SciPy and
    stands for something else than zeros.
    """
    from scipy import sparse

    try:
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
