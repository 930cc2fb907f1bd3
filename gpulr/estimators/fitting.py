"""What `fit` of both estimators begins with: parameters, X and y, checked and in gpulr's terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gpulr.backend import backend_of, fits_float32, offers_float64
from gpulr.errors import ParameterWarning, warn
from gpulr.estimators.inputs import read_rows_and_labels
from gpulr.estimators.migration import translated
from gpulr.families.inputs import Inputs, read_inputs
from gpulr.families.settings import Settings
from gpulr.validation.parameters import callables, switch

Array = Any

_SETTINGS = ("solver", "scale", "standardize", "learning_rate", "max_iter", "tol", "fit_intercept")


def read(
    estimator: Any, X: Any, y: Any, progress_bar: Callable[[], Any]
) -> tuple[Inputs, Settings, dict[str, Any]]:
    """Return what an estimator is to be fitted to, and with what settings and other parameters.

    ``callbacks`` among these end in a progress bar where the estimator is ``verbose``.

    Raises
    ------
    ValueError
        DataError, ParameterError, or scikit-learn's own.

    Warns
    -----
    ParameterWarning
        What is done differs from what a parameter of scikit-learn's says.
    """
    chosen, note = translated(estimator.get_params(deep=False))
    if note:
        warn(note, ParameterWarning)
    X, y = read_rows_and_labels(estimator, X, y)
    dtype = _compute_dtype(X) if chosen["dtype"] is None else chosen["dtype"]
    settings = Settings.checked(dtype=dtype, **{name: chosen[name] for name in _SETTINGS})
    chosen["batched"] = switch("batched", chosen["batched"])
    chosen["callbacks"] = callables(chosen["callbacks"])
    if chosen["verbose"]:
        chosen["callbacks"] += (progress_bar(),)
    inputs = read_inputs(X, y, chosen["image_shape"])
    chosen["class_weight"] = _of_classes(chosen["class_weight"], inputs.labels.classes.tolist())
    return inputs, settings, chosen


def _compute_dtype(X: Array) -> str:
    """Return what to compute in for an X: float32 where that holds all of its numbers."""
    if fits_float32(X):
        return "float32"
    backend = backend_of(X)
    return "float64" if offers_float64(backend.xp, backend.device) else "float32"


def _of_classes(class_weight: Any, classes: list[Any]) -> Any:
    """Return the weights of these classes, where a dict has all of them: a fold may lack some."""
    if not isinstance(class_weight, Mapping) or any(label not in class_weight for label in classes):
        return class_weight
    return {label: class_weight[label] for label in classes}
