"""What a model's file must be: JSON as the record types say, and arrays that fit each other.

Whatever is used of a model is checked here, so that nothing of a hostile file fails later.
"""

import math
import sys
from collections.abc import Mapping
from functools import cache
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NoReturn,
    NotRequired,
    TypedDict,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import numpy as np
import numpy.typing as npt

from gpulr.model.record import DataRecord, Scale, Simple, TrainingSettings, Within


class Classes(TypedDict):
    """The field ``classes`` of a model's file."""

    dtype: str
    values: Annotated[list[Any], Within(1)]


class Record(TypedDict):
    """What a model's file says in JSON."""

    classes: Classes
    multilabel: NotRequired[bool]  # older files lack it
    backend: str
    device: str
    fallback_reason: str | None
    settings: TrainingSettings
    scale: Scale
    image_shape: Annotated[list[Annotated[int, Within(1, 2**63 - 1)]], Within(1, 32)] | None
    data: DataRecord
    versions: dict[str, str]


# Later versions may add fields to any record; settings are shown, so theirs have to be simple.
OTHERS: dict[Any, Any] = {TrainingSettings: Simple | list[float] | dict[str, float]}
LABELS: dict[str, Any] = {"b": bool, "f": float, "S": str, "U": str}  # by kind of dtype
NAMES = {str: "text", bool: "true or false", NoneType: "null"}
ANY_LENGTH = Within(0, math.inf)
COMPUTED = {np.dtype(np.float32), np.dtype(np.float64)}


def check(value: Any, expected: Any, where: str, within: Within | None = None) -> None:
    """Raise ValueError unless a value of JSON is of the expected type; it names ``where`` that is.

    A whole number is a float too; null stands for infinity, which JSON does not have, where that is
    allowed.
    """
    origin, arguments = get_origin(expected), get_args(expected)
    if origin in (Annotated, NotRequired):
        check(value, arguments[0], where, *arguments[1:])
    elif origin in (Union, UnionType):
        _check_any(value, arguments, where)
    elif origin is Literal:
        if isinstance(value, dict | list) or value not in arguments:
            refuse(value, where, f"one of {arguments}")
    elif origin is dict or is_typeddict(expected):
        _check_fields(value, expected, where)
    elif origin is list:
        _check_list(value, arguments[0], where, within or ANY_LENGTH)
    elif expected in (int, float):
        _check_number(value, expected, where, within or Within())
    elif expected is not Any and not isinstance(value, expected):
        refuse(value, where, NAMES[expected])


def _check_any(value: Any, types: tuple[Any, ...], where: str) -> None:
    refusals = []
    for each in types:
        try:
            return check(value, each, where)
        except ValueError as refusal:
            refusals.append(str(refusal))
    raise ValueError(" or: ".join(refusals))


def _check_fields(value: Any, record: Any, where: str) -> None:
    if not isinstance(value, dict):
        refuse(value, where, "an object")
    if is_typeddict(record):
        known, others = _types_of(record), OTHERS.get(record, Any)
        for name in sorted(record.__required_keys__ - value.keys()):
            raise ValueError(f"{where} has no {name}")
    else:
        known, others = {}, get_args(record)[1]
    for name, item in value.items():
        check(item, known.get(name, others), f"{where}.{name:.40}")


@cache
def _types_of(record: Any) -> dict[str, Any]:
    return get_type_hints(record, include_extras=True)


def _check_list(value: Any, each: Any, where: str, length: Within) -> None:
    if not isinstance(value, list) or not length.least <= len(value) <= length.most:
        size = "" if length == ANY_LENGTH else f" of {length.least} to {length.most:.0f}"
        refuse(value, where, f"a list{size}")
    for i, item in enumerate(value):
        check(item, each, f"{where}[{i}]")


def _check_number(value: Any, expected: type, where: str, within: Within) -> None:
    if value is None and within.most == math.inf:
        return
    real = isinstance(value, int | expected) and not isinstance(value, bool)
    largest = min(within.most, sys.float_info.max)
    if not (real and within.least <= value <= largest):  # NaN fails this too
        kind = "whole number" if expected is int else "number"
        refuse(value, where, f"a {kind} from {within.least:g} to {within.most:g}")


def refuse(value: Any, where: str, expected: str) -> NoReturn:
    """Raise ValueError for a value; it may be of any size."""
    found = f"a {type(value).__name__}" if isinstance(value, dict | list) else f"{value!r:.60}"
    raise ValueError(f"{where} is {found}; expected {expected}")


def check_record(record: Any, n_features: int, n_models: int) -> None:
    """Check what a model's file says in JSON.

    Raises ValueError where something is of another type, or does not fit the weights.
    """
    check(record, Record, "model")
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
    """Return the labels of the field ``classes``, which are distinct, in their dtype.

    A dtype that takes more bytes than ``limit`` for them becomes as wide as the longest label.

    Raises ValueError where they are not labels of that dtype.
    """
    name, values = record["dtype"], record["values"]
    try:
        dtype = np.dtype(name)
    except (TypeError, ValueError, SyntaxError, MemoryError) as error:
        raise ValueError(f"model.classes.dtype is {name!r:.60}: {error}") from error
    if dtype.kind not in "biufSUmM" or dtype.str != name:
        refuse(name, "model.classes.dtype", "that of numbers, booleans, text, bytes or times")
    check(values, list[LABELS.get(dtype.kind, int)], "model.classes.values")  # type: ignore[misc]
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

    Raises ValueError where one is missing, or has another shape, dtype or values than it should.
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
