"""The checks of X and y that estimators make: scikit-learn's, extended to all that gpulr takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _get_feature_names,
    check_array,
    check_X_y,
    column_or_1d,
    validate_data,
)

from gpulr.backend import backend_of, is_device_array
from gpulr.core.rows import extremes
from gpulr.errors import DataError
from gpulr.sources import Blocks, Source
from gpulr.validation.arrays import as_rows, check_rows
from gpulr.validation.conversion import as_numpy, real_numbers
from gpulr.validation.label_values import label_array, of_one_type
from gpulr.validation.labels import is_label_matrix
from gpulr.validation.tables import column_names, feature_names_of, is_table, order_of

Array = Any

# How X is taken: as it is, whatever its dtype; blocks of rows are converted as they are used.
_AS_IS: dict[str, Any] = {"accept_sparse": "csr", "dtype": "numeric"}


class ObjectsError(DataError, TypeError):
    """Rows of objects that are not numbers: a TypeError to scikit-learn."""


def read_rows_and_labels(estimator: Any, X: Any, y: Any) -> tuple[Array, Any]:
    """Check what ``fit`` is passed, as scikit-learn does; labels come back on the host.

    A matrix of labels comes back as it is, for :func:`gpulr.validation.labels.read_labels`, which
    takes more of them than scikit-learn's checks.

    Sets ``n_features_in_``, and ``feature_names_in_`` where the columns of X have names. Raises
    ValueError or TypeError: DataError, or scikit-learn's own.
    """
    matrix = is_label_matrix(y)
    y = y if matrix else _labels(y)
    if is_device_array(X):
        # scikit-learn would bring X to the host, or refuse it, unless a switch is set.
        rows = check_rows(X)
        y = y if matrix else column_or_1d(y, warn=True)
        _forget_names(estimator, rows)
        if not matrix:
            check_classification_targets(y)
        return rows, y
    if matrix:
        rows = _checked(estimator, X)
    else:
        rows = _on_host(estimator, X)
        if isinstance(rows, Source):
            y = column_or_1d(y, warn=True)
            check_classification_targets(y)
        elif not _pass(rows, y):
            passes = _is_narrow(rows) and _is_finite(rows)  # then it is y that is to be checked
            some = _as_known(rows[:, :1] if passes else rows)
            some, y = check_X_y(some, y, estimator=estimator, **_AS_IS)
            rows = rows if passes else some
            check_classification_targets(y)
    _check_names(estimator, X, rows, reset=True)
    return rows, y


def _pass(X: Any, y: Any) -> bool:
    """Whether arrays pass scikit-learn's checks, for reasons that are seen at once.

    As most do; the checks themselves take longer than training on a hundred rows. False leaves it
    open: they also know what else passes, and of what to warn.
    """
    if not (type(X) is type(y) is np.ndarray and X.ndim == 2 and y.ndim == 1 and X.size):
        return False
    if len(X) != len(y) or X.dtype.kind not in "biufV" or y.dtype.kind not in "biu":
        return False
    if int(y.max()) - int(y.min()) >= len(y) // 2:  # there may be a class for every other row
        return False
    return _is_finite(X)


def _is_narrow(X: Any) -> bool:
    """Whether rows are of floats that scikit-learn does not know, or takes one by one."""
    dense = isinstance(X, np.ndarray) and X.ndim == 2 and X.size > 0
    return dense and (X.dtype.isbuiltin == 2 or X.dtype == np.float16)


def _is_finite(X: npt.NDArray[Any]) -> bool:
    """Whether all numbers are finite; False leaves it open."""
    with np.errstate(all="ignore"):
        if _is_narrow(X):
            return all(np.isfinite(part).all() for part in extremes(X, backend_of(X)))
        return X.dtype.kind != "f" or bool(np.isfinite(X.sum()))


def _as_known(X: Any) -> Any:
    """Return rows in a dtype that scikit-learn knows."""
    return X.astype(np.float32) if X.dtype.isbuiltin == 2 else X


def read_rows(estimator: Any, X: Any, n_features: int) -> Array:
    """Check what a fitted estimator is to predict; columns with names are put in its order."""
    if isinstance(X, Blocks):
        return X  # which a model checks part by part
    if is_device_array(X):
        return check_rows(X, n_features=n_features)
    return _check_names(estimator, X, _checked(estimator, X), reset=False)


def _checked(estimator: Any, X: Any) -> Array:
    """Check rows on the host as scikit-learn does."""
    rows = _on_host(estimator, X)
    if isinstance(rows, Source):
        return check_rows(rows)
    if _is_narrow(rows) and _is_finite(rows):
        return rows
    return check_array(_as_known(rows), estimator=estimator, input_name="X", **_AS_IS)


def read_truth(y: Any, sample_weight: Any) -> tuple[Any, Any]:
    """Return the labels and weights that predictions are scored by, on the host."""
    if sample_weight is not None:
        weight = real_numbers(as_numpy(sample_weight, "sample_weight"), "sample_weight")
        sample_weight = weight.astype(np.float64)
    return _labels(y), sample_weight


def _labels(y: Any) -> Any:
    """Return labels of a dtype that scikit-learn takes, of any shape; None if there are none."""
    if y is None:
        return None
    labels = label_array(y)
    if labels.dtype.kind in "OT":
        labels = of_one_type(labels.astype(object).ravel()).reshape(labels.shape)
    if labels.dtype.kind in "SO" and labels.size:
        kind = type(labels.flat[0]).__name__
        raise DataError(
            f"y holds labels of type {kind}, which scikit-learn does not take. Pass numbers or "
            "text, such as y.astype(str), or use gpulr.train, which takes them."
        )
    return labels


def _on_host(estimator: Any, X: Any) -> Any:
    """Return X as scikit-learn takes it, or a source: a NumPy array, or a CSR array, checked."""
    try:
        return as_rows(X)
    except DataError as error:
        if isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "cO":
            try:  # scikit-learn's checks want its own words
                check_array(X, estimator=estimator, **_AS_IS)
            except TypeError as theirs:
                raise ObjectsError(f"{error} ({theirs})") from theirs
        raise


def take_features(estimator: Any, rows: Array, names: Sequence[str] | None) -> None:
    """Set the number of features, and their names where they have any."""
    _forget_names(estimator, rows)
    if names is not None:
        estimator.feature_names_in_ = np.asarray(names, dtype=object)


def _forget_names(estimator: Any, rows: Array) -> None:
    """Set the number of features, which have no names."""
    estimator.n_features_in_ = int(rows.shape[1])
    estimator.__dict__.pop("feature_names_in_", None)


def _check_names(estimator: Any, X: Any, rows: Array, *, reset: bool) -> Array:
    """Check or, in ``fit``, set the number and names of features; returns rows in their order.

    scikit-learn refuses other names and another order of them, of the tables that it knows.
    """
    if reset and type(X) is np.ndarray and X.ndim == 2:
        _forget_names(estimator, rows)
        return rows
    columns = column_names(X) if is_table(X) else []
    # Where several have one name, none is one; nor is that of a column of arrays.
    named = len(columns) != 1 or feature_names_of(X) is not None
    if named and len(set(columns)) == len(columns) and _get_feature_names(X) is not None:
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        return rows
    names = feature_names_of(X)
    known = getattr(estimator, "feature_names_in_", None)
    if reset or names is None or known is None:
        validate_data(estimator, rows, reset=reset, skip_check_array=True)
        if reset and names is not None:
            estimator.feature_names_in_ = np.asarray(names, dtype=object)
        return rows
    order = order_of(names, list(known), "X")
    return rows if order is None else rows[:, order]
