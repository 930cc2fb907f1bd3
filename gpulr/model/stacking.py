"""One model of the columns of several: whoever has columns may put them side by side.

Nothing is trained. What the models' records say of training is kept where it is by model, or alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from gpulr.backend import backend_of, to_host
from gpulr.errors import ParameterError
from gpulr.model.record import DataRecord, History, Trained, TrainingSettings, uncentered_intercept
from gpulr.model.selection import origin_of
from gpulr.words import counted, shown

Array = Any
Model = TypeVar("Model", bound=Trained)

# The least number that a margin above 0 reaches, as it has to where there are no thresholds.
ABOVE_ZERO = np.finfo(np.float64).smallest_subnormal
_RENAME = "Give them others, in the same order: dataclasses.replace(model, classes=np.array([…]))."


def stack(models: Sequence[Model]) -> Model:
    """Return one model whose columns are those of several models of the same features.

    The margins are those of the models, side by side. Multi-label models, and models of two
    classes, which have one column each, become one multi-label model; a model of two classes
    contributes the label of its second class, ``classes[1]``. Models of one class per row become
    one model of all their classes, and the largest margin wins. There, each column was trained
    against the other classes of its own model only, so margins are only as comparable as the rows
    of the models are.

    Arrays are of the widest dtype, in the array library of the first model. But if the models were
    standardised around different centres, or only some of them were, the result is float64 and has
    no centre. What the models say of their training is kept if it is per model, or the same for
    all. Costs of models that ended before others stay at their last.

    Parameters
    ----------
    models : sequence of OneVsAll
        The models, in the order of their columns.

    Returns
    -------
    OneVsAll

    Raises
    ------
    ParameterError
        The models have different features, or a class or label in common; or some have one class
        per row and some several labels.

    Examples
    --------
    >>> import gpulr, numpy as np
    >>> X = np.random.default_rng(0).normal(size=(100, 3))
    >>> warm = gpulr.train(X, np.where(X[:, 0] > 0, "warm", "cold"))
    >>> wet = gpulr.train(X, np.where(X[:, 1] > 0, "wet", "dry"))
    >>> gpulr.stack([warm, wet]).predict(X).shape
    (100, 2)
    """
    models = _checked(models)
    first, here = models[0], backend_of(models[0].weights)
    classes = [model.classes[-model.n_models :] for model in models]
    if len({"n" if names.dtype.kind in "biuf" else names.dtype.kind for names in classes}) > 1:
        found = ", ".join(str(names[:3].tolist()) for names in classes)
        raise ParameterError(
            f"Classes have names of different types, {found}; expected all in one way. {_RENAME}"
        )
    names = np.concatenate(classes)
    if twice := [name for name, n in Counter(names.tolist()).items() if n > 1]:
        raise ParameterError(f"Several models have {twice[:10]}; expected each in one. {_RENAME}")
    with here.activate():
        arrays = _arrays(models, here)
    settings, scale = _settings(models)
    shapes = {model.image_shape for model in models}
    spreads = [model.feature_std for model in models]
    std = spreads[0]
    if any(s is None or std is None or not np.array_equal(s, std) for s in spreads):
        std = None
    return replace(
        first,
        **arrays,
        classes=names,
        history=_histories([model.history for model in models]),
        backend=_joined(model.backend for model in models),
        device=_joined(model.device for model in models),
        fallback_reason=_joined(model.fallback_reason or "" for model in models) or None,
        settings=settings,
        scale=scale,
        image_shape=shapes.pop() if len(shapes) == 1 else None,
        data=_data(models),
        versions={
            name: _joined(model.versions.get(name, "") for model in models)
            for name in dict.fromkeys(name for model in models for name in model.versions)
        },
        multilabel=_has_labels(first),
        thresholds=_thresholds(models),
        feature_std=std,
    )


def _checked(models: Iterable[Model]) -> list[Model]:
    """Return models that have the same features and form, or raise ParameterError."""
    listed = list(models) if isinstance(models, Iterable) else []
    if not listed or not all(isinstance(model, Trained) for model in listed):
        kinds = ", ".join(sorted({type(model).__name__ for model in listed}))
        found = f"a {type(models).__name__} of {kinds}" if kinds else shown(models)
        raise ParameterError(f"stack() takes a list of models, one or more; got {found}.")
    models = listed
    if len(sizes := {model.n_features for model in models}) > 1:
        raise ParameterError(
            f"The models have {', '.join(map(str, sorted(sizes)))} features; expected the same in "
            "each. model.select(features=…) leaves some out."
        )
    named = [names for model in models if (names := model.data.get("feature_names")) is not None]
    for names in named[1:]:
        if names != named[0]:
            i = next(i for i, (a, b) in enumerate(zip(names, named[0], strict=True)) if a != b)
            raise ParameterError(
                f"Feature {i} of one model is {named[0][i]!r}, and {names[i]!r} of another. "
                "model.select(features=…) puts features in another order."
            )
    if len({_has_labels(model) for model in models}) > 1:
        raise ParameterError(
            "Some of the models tell one class per row from others, and some have labels of which "
            "a row has any number. Make labels of the former's classes: dataclasses.replace(model, "
            "multilabel=True)."
        )
    return models


def _has_labels(model: Trained) -> bool:
    """Whether each column says yes or no by itself, as that of two classes does."""
    return model.multilabel or model.n_models < len(model.classes)


def _arrays(models: Sequence[Trained], here: Any) -> dict[str, Array]:
    """Return weights and intercepts side by side, around a common centre or none."""
    centers = [None if model.center is None else to_host(model.center) for model in models]
    same = all(np.array_equal(np.asarray(c), np.asarray(centers[0])) for c in centers)  # or None
    wide = not same or any("float64" in str(model.weights.dtype) for model in models)
    dtype = here.xp.float64 if wide else here.xp.float32

    def side_by_side(arrays: Sequence[Array]) -> Array:
        return here.xp.concat([here.asarray(a, dtype) for a in arrays], axis=-1)

    found: dict[str, Array] = {"weights": side_by_side([model.weights for model in models])}
    found |= {"center": None, "intercept_at_center": None}
    if same and centers[0] is not None:
        found["center"] = models[0].center
        at_center = [model.intercept_at_center for model in models]
        found["intercept_at_center"] = side_by_side(at_center)
    exact = [
        model.intercept if same or model.center is None else uncentered_intercept(model)
        for model in models
    ]
    return found | {"intercept": side_by_side(exact)}


def _settings(models: Sequence[Trained]) -> tuple[TrainingSettings, float]:
    """Return what settings say by model, or alike; and the scale that C then refers to."""
    scales = {model.scale for model in models}
    scale = scales.pop() if len(scales) == 1 else 1.0
    settings: Any = _agreed([model.settings for model in models])
    if "scale" in settings:
        settings["scale"] = scale
    # ‖w / scale‖² / C is ‖w‖² / (C scale²).
    C = [_by_model(model, "C", None, (model.scale / scale) ** 2) for model in models]
    weight = [_by_model(model, "pos_weight", 1.0) for model in models]
    for name, parts in (("C", C), ("pos_weight", weight)):
        settings.pop(name, None)
        if not any(part is None for part in parts) and any(name in m.settings for m in models):
            values = np.concatenate(parts)
            settings[name] = values.tolist() if (values != values[0]).any() else float(values[0])
    return settings, scale


def _by_model(model: Trained, name: str, default: Any, factor: float = 1.0) -> Any:
    """Return a setting times a factor for each model, (n_models,); None where it is not known."""
    value: Any = model.settings.get(name)
    value = default if value is None else value
    return None if value is None else np.broadcast_to(np.multiply(value, factor), model.n_models)


def _histories(histories: Sequence[History]) -> History:
    """Return one history of several models' columns; those that ended before stay at their last."""
    n = max(len(history.seconds) for history in histories)

    def padded(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.concatenate([array, np.repeat(array[-1:], n - len(array), axis=0)])

    found: dict[str, Any] = {"seconds": sum(padded(history.seconds) for history in histories)}
    for name in (field.name for field in fields(History) if field.name != "seconds"):
        arrays = [getattr(history, name) for history in histories]
        if any(array is None for array in arrays):
            continue
        if name in ("cost", "gradient_norm"):
            arrays = list(map(padded, arrays))
        found[name] = np.concatenate(arrays, axis=-1)
    return History(**found)


def _thresholds(models: Sequence[Trained]) -> npt.NDArray[np.float64] | None:
    """Return the thresholds of all models; of those without, what a margin above 0 reaches."""
    if all(model.thresholds is None for model in models):
        return None
    own = [
        np.full(m.n_models, ABOVE_ZERO) if m.thresholds is None else m.thresholds for m in models
    ]
    return np.concatenate(own)


def _data(models: Sequence[Trained]) -> DataRecord:
    """Return what is known of the data alike, and where the columns come from."""
    data = _agreed([model.data for model in models])
    for name in ("n_unknown", "prior", "calibration"):  # which are not of all columns
        data.pop(name, None)
    priors = [model.data.get("prior") for model in models]
    if all(priors):
        data["prior"] = [share for prior in priors for share in prior or ()]
    for name in ("name", "source"):
        data[name] = _joined(str(model.data.get(name, "")) for model in models)
    if named := [names for model in models if (names := model.data.get("feature_names"))]:
        data["feature_names"] = named[0]
    parts = (f"{counted(model.n_models, 'column')} of {origin_of(model)}" for model in models)
    return data | {"origin": " and ".join(parts)}  # type: ignore[return-value]


def _agreed(records: Sequence[Any]) -> dict[str, Any]:
    """Return the entries that are in all records, the same."""
    first, *others = records
    return {
        name: value
        for name, value in first.items()
        if all(name in other and other[name] == value for other in others)
    }


def _joined(texts: Iterable[str]) -> str:
    """Return the different ones among texts, with commas."""
    return ", ".join(dict.fromkeys(text for text in texts if text))
