"""What trains a model again, from what its file says."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpulr import datasets
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.record import DataRecord, TrainingSettings
from gpulr.words import counted


def reproduction(model: OneVsAll) -> tuple[str, list[str]]:
    """Return the command line that trains the model again, or else the call in Python; and notes.

    A command line only where it has all that training had; what it cannot say, the notes do.
    """
    data, settings = model.data, model.settings
    if not {"solver", "C", "max_iter", "tol", "dtype"} <= set(settings):
        return "", ["The model does not say how it was trained."]
    notes: list[str] = []
    source, beyond = _source(data), _beyond_the_command_line(settings)
    if source is not None and not beyond:
        # os.path, unlike Path.exists, returns False for what can be no name.
        if source not in datasets.NAMES and not os.path.exists(source):  # noqa: PTH110
            notes.append("The data is no longer where it was, or this is another machine.")
        return _command(model, source), notes
    if source is None:
        notes.append(
            "The model was trained in Python, on data that was passed as arrays; its file does "
            f"not hold them. X has {counted(data.get('n_samples', 0), 'row')} and "
            f"{counted(model.n_features, 'feature')} ({data.get('dtype', 'dtype unknown')})."
        )
    else:
        notes.append(f"The command line has no option for {' and '.join(beyond)}.")
    if settings.get("sample_weight"):
        notes.append("Rows were weighted; the file does not hold the weights.")
    return _call(model, source), notes


def _source(data: DataRecord) -> str | None:
    """Return what --data takes, or None for arrays in memory."""
    name, source = str(data.get("name", "")), str(data.get("source", ""))
    if name in datasets.NAMES:
        return name
    if name == "arrays" or not source:
        return None
    looks_like_a_path = Path(source).is_absolute() or Path(source).suffix
    return source if looks_like_a_path and " from " not in source else None


def _beyond_the_command_line(settings: TrainingSettings) -> list[str]:
    found = {
        "sample_weight": bool(settings.get("sample_weight")),
        "a class_weight for each class": isinstance(settings.get("class_weight"), dict),
        "a C for each model": isinstance(settings.get("C"), list),
        "fit_intercept=False": settings.get("fit_intercept") is False,
    }
    return [name for name, is_so in found.items() if is_so]


def _command(model: OneVsAll, source: str) -> str:
    settings, data = model.settings, model.data
    search = data.get("search")
    words: list[list[str]] = [["gpulr", "search" if search else "train"], ["--data", source]]
    if data.get("label") is not None:
        words.append(["--label", str(data["label"])])
    if split := data.get("split"):
        words += [["--test-size", _number(split["test_size"])], ["--seed", str(split["seed"])]]
    elif source not in ("mnist", "digits"):  # which have a test part
        words.append(["--test-size", "0"])
    words.append(["--backend", model.backend])
    if search:
        words += [
            ["--Cs", ",".join(_number(C) for C in search["Cs"]) + ("," * (len(search["Cs"]) == 1))],
            ["--folds", str(search["folds"])],
            ["--scoring", search["scoring"]],
        ]
        words += [["--one-standard-error"]] if search.get("refit") == "1se" else []
    else:
        words += [["--solver", settings["solver"]], ["--C", _number(settings["C"])]]
    if settings.get("standardize"):
        words.append(["--standardize"])
    else:
        scale = float(settings.get("scale", model.scale))
        words.append(["--scale", "1/255" if scale == 1 / 255 else _number(scale)])
    if settings.get("class_weight") == "balanced":
        words.append(["--balanced"])
    if settings.get("learning_rate") is not None:
        words.append(["--learning-rate", _number(settings["learning_rate"])])
    words += [
        ["--max-iter", str(settings["max_iter"])],
        ["--tol", _number(settings["tol"])],
        ["--dtype", settings["dtype"]],
        *([] if settings.get("batched", True) else [["--loop"]]),
        ["--output", "model.safetensors"],
    ]
    return " \\\n    ".join(" ".join(shlex.quote(word) for word in part) for part in words)


def _call(model: OneVsAll, source: str | None) -> str:
    """Return the call in Python; the arrays go by the names that its documentation has."""
    settings: Mapping[str, Any] = model.settings
    lines, first = ["import gpulr"], ["X", "y"]
    if source is not None:
        lines.append(f"data = gpulr.datasets.load({source!r})")
        if split := model.data.get("split"):
            lines.append(f"data = data.split({split['test_size']!r}, seed={split['seed']!r})")
        first = ["data"]
    arguments = {name: settings.get(name) for name in ("solver", "C")}
    if settings.get("sample_weight"):
        first.append("sample_weight=sample_weight")
    weight = settings.get("class_weight")
    if isinstance(weight, dict):  # the record has labels as text
        labels = [label for label in model.classes.tolist() if str(label) in weight]
        weight = {label: weight[str(label)] for label in labels}
    optional = {"class_weight": weight, "learning_rate": settings.get("learning_rate")}
    arguments |= {name: value for name, value in optional.items() if value is not None}
    if settings.get("standardize"):
        arguments["standardize"] = True
    else:
        arguments["scale"] = settings.get("scale", model.scale)
    if settings.get("fit_intercept") is False:
        arguments["fit_intercept"] = False
    arguments |= {name: settings.get(name) for name in ("max_iter", "tol", "dtype")}
    arguments["backend"] = model.backend
    if source is None and model.image_shape is not None:
        arguments["image_shape"] = model.image_shape
    words = [*first, *(f"{name}={_python(value)}" for name, value in arguments.items())]
    lines += ["model = gpulr.train(", *(f"    {word}," for word in words), ")"]
    return "\n".join([*lines, 'model.save("model.safetensors")'])


def _python(value: Any) -> str:
    """Return a value as Python's source; a long list ends in an ellipsis."""
    if isinstance(value, list):
        more = ["..."] if len(value) > 8 else []
        return f"[{', '.join([*map(_python, value[:8]), *more])}]"
    if isinstance(value, float) and math.isinf(value):
        return 'float("inf")'
    return "1 / 255" if value == 1 / 255 else repr(value)


def _number(x: Any) -> str:
    if x is None or math.isinf(x):  # a model's file holds infinity as null
        return "inf"
    short = f"{x:g}"
    return short if float(short) == x else repr(float(x))
