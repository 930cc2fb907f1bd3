"""Data sets: MNIST, the bundled digits, and readers of .mat, IDX, .npz and .csv files.

Files are verified by sha256 or checked against the sizes that they claim, nothing is unpickled,
and a damaged file gives one :class:`~gpulr.errors.DataFileError`.

Here belongs what turns files into a `Dataset`. It imports `gpulr.validation`, `errors`, `words` and
`output_files`.
"""

from __future__ import annotations

from gpulr.datasets.catalogue import (
    NAMES,
    Availability,
    describe,
    load,
    load_default,
    load_digits,
)
from gpulr.datasets.dataset import Dataset
from gpulr.datasets.mnist import load_mnist, load_mnist_original
from gpulr.datasets.reading import read

__all__ = [
    "NAMES",
    "Availability",
    "Dataset",
    "describe",
    "load",
    "load_default",
    "load_digits",
    "load_mnist",
    "load_mnist_original",
    "read",
]
