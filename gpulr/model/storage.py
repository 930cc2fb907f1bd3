"""Model files: safetensors with JSON metadata, whole or not at all.

A file is written beside its target and moved over it, so a full disk or a killed process leaves the
old file intact. It holds a sha256 of its tensors and metadata (safetensors itself has no checksum),
which is verified on loading. Nothing in it is executable, and no pickle is involved.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import to_host
from gpulr.errors import FileNotWrittenError, ModelFileError, ParameterError
from gpulr.model.one_vs_all import History, OneVsAll
from gpulr.model.record import check_record, check_tensors, classes_of
from gpulr.output_files import replaced
from gpulr.validation.arrays import path_of
from gpulr.words import is_there_another

__all__ = [
    "check_folder",
    "check_suffix",
    "is_model",
    "load",
    "replace_file",
    "replaced",
    "save",
]

FORMAT = "gpulr-one-vs-all"
VERSION = 1
SUFFIX = ".safetensors"
_HISTORY = ("cost", "gradient_norm", "seconds", "n_iter", "converged", "stalled")
_CENTERED = ("center", "intercept_at_center")  # of a standardised model only


def save(model: OneVsAll, path: str | Path) -> None:
    """Write a model to ``path``, replacing what is there only when the new file is complete.

    Raises
    ------
    ParameterError
        It is no path, or the name does not end in .safetensors.
    ModelFileError
        It could not be written (no such folder, disk full, …), or its classes are objects that a
        file cannot hold; what was there before is untouched.
    """
    from safetensors.numpy import save as to_bytes

    path = path_of("path", path)
    check_suffix(path, str(path))
    tensors = {
        "weights": np.ascontiguousarray(to_host(model.weights)),
        "intercept": np.ascontiguousarray(to_host(model.intercept)),
        **{name: np.ascontiguousarray(getattr(model.history, name)) for name in _HISTORY},
    }
    if model.center is not None:
        tensors |= {name: np.ascontiguousarray(to_host(getattr(model, name))) for name in _CENTERED}
    classes = model.classes
    if classes.dtype.kind == "f" and classes.dtype.itemsize > 8:
        classes = classes.astype(np.float64)  # JSON has no wider numbers
        if not np.array_equal(classes, model.classes):
            raise ModelFileError(
                Path(path),
                f"the model was not written: its classes are {model.classes.dtype} numbers that "
                "float64 does not hold",
                "Give it names: dataclasses.replace(model, classes=model.classes.astype(str)).",
            )
    record = {
        "classes": {"dtype": classes.dtype.str, "values": _values(classes, path)},
        "multilabel": model.multilabel,
        "backend": model.backend,
        "device": model.device,
        "fallback_reason": model.fallback_reason,
        "settings": model.settings,
        "scale": model.scale,
        "image_shape": model.image_shape,
        "data": model.data,
        "versions": model.versions,
    }
    try:
        # ASCII only: a path that is not Unicode has surrogates, which UTF-8 cannot hold.
        text = json.dumps(_without_infinity(record), allow_nan=False)
        _model(tensors, text)  # what could not be loaded is not written
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelFileError(
            path,
            f"the model was not written, since what it says could not be read again: {error}",
            "What was there before is untouched; correct the model, then save it.",
        ) from error
    metadata = {
        "format": FORMAT,
        "format_version": str(VERSION),
        "model": text,
        "sha256": _digest(tensors, text),
    }
    replace_file(path, to_bytes(tensors, metadata=metadata))


def load(path: str | Path) -> OneVsAll:
    """Read a model that :meth:`OneVsAll.save` wrote; its arrays are NumPy's.

    Raises
    ------
    ModelFileError
        No such file, not a model of gpulr's, written by a newer gpulr, or damaged.
    ParameterError
        It is no path.
    """
    from safetensors import safe_open

    path = path_of("path", path)
    found = ""
    try:
        if not path.is_file():
            found = (
                "is not a file"
                if path.exists()
                else f"there is no such file{is_there_another(path)}"
            )
    except OSError as error:  # a name too long, or a folder that must not be searched
        found = f"cannot be looked for ({error.strerror})"
    if found:
        raise ModelFileError(path, found, "Pass the path that the model was saved to.")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ModelFileError(
                    path,
                    "a safetensors file, but not a gpulr model",
                    "Pass a file that `gpulr train --output` or OneVsAll.save wrote.",
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except ModelFileError:
        raise
    except Exception as error:  # not only SafetensorError: OSError, TypeError, UnicodeDecodeError…
        raise ModelFileError(
            path,
            f"not a readable model file ({error}; {path.stat().st_size} bytes)",
            "It is damaged or was not written by gpulr: train again, or restore it from a copy.",
        ) from error
    if metadata.get("format_version") != str(VERSION):
        raise ModelFileError(
            path,
            f"model format version {metadata.get('format_version')}, this gpulr reads {VERSION}",
            "Update gpulr.",
        )
    text = metadata.get("model", "")
    if metadata.get("sha256") != _digest(tensors, text):
        raise ModelFileError(
            path,
            "its content does not match its sha256: the file is damaged",
            "Train again, or restore it from a copy.",
        )
    try:
        return _model(tensors, text)
    except (ValueError, RecursionError, MemoryError) as error:
        raise ModelFileError(
            path, f"incomplete model ({type(error).__name__}: {error})", "Train again."
        ) from error


def is_model(path: Path) -> bool:
    """Whether a file looks like a model of gpulr's, whole or damaged, by its first bytes."""
    with path.open("rb") as file:
        return FORMAT.encode() in file.read(4096) or path.stat().st_size == 0


def _model(tensors: dict[str, npt.NDArray[Any]], text: str) -> OneVsAll:
    """Return the model of a file's arrays and text, or raise ValueError where they are none."""
    record: dict[str, Any] = json.loads(text)
    weights = tensors.get("weights", np.zeros(0))
    check_record(record, len(weights), math.prod(weights.shape[1:]))
    classes = classes_of(record["classes"], limit=2**20 + 64 * len(text))
    multilabel = record.get("multilabel", False)
    check_tensors(tensors, len(classes), multilabel)
    settings = record["settings"]
    if "C" in settings:
        C = settings["C"]
        settings["C"] = [_infinity(c) for c in C] if isinstance(C, list) else _infinity(C)
    shape = record["image_shape"]
    return OneVsAll(
        weights=weights,
        intercept=tensors["intercept"],
        classes=classes,
        **{name: tensors.get(name) for name in _CENTERED},
        history=History(**{name: tensors[name] for name in _HISTORY}),
        backend=record["backend"],
        device=record["device"],
        fallback_reason=record["fallback_reason"],
        settings=settings,
        scale=record["scale"],
        image_shape=None if shape is None else tuple(shape),
        data=record["data"],
        versions=record["versions"],
        multilabel=multilabel,
    )


def _values(classes: npt.NDArray[Any], path: str | Path) -> list[Any]:
    """Return labels as what JSON holds: numbers, booleans, text; times as whole numbers."""
    kind = classes.dtype.kind
    if kind == "O":
        raise ModelFileError(
            path,
            f"the model was not written: its classes are {type(classes[0]).__name__} objects, and "
            "a file holds numbers, text, bytes or NumPy's times",
            "Give it such names, in the same order: dataclasses.replace(model, "
            "classes=model.classes.astype(str)).save(path).",
        )
    if kind == "S":
        return [label.decode("latin-1") for label in classes.tolist()]  # each byte is a character
    values: list[Any] = (classes.view(np.int64) if kind in "mM" else classes).tolist()
    return values


def _infinity(c: float | None) -> float:
    return math.inf if c is None else c


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


def check_folder(path: Path, subject: str, example: str) -> None:
    """Refuse a path at which no file can be written, which is tried; nothing stays behind.

    Parameters
    ----------
    path : Path
    subject : str
        What names it, such as "--output m.safetensors", for the error.
    example : str
        What a file there could be called.

    Raises
    ------
    ParameterError
        It is a folder, in none that exists, in one that takes no files, or no name of a file.
    """
    try:
        if path.is_dir():
            raise ParameterError(
                f"{subject}: that is a folder; expected a file name, such as {path / example}."
            )
        if not path.absolute().parent.is_dir():
            raise ParameterError(
                f"{subject}: expected a file name in a folder that exists. Create "
                f"{path.absolute().parent} first, or choose another path."
            )
        path.exists()  # raises where the name is too long
        with replaced(Path(os.path.realpath(path))) as temporary:
            temporary.write_bytes(bytes(4096))
            raise _Tried
    except _Tried:
        return
    except OSError as error:
        raise ParameterError(
            f"{subject}: no file can be written there ({error.strerror or error}). Choose another "
            "path."
        ) from error


class _Tried(Exception):  # noqa: N818
    """Leaves :func:`replaced` before anything is replaced."""


def check_suffix(path: Path, subject: str) -> None:
    """Raise ParameterError for a name that tells other software of a format it does not have.

    ``subject`` names it in the error.
    """
    if path.suffix.lower() != SUFFIX:
        named = path.with_suffix(SUFFIX) if path.name else path / f"model{SUFFIX}"
        raise ParameterError(
            f"{subject}: a model's file is in the safetensors format, and its name ends so: use "
            f"{named}. `gpulr export` writes .onnx and .joblib."
        )


def replace_file(path: str | Path, content: bytes, what: str = "model") -> None:
    """Write a file beside ``path`` and move it there; links are followed.

    ``what`` it is, errors say.

    Raises
    ------
    ModelFileError
        As :func:`save`.
    """
    path = Path(os.path.realpath(path_of("path", path)))
    try:
        with replaced(path) as temporary, temporary.open("wb") as file:
            file.write(content)
    except OSError as error:
        raise FileNotWrittenError(
            path,
            f"the {what} could not be written: {error.strerror or error}",
            f"What was there before is untouched; the {what} is still in memory: save it elsewhere."
            if what == "model"
            else "What was there before is untouched; choose another path.",
        ) from error
