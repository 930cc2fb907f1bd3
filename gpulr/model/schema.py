"""What a model's file must be: JSON as the record types say, and arrays that fit each other.

Whatever is used of a model is checked here, so that nothing of a hostile file fails later.
"""

import math
import sys
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
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
ANY_LENGTH, ANY_NUMBER = Within(0, math.inf), Within()
COMPUTED = (np.float32, np.float64)


def fault(value: Any, expected: Any, where: str, within: Within | None = None) -> str:
    """Say that a value of JSON is not of the expected type, and ``where`` it is; "" if it is.

    A whole number is a float too; null stands for infinity, which JSON does not have, where that is
    allowed.
    """
    origin, arguments = get_origin(expected), get_args(expected)
    if origin in (Annotated, NotRequired):
        return fault(value, arguments[0], where, *arguments[1:])
    if origin in (Union, UnionType):
        faults = [fault(value, each, where) for each in arguments]
        return "" if "" in faults else " or: ".join(faults)
    if origin is Literal:
        right, wanted = isinstance(value, str) and value in arguments, f"one of {arguments}"
    elif origin is dict or is_typeddict(expected):
        right, wanted = isinstance(value, dict), "an object"
        if right and (missing := getattr(expected, "__required_keys__", set()) - value.keys()):
            return f"{where} has no {min(missing)}"
    elif origin is list:
        length = within or ANY_LENGTH
        right = isinstance(value, list) and length.least <= len(value) <= length.most
        wanted = f"a list{_size(length)}"
    elif expected in (int, float):
        within = within or ANY_NUMBER
        right = isinstance(value, int | expected) and not isinstance(value, bool)
        right = right and within.least <= value <= min(within.most, sys.float_info.max)  # not NaN
        right = right or (value is None and within.most == math.inf)
        kind = "whole number" if expected is int else "number"
        wanted = f"a {kind} from {within.least:g} to {within.most:g}"
    else:
        right, wanted = expected is Any or isinstance(value, expected), NAMES.get(expected, "")
    if not right:
        # The value may be of any size.
        found = f"{value!r:.60}"
        if isinstance(value, dict | list):
            found = f"a {type(value).__name__} of {len(value)}"
        return f"{where} is {found}; expected {wanted}"
    return next(filter(None, (fault(*item) for item in _items(value, expected, where))), "")


def _size(length: Within) -> str:
    """Say how long a list may be, where that is bounded."""
    if length.most >= sys.float_info.max:
        return f" of {length.least:.0f} or more" if length.least > 0 else ""
    least, most = f"{length.least:.0f}", f"{length.most:.0f}"
    return f" of {least}" if least == most else f" of {least} to {most}"


def _items(value: Any, expected: Any, where: str) -> Iterator[tuple[Any, Any, str]]:
    """Return what a list or an object holds: each value, its type, and where it is."""
    if get_origin(expected) is list:
        (each,) = get_args(expected)
        yield from ((item, each, f"{where}[{i}]") for i, item in enumerate(value))
    elif isinstance(value, dict) and expected is not Any:
        record = is_typeddict(expected)
        known = get_type_hints(expected, include_extras=True) if record else {}
        others = OTHERS.get(expected, Any) if record else get_args(expected)[1]
        for name, item in value.items():
            yield item, known.get(name, others), f"{where}.{name:.40}"


def check_record(record: Any, n_features: int, n_models: int) -> None:
    """Raise ValueError where what a file says is of a wrong type, or does not fit the weights."""
    if wrong := fault(record, Record, "model"):
        raise ValueError(wrong)
    C, shape = record["settings"].get("C"), record["image_shape"]
    if isinstance(C, list) and len(C) != n_models:
        raise ValueError(f"model.settings.C has {len(C)} values for {n_models} models")
    if shape is not None and math.prod(shape) != n_features:
        raise ValueError(f"model.image_shape {shape} does not hold {n_features} features")
    if search := record["data"].get("search"):
        n_scores = {len(scores) for scores in search["scores"]}
        if n_scores != {len(search["Cs"])} or len(search["scores"]) != search["folds"]:
            raise ValueError("model.data.search has not a score for each fold and C")
    data, each = record["data"], {}
    if calibration := data.get("calibration"):
        each = {f"calibration.{name}": calibration[name] for name in ("a", "b")}
    for name, values in {**each, "prior": data.get("prior")}.items():
        if values is not None and len(values) != n_models:
            raise ValueError(f"model.data.{name} has {len(values)} values for {n_models} models")


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
        raise ValueError(
            f"model.classes.dtype is {name!r:.60}; expected that of numbers, "
            "booleans, text, bytes or times"
        )
    if wrong := fault(values, list[LABELS.get(dtype.kind, int)], "model.classes.values"):  # type: ignore[misc]
        raise ValueError(wrong)
    if dtype.kind in "SU":
        longest = max(map(len, values))
        if longest > dtype.itemsize // (4 if dtype.kind == "U" else 1):
            raise ValueError(f"model.classes.values has a label longer than {name}")
        if len(values) * dtype.itemsize > limit:
            dtype = np.dtype(f"{name[:2]}{max(1, longest)}")
    if dtype.kind == "S":
        values = [label.encode("latin-1") for label in values]  # each character was a byte
    try:
        classes: npt.NDArray[Any] = np.asarray(values, np.int64 if dtype.kind in "mM" else dtype)
    except OverflowError as error:
        raise ValueError(f"model.classes.values: {error}") from error
    if dtype.kind in "mM":
        classes = classes.view(dtype)
    if len(np.unique(classes)) < len(classes):
        raise ValueError("model.classes.values has a label twice")
    return classes


def check_tensors(
    tensors: Mapping[str, npt.NDArray[Any]], n_classes: int, multilabel: bool
) -> None:
    """Raise ValueError where an array is missing or of another shape, dtype or value than fits."""
    weights, cost = tensors.get("weights"), tensors.get("cost")
    if weights is None or weights.ndim != 2 or cost is None or cost.ndim != 2:
        raise ValueError("it lacks weights or costs")
    n_features, n_models = weights.shape
    fitting = [n_classes] if n_classes > 1 or multilabel else []
    if n_classes == 2 and not multilabel:
        fitting.append(1)
    if n_features < 1 or n_models not in fitting:
        raise ValueError(f"weights {weights.shape} do not fit {n_classes} classes")
    each, own = (n_models,), (weights.dtype.type,)
    not_finite = ("what is no finite number", lambda array: ~np.isfinite(array))
    # Costs are NaN, unknown, where weights were assigned.
    infinite = ("infinity", np.isinf)
    beyond_costs = (
        "negative numbers, or more iterations than there are costs",
        lambda n: (n < 0) | (n >= len(cost)),
    )
    # Shape, dtype, and which values may not be, in words and as a predicate.
    expected: dict[str, tuple[tuple[int, ...], tuple[type, ...], tuple[str, Any]]] = {
        "weights": (weights.shape, COMPUTED, not_finite),
        "intercept": (each, own, not_finite),
        "cost": ((max(1, len(cost)), n_models), (np.floating,), infinite),
        "gradient_norm": (cost.shape, (np.floating,), infinite),
        "seconds": ((len(cost),), (np.floating,), not_finite),
        "n_iter": (each, (np.signedinteger,), beyond_costs),
        "converged": (each, (np.bool_,), not_finite),
        "stalled": (each, (np.bool_,), not_finite),
    }
    if "refreshes" in tensors:  # earlier versions do not know it
        below = ("numbers below -1", lambda n: n < -1)
        expected["refreshes"] = (each, (np.signedinteger,), below)
    if "center" in tensors or "intercept_at_center" in tensors:
        expected["center"] = ((n_features,), COMPUTED, not_finite)
        expected["intercept_at_center"] = (each, own, not_finite)
    if "feature_std" in tensors:
        no_deviation = ("NaN, infinity or negative numbers", lambda s: ~((s >= 0) & (s < np.inf)))
        expected["feature_std"] = ((n_features,), (np.float64,), no_deviation)
    if "thresholds" in tensors:
        unordered = ("NaN or -infinity", lambda t: ~(t > -np.inf))
        expected["thresholds"] = (each, (np.float64,), unordered)
    for name, (shape, dtypes, (words, wrong)) in expected.items():
        array = tensors.get(name)
        if array is None or array.shape != shape or not issubclass(array.dtype.type, dtypes):
            found = "missing" if array is None else f"{array.shape} {array.dtype}"
            kinds = " or ".join(dtype.__name__ for dtype in dtypes)
            raise ValueError(f"{name} is {found}; expected {shape} {kinds}")
        if wrong(array).any():
            raise ValueError(f"{name} holds {words}")
