"""What trains a model again, from what its file says."""

from __future__ import annotations

import csv
import io
import math
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpulr import datasets
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.record import DataRecord
from gpulr.reporting.paths import file_name
from gpulr.words import counted

# What training does unless told otherwise, and the command line's way to say something else.
DEFAULTS = {
    **{"learning_rate": None, "class_weight": None, "pos_weight": None, "sample_weight": False},
    **{"fit_intercept": True, "standardize": False, "batched": True},
}
FLAGS = {
    "class_weight": "--balanced",
    "batched": "--loop",
    "standardize": "--standardize",
    "calibrate": "--calibrate",
}


def reproduction(model: OneVsAll) -> tuple[str, list[str]]:
    """Return the command line that trains the model again, or else the call in Python; and notes.

    A command line only where it has all that training had; what it cannot say, the notes do. Files
    are named without their folders, which are nobody's but the trainer's.
    """
    data, settings = model.data, model.settings
    if "origin" in data:
        return "", [f"The model was not trained as it is. It is made of {data['origin']}."]
    if not {"solver", "C", "max_iter", "tol", "dtype"} <= set(settings):
        return "", ["The model does not say how it was trained."]
    arguments: dict[str, Any] = {
        name: value
        for name, value in settings.items()
        if name not in DEFAULTS or value != DEFAULTS[name]
    }
    if "standardize" in arguments:
        arguments.pop("scale", None)
    else:
        arguments.setdefault("scale", model.scale)
    arguments["backend"] = model.backend
    source, notes = _source(data), []
    own_search = "best_C" in (data.get("search") or {})
    only_in_python = {
        "sample_weight": "sample_weight" in arguments,
        "a class_weight for each class": isinstance(arguments.get("class_weight"), dict),
        "pos_weight": "pos_weight" in arguments,
        "a C for each model": isinstance(arguments["C"], list) and not own_search,
        "fit_intercept=False": "fit_intercept" in arguments,
    }
    refined = (data.get("calibration"), data.get("thresholds"))
    if any(each and "folds" not in each for each in refined):
        notes.append(
            f"It was then given {' and '.join(model.refinements)}, with OneVsAll.calibrated or "
            "with_thresholds."
        )
    beyond = [name for name, is_so in only_in_python.items() if is_so]
    if source is not None and not beyond:
        if source not in datasets.NAMES:
            # os.path, unlike Path.exists, returns False for what can be no name.
            gone = not os.path.exists(source)  # noqa: PTH110
            source = file_name(source)
            notes.append(
                f"{source} is no longer where it was, or this is another machine."
                if gone
                else f"Run it in the folder of {source}, which this page leaves out."
            )
        return _command(data, source, arguments), notes
    if source is None:
        notes.append(
            "The model was trained in Python, on data that was passed as arrays; its file does "
            f"not hold them. X has {counted(data.get('n_samples', 0), 'row')} and "
            f"{counted(model.n_features, 'feature')} ({data.get('dtype', 'dtype unknown')})."
        )
    else:
        notes.append(f"The command line has no option for {' and '.join(beyond)}.")
    if "sample_weight" in arguments:
        notes.append("Rows were weighted; the file does not hold the weights.")
    return _call(model, source, arguments), notes


def _source(data: DataRecord) -> str | None:
    """Return what --data takes, or None for arrays in memory."""
    name, source = str(data.get("name", "")), str(data.get("source", ""))
    if name in datasets.NAMES:
        return name
    looks_like_a_path = Path(source).is_absolute() or Path(source).suffix
    return source if looks_like_a_path and name != "arrays" and " from " not in source else None


def _command(data: DataRecord, source: str, arguments: Mapping[str, Any]) -> str:
    search, options = data.get("search"), dict[str, Any](data=source)
    if data.get("label") is not None:
        options["label"] = str(data["label"])
    if data.get("chosen_features"):
        options["features"] = _csv_line(data.get("feature_names") or [])
    if split := data.get("split"):
        options |= {"test_size": split["test_size"], "seed": split["seed"]}
    elif source not in ("mnist", "digits"):  # which have a test part
        options["test_size"] = 0
    if search:
        Cs = ",".join(map(_number, search["Cs"])) + ("," if len(search["Cs"]) == 1 else "")
        options |= {"Cs": Cs, "folds": search["folds"], "scoring": search["scoring"]}
        arguments = {k: value for k, value in arguments.items() if k not in ("solver", "C")}
    options |= arguments
    if (calibration := data.get("calibration")) and "folds" in calibration:
        options["calibrate"] = True
    if (chosen := data.get("thresholds")) and "folds" in chosen:
        least = f"={_number(chosen['least'])}" if chosen["least"] else ""
        options["thresholds"] = f"{chosen['by']}{least}"
    if options.get("scale") == 1 / 255:
        options["scale"] = "1/255"
    words = ["gpulr search" if search else "gpulr train"]
    for name, value in {**options, "output": "model.safetensors"}.items():
        value = value if isinstance(value, str) else _number(value)
        option = f"--{name.replace('_', '-')} {shlex.quote(value)}"
        words.append(FLAGS.get(name, option))
    if search and search.get("refit") == "1se":
        words.append("--one-standard-error")
    if search and "best_C" in search:
        words.append("--per-model")
    return " \\\n    ".join(words)


def _csv_line(names: list[str]) -> str:
    """Return names as a line of a table, those with commas in quotes."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(names)
    return line.getvalue()


def _call(model: OneVsAll, source: str | None, arguments: dict[str, Any]) -> str:
    """Return the call in Python; the arrays go by the names that its documentation has."""
    lines, words = ["import gpulr"], ["X", "y"]
    if source is not None:
        lines.append(f"data = gpulr.datasets.load({file_name(source)!r})")
        if split := model.data.get("split"):
            lines.append(f"data = data.split({split['test_size']!r}, seed={split['seed']!r})")
        words = ["data"]
    if arguments.pop("sample_weight", False):
        words.append("sample_weight=sample_weight")
    weight = arguments.get("class_weight")
    if isinstance(weight, dict):  # the record has labels as text
        labels = [label for label in model.classes.tolist() if str(label) in weight]
        arguments["class_weight"] = {label: weight[str(label)] for label in labels}
    if source is None and model.image_shape is not None:
        arguments["image_shape"] = model.image_shape
    words += [f"{name}={_python(value)}" for name, value in arguments.items()]
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
    return short if float(short) == x and not isinstance(x, int) else repr(x)
