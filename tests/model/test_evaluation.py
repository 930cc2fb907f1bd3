"""Evaluations of margins: by hand, beside scikit-learn's functions, and as tables."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from sklearn import metrics

import gpulr
from gpulr.model.evaluation import evaluate_labels, evaluate_margins
from gpulr.model.scores import scorer
from gpulr.validation.labels import LabelMatrix, Labels

# Margins, true codes, classes; accuracy, binary accuracies and confusion, counted by hand.
EVALUATED = {
    "three classes": (
        ([[2.0, 1, -1], [-1, -2, -3], [-1, 3, 0], [1, -1, 2]], [0, 1, 1, 0], ["a", "b", "c"]),
        (0.5, [1.0, 0.5, 0.75], [[1, 0, 1], [1, 1, 0], [0, 0, 0]]),  # a margin of 0 says no
    ),
    "two classes have one model, for the second": (
        ([[1.0], [-1.0], [0.0], [2.0]], [1, 0, 1, 0], [3, 8]),
        (0.5, [0.5], [[1, 1], [1, 1]]),
    ),
    "always saying no is right nine times out of ten": (
        (np.full((100, 10), -5.0), np.arange(100) % 10, np.arange(10)),
        (0.1, [0.9] * 10, np.outer([10] * 10, np.eye(10)[0])),
    ),
}


@pytest.mark.parametrize("case", EVALUATED)
def test_evaluation_by_hand(case):
    (Z, codes, classes), (accuracy, binary, confusion) = EVALUATED[case]
    result = evaluate_margins(np.asarray(Z), np.asarray(codes), np.asarray(classes))
    assert result.accuracy == accuracy
    assert result.binary_accuracy.tolist() == binary
    assert result.mean_binary_accuracy == pytest.approx(np.mean(binary))
    np.testing.assert_array_equal(result.confusion, confusion)
    assert result.classes.tolist() == list(classes)


@pytest.mark.parametrize("classes", [np.array(["no", "yes"]), np.array([-3, 1, 5, 8])])
def test_evaluation_is_that_of_scikit_learn(rng, classes):
    n = len(classes)
    codes, Z = rng.integers(0, n, 200), rng.normal(size=(200, n if n > 2 else 1))
    result = evaluate_margins(Z, codes, classes)
    said = Z.argmax(axis=1) if n > 2 else Z[:, 0] > 0
    assert result.accuracy == metrics.accuracy_score(codes, said)
    expected = metrics.confusion_matrix(codes, said, labels=range(len(classes)))
    np.testing.assert_array_equal(result.confusion, expected)


@pytest.fixture
def matrix(rng):
    """Margins (300, 4) float32 with ties, a matrix of labels, and weights, some of them 0."""
    Y = (rng.random((300, 4)) < [0.5, 0.1, 0.8, 0.03]).astype(np.uint8)
    Z = np.round(2 * Y + rng.normal(size=Y.shape), 1).astype(np.float32) - np.float32(1.3)
    return Z, Y, rng.random(300) * (rng.random(300) < 0.9)


NAMES = np.array(["sky", "sea", "sand", "gull"])


def binary_scores(y, z, w):
    """Every column of the table, of one label, by scikit-learn."""
    p = 1 / (1 + np.exp(-z.astype(np.float64)))
    told = {"sample_weight": w}
    return {
        "positives": w[y == 1].sum(),
        "accuracy": metrics.accuracy_score(y, z > 0, **told),
        "balanced_accuracy": metrics.balanced_accuracy_score(y, z > 0, **told),
        "precision": metrics.precision_score(y, z > 0, zero_division=0, **told),
        "recall": metrics.recall_score(y, z > 0, **told),
        "f1": metrics.f1_score(y, z > 0, **told),
        "roc_auc": metrics.roc_auc_score(y, z, **told),
        "average_precision": metrics.average_precision_score(y, z, **told),
        "neg_log_loss": -metrics.log_loss(y, p, **told),
        "neg_brier_score": -metrics.brier_score_loss(y, p, **told),
    }


def test_a_label_has_a_row_and_a_score_a_column(matrix):
    Z, Y, weight = matrix
    for w in (None, weight):
        table = evaluate_labels(Z, Y, NAMES, weight=w).table
        assert table["label"].tolist() == NAMES.tolist()
        for j in range(4):
            expected = binary_scores(Y[:, j], Z[:, j], np.ones(300) if w is None else w)
            assert list(table.dtype.names[1:]) == list(expected)
            np.testing.assert_allclose(table[j].item()[1:], list(expected.values()), rtol=1e-11)


def test_attributes_count_rows_by_their_weight(matrix):
    Z, Y, _ = matrix
    times = np.random.default_rng(1).integers(0, 4, 300)
    weighed = evaluate_labels(Z, Y, NAMES, weight=times.astype(np.float64))
    repeated = evaluate_labels(np.repeat(Z, times, axis=0), np.repeat(Y, times, axis=0), NAMES)
    one = {name: getattr(weighed, name) for name in type(weighed).__annotations__}
    for name, value in one.items():
        if name != "labels":
            np.testing.assert_allclose(value, getattr(repeated, name), rtol=1e-12, err_msg=name)
    for name, value in weighed.averages.items():
        assert value == pytest.approx(repeated.averages[name], rel=1e-12), name
    codes = Y @ np.array([1, 1, 1, 0])
    weighed = evaluate_margins(Z, codes, NAMES, weight=times.astype(np.float64))
    repeated = evaluate_margins(np.repeat(Z, times, axis=0), np.repeat(codes, times), NAMES)
    assert weighed.accuracy == pytest.approx(repeated.accuracy, rel=1e-12)
    np.testing.assert_array_equal(weighed.confusion, repeated.confusion)
    np.testing.assert_allclose(weighed.binary_accuracy, repeated.binary_accuracy, rtol=1e-12)


def test_averages_are_the_scores_of_a_search(matrix):
    Z, Y, weight = matrix
    result = evaluate_labels(Z, Y, NAMES, weight=weight)
    for name, value in result.averages.items():
        score = scorer(name, LabelMatrix(NAMES, Y)).function
        assert value == pytest.approx(score(Z, Y, weight), rel=1e-12), name
    for classes, margins in ((NAMES, Z), (NAMES[:2], Z[:, :1])):
        codes = np.minimum(Y @ np.array([1, 1, 1, 0]), len(classes) - 1)
        result = evaluate_margins(margins, codes, classes, weight=weight)
        for name, value in result.averages.items():
            score = scorer(name, Labels(classes, codes)).function
            assert value == pytest.approx(score(margins, codes, weight), rel=1e-12), name


def test_the_table_of_classes(matrix):
    Z, Y, weight = matrix
    codes = Y @ np.array([1, 1, 1, 0])
    result = evaluate_margins(Z, codes, NAMES, weight=weight)
    report = metrics.classification_report(
        codes, Z.argmax(axis=1), sample_weight=weight, output_dict=True, zero_division=0
    )
    for j in range(4):
        own = binary_scores((codes == j).astype(int), Z[:, j], weight)
        row = {name: result.table[name][j] for name in result.table.dtype.names}
        for name in ("roc_auc", "average_precision", "neg_log_loss", "neg_brier_score"):
            assert row[name] == pytest.approx(own[name], rel=1e-11)
        assert row["binary_accuracy"] == pytest.approx(own["accuracy"])
        assert row["positives"] == pytest.approx(report[str(j)]["support"])
        assert row["f1"] == pytest.approx(report[str(j)]["f1-score"])
        assert row["precision"] == pytest.approx(report[str(j)]["precision"])
        assert row["recall"] == pytest.approx(report[str(j)]["recall"])
    assert len(evaluate_margins(Z[:, :1], (codes > 1).astype(int), NAMES[:2]).table) == 1


def test_a_label_that_no_row_has_is_undefined_and_left_out(matrix):
    Z, Y, _ = matrix
    Y[:, [1, 3]] = 0
    with pytest.warns(gpulr.UndefinedScoreWarning, match="the label sea, gull:") as told:
        result = evaluate_labels(Z, Y, NAMES)
    assert len(told) == 1
    table = result.table
    for name in ("precision", "recall", "f1", "roc_auc", "average_precision", "balanced_accuracy"):
        assert np.isnan(table[name]).tolist() == [False, True, False, True]
        assert result.averages[name] == np.nanmean(table[name])
    assert not np.isnan(table["accuracy"]).any()
    assert result.label_f1[[1, 3]].tolist() == [0, 0]
    assert "–" in str(result)


def test_unknown_entries_count_for_nothing(matrix, rng):
    Z, Y, weight = matrix
    unknown = rng.random(Y.shape) < 0.2
    result = evaluate_labels(Z, np.where(unknown, 2, Y).astype(np.uint8), NAMES, weight=weight)
    for j in range(4):
        known = ~unknown[:, j]
        expected = binary_scores(Y[known, j], Z[known, j], weight[known])
        np.testing.assert_allclose(result.table[j].item()[1:], list(expected.values()), rtol=1e-11)
    right = (((Z > 0) == Y) | unknown).all(axis=1)
    some = weight * ~unknown.all(axis=1)
    assert result.subset_accuracy == pytest.approx(np.average(right, weights=some))


def test_thresholds_decide_what_is_predicted(matrix):
    pytest.importorskip("pandas")
    Z, Y, _ = matrix
    thresholds = np.array([0.2, -0.3, 0.0, 1.0])
    result = evaluate_labels(Z, Y, NAMES, thresholds)
    said = thresholds <= Z
    assert result.macro_f1 == pytest.approx(metrics.f1_score(Y, said, average="macro"))
    assert result.predicted_positives.tolist() == said.sum(axis=0).tolist()
    plain = evaluate_labels(Z, Y, NAMES)
    assert result.averages["roc_auc"] == plain.averages["roc_auc"]
    assert result.averages["f1"] != plain.averages["f1"]
    assert result.to_frame()["threshold"].tolist() == thresholds.tolist()
    assert "threshold" not in plain.table.dtype.names
    headings, rows = result.cells()
    assert headings[-1] == "threshold"
    assert [row[-1] for row in rows] == ["0.2000", "-0.3000", "0.0000", "1.0000", "", "", ""]
    _, rows = evaluate_labels(Z, Y, NAMES, np.full(4, np.inf)).cells()
    assert [row[-1] for row in rows] == [*["never"] * 4, "", "", ""]


def test_a_frame_has_names_as_its_index(matrix):
    pytest.importorskip("pandas")
    Z, Y, _ = matrix
    result = evaluate_labels(Z, Y, NAMES)
    frame = result.to_frame()
    assert frame.index.tolist() == NAMES.tolist()
    assert frame.index.name == "label"
    for name in frame:
        np.testing.assert_array_equal(frame[name], result.table[name])
    assert set(frame) == set(result.table.dtype.names) - {"label"}


def test_a_frame_needs_pandas(matrix, monkeypatch):
    Z, Y, _ = matrix
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(gpulr.MissingExtraError, match=r"in \.table"):
        evaluate_labels(Z, Y, NAMES).to_frame()


def test_a_table_can_be_read_in_a_terminal(matrix):
    Z, Y, _ = matrix
    result = evaluate_labels(Z, Y, NAMES)
    lines = str(result).splitlines()
    assert max(map(len, lines)) <= 80
    rows = [line.split() for line in lines]
    assert [row[0] for row in rows[2:9]] == [*NAMES, "macro", "micro", "weighted"]
    assert f"{result.table['f1'][0]:.4f}" in rows[2]
    assert f"{result.micro_f1:.4f}" in rows[7]
    assert f"accuracy (all labels of a row right)  {result.subset_accuracy:.4f}" in lines
    assert "\n" not in repr(result)
    many = evaluate_labels(np.tile(Z, 15), np.tile(Y, 15), np.arange(60))
    assert "… 20 more in .table and .to_frame()" in str(many)
    assert len(str(many).splitlines()) < 60


def test_a_model_evaluates_and_scores_by_weight(rng):
    X = rng.normal(size=(200, 4))
    weight = rng.random(200)
    y = np.array(["a", "b", "c"])[(X[:, 0] > 0).astype(int) + (X[:, 1] > 0)]
    model = gpulr.train(X, y, max_iter=5, tol=0)
    expected = metrics.accuracy_score(y, model.predict(X), sample_weight=weight)
    assert model.evaluate(X, y, weight).accuracy == pytest.approx(expected)
    assert model.score(X, y, sample_weight=weight) == pytest.approx(expected)
    Y = (X[:, :2] > 0).astype(np.uint8)
    model = gpulr.train(X, Y, max_iter=5, tol=0)
    expected = metrics.accuracy_score(Y, model.predict(X), sample_weight=weight)
    assert model.evaluate(X, Y, sample_weight=weight).subset_accuracy == pytest.approx(expected)
    assert model.score(X, Y, sample_weight=weight) == pytest.approx(expected)
    for wrong, message in ((weight[1:], "one for each row"), (0 * weight, "all have weight 0")):
        with pytest.raises(gpulr.DataError, match=message):
            model.evaluate(X, Y, wrong)
