"""The 1,797 handwritten digits that scikit-learn ships: data that needs no network."""

from __future__ import annotations

import numpy as np

from gpulr.datasets.record import Dataset

__all__ = ["load_digits"]

TEST_EVERY = 5
"""Of each class every fifth image, in scikit-learn's order, belongs to the test part."""


def load_digits() -> Dataset:
    """Load scikit-learn's 8×8 digits (from the UCI optical digits' test set), split for good.

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
    from sklearn.datasets import load_digits as load_bundled

    X, y = load_bundled(return_X_y=True)
    X, y = (X / 16).astype(np.float32), y.astype(np.int64)
    is_test = np.zeros(len(y), dtype=bool)
    for label in range(10):
        is_test[np.flatnonzero(y == label)[TEST_EVERY - 1 :: TEST_EVERY]] = True
    return Dataset(
        X[~is_test],
        y[~is_test],
        X[is_test],
        y[is_test],
        (8, 8),
        "digits",
        "scikit-learn's bundled digits",
    )
