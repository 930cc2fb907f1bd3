from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gpulr.datasets import Dataset
from gpulr.errors import DataError, ParameterError


@pytest.fixture
def dataset(X, y):
    return Dataset(X, y, image_shape=(5, 5), name="squares", source="here")


def test_repr_shows_shapes_and_never_values(dataset):
    assert repr(dataset) == (
        "<Dataset 'squares': X 12×25 uint8, y 12 int64, images 5×5; from here>"
    )
    assert str(dataset) == repr(dataset)
    assert "X_test 2×25 uint8, y_test 2 int64" in repr(dataset.split())


def test_is_frozen_and_slotted(dataset):
    with pytest.raises(dataclasses.FrozenInstanceError):
        dataset.name = "other"
    assert not hasattr(dataset, "__dict__")


def test_split_is_the_documented_permutation(dataset):
    part = dataset.split(test_size=0.25, seed=3)
    order = np.random.default_rng(3).permutation(12)
    np.testing.assert_array_equal(part.X, dataset.X[order[:9]])
    np.testing.assert_array_equal(part.y, dataset.y[order[:9]])
    np.testing.assert_array_equal(part.X_test, dataset.X[order[9:]])
    np.testing.assert_array_equal(part.y_test, dataset.y[order[9:]])
    assert (part.name, part.source, part.image_shape) == ("squares", "here", (5, 5))


@pytest.mark.parametrize("n", [70_000, 7, 10])
def test_split_sizes(n):
    part = Dataset(np.zeros((n, 1), np.uint8), np.zeros(n, int)).split()
    assert len(part.X_test) == round(0.2 * n)
    assert len(part.X) == n - round(0.2 * n)


def test_split_refuses_silly_settings_and_a_second_test_part(dataset):
    for test_size in (0, 1, -0.1, 1.5, float("nan"), 0.01, 0.99, "a", None, True, 1j):
        with pytest.raises(ParameterError, match="test_size"):
            dataset.split(test_size)
    for seed in (-1, 0.5, "a", None, True):
        with pytest.raises(ParameterError, match="seed"):
            dataset.split(seed=seed)
    with pytest.raises(ParameterError, match="test part of its own"):
        dataset.split().split()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": np.zeros(11, int)}, "12 samples, but y has 11"),
        ({"X": np.zeros(12)}, r"expected \(n_samples, n_features\)\. Pass X\.reshape\(-1, 1\) if"),
        ({"X": np.zeros((12, 5, 5))}, "Flatten"),
        ({"X": np.zeros((12, 2), complex)}, "complex"),
        ({"X": np.zeros((12, 2), object)}, "object"),
        ({"X": [[1.0]]}, "list"),
        ({"X": np.zeros((0, 25)), "y": np.zeros(0)}, "at least one"),
        ({"X": np.zeros((12, 0))}, "at least one"),
        ({"y": np.zeros((12, 1))}, "ravel"),
        ({"y": np.array([None] * 12)}, "object"),
        ({"X_test": np.zeros((2, 25))}, "without y_test"),
        ({"y_test": np.zeros(2)}, "without X_test"),
        ({"X_test": np.zeros((2, 24)), "y_test": np.zeros(2)}, "24 features"),
        ({"X_test": np.zeros((2, 25)), "y_test": np.zeros(3)}, "3 labels"),
        ({"X_test": np.zeros((1, 25)), "y_test": np.array(["a"])}, "both as text"),
        ({"image_shape": (5, 4)}, "does not hold 25"),
        ({"image_shape": (-5, -5)}, "does not hold 25"),
        ({"image_shape": ()}, "does not hold 25"),
    ],
)
def test_inconsistent_arrays_are_refused(dataset, change, message):
    with pytest.raises(DataError, match=message):
        dataclasses.replace(dataset, **change)
