"""What the format readers hand over, and how it becomes a Dataset."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.datasets.dataset import Dataset, is_indicator
from gpulr.datasets.readers.checks import UnusableError
from gpulr.errors import DataError, DataFileError

SMALLEST_SQUARE = 16  # pixels; fewer features than a 4×4 image are not taken for one


@dataclass(frozen=True, slots=True)
class Arrays:
    """Arrays as a file holds them, samples along the first axis.

    X is (n_samples, ...), with more than two axes for images. y is (n_samples,), (n_samples, 1) or
    (1, n_samples); or (n_samples, n_labels) of 0 and 1, where rows have any number of labels; None
    in a table of rows alone. The names are those of a table's columns.
    """

    X: npt.NDArray[Any]
    y: npt.NDArray[Any] | None
    X_test: npt.NDArray[Any] | None = None
    y_test: npt.NDArray[Any] | None = None
    label_name: str | None = field(default=None, kw_only=True)
    feature_names: tuple[str, ...] | None = field(default=None, kw_only=True)


def names_of_parts(
    choices: Sequence[Sequence[str]], listed: Collection[str], what: str, remedy: str
) -> list[str]:
    """Return the names of X and y, and of X_test and y_test if they are there, by the first choice.

    `listed` are the names of `what` a file holds; `remedy` tells how to save it otherwise.
    """
    names = next((names for names in choices if {*names[:2]} <= {*listed}), None)
    if names is None:
        expected = ", or ".join(f"{X} and {y}" for X, y, *_ in choices)
        found = f"holds the {what} {', '.join(listed) or 'none'}"
        raise UnusableError(f"{found}; expected {expected}", remedy)
    test = [name for name in names[2:] if name in listed]
    if len(test) == 1:
        raise UnusableError(
            f"holds half of a test part: {test[0]} alone",
            "Save both arrays of the test part, or neither.",
        )
    return [*names[:2], *test]


def to_dataset(arrays: Arrays, path: Path, name: str) -> Dataset:
    """Tidy arrays into a Dataset: native dtypes, flat samples, ravelled labels, image shape.

    Arrays that cannot be samples and labels, or do not fit together, are a DataFileError.
    """
    assert arrays.y is not None
    try:
        X, image_shape = _samples(arrays.X, "X")
        X_test = y_test = None
        if arrays.X_test is not None:
            X_test, test_shape = _samples(arrays.X_test, "X_test")
            if test_shape != image_shape and arrays.X.ndim > 2 and arrays.X_test.ndim > 2:
                raise DataError(
                    f"X has images of shape {image_shape}, but X_test of shape {test_shape}."
                )
        y = _labels(arrays.y, "y", len(X))
        if arrays.y_test is not None:
            y_test = _labels(arrays.y_test, "y_test", len(X if X_test is None else X_test))
        return Dataset(
            *(X, y, X_test, y_test, image_shape, name, str(path)),
            label_name=arrays.label_name,
            feature_names=arrays.feature_names,
        )
    except DataError as error:
        raise DataFileError(
            path, f"holds unusable arrays: {str(error).rstrip('.')}", "Correct and save it again."
        ) from error


def square_image_shape(dtype: npt.DTypeLike, n_features: int) -> tuple[int, int] | None:
    """Shape (side, side) of uint8 samples with 16 features or more, if square; else None."""
    side = math.isqrt(n_features)
    is_square = n_features >= SMALLEST_SQUARE and side * side == n_features
    return (side, side) if dtype == np.uint8 and is_square else None


def _samples(X: npt.NDArray[Any], name: str) -> tuple[npt.NDArray[Any], tuple[int, ...] | None]:
    """Make a table in native byte order; also return the shape of one sample if it is an image."""
    if X.dtype.kind not in "biuf":
        raise DataError(f"{name} has dtype {X.dtype}; expected integers, booleans or real floats")
    if X.ndim < 2:
        raise DataError(f"{name} has shape {X.shape}; expected (n_samples, n_features)")
    dtype = X.dtype.newbyteorder("=")
    if dtype.kind == "b":
        dtype = np.dtype(np.uint8)
    elif dtype.kind == "f" and dtype.itemsize > 8:  # long double: no other library takes it
        dtype = np.dtype(np.float64)
    if X.ndim > 2 and X.size:
        image_shape = tuple(int(n) for n in X.shape[1:])
        return np.ascontiguousarray(X.reshape(len(X), -1), dtype), image_shape
    return np.ascontiguousarray(X, dtype), square_image_shape(dtype, X.shape[1])


def _labels(y: npt.NDArray[Any], name: str, n_samples: int) -> npt.NDArray[Any]:
    """Labels as a vector: int64 where they are whole numbers, text as text; or 0/1 columns."""
    if y.ndim == 2 and (y.shape[1] == 1 or len(y) == 1 != n_samples):
        y = y.ravel()
    # A single 1 in every row stands for one class each. The test part is as the other is.
    if is_indicator(y) and (name == "y_test" or not np.all(y.sum(axis=1) == 1)):
        return np.ascontiguousarray(y, dtype=np.uint8)
    if y.ndim != 1:
        hint = " (one-hot columns? save their argmax; several labels a row? save 0 and 1 only)"
        raise DataError(
            f"{name} has shape {y.shape}; expected one label per sample{hint * (y.ndim == 2)}"
        )
    if y.dtype.kind == "S":
        try:
            if y.tobytes().isascii():  # several times faster
                return y.astype(np.str_)
            return np.char.decode(y, "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{name} holds bytes that are not UTF-8 text") from error
    if y.dtype.kind == "U":
        return y.astype(y.dtype.newbyteorder("="), copy=False)
    if y.dtype.kind not in "biuf":
        raise DataError(f"{name} has dtype {y.dtype}; expected whole numbers or text")
    if y.dtype.kind == "f":
        if not np.isfinite(y).all():
            raise DataError(f"{name} holds NaN or infinite labels")
        whole = y.astype(np.int64, copy=False) if np.abs(y).max(initial=0) < 2**53 else None
        if whole is None or not np.array_equal(whole, y):
            raise DataError(f"{name} holds labels that are not whole numbers")
        return whole
    if y.dtype == np.uint64 and y.max(initial=0) > np.iinfo(np.int64).max:
        raise DataError(f"{name} holds labels above the int64 range")
    return y.astype(np.int64)
