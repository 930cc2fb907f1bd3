"""skl2onnx converts gpulr's estimators, alone and in pipelines; ONNX Runtime predicts the same."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from sklearn.ensemble import VotingClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import gpulr
from gpulr import OneVsAllLogisticRegression, OneVsAllLogisticRegressionCV


@pytest.fixture
def convert():
    """Convert an estimator for rows as X; returns what runs it, on other rows."""
    skl2onnx = pytest.importorskip("skl2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    gpulr.register_skl2onnx()

    def convert(estimator, X, **options):
        options = {"zipmap": False} | options
        proto = skl2onnx.to_onnx(estimator, X[:1], options={id(estimator): options})
        content, providers = proto.SerializeToString(), ["CPUExecutionProvider"]
        session = onnxruntime.InferenceSession(content, providers=providers)
        return lambda X: session.run(None, {session.get_inputs()[0].name: X})

    return convert


@pytest.fixture
def assert_same(convert):
    """What runs an estimator predicts the same, for rows as X."""

    def assert_same(estimator, X, rtol, rows=None):
        label, probabilities = convert(estimator, X)(X)
        rows = X if rows is None else rows
        np.testing.assert_array_equal(label, estimator.predict(rows))
        np.testing.assert_allclose(probabilities, estimator.predict_proba(rows), rtol=rtol)
        return probabilities

    return assert_same


LABELS = {
    "strings": np.array(["six", "seven", "eight"]),
    "numbers": np.array([-3, 0, 7]),
    "floats": np.array([0.0, 1.0, 2.0]),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("labels", list(LABELS))
@pytest.mark.parametrize("n_classes", [2, 3])
def test_predictions_are_the_same(assert_same, blobs, dtype, labels, n_classes):
    X, y = blobs
    X, y = X[y < n_classes].astype(dtype), LABELS[labels][y[y < n_classes]]
    estimator = OneVsAllLogisticRegression(tol=1e-3).fit(X, y)
    assert assert_same(estimator, X, 20 * np.finfo(dtype).eps).dtype == dtype


def test_a_pipeline_is_one_file(assert_same, blobs):
    X, y = blobs
    X = X * np.array([1.0, 100.0, 0.01, 1.0]) + 1000.0
    pipeline = make_pipeline(StandardScaler(), OneVsAllLogisticRegressionCV(Cs=[0.1, 1.0], cv=3))
    assert_same(pipeline.fit(X, y), X, 1e-9)


def test_inside_another_estimator(assert_same, blobs):
    """Converters of scikit-learn's meta-estimators look up their parts' by class."""
    X, y = blobs
    parts = [("gpulr", OneVsAllLogisticRegression()), ("bayes", GaussianNB())]
    voting = VotingClassifier(parts, voting="soft", flatten_transform=False).fit(X, y)
    assert_same(voting, X, 1e-4)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_raw_scores_are_margins(convert, blobs, n_classes):
    X, y = blobs
    X, y = X[y < n_classes], y[y < n_classes]
    estimator = OneVsAllLogisticRegression().fit(X, y)
    _, scores = convert(estimator, X, raw_scores=True)(X)
    expected = estimator.decision_function(X)
    if n_classes == 2:  # as of scikit-learn's own classifiers
        expected = np.stack([-expected, expected], axis=1)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-6)


def test_probabilities_that_all_underflow_are_still_normalised(convert, blobs):
    X, y = blobs
    far = np.zeros((2, 4), np.float32)
    far[:, 3] = -1e6, 1e6
    estimator = OneVsAllLogisticRegression().fit(X + np.array([0, 0, 0, 1], np.float32), y)
    label, probabilities = convert(estimator, X)(far)
    np.testing.assert_array_equal(label, estimator.predict(far))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-6)


def test_bytes_are_taken_as_they_are(assert_same, images):
    """Training took 255 as 1; the weights have that in them."""
    X, y = images
    estimator = OneVsAllLogisticRegression(scale="auto").fit(X, y)
    assert_same(estimator, X.astype(np.int64), 1e-4, X)  # skl2onnx has no rows of bytes


def test_zipmap_has_the_classes(convert, blobs):
    X, y = blobs
    estimator = OneVsAllLogisticRegression().fit(X, np.array(["a", "b", "c"])[y])
    (_, rows) = convert(estimator, X, zipmap=True)(X[:2])
    assert [set(row) for row in rows] == [{"a", "b", "c"}] * 2


@pytest.mark.parametrize("classes", [[0.0, 1.0, 2.0**70], np.array([0, 1, 2**63], np.uint64)])
def test_labels_that_skl2onnx_has_not_are_refused(convert, blobs, classes):
    X, y = blobs
    estimator = OneVsAllLogisticRegression().fit(X, y)
    estimator.classes_ = np.asarray(classes)
    with pytest.raises(gpulr.ParameterError, match=r"do not fit into int64.*model_\.to_onnx"):
        convert(estimator, X)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_standardised_model_keeps_its_centre(assert_same, blobs, dtype):
    X, y = blobs
    X = (X * np.array([1.0, 1e3, 1e-3, 1.0]) + 1e4).astype(dtype)
    assert_same(OneVsAllLogisticRegression(standardize=True).fit(X, y), X, 1e-5)


@pytest.mark.parametrize("rows", [[2], [2, 0], [2, 0, 1]])
def test_attributes_that_were_assigned_are_what_is_converted(assert_same, blobs, rows):
    """Classes in any order; two of them may have a row of coef_ each."""
    X, y = blobs
    estimator = OneVsAllLogisticRegression().fit(X, y)
    estimator.coef_, estimator.intercept_ = estimator.coef_[rows], estimator.intercept_[rows]
    estimator.classes_ = np.array(["two", "none", "one"])[: max(2, len(rows))]
    assert_same(estimator, X, 1e-5)


def test_without_skl2onnx(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(gpulr.MissingExtraError, match="pip install skl2onnx"):
        gpulr.register_skl2onnx()
