"""Data sets by name: loading, the default with its fallback, and what is on this machine."""

from __future__ import annotations

import gzip
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from gpulr.datasets import mnist
from gpulr.datasets.dataset import Dataset
from gpulr.datasets.download import search, search_folders
from gpulr.datasets.mnist import find_original, load_mnist, load_mnist_original
from gpulr.datasets.reading import SUPPORTED, expanded, read
from gpulr.errors import (
    DataFallbackWarning,
    DataFileError,
    DataUnavailableError,
    MissingExtraError,
    ParameterError,
    warn,
)
from gpulr.words import did_you_mean, is_there_another


def load_digits() -> Dataset:
    """Load scikit-learn's 8×8 digits (from the UCI optical digits' test set), with a fixed split.

    The test part has every fifth image of each class, in the published order. So it is stratified,
    and the same with all versions of NumPy and scikit-learn, whose generators and splitters may
    change.

    Returns
    -------
    Dataset
        X float32 (1442, 64), y int64 (1442,), X_test float32 (355, 64), y_test int64 (355,),
        image_shape (8, 8). Values are 0 (background) to 1: the published 0 to 16, divided by 16,
        which float32 holds exactly.
    """
    if (file := _bundled_file()) is not None:
        with gzip.open(file, "rt", encoding="ascii") as lines:
            table = np.loadtxt(lines, delimiter=",")
        X, y = table[:, :-1], table[:, -1]
    else:
        from sklearn.datasets import load_digits as load_bundled

        X, y = load_bundled(return_X_y=True)
    X, y = (X / 16).astype(np.float32), y.astype(np.int64)
    is_test = np.zeros(len(y), dtype=bool)
    for label in range(10):
        is_test[np.flatnonzero(y == label)[4::5]] = True
    parts = X[~is_test], y[~is_test], X[is_test], y[is_test]
    return Dataset(*parts, (8, 8), "digits", "scikit-learn's bundled digits")


def _bundled_file() -> Path | None:
    """Return scikit-learn's file, to be read without importing scikit-learn, which takes seconds.

    None where it is kept elsewhere than it is today.
    """
    found = find_spec("sklearn")
    file = Path((found and found.origin) or "").parent / "datasets" / "data" / "digits.csv.gz"
    return file if file.is_file() else None


_LOADERS = {"mnist": load_mnist, "mnist-original": load_mnist_original, "digits": load_digits}
NAMES = tuple(_LOADERS)


def load(
    name_or_path: str | os.PathLike[str],
    *,
    label: str | int | None = None,
    features: Sequence[str] | None = None,
) -> Dataset:
    """Load a data set by its name, or read one from a file or folder.

    Parameters
    ----------
    name_or_path : str or path-like
        "mnist", "mnist-original", "digits", or a path as `gpulr.datasets.read` takes it. Names come
        before paths: for a folder with such a name, write "./mnist".
    label : str or int, optional
        The label column of a .csv table, by name or index.
    features : sequence of str, optional
        The columns of a .csv table or of Parquet to use as features, as for `gpulr.datasets.read`.

    Raises
    ------
    DataFileError
        It is neither a name nor an existing path, or the file cannot be read.
    DataUnavailableError
        MNIST is neither on this machine nor downloadable.
    ParameterError
        `label` or `features` was given for something that has no columns.
    """
    if isinstance(name_or_path, str) and name_or_path in _LOADERS:
        for option, value in (("label", label), ("features", features)):
            if value is not None:
                raise ParameterError(
                    f"--{option} ({option}= in Python) was given for the data set "
                    f"{name_or_path!r}, whose {option if features else 'labels'} are known. Leave "
                    "it out."
                )
        return _LOADERS[name_or_path]()
    path = expanded(name_or_path)
    if not os.path.lexists(path):
        near = did_you_mean(name_or_path, NAMES) or is_there_another(name_or_path)
        raise DataFileError(
            os.fspath(name_or_path),
            f"is no data set's name ({', '.join(NAMES)}), and as a path it does not exist{near}",
            f"Give one of the names, or an existing path. Formats: {SUPPORTED}.",
        )
    return read(name_or_path, label=label, features=features)


def load_default() -> Dataset:
    """Load MNIST if it is on this machine or downloadable, else the bundled digits.

    `name` tells which it is. The digits come after a DataFallbackWarning, which says why, and what
    to do about it.
    """
    try:
        return load_mnist()
    except (DataUnavailableError, DataFileError, MissingExtraError, ParameterError) as error:
        warn(
            f"MNIST cannot be had; scikit-learn's 1,797 digits of 8×8 pixels are used instead.\n"
            f"{error}\nTo use them without this warning, name them: "
            'gpulr.datasets.load("digits").',
            DataFallbackWarning,
        )
        return load_digits()


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a named data set is on this machine.

    Parameters
    ----------
    name, description : str
        The name that `load` takes, and what the data set holds.
    available : bool
        Whether it can be loaded without a network.
    location : str
        Where it is; "" if it is nowhere.
    size : int
        Bytes on disk; 0 if it is not there, or is built from another's files.
    note : str
        What else there is to say: damaged files, how to get it.
    """

    name: str
    description: str
    available: bool
    location: str
    size: int
    note: str


def describe() -> list[Availability]:
    """Look for each named data set on this machine, without a network.

    The files of MNIST are verified; the content of mnist-original is verified only when it is
    loaded. The order is that of `NAMES`.
    """
    folders = [folder / mnist.FOLDER for folder in search_folders()]
    found, faults = search(mnist.FILES, folders)
    notes = [f"{fault.path}: {fault.found}" for fault in faults]
    n_missing, size = len(mnist.FILES) - len(found), sum(file.size for file in found.values())
    if n_missing:
        places = " or ".join(str(folder.absolute()) for folder in folders) or "this machine"
        missing = f"{n_missing} of {len(mnist.FILES)} files are missing from {places}"
        notes.append(f"{missing}; loading downloads them")
    place = ", ".join(sorted({str(file.path.parent.absolute()) for file in found.values()}))
    text = "60,000 + 10,000 handwritten digits of 28×28 pixels"
    described = [Availability("mnist", text, not n_missing, place, size, "; ".join(notes))]

    path, text = find_original(), "the same 70,000 digits in one part, sorted by label"
    if path is not None and path.is_file():
        original = (True, str(path.absolute()), path.stat().st_size, "")
    else:
        note = "built from mnist" + (", which is not here" if n_missing else "")
        original = (not n_missing, place, 0, note)
    described.append(Availability("mnist-original", text, *original))

    path, text = _bundled_file(), "1,797 handwritten digits of 8×8 pixels, values 0 to 1"
    place, size = "shipped with scikit-learn", path.stat().st_size if path else 0
    described.append(Availability("digits", text, True, place, size, "no download needed"))
    return described
