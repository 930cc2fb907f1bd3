"""Rows as users pass them in, checked."""

from __future__ import annotations

import math
import os
from types import FunctionType
from typing import Any

import numpy as np

from gpulr.backend import Backend, backend_of, is_device_array, is_sparse, to_host
from gpulr.backend.arrays import floating_dtype
from gpulr.errors import DataError
from gpulr.namespaces import array_namespace
from gpulr.sources import Source
from gpulr.validation.conversion import as_csr, as_numpy, is_any_sparse, on_device, real_numbers
from gpulr.validation.cures import cure_of_shape
from gpulr.validation.sources import is_read, source_of
from gpulr.validation.tables import from_table, is_labelled, is_table, sparse_columns
from gpulr.words import counted, shown

Array = Any


def check_rows(X: Any, *, n_features: int | None = None, trained_on: str = "") -> Array:
    """Return X as a two-dimensional real array of the library it came in, without copying.

    What is in a file is a :class:`gpulr.sources.Source`, and not read yet.

    Images (n_samples, height, width, …) are flattened. Values are checked by :func:`finite_rows`.
    ``trained_on`` says what the ``n_features`` of a model are, for the error.

    Raises DataError where X is not an array of real numbers, empty, or has other features.
    """
    passed, X = X, as_rows(X)
    if is_sparse(X):
        if X.dtype.kind not in "buif":
            raise DataError(
                f"X is sparse with dtype {X.dtype}; expected real numbers. Pass what matters of it "
                "as real numbers, such as abs(X)."
            )
        if X.ndim != 2 or 0 in X.shape:
            raise DataError(f"X is sparse of shape {X.shape}; expected rows and features.")
    if X.ndim < 2:
        raise DataError(
            f"X has shape {tuple(X.shape)}; expected (n_samples, n_features). "
            + cure_of_shape(passed)
        )
    if X.ndim > 2:
        with backend_of(X).activate():
            X = array_namespace(X).reshape(X, (X.shape[0], math.prod(X.shape[1:])))
    if 0 in X.shape:
        raise DataError(
            f"X is empty: its shape is {tuple(X.shape)}. Pass at least one row and one feature."
        )
    if n_features is not None and X.shape[1] != n_features:
        known = f" ({trained_on})" if trained_on else ""
        raise DataError(
            f"X has {counted(X.shape[1], 'feature')}; this model was trained on "
            f"{n_features}{known}. Pass rows of the same features, in the same order."
        )
    return X


def as_rows(X: Any) -> Array:
    """Return X as real numbers: an array of its library, a CSR array, a source, or NumPy's."""
    if isinstance(X, Source):
        return X
    refuse_files(X)
    if is_read(X):
        return source_of(X, "X")
    X = X.data if is_labelled(X) else X
    if is_table(X):
        sparse = sparse_columns(X)
        return from_table(X, "X") if sparse is None else as_csr(sparse, "X")
    if is_any_sparse(X):
        return as_csr(X, "X", here=True)
    return on_device(X, "X") if is_device_array(X) else real_numbers(as_numpy(X, "X"), "X")


def finite_rows(
    X: Array,
    backend: Backend,
    dtype: Any,
    passed: Array | None = None,
    known: tuple[Array, Array] | None = None,
) -> None:
    """Raise DataError if X (on the backend's device) holds NaN or more than ``dtype`` can.

    ``passed`` is what X was before it was rounded, to tell which of the two it is. ``known`` are
    the features' extremes: where these are usable, so are all numbers, and X is not looked at.
    """
    own = floating_dtype(X, backend.xp)
    if own is None:
        return
    xp = backend.xp
    largest = min(float(xp.finfo(own).max), float(xp.finfo(dtype).max))
    if known is not None and all(bool(xp.all(xp.abs(part) <= largest)) for part in known):
        return
    if not isinstance(X, Source):
        _check_finite(X, backend, largest, passed)
        return
    for rows in X.cut(backend.row_blocks(X.shape[0], backend.row_width(X), 1)):
        _check_finite(X[rows, :], backend, largest, None, rows.start)


def _check_finite(
    X: Array, backend: Backend, largest: float, passed: Array | None, first_row: int = 0
) -> None:
    """Do what :func:`finite_rows` does, of rows that are arrays, from ``first_row`` on."""
    xp, starts = backend.xp, None
    if is_sparse(X):
        starts, X = X.indptr, xp.reshape(X.data, (-1, 1))  # what is stored; zeros are fine
        passed = X
    own = floating_dtype(X, xp)
    narrow = own != X.dtype or xp.finfo(own).bits < 32  # slow to compute with, or impossible
    if isinstance(X, np.ndarray) and not narrow and largest == float(xp.finfo(own).max):
        with np.errstate(all="ignore"):
            if np.isfinite(X.sum()):  # so all of them are, in half the time of a closer look
                return

    def usable(rows: slice) -> tuple[int, Array]:
        block = backend.as_compute(X[rows, :], xp.float32) if narrow else X[rows, :]
        return rows.start, xp.all(xp.abs(block) <= largest, axis=1)  # false for NaN too

    blocks = backend.row_blocks(X.shape[0], X.shape[1], 1)
    for start, good in backend.map_blocks(usable, blocks, X):
        bad = np.flatnonzero(~to_host(good))
        if not bad.size:
            continue
        row = start + int(bad[0])
        finite = np.isfinite(to_host((X if passed is None else passed)[row, :])).all()
        if starts is not None:
            row = int(np.searchsorted(to_host(starts), row, side="right")) - 1
        row += first_row
        if finite:
            raise DataError(
                f"X holds values beyond {largest:.1e}, too large to compute with (first in row "
                f'{row}). Scale the features to about 0…1, or train with dtype="float64".'
            )
        raise DataError(
            f"X holds NaN or infinity (first in row {row}). Remove such rows or fill the "
            "values in, e.g. with sklearn.impute.SimpleImputer."
        )


def is_dataset(X: Any) -> bool:
    """Whether X is a :class:`gpulr.datasets.Dataset`."""
    return hasattr(type(X), "X_test")  # of the class: a table may have such a column


def refuse_files(X: Any) -> None:
    """Raise DataError for a path, the name of a data set, or a Dataset in place of an array."""
    if is_dataset(X):
        raise DataError(
            "X is a Dataset; expected an array. Pass its X, or its X_test; and with labels, as in "
            "evaluate(data.X, data.y)."
        )
    if hasattr(type(X), "obs_names"):  # NumPy would make a matrix of each of its entries
        raise DataError(
            "X is an AnnData; expected an array. Pass its X, and as labels a column of its obs, as "
            'in train(data.X, data.obs["cell_type"]).'
        )
    first = X[0] if isinstance(X, list | tuple) and X else X
    if type(first).__name__ == "Delayed":  # which NumPy would ask for its entries, without an end
        raise DataError(
            "X is delayed; expected an array. Pass X.compute(), or a list of such parts as "
            "gpulr.Blocks([part.compute for part in X])."
        )
    if isinstance(first, FunctionType):
        raise DataError(
            "X holds functions; expected an array. If each returns a part of it, pass a list of "
            "them as gpulr.Blocks([…])."
        )
    if not isinstance(X, str | bytes | os.PathLike):
        return
    path = os.fsdecode(X)
    remedy = f"Pass numpy.load({path!r}) (and labels, to train)."
    if not path.lower().endswith(".npy"):
        remedy = (
            f"If it names a data set or a file of one, gpulr.datasets.load({path!r}) returns a "
            "Dataset: pass that to train, or its X."
        )
    raise DataError(f"X is {shown(X)}; expected an array, not the name of one. {remedy}")
