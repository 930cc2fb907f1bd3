"""MATLAB .mat files up to version 7, and a zip archive that holds one."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.datasets.readers.arrays import Arrays, names_of_parts
from gpulr.datasets.readers.checks import (
    UnusableError,
    check_expansion,
    checked,
    read_capped,
)
from gpulr.datasets.readers.mat_elements import complex_variables

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
NAMES = (("data", "label", "X_test", "y_test"), ("X", "y", "X_test", "y_test"))
NUMERIC = frozenset(
    ("double", "single", "logical", *(f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)))
)


def read_mat(path: Path) -> Arrays:
    """Read the variables ``data`` and ``label``, or ``X`` and ``y`` (``X_test``, ``y_test``).

    The path is that of a file of version 4, 6 or 7, or of a .zip archive holding exactly one. The
    axis of `data` or `X` whose length is the number of labels is that of the samples. Where more
    than one fits, `data` is features × samples, as in mnist-original.mat, and `X` is samples ×
    features. More than two axes are images.
    """
    with checked(path, "a MATLAB .mat file") as stored:
        content = _unzip(path, stored) if path.suffix.lower() == ".zip" else _read(path, stored)
        if content[:8] == HDF5_MAGIC or content[512:520] == HDF5_MAGIC:
            raise UnusableError(
                "is a MATLAB v7.3 (HDF5) file",
                "Save it in MATLAB with save(file, '-v7'), or as .npz.",
            )
        variables = _load(content)
        arrays = []
        names = list(variables)
        for X_name, y_name in zip(names[::2], names[1::2], strict=True):
            X, y = variables[X_name], variables[y_name]
            arrays += [_samples_first(X, y, X_name, y_name), y]
        return Arrays(*arrays)


def _read(path: Path, stored: int) -> bytes:
    check_expansion(stored, stored)
    return path.read_bytes()


def _unzip(path: Path, stored: int) -> bytes:
    """Content of the one .mat file in a zip archive; zipfile checks its CRC."""
    with zipfile.ZipFile(path) as archive:
        members = [
            info
            for info in archive.infolist()
            if info.filename.lower().endswith(".mat") and not info.filename.startswith("__MACOSX/")
        ]
        if len(members) != 1:
            raise UnusableError(
                f"holds {len(members)} .mat files; expected exactly one",
                "Unpack the archive and give the path of the file you mean.",
            )
        check_expansion(min(members[0].compress_size, stored), members[0].file_size)
        with archive.open(members[0]) as stream:
            return read_capped(stream, stored)


def _load(content: bytes) -> dict[str, npt.NDArray[Any]]:
    """Load the two or four variables wanted, in the order X, y, X_test, y_test."""
    from scipy.io import loadmat, whosmat

    # As SciPy tells version 4, which has no header; its parser checks sizes by itself.
    complex_names = set() if 0 in content[:4] else complex_variables(content)
    variables = whosmat(io.BytesIO(content))
    listed = {name: (shape, kind) for name, shape, kind in variables}
    if len(listed) < len(variables):
        raise ValueError("two variables have the same name")
    remedy = "Save it in MATLAB with save(file, 'X', 'y', '-v7')."
    wanted = names_of_parts(NAMES, listed, "variables", remedy)
    for name in wanted:
        shape, kind = listed[name]
        if kind not in NUMERIC or 0 in shape or name in complex_names:
            kind = f"complex {kind}" if name in complex_names else kind
            raise UnusableError(
                f"variable {name} is {'×'.join(map(str, shape))} of class {kind}; expected a full "
                "array of real numbers",
                f"Convert it in MATLAB, for example with full({name}), double({name}) or "
                f"grp2idx({name}), and save it again.",
            )
    loaded = loadmat(io.BytesIO(content), variable_names=wanted)
    for name in wanted:
        if not isinstance(loaded[name], np.ndarray) or loaded[name].dtype.kind not in "biuf":
            raise UnusableError(
                f"variable {name} is complex or no plain array",
                f"Save real numbers, for example real({name}).",
            )
        if loaded[name].shape != tuple(listed[name][0]):
            raise ValueError(f"variable {name} is listed as {listed[name]}, but loads otherwise")
    return {name: loaded[name] for name in wanted}


def _samples_first(
    X: npt.NDArray[Any], y: npt.NDArray[Any], X_name: str, y_name: str
) -> npt.NDArray[Any]:
    """Bring the axis with as many entries as there are labels to the front."""
    first, last = X.shape[0] == y.size, X.shape[-1] == y.size
    if not first and not last:
        raise UnusableError(
            f"variable {X_name} is {'×'.join(map(str, X.shape))}, but {y_name} holds {y.size} "
            "labels",
            f"Save {X_name} with one row or one column for each label.",
        )
    if last and (not first or X_name == "data"):
        return np.moveaxis(X, -1, 0)
    return X
