"""Data sets by name: loading, the default with its fallback, and what is on this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass

from gpulr.datasets import mnist
from gpulr.datasets.dataset import Dataset
from gpulr.datasets.digits import bundled_file, load_digits
from gpulr.datasets.known_files import search, search_folders
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

_LOADERS = {"mnist": load_mnist, "mnist-original": load_mnist_original, "digits": load_digits}
NAMES = tuple(_LOADERS)


def load(name_or_path: str | os.PathLike[str], *, label: str | int | None = None) -> Dataset:
    """Load a data set by its name, or read one from a file or folder.

    Parameters
    ----------
    name_or_path : str or path-like
        "mnist", "mnist-original", "digits", or a path as `gpulr.datasets.read` takes it. A name
        goes before a path: write "./mnist" for a folder of that name.
    label : str or int, optional
        The label column of a .csv table, by name or index.

    Returns
    -------
    Dataset
        Its arrays' shapes and dtypes are those of the loader or reader.

    Raises
    ------
    DataFileError
        If it is neither a name nor an existing path, or the file cannot be read.
    DataUnavailableError
        If MNIST is neither on this machine nor downloadable.
    ParameterError
        If `label` is given for what is not a text table.
    """
    if isinstance(name_or_path, str) and name_or_path in _LOADERS:
        if label is not None:
            raise ParameterError(
                f"label={label!r} was given for the data set {name_or_path!r}, whose labels are "
                "known. Leave it out."
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
    return read(name_or_path, label=label)


def load_default() -> Dataset:
    """Load MNIST if it is on this machine or downloadable, else the bundled digits.

    Returns
    -------
    Dataset
        As of `load_mnist` or `load_digits`; tell them apart by `name`.

    Warns
    -----
    DataFallbackWarning
        If MNIST cannot be had, with the cause and the cure.
    """
    try:
        return load_mnist()
    except (DataUnavailableError, DataFileError, MissingExtraError, ParameterError) as error:
        warn(
            f"MNIST cannot be had; scikit-learn's 1,797 digits of 8×8 pixels are used instead.\n"
            f"{error}\nTo use them without this warning, name them: --data digits, or "
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
        As `load` takes it, and what it holds.
    available : bool
        Whether it can be loaded without a network.
    location : str
        Where it is; "" if it is nowhere.
    size : int
        bytes on disk; 0 where it is not, or is built from another's files.
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

    MNIST's files are verified; mnist-original's content only when it is loaded.

    Returns
    -------
    list of Availability
        One for each name, in the order of `NAMES`.
    """
    folders = [folder / mnist.FOLDER for folder in search_folders()]
    found, faults = search(mnist.FILES, folders)
    notes = [f"{fault.path}: {fault.found}" for fault in faults]
    n_missing, size = len(mnist.FILES) - len(found), sum(file.size for file in found.values())
    if n_missing:
        places = " or ".join(str(folder.absolute()) for folder in folders) or "this machine"
        notes.append(
            f"{n_missing} of {len(mnist.FILES)} files are missing from {places}; loading downloads "
            "them"
        )
    place = ", ".join(sorted({str(file.path.parent.absolute()) for file in found.values()}))
    text = "60,000 + 10,000 handwritten digits of 28×28 pixels"
    idx_files = Availability("mnist", text, not n_missing, place, size, "; ".join(notes))

    path, text = find_original(), "the same 70,000 digits in one part, sorted by label"
    if path is not None and path.is_file():
        place, size = str(path.absolute()), path.stat().st_size
        original = Availability("mnist-original", text, True, place, size, "")
    else:
        note = "built from mnist, which is not here" if n_missing else "built from mnist"
        original = Availability("mnist-original", text, not n_missing, place, 0, note)

    path, text = bundled_file(), "1,797 handwritten digits of 8×8 pixels, values 0 to 1"
    place, size = "shipped with scikit-learn", path.stat().st_size if path else 0
    return [
        idx_files,
        original,
        Availability("digits", text, True, place, size, "no download needed"),
    ]
