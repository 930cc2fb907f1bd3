"""Which values can be labels of rows that have one class each."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.errors import DataError
from gpulr.validation.conversion import as_csr, as_numpy, is_any_sparse, is_extension_float
from gpulr.validation.tables import column_names, columns_of, is_table
from gpulr.words import counted


def check_labels(labels: Any, n_samples: int) -> npt.NDArray[Any]:
    """Return labels as a one-dimensional NumPy array of values that can be sorted.

    Numbers, booleans, text, bytes, dates and durations have a dtype of NumPy's. Other objects, such
    as ``datetime.date`` or ``Decimal``, stay what they are; all must be of one type. Raises
    DataError for a wrong length or shape, NaN, and values that are not labels.
    """
    y = label_array(labels)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if isinstance(labels, str | bytes):
        raise DataError(
            f"y is {labels!r}; expected a label for each row, not the name of their column. Pass "
            f"y=X[{labels!r}], and X without that column."
        )
    if y.ndim != 1:
        raise DataError(
            f"y has shape {y.shape}; expected one label per row, ({n_samples},), or for several a "
            "matrix of zeros and ones, (n_samples, n_labels)."
        )
    if len(y) != n_samples:
        raise DataError(
            f"X has {counted(n_samples, 'row')} and y has {counted(len(y), 'label')}; expected as "
            "many of each."
        )
    if y.dtype.kind in "OT":  # T: NumPy's strings of variable width
        y = of_one_type(y.astype(object))
    if y.dtype.kind == "f":
        if not np.all(np.isfinite(y)):
            raise DataError("y holds NaN or infinity. Remove the rows without a label.")
        if not np.all(y == np.floor(y)):
            raise DataError(
                "y holds fractions: it looks like a quantity, not like class labels. "
                "Bin it into classes first, or use a regression model."
            )
    elif y.dtype.kind in "mM":
        if np.any(np.isnat(y)):
            raise DataError("y holds NaT (no time). Remove the rows without a label.")
    elif y.dtype.kind not in "buiUSO":
        raise DataError(
            f"y has dtype {y.dtype}; expected numbers, booleans, strings, or other values that can "
            "be sorted."
        )
    return y


def label_array(labels: Any) -> npt.NDArray[Any]:
    """Return labels as a NumPy array of any shape, each label unchanged.

    NumPy would make text of numbers in a list that has text as well, and numbers of dates in one
    that has numbers as well: such a list comes back as objects, as a Series of these would.
    """
    if is_any_sparse(labels):
        return np.asarray(as_csr(labels, "y").toarray())
    if is_table(labels) and len(column_names(labels)) == 1:
        ((_, labels),) = columns_of(labels)
    if hasattr(type(labels), "asstr") and labels.dtype.kind == "O":  # h5py's text, else bytes
        labels = labels.asstr()[:]
    y = as_numpy(
        labels,
        "y",
        advice="Pass one label per row, or the matrix that "
        "sklearn.preprocessing.MultiLabelBinarizer makes of several.",
    )
    if is_extension_float(y.dtype):
        return y.astype(np.float32)
    if y.dtype.kind in "USmM" and isinstance(labels, list | tuple):
        objects = np.asarray(labels, dtype=object)
        if len({type(label) for label in objects.flat}) > 1:
            return objects
    return y


def of_one_type(y: npt.NDArray[np.object_]) -> npt.NDArray[Any]:
    """Return objects in the dtype that NumPy has for them, if any; all must be sortable labels."""
    types = {type(label) for label in y}
    if all(issubclass(t, str) for t in types):
        return y.astype(np.str_)
    if types <= {bool, np.bool_}:
        return y.astype(np.bool_)
    if types in ({np.datetime64}, {np.timedelta64}):
        return np.array(list(y))
    if all(map(_is_whole, types)):
        try:
            return y.astype(np.int64)
        except OverflowError as error:
            raise DataError(
                f"y holds numbers that are too large ({error}). Pass them as strings."
            ) from error
    if all(_is_whole(t) or issubclass(t, float | np.floating) for t in types):
        narrow = y.astype(np.float64)
        if not np.all((narrow == y) | np.isnan(narrow)):
            raise DataError(
                f"y holds numbers that float64 does not hold exactly, such as {y[narrow != y][0]}. "
                "Pass them as strings."
            )
        return narrow
    if len(types) > 1:
        raise DataError(
            f"y holds {', '.join(sorted(t.__name__ for t in types))}; expected labels all of one "
            "kind, such as int or str. Convert them, and remove rows without a label."
        )
    (kind,) = types
    if issubclass(kind, set | frozenset | list | dict):
        raise DataError(
            f"y holds a {kind.__name__} for each row; expected one label. If rows have several, "
            "pass the matrix that sklearn.preprocessing.MultiLabelBinarizer makes of them."
        )
    try:
        np.sort(y)
        whole = not any(label != label for label in y)  # as Decimal("NaN") is, or NaT
    except (TypeError, ArithmeticError) as error:
        raise DataError(
            f"y holds labels of type {kind.__name__} that cannot be sorted ({error}). Pass numbers "
            "or strings that stand for them, and remove rows without a label."
        ) from error
    if not whole:
        raise DataError("y holds values that equal nothing (NaN). Remove the rows without a label.")
    return y


def _is_whole(kind: type) -> bool:
    # A np.timedelta64 is an integer to NumPy.
    return issubclass(kind, int | np.integer | np.bool_) and not issubclass(kind, np.timedelta64)


def codes_of(y: Any, n_samples: int, classes: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Return each row's class as an index into ``classes``; DataError where it is none of them."""
    y = check_labels(y, n_samples)
    kinds = {"n" if of.dtype.kind in "biuf" else of.dtype.kind for of in (y, classes)}
    # Numbers may equal numbers, and text text; NumPy would compare one with the other.
    known = np.isin(y, classes) if len(kinds) == 1 else np.zeros(len(y), dtype=np.bool_)
    if not known.all():
        raise DataError(
            "y holds labels that this model was not trained on: "
            f"{np.unique(y[~known])[:10].tolist()}; it knows {classes[:20].tolist()}. "
            "Check that model and data belong together."
        )
    order = np.argsort(classes)  # those of a selection may be in any
    codes: npt.NDArray[np.intp] = order[np.searchsorted(classes, y, sorter=order)]
    return codes
