"""The 1,797 handwritten digits that scikit-learn ships: data that needs no network."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from gpulr.datasets.dataset import Dataset

TEST_EVERY = 5  # of each class, in scikit-learn's order: those images belong to the test part


def load_digits() -> Dataset:
    """Load scikit-learn's 8×8 digits (from the UCI optical digits' test set), with a fixed split.

    Of each class, every fifth image in the published order is in the test part: stratified, and
    the same whatever the versions of NumPy and scikit-learn, whose generators and splitters may
    change.

    Returns
    -------
    Dataset
        X float32 (1442, 64), y int64 (1442,), X_test float32 (355, 64), y_test int64 (355,),
        image_shape (8, 8). Values are 0 (background) to 1: the published 0 to 16, divided by 16,
        which float32 holds exactly.
    """
    file = bundled_file()
    if file is not None:
        with gzip.open(file, "rt", encoding="ascii") as lines:
            table = np.loadtxt(lines, delimiter=",")
        X, y = table[:, :-1], table[:, -1]
    else:
        from sklearn.datasets import load_digits as load_bundled

        X, y = load_bundled(return_X_y=True)
    X, y = (X / 16).astype(np.float32), y.astype(np.int64)
    is_test = np.zeros(len(y), dtype=bool)
    for label in range(10):
        is_test[np.flatnonzero(y == label)[TEST_EVERY - 1 :: TEST_EVERY]] = True
    parts = X[~is_test], y[~is_test], X[is_test], y[is_test]
    return Dataset(*parts, (8, 8), "digits", "scikit-learn's bundled digits")


def bundled_file() -> Path | None:
    """Return scikit-learn's file, to be read without importing scikit-learn, which takes seconds.

    None where it is kept elsewhere than it is today.
    """
    found = find_spec("sklearn")
    file = Path((found and found.origin) or "").parent / "datasets" / "data" / "digits.csv.gz"
    return file if file.is_file() else None
