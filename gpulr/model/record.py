"""What a model's file must be: a schema of its text, and the shapes of its arrays.

Whatever is used of a model is checked here, so that nothing of a hostile file fails later.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.model.json_checks import (
    POSITIVE,
    anything,
    either,
    fields,
    flag,
    list_of,
    mapping_of,
    number,
    one_of,
    optional,
    refuse,
    text,
    whole,
)

__all__ = ["check_record", "check_tensors", "classes_of"]

SCALE = number(1e-150, 1e150)  # whose square is a number too
SCORE = number(-1e100, 1e100)
INVERSE_PENALTY = optional(POSITIVE)  # null is infinity, which JSON does not have
SIMPLE = either(optional(text), flag, number())

COMPUTED = {np.dtype(np.float32), np.dtype(np.float64)}

SETTINGS = fields(
    {
        "solver": text,
        "C": either(INVERSE_PENALTY, list_of(INVERSE_PENALTY)),
        "scale": SCALE,
        "standardize": flag,
        "learning_rate": optional(POSITIVE),
        "max_iter": whole(0),
        "tol": number(0),
        "dtype": one_of("float32", "float64"),
        "fit_intercept": flag,
        "sample_weight": flag,
        "class_weight": either(one_of(None, "balanced"), mapping_of(number(0))),
        "batched": flag,
    },
    others=either(SIMPLE, list_of(number()), mapping_of(number())),
)

SEARCH = fields(
    {
        "Cs": list_of(INVERSE_PENALTY, least=1),
        "scores": list_of(list_of(SCORE), least=1),
        "scoring": text,
        "folds": whole(1),
        "converged": whole(0),
        "models": whole(0),
        "seconds": number(0),
        "refit": SIMPLE,
    },
    required=("Cs", "scores", "scoring", "folds", "converged", "models", "seconds"),
)

DATA = fields(
    {
        "name": text,
        "source": text,
        "n_samples": whole(0),
        "dtype": text,
        "feature_range": list_of(number(), least=2, most=2),
        "label": optional(either(text, whole())),
        "feature_names": optional(list_of(text)),
        "background": one_of("dark", "bright"),
        "extent": number(sys.float_info.min, 1),
        "middle": list_of(number(0, 2**31), least=2, most=2),
        "split": optional(
            fields({"test_size": number(0, 1), "seed": whole(0)}, required=("test_size", "seed"))
        ),
        "search": optional(SEARCH),
    }
)

RECORD = fields(
    {
        "classes": fields(
            {"dtype": text, "values": list_of(anything, least=1)}, required=("dtype", "values")
        ),
        "multilabel": flag,  # of which older files do not know
        "backend": text,
        "device": text,
        "fallback_reason": optional(text),
        "settings": SETTINGS,
        "scale": SCALE,
        "image_shape": optional(list_of(whole(1), least=1, most=32)),
        "data": DATA,
        "versions": mapping_of(text),
    },
    required=(
        "classes",
        "backend",
        "device",
        "fallback_reason",
        "settings",
        "scale",
        "image_shape",
        "data",
        "versions",
    ),
)


def check_record(record: Any, n_features: int, n_models: int) -> None:
    """Check what a model's file says in JSON.

    Raises
    ------
    ValueError
        Something in it is of another type, or does not fit the weights.
    """
    RECORD(record, "model")
    C, shape = record["settings"].get("C"), record["image_shape"]
    if isinstance(C, list) and len(C) != n_models:
        raise ValueError(f"model.settings.C has {len(C)} values for {n_models} models")
    if shape is not None and math.prod(shape) != n_features:
        raise ValueError(f"model.image_shape {shape} does not hold {n_features} features")
    if search := record["data"].get("search"):
        n_scores = {len(scores) for scores in search["scores"]}
        if n_scores != {len(search["Cs"])} or len(search["scores"]) != search["folds"]:
            raise ValueError("model.data.search has not a score for each fold and C")


def classes_of(record: Any, limit: int) -> npt.NDArray[Any]:
    """Return the labels, which are distinct, in their dtype.

    Parameters
    ----------
    record : object
        The field ``classes``: dtype, and values as JSON holds them.
    limit : int
        bytes that a dtype may take; where labels of a wider one are, it becomes as wide as they.

    Raises
    ------
    ValueError
        They are no labels of that dtype.
    """
    name, values = record["dtype"], record["values"]
    try:
        dtype = np.dtype(name)
    except (TypeError, ValueError, SyntaxError, MemoryError) as error:
        raise ValueError(f"model.classes.dtype is {name!r:.60}: {error}") from error
    if dtype.kind not in "biufSUmM" or dtype.str != name:
        refuse(name, "model.classes.dtype", "that of numbers, booleans, text, bytes or times")
    check = {"b": flag, "f": number(), "S": text, "U": text}.get(dtype.kind, whole(most=2**64 - 1))
    list_of(check)(values, "model.classes.values")
    if dtype.kind in "SU":
        longest = max(map(len, values))
        width = dtype.itemsize // (4 if dtype.kind == "U" else 1)
        if longest > width:
            raise ValueError(f"model.classes.values has a label longer than {name}")
        if len(values) * dtype.itemsize > limit:
            dtype = np.dtype(f"{name[:2]}{max(1, longest)}")
    if dtype.kind == "S":
        values = [label.encode("latin-1") for label in values]  # each character was a byte
    classes: npt.NDArray[Any]
    try:
        if dtype.kind in "mM":
            classes = np.asarray(values, dtype=np.int64).view(dtype)
        else:
            classes = np.asarray(values, dtype=dtype)
    except OverflowError as error:
        raise ValueError(f"model.classes.values: {error}") from error
    if len(np.unique(classes)) < len(classes):
        raise ValueError("model.classes.values has a label twice")
    return classes


def check_tensors(
    tensors: Mapping[str, npt.NDArray[Any]], n_classes: int, multilabel: bool
) -> None:
    """Check the arrays of a model's file: their shapes, which fit each other, and values.

    Raises
    ------
    ValueError
        One is missing, or has another shape, dtype or values than it should.
    """
    weights, cost = tensors.get("weights"), tensors.get("cost")
    if weights is None or weights.ndim != 2 or cost is None or cost.ndim != 2:
        raise ValueError("it lacks weights or costs")
    n_features, n_models = weights.shape
    fitting = [n_classes] if n_classes > 1 or multilabel else []
    if n_classes == 2 and not multilabel:
        fitting.append(1)
    if n_features < 1 or n_models not in fitting:
        raise ValueError(f"weights {weights.shape} do not fit {n_classes} classes")
    each = (n_models,)
    expected: dict[str, tuple[tuple[int, ...], str]] = {
        "weights": (weights.shape, "f"),
        "intercept": (each, "f"),
        "cost": ((max(1, len(cost)), n_models), "f"),
        "gradient_norm": ((len(cost), n_models), "f"),
        "seconds": ((len(cost),), "f"),
        "n_iter": (each, "i"),
        "converged": (each, "b"),
        "stalled": (each, "b"),
    }
    if "center" in tensors or "intercept_at_center" in tensors:
        expected |= {"center": ((n_features,), "f"), "intercept_at_center": (each, "f")}
    for name, (shape, kinds) in expected.items():
        array = tensors.get(name)
        if array is None or array.shape != shape or array.dtype.kind not in kinds:
            found = "missing" if array is None else f"{array.shape} {array.dtype}"
            raise ValueError(f"{name} is {found}; expected {shape}")
    used = ("weights", "intercept", "center", "intercept_at_center")
    dtypes = {name: tensors[name].dtype for name in used if name in tensors}
    center = dtypes.pop("center", weights.dtype)
    if {weights.dtype} != set(dtypes.values()) or not {weights.dtype, center} <= COMPUTED:
        raise ValueError(f"weights and intercepts are {dtypes}; expected float32 or float64")
    for name in (*used, "seconds"):
        if name in tensors and not np.isfinite(tensors[name]).all():
            raise ValueError(f"{name} holds what is no finite number")
    for name in ("cost", "gradient_norm"):  # unknown where weights were assigned: NaN
        if np.isinf(tensors[name]).any():
            raise ValueError(f"{name} holds infinity")
    if tensors["n_iter"].min() < 0 or tensors["n_iter"].max() >= len(cost):
        raise ValueError("n_iter holds more iterations than there are costs")
