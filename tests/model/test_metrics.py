"""Accuracies under their right names, against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score
from sklearn.metrics import confusion_matrix as sklearn_confusion

from gpulr.model.metrics import confusion_matrix, evaluate_margins


def test_evaluation_by_hand():
    Z = np.array([[2.0, 1, -1], [-1, -2, -3], [-1, 3, 0], [1, -1, 2]])
    codes = np.array([0, 1, 1, 0])
    classes = np.array(["a", "b", "c"])
    result = evaluate_margins(Z, codes, classes)
    assert result.accuracy == 0.5  # rows 0 and 2
    assert result.binary_accuracy.tolist() == [1.0, 0.5, 0.75]  # a margin of 0 says no
    assert result.mean_binary_accuracy == 0.75
    assert result.confusion.tolist() == [[1, 0, 1], [1, 1, 0], [0, 0, 0]]
    assert result.classes is classes


def test_always_saying_no_is_right_nine_times_out_of_ten():
    codes = np.arange(100) % 10
    result = evaluate_margins(np.full((100, 10), -5.0), codes, np.arange(10))
    np.testing.assert_allclose(result.mean_binary_accuracy, 0.9)
    assert result.accuracy == 0.1


def test_two_classes_have_one_model_for_the_second():
    Z = np.array([[1.0], [-1.0], [0.0], [2.0]])
    result = evaluate_margins(Z, np.array([1, 0, 1, 0]), np.array([3, 8]))
    assert result.accuracy == 0.5
    assert result.binary_accuracy.tolist() == [0.5]
    assert result.confusion.tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_against_scikit_learn(rng, n_classes):
    true, predicted = rng.integers(0, n_classes, (2, 200)).astype(np.int32)
    expected = sklearn_confusion(true, predicted, labels=np.arange(n_classes))
    np.testing.assert_array_equal(confusion_matrix(true, predicted, n_classes), expected)
    Z = rng.normal(size=(200, n_classes))
    result = evaluate_margins(Z, true, np.arange(n_classes)) if n_classes > 2 else None
    if result:
        assert result.accuracy == accuracy_score(true, Z.argmax(axis=1))
