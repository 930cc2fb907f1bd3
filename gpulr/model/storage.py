"""Model files: safetensors with JSON metadata, whole or not at all.

A file is written beside its target and moved over it, so a full disk or a killed process leaves the
old file intact. It holds a sha256 of its tensors and metadata (safetensors itself has no checksum),
which is verified on loading. Nothing in it is executable, and no pickle is involved.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import to_host
from gpulr.errors import ModelFileError, ParameterError
from gpulr.model.record import FACTS, History, Trained
from gpulr.model.schema import check_record, check_tensors, classes_of
from gpulr.output_files import path_of, replace_file
from gpulr.words import is_there_another

FORMAT = "gpulr-one-vs-all"
VERSION = 2  # what this gpulr reads, and every earlier one
PLAIN = 1  # written for models without thresholds, of which earlier versions predict the same
SUFFIX = ".safetensors"
_HISTORY = tuple(field.name for field in fields(History))
# All but the first two: or None.
_ARRAYS = ("weights", "intercept", "center", "intercept_at_center", "thresholds", "feature_std")


def save(model: Trained, path: str | Path, beside: Mapping[str, Any] | None = None) -> None:
    """Write the model to one file, which :func:`gpulr.load` reads; its name ends in .safetensors.

    A file that is there is replaced only when the new one is complete. ``beside`` has arrays to
    store with the model's, under names of their own.

    Raises
    ------
    ParameterError
        ``path`` is no path, or its name ends otherwise.
    ModelFileError
        The file could not be written (no such folder, disk full, …), or its classes are objects
        that a file cannot hold; what was there before is untouched.
    """
    from safetensors.numpy import save as to_bytes

    path = path_of("path", path)
    check_suffix(path, str(path))
    arrays = {name: getattr(model, name) for name in _ARRAYS}
    arrays |= {name: getattr(model.history, name) for name in _HISTORY}
    arrays |= beside or {}
    tensors = {
        name: np.ascontiguousarray(to_host(a)) for name, a in arrays.items() if a is not None
    }
    record = {"classes": _classes(model.classes, path)}
    record |= {name: getattr(model, name) for name in FACTS}
    try:
        # ASCII only: a path that is not Unicode has surrogates, which UTF-8 cannot hold.
        text = json.dumps(_without_infinity(record), allow_nan=False)
        _fields(tensors, text)  # what could not be loaded is not written
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelFileError(
            path,
            f"the model was not written, since what it says could not be read again: {error}",
            "What was there before is untouched; correct the model, then save it.",
        ) from error
    version = PLAIN if model.thresholds is None else VERSION
    metadata = {"format": FORMAT, "format_version": str(version), "model": text}
    metadata["sha256"] = _digest(tensors, text)
    replace_file(path, to_bytes(tensors, metadata=metadata))


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Return the fields of the model in a file, and what lies beside it; arrays are NumPy's.

    What lies beside is whole, but nothing else is known of it.

    Raises ModelFileError and ParameterError as :func:`gpulr.load` does.
    """
    from safetensors import safe_open

    path = path_of("path", path)
    if missing := _why_missing(path):
        raise ModelFileError(path, missing, "Pass the path that the model was saved to.")
    tensors = {}
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") == FORMAT:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # not only SafetensorError: OSError, TypeError, UnicodeDecodeError…
        raise ModelFileError(
            path,
            f"not a readable model file ({error}; {path.stat().st_size} bytes)",
            "It is damaged or was not written by gpulr: train again, or restore it from a copy.",
        ) from error
    text, version = metadata.get("model", ""), metadata.get("format_version")
    cause: Exception | None = None
    if metadata.get("format") != FORMAT:
        fault = "a safetensors file, but not a gpulr model"
        cure = "Pass a file that `gpulr train --output` or OneVsAll.save wrote."
    elif version not in [str(each) for each in range(PLAIN, VERSION + 1)]:
        fault = f"model format version {version}, this gpulr reads {PLAIN} to {VERSION}"
        cure = "Update gpulr."
    elif metadata.get("sha256") != _digest(tensors, text):
        fault = "its content does not match its sha256: the file is damaged"
        cure = "Train again, or restore it from a copy."
    else:
        try:
            found = _fields(tensors, text)
            return found, {name: tensors[name] for name in tensors.keys() - {*_ARRAYS, *_HISTORY}}
        except (ValueError, RecursionError, MemoryError) as error:
            fault, cure = f"incomplete model ({type(error).__name__}: {error})", "Train again."
            cause = error
    raise ModelFileError(path, fault, cure) from cause


def _why_missing(path: Path) -> str:
    """Say why there is no file at a path; nothing if there is one."""
    try:
        if path.is_file():
            return ""
        return (
            "is not a file" if path.exists() else f"there is no such file{is_there_another(path)}"
        )
    except OSError as error:  # a name too long, or a folder that must not be searched
        return f"cannot be looked for ({error.strerror})"


def is_model(path: Path) -> bool:
    """Whether a file looks like a model of gpulr's, whole or damaged, by its first bytes."""
    with path.open("rb") as file:
        return FORMAT.encode() in file.read(4096) or path.stat().st_size == 0


def _fields(tensors: dict[str, npt.NDArray[Any]], text: str) -> dict[str, Any]:
    """Return the fields of a model from a file's arrays and text, or raise ValueError."""
    record = json.loads(text)
    weights = tensors.get("weights", np.zeros(0))
    check_record(record, len(weights), math.prod(weights.shape[1:]))
    classes = classes_of(record["classes"], limit=2**20 + 64 * len(text))
    record = {"multilabel": False} | record
    check_tensors(tensors, len(classes), record["multilabel"])
    settings, shape = record["settings"], record["image_shape"]
    if isinstance(C := settings.get("C", 1.0), list):
        settings["C"] = [math.inf if each is None else each for each in C]
    elif C is None:
        settings["C"] = math.inf
    history: dict[str, Any] = {name: tensors.get(name) for name in _HISTORY}
    return {
        **{name: record[name] for name in FACTS},
        **{name: tensors.get(name) for name in _ARRAYS},
        "classes": classes,
        "history": History(**history),
        "image_shape": None if shape is None else tuple(shape),
    }


def _classes(classes: npt.NDArray[Any], path: Path) -> dict[str, Any]:
    """Return labels as JSON holds them: numbers, booleans, text; times as whole numbers."""
    kind, values = classes.dtype.kind, classes
    if kind == "O":
        raise ModelFileError(
            path,
            f"the model was not written: its classes are {type(classes[0]).__name__} objects, and "
            "a file holds numbers, text, bytes or NumPy's times",
            "Give it such names, in the same order: dataclasses.replace(model, "
            "classes=model.classes.astype(str)).save(path).",
        )
    if kind == "f" and classes.dtype.itemsize > 8:
        values = classes.astype(np.float64)  # JSON has no wider numbers
        if not np.array_equal(values, classes):
            raise ModelFileError(
                path,
                f"the model was not written: its classes are {classes.dtype} numbers that float64 "
                "does not hold",
                "Give it names: dataclasses.replace(model, classes=model.classes.astype(str)).",
            )
    dtype = values.dtype.str
    if kind in "mM":
        values = values.view(np.int64)
    elif kind == "S":
        values = np.array([label.decode("latin-1") for label in classes.tolist()])  # byte by byte
    return {"dtype": dtype, "values": values.tolist()}


def _without_infinity(value: Any) -> Any:
    """Replace infinite numbers, which JSON does not have, by null, and NumPy's by Python's."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, dict):
        return {key: _without_infinity(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_infinity(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _digest(tensors: dict[str, npt.NDArray[Any]], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name} {tensor.dtype.str} {tensor.shape}\0".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def check_suffix(path: Path, subject: str) -> None:
    """Raise ParameterError, which names the ``subject``, for the suffix of another format."""
    if path.suffix.lower() != SUFFIX:
        named = path.with_suffix(SUFFIX) if path.name else path / f"model{SUFFIX}"
        raise ParameterError(
            f"{subject}: a model's file is in the safetensors format, and its name ends so: use "
            f"{named}. `gpulr export` writes .onnx and .joblib."
        )
