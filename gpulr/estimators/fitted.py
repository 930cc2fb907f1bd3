"""A model as the attributes of a fitted estimator, and these attributes as a model.

scikit-learn's users assign ``coef_``, ``intercept_`` and ``classes_``, and write into them; what an
estimator predicts is what they say then. So a model is made of them whenever one is asked for. Of
the model that it trained an estimator keeps only the rest: how training went, with what settings,
on what data, and where the rows had their centre. It does so in a dict of plain values, which skops
loads without being told to trust a type of ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr._version import __version__
from gpulr.backend import backend_of, is_device_array, is_sparse, to_host
from gpulr.errors import ParameterError
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.record import FACTS, History, unknown_history
from gpulr.model.selection import take
from gpulr.namespaces import array_namespace, device
from gpulr.validation.label_values import check_labels

Array = Any


def fingerprint(model: OneVsAll) -> str:
    """Return a digest by which these weights and intercepts are known again."""
    digest = hashlib.sha256()
    for array in (model.weights, model.intercept):
        # A sparse coef_ has no −0; it is the same number, and so it is here.
        host: npt.NDArray[Any] = np.ascontiguousarray(to_host(array) + 0.0)
        digest.update(f"{host.dtype.name}{host.shape}".encode())
        digest.update(host.data)
    return digest.hexdigest()


def model_of(coef: Any, intercept: Any, classes: Any, record: Mapping[str, Any]) -> OneVsAll:
    """Return the model that attributes make up, in the order of the classes; for predicting.

    Of several labels the record has the names; see :func:`_named`.

    ``coef`` is (n_models, n_features) or (n_features,), dense or sparse, and computed in its dtype;
    numbers that are neither float32 nor float64 become float64. ``intercept`` is (n_models,), or a
    number for all; ``classes`` one for each model, or two for one. The ``record`` may be of other
    weights, or empty.

    Raises ParameterError where they are not real numbers, or do not belong together.
    """
    weights = _weights(coef)
    n_features, n_models = weights.shape
    classes, multilabel = to_host(classes), record.get("multilabel", False)
    two = n_models == 1 and not multilabel
    if classes.ndim != 1 or len(classes) != (2 if two else n_models):
        each = "label" if multilabel else "class, or one row for two classes"
        raise ParameterError(
            f"coef_ has {n_models} rows, and classes_ has shape {classes.shape}; expected one row "
            f"for each {each}. Assign coef_, intercept_ and classes_ that belong together."
        )
    b, xp, real = _array(intercept)
    if not real or tuple(b.shape) not in ((), (1,), (n_models,)):
        raise ParameterError(
            f"intercept_ has shape {tuple(b.shape)} and dtype {b.dtype}, and coef_ has {n_models} "
            "rows; expected a number for each row. Assign coef_ and intercept_ that belong "
            "together."
        )
    backend = backend_of(weights)
    b = backend.asarray(b if tuple(b.shape) == (n_models,) else xp.broadcast_to(b, (n_models,)))
    center, at_center = record.get("center"), None
    if center is not None and center.shape == (n_features,):
        # The margins are the same around any centre, which only keeps their rounding small.
        center = backend.asarray(center)
        b = backend.asarray(b, backend.widest)
        at_center = backend.asarray(b + _product(center, weights), weights.dtype)
    else:
        center = None
    known: dict[str, Any] = {
        "backend": backend.name,
        "device": backend.device_name,
        "data": {"name": "arrays", "source": "attributes of an estimator"},
        "versions": {"gpulr": __version__},
    }
    known |= {name: record[name] for name in FACTS if name in record}
    std = record.get("feature_std")
    history = record.get("history")
    return OneVsAll(
        weights=weights,
        intercept=backend.asarray(b, weights.dtype),
        classes=_named(classes, record["labels"]) if multilabel else classes,
        history=unknown_history(n_models) if history is None else History(**history),
        center=center,
        intercept_at_center=at_center,
        feature_std=std if std is None or len(std) == n_features else None,
        **known,
    )


def _named(labels: npt.NDArray[Any], names: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the names of labels that are known by their columns in y; of others the labels."""
    columns = labels.dtype.kind in "iu" and labels.min() >= 0 and labels.max() < len(names)
    return names[labels] if columns else labels


def sorted_by_class(model: OneVsAll) -> OneVsAll:
    """Return the same model with its classes sorted and of one type, as those of models are.

    Labels of which a row may have several keep their order.

    Raises ParameterError where one occurs twice, and DataError where they are no labels.
    """
    classes = check_labels(model.classes, len(model.classes))
    unique, order = np.unique(classes, return_index=True)
    if len(unique) < len(classes):
        raise ParameterError(
            f"classes_ holds {classes[:20].tolist()}, some of them more than once; expected each "
            "class once."
        )
    if model.multilabel or (np.diff(order) > 0).all():
        return replace(model, classes=classes)
    # What is known of training is of these weights only if they are in the order of training again.
    known: dict[str, Any] = {name: getattr(model, name) for name in ("history", "settings", "data")}
    unknown: dict[str, Any] = {
        "history": unknown_history(model.n_models),
        "settings": {},
        "data": {},
    }
    return replace(take(replace(model, classes=classes, **unknown), classes=order), **known)


def _weights(coef: Any) -> Array:
    """Return coef_ as weights, (n_features, n_models) float32 or float64, where it is."""
    coef, xp, real = _array(coef.toarray() if is_sparse(coef) else coef)
    if not real:
        raise ParameterError(
            f"coef_ has dtype {coef.dtype}; expected real numbers, (n_models, n_features)."
        )
    if coef.dtype not in (xp.float32, xp.float64):
        swapped = getattr(coef.dtype, "name", "") == "float32"  # of the other byte order
        coef = xp.astype(coef, xp.float32 if swapped else xp.float64)
    if coef.ndim == 1:
        coef = xp.reshape(coef, (1, -1))
    if coef.ndim != 2 or 0 in coef.shape:
        raise ParameterError(
            f"coef_ has shape {tuple(coef.shape)}; expected (n_models, n_features), one row for "
            "each class, or one row for two classes."
        )
    return coef.T


def _product(center: Array, weights: Array) -> Array:
    """Return center @ weights in float64, (n_models,), without a wide copy of the weights."""
    xp, (n_features, n_models) = array_namespace(weights), weights.shape
    rows, wide = max(1, 2**18 // n_models), backend_of(weights).widest
    total = xp.zeros(n_models, dtype=wide, device=device(weights))
    for start in range(0, n_features, rows):
        part = slice(start, min(start + rows, n_features))
        total += xp.astype(center[part], wide) @ xp.astype(weights[part, :], wide)
    return total


def _array(values: Any) -> tuple[Array, Any, bool]:
    """Return values as an array where they are, its namespace, and whether they are numbers."""
    array = values if is_device_array(values) else np.asarray(values)
    xp = array_namespace(array)
    return array, xp, xp.isdtype(array.dtype, ("bool", "integral", "real floating"))
