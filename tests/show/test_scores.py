"""Confusion matrix and accuracies, each under its right name."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex

import gpulr
from gpulr import show
from gpulr.errors import ParameterError
from gpulr.model.evaluation import Evaluation, evaluate_margins
from gpulr.show.canvas import Colour
from helpers import multiples
from shown import drawn, names_of, widths


@pytest.fixture
def evaluation():
    """Of three classes: one row of class 0 and two of class 1 are taken for class 2."""
    predicted, true = np.array([0, 0, 2, 1, 2, 2, 2, 2]), np.array([0, 0, 0, 1, 1, 1, 2, 2])
    return evaluate_margins(2.0 * np.eye(3)[predicted] - 1, true, np.arange(3))


def test_a_class_without_rows_has_no_bar():
    perfect = evaluate_margins(np.eye(3)[[0, 1]] - 0.5, np.array([0, 1]), np.arange(3))
    ax = show.accuracy(perfect)
    assert widths(ax.containers[0]) == [1, 1, 0]
    assert "no rows" in drawn(ax)


def test_accuracies_are_drawn_under_their_names(evaluation):
    ax = show.accuracy(evaluation)
    recall, binary = ax.containers
    assert widths(recall) == pytest.approx([2 / 3, 1 / 3, 1])
    assert widths(binary) == pytest.approx(evaluation.binary_accuracy)
    for bars, colour in ((recall, Colour.BLUE), (binary, Colour.SKY)):
        assert {to_hex(bar.get_facecolor()) for bar in bars} == {colour.lower()}
    base = [segment[0, 0] for segment in ax.collections[0].get_segments()]
    assert base == pytest.approx([5 / 8, 5 / 8, 6 / 8])  # rows of other classes
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend[0].startswith("recall")
    assert legend[1].startswith("binary accuracy")
    mean = evaluation.mean_binary_accuracy
    assert mean != pytest.approx(evaluation.accuracy)
    title = f"multiclass accuracy 0.625  ·  mean of the binary accuracies {mean:.3f}"
    assert ax.get_title(loc="left") == title
    assert names_of(ax) == ["0", "1", "2"]
    assert "0.667" in drawn(ax)


def test_two_classes_have_one_model_and_one_accuracy():
    Z, codes, classes = np.array([[1.0], [-1.0], [1.0]]), np.array([1, 0, 0]), ["no", "yes"]
    ax = show.accuracy(evaluate_margins(Z, codes, np.array(classes)))
    (recall,) = ax.containers
    assert (widths(recall), names_of(ax)) == ([0.5, 1.0], classes)
    assert ax.get_title(loc="left") == "accuracy 0.667"


def test_accuracies_of_labels(digits):
    X, y, X_test, y_test = digits
    result = gpulr.train(X, multiples(y)).evaluate(X_test, multiples(y_test))
    ax = show.accuracy(result)
    assert widths(ax.containers[0]) == pytest.approx(result.label_accuracy)
    assert widths(ax.containers[1]) == pytest.approx(result.label_f1)
    title = ax.get_title(loc="left")
    assert f"all labels of a row right {result.subset_accuracy:.3f}" in title
    assert f"micro F1 {result.micro_f1:.3f}" in title
    with pytest.raises(ParameterError, match=r"gpulr\.show\.accuracy"):
        show.confusion(result)


def test_of_very_many_classes_the_worst_are_drawn():
    right, binary = np.arange(50), np.linspace(0, 1, 50)
    confusion = np.diag(right)
    confusion[:, 0] += 50 - right
    ax = show.accuracy(Evaluation(0.5, binary, 0.5, confusion, np.arange(50)))
    assert names_of(ax) == [str(j) for j in range(1, 41)]  # class 0, always right, is left out
    assert widths(ax.containers[0]) == pytest.approx(right[1:41] / 50)
    assert widths(ax.containers[1]) == pytest.approx(binary[1:41])
    assert "the 40 of 50 with the lowest recall" in ax.get_title(loc="left")
