"""A model of some of the columns and features of another.

Nothing is trained. What the record says of training goes along, and an ``origin`` with it, which
says that the model was not trained as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from gpulr.backend import backend_of, is_device_array, to_host
from gpulr.errors import ParameterError
from gpulr.model.record import DataRecord, History, Trained, uncentered_intercept
from gpulr.words import counted, did_you_mean, shown

Array = Any
Model = TypeVar("Model", bound=Trained)
Places = npt.NDArray[np.int64]

_PIXELS = ("background", "extent", "middle")  # what a record says of whole images


def select(model: Model, *, classes: Any = None, features: Any = None) -> Model:
    """Return a model of some of the classes, some of the features, or both.

    ``model.select(classes=["cat", "dog"])`` tells these two from each other: the larger margin
    wins. Each class keeps the model that was trained, against all other classes.

    Parameters
    ----------
    classes, features : sequence, or a single one; optional
        Which to keep, in this order; None keeps all. A name is the class, label or feature with
        that name. A whole number that is no class's name is a place, counted from 0, or from the
        end if negative; so if classes are numbers, numbers are classes. A mask has one boolean for
        each; a slice is of places. Features have names if the model was trained on a table: those
        of its columns.

        A feature that is left out counts as 0, or after standardised training as its mean.

    Returns
    -------
    OneVsAll

    Raises
    ------
    ParameterError
        Something is not in the model, or is in the selection twice, or nothing is left; or a single
        class of several is asked for, which there would be nothing to tell from; or one of two
        classes, which share one column of weights.
    """
    parts: list[str] = []
    kept: dict[str, Places] = {}
    one, many = ("label", "labels") if model.multilabel else ("class", "classes")
    if classes is not None:
        kept["classes"] = _places("classes", classes, model.classes, one)
        if not model.multilabel and len(kept["classes"]) == 1:
            raise ParameterError(
                f"classes={shown(classes)} leaves one class, which there is nothing to tell from. "
                "Select two or more; or make labels of several classes first, which a row may have "
                "or not: dataclasses.replace(model, multilabel=True).select(…)."
                if model.n_models > 1
                else f"classes={shown(classes)}: two classes have one column of weights, which "
                "cannot be cut. Select both, or neither."
            )
        parts.append(_share(kept["classes"], model.classes, one, many))
    if features is not None:
        known = model.data.get("feature_names")
        names = np.full(model.n_features, None) if known is None else np.array(known, dtype=object)
        kept["features"] = _places("features", features, names, "feature")
        parts.append(_share(kept["features"], names, "feature", "features"))
    selected = take(model, **kept)
    if not parts:
        return selected
    origin = f"{', '.join(parts)} of {origin_of(model)}"
    return replace(selected, data=selected.data | {"origin": origin})


def origin_of(model: Trained) -> str:
    """Return what a model is or was made of, in words."""
    name = model.data.get("name", "arrays")
    unnamed = name in ("arrays", "unnamed")
    return model.data.get("origin", f"a {'trained model' if unnamed else f'model of {name}'}")


def take(model: Model, *, classes: Places | None = None, features: Places | None = None) -> Model:
    """Return a model of the classes and features at some places, in that order."""
    changes: dict[str, Any] = {}
    here = backend_of(model.weights)
    W, b, at_center = model.weights, model.intercept, model.intercept_at_center
    with here.activate():

        def at(array: Array, places: Places, axis: int) -> Array:
            return None if array is None else here.xp.take(array, here.asarray(places), axis=axis)

        if classes is not None:
            changes["classes"] = model.classes[classes]
            changes["data"] = _data_of_models(model, classes)
            thresholds = model.thresholds
            if model.n_models > 1 or model.multilabel:
                W, b, at_center = at(W, classes, 1), at(b, classes, 0), at(at_center, classes, 0)
                changes["thresholds"] = None if thresholds is None else thresholds[classes]
                changes["history"] = _history_of(model.history, classes)
                changes["settings"] = {
                    name: [value[place] for place in classes] if isinstance(value, list) else value
                    for name, value in model.settings.items()
                }
            elif classes[0] == 1:  # two classes that change places
                W, b = -W, -b
                at_center = None if at_center is None else -at_center
                changes["thresholds"] = None if thresholds is None else -thresholds
        changes |= {"weights": W, "intercept": b, "intercept_at_center": at_center}
        if features is not None:
            changes["weights"] = at(W, features, 0)
            changes["center"] = at(model.center, features, 0)
            changes["image_shape"] = None
            std = model.feature_std
            changes["feature_std"] = None if std is None else std[features]
            changes["data"] = _data_of_features(changes.get("data", model.data), features)
            if model.center is not None:
                b = uncentered_intercept(replace(model, **changes))
                changes["intercept"] = here.asarray(b, W.dtype)
    return replace(model, **changes)


def _places(argument: str, wanted: Any, names: npt.NDArray[Any], what: str) -> Places:
    """Return where the names, places or mask that are wanted are; see :func:`select`."""
    n, known = len(names), names.tolist()
    if isinstance(wanted, slice):
        items = list(range(n)[wanted])
        places = items
    else:
        wanted = to_host(wanted) if is_device_array(wanted) else wanted
        several = isinstance(wanted, Iterable) and not isinstance(wanted, str | bytes)
        listed = list(wanted) if several and getattr(wanted, "ndim", 1) != 0 else [wanted]
        items = [
            item.item() if isinstance(item, np.generic | np.ndarray) else item for item in listed
        ]
        place = {name: i for i, name in enumerate(known) if name is not None}
        numbers = names.dtype.kind in "biuf"
        if items and all(isinstance(item, bool) for item in items) and names.dtype.kind != "b":
            if len(items) != n:
                raise ParameterError(
                    f"{argument} is a mask of {len(items)}; expected one of {n}, a boolean for "
                    f"each {what}."
                )
            places = np.flatnonzero(items).tolist()
        else:
            others = [item for item in items if not _is_known(item, place, 0 if numbers else n)]
            if others:
                near = did_you_mean(others[0], map(str, place))
                have = shown(known) if place else f"{n} without names: use numbers from 0 on"
                raise ParameterError(
                    f"{argument} has {shown(others[0])}{near}, which is not in the model. It has "
                    f"{have}."
                )
            places = [place[item] if item in place else item % n for item in items]
    if not places or len(set(places)) < len(places):
        fault = "one of them twice" if places else "nothing"
        raise ParameterError(f"{argument}={shown(wanted)} selects {fault}; expected each once.")
    return np.array(places, dtype=np.int64)


def _is_known(item: Any, place: dict[Any, int], n: int) -> bool:
    """Whether something is a name, or a place among n."""
    try:
        if item in place:
            return True
    except TypeError:  # it has no hash
        return False
    return isinstance(item, int) and not isinstance(item, bool) and -n <= item < n


def _share(places: Places, names: npt.NDArray[Any], one: str, many: str) -> str:
    return f"{len(places):,} of {counted(len(names), one, many)}"


def _history_of(history: History, models: Places) -> History:
    """Return the history of some models."""
    changes: dict[str, Any] = {}
    for name in (field.name for field in fields(history) if field.name != "seconds"):
        array = getattr(history, name)
        changes[name] = None if array is None else array[..., models]
    return replace(history, **changes)


def _data_of_models(model: Trained, classes: Places) -> DataRecord:
    """Return what is known of the data of some models: of two classes there is one for both."""
    found: Any = model.data.copy()
    found.pop("n_unknown", None)  # of all labels
    models, turned = classes, False
    if model.n_models < len(model.classes):
        models, turned = np.zeros(1, np.int64), classes[0] == 1
    if prior := found.get("prior"):
        found["prior"] = [1 - prior[j] if turned else prior[j] for j in models]
    if calibration := found.get("calibration"):  # −(a z + b) is a (−z) − b
        a, b = (np.array(calibration[name])[models] for name in ("a", "b"))
        b = -b if turned else b
        found["calibration"] = calibration | {"a": a.tolist(), "b": b.tolist()}
    return found  # type: ignore[no-any-return]


def _data_of_features(data: DataRecord, features: Places) -> dict[str, Any]:
    """Return what is known of the data of some features."""
    found: dict[str, Any] = {name: data[name] for name in data if name not in _PIXELS}  # type: ignore[literal-required]
    if names := data.get("feature_names"):
        found["feature_names"] = [names[place] for place in features]
    return found
