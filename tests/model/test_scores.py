"""Scores and evaluations of margins, beside those of scikit-learn, and counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn import metrics

from gpulr import ParameterError, logistic
from gpulr.model.scores import SCORES, scorer
from gpulr.validation.labels import LabelMatrix, Labels
from helpers import assert_close


def labels(classes):
    """Of rows that have one of these classes each."""
    return Labels(classes, np.empty(0, dtype=np.int32))


CLASSES = {2: np.array(["no", "yes"]), 4: np.array([-3, 1, 5, 8])}


@pytest.fixture(params=[2, 4])
def held_out(request, rng):
    """Classes, margins (200, n_models) float32, codes and weights, some of them 0."""
    n_classes = request.param
    codes = rng.integers(0, n_classes, 200)
    Z = rng.normal(size=(200, n_classes if n_classes > 2 else 1))
    Z = Z + 1.5 * (np.eye(4)[codes] if n_classes > 2 else 2 * codes[:, np.newaxis] - 1)
    weight = rng.random(200) * (rng.random(200) < 0.9)
    return CLASSES[n_classes], Z.astype(np.float32), codes, weight


def probabilities(Z):
    """Normalised by the textbook: P over the sum of the row's, (n_rows, n_classes)."""
    P = 1 / (1 + np.exp(-Z.astype(np.float64)))
    P = np.hstack([1 - P, P]) if Z.shape[1] == 1 else P
    return P / P.sum(axis=1, keepdims=True)


def predicted(Z):
    return Z.argmax(axis=1) if Z.shape[1] > 1 else (Z[:, 0] > 0).astype(int)


def theirs(name, y, Z, s):
    """The score by scikit-learn's functions alone, of classes or of a matrix of labels."""
    two, matrix = Z.shape[1] == 1, np.ndim(y) > 1
    P = 1 / (1 + np.exp(-Z.astype(np.float64))) if matrix else probabilities(Z)
    said = Z > 0 if matrix else predicted(Z)
    own = {
        "accuracy": metrics.accuracy_score,
        "balanced_accuracy": metrics.balanced_accuracy_score,
        **{name: getattr(metrics, f"{name}_score") for name in ("f1", "precision", "recall")},
    }
    base, _, average = name.rpartition("_")
    if matrix and name in ("balanced_accuracy", "neg_log_loss", "neg_brier_score"):
        of_one = {
            "neg_log_loss": metrics.log_loss,
            "neg_brier_score": metrics.brier_score_loss,
        }
        if name in of_one:
            each = [-of_one[name](a, p, sample_weight=s) for a, p in zip(y.T, P.T, strict=True)]
        else:
            each = [own[name](a, b, sample_weight=s) for a, b in zip(y.T, said.T, strict=True)]
        return np.mean(each)
    if name == "neg_log_loss":
        return -metrics.log_loss(y, P, sample_weight=s, labels=range(P.shape[1]))
    if name == "neg_brier_score":
        P = P[:, 1] if two else P
        return -metrics.brier_score_loss(y, P, sample_weight=s)
    if name == "top_k_accuracy":
        return 1.0 if two else metrics.top_k_accuracy_score(y, Z, k=2, sample_weight=s)
    if name.startswith("roc_auc"):
        average = "weighted" if name.endswith("weighted") else "macro"
        # Ranks of rounded numbers: as the model's predict_proba computes them.
        score = Z[:, 0] if two else Z if matrix else np.exp(logistic.log_normalized(Z))
        return metrics.roc_auc_score(y, score, average=average, multi_class="ovr", sample_weight=s)
    if name.startswith("average_precision"):
        average = average if average in ("micro", "weighted") else "macro"
        score = Z[:, 0] if two else Z
        return metrics.average_precision_score(y, score, average=average, sample_weight=s)
    if base in own:
        return own[base](y, said, average=average, sample_weight=s, zero_division=0)
    if name in ("f1", "precision", "recall"):
        average = "macro" if matrix else "binary"
        return own[name](y, said, average=average, sample_weight=s, zero_division=0)
    return own[name](y, said, sample_weight=s)


OF_TWO = ("roc_auc", "average_precision", "f1", "precision", "recall")


@pytest.mark.parametrize("name", SCORES)
def test_scores_are_those_of_scikit_learn(held_out, name):
    classes, Z, codes, some = held_out
    if len(classes) > 2 and name in OF_TWO:
        with pytest.raises(ParameterError, match=f"{name} is for two classes .* 4 classes. Use"):
            scorer(name, labels(classes))
        return
    score = scorer(name, labels(classes))
    assert score.name == name
    for margins in (Z, Z.astype(np.float64), np.round(Z), np.round(Z) * 0):
        for weight in (some, np.ones(200)):
            expected = pytest.approx(theirs(name, codes, margins, weight), rel=1e-11)
            assert score.function(margins, codes, weight) == expected
            assert score.function(margins, codes, 2 * weight) == expected


def test_balanced_accuracy_is_of_the_classes_that_occur(held_out):
    classes, Z, codes, weight = held_out
    some = codes != 0
    ours = scorer("balanced_accuracy", labels(classes)).function(Z[some], codes[some], weight[some])
    share = [
        np.average(predicted(Z)[codes == c] == c, weights=weight[codes == c])
        for c in range(1, len(classes))
    ]
    assert ours == pytest.approx(np.mean(share), rel=1e-12)


def test_log_loss_is_exact_where_probabilities_underflow():
    score = scorer("neg_log_loss", labels(np.arange(2))).function
    one = np.ones(1)
    assert score(np.array([[-2000.0]], "f4"), np.array([1]), one) == -2000.0
    assert score(np.array([[-2000.0]], "f4"), np.array([0]), one) == 0.0
    score = scorer("neg_log_loss", labels(np.arange(3))).function
    Z = np.array([[-1000.0, -900.0, -2000.0]], "f4")  # every probability is 0
    assert score(Z, np.array([0]), one) == pytest.approx(-100.0, rel=1e-12)
    assert score(Z, np.array([1]), one) == pytest.approx(0.0, abs=1e-12)
    Z = np.array([[900.0, 900.0, -900.0]], "f4")
    assert score(Z, np.array([1]), one) == pytest.approx(-np.log(2), rel=1e-12)
    assert score(Z, np.array([2]), one) == pytest.approx(-900 - np.log(2), rel=1e-12)


@pytest.mark.parametrize("n_models", [1, 5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_log_normalized_on_any_library(put, rng, n_models, dtype):
    Z = rng.normal(scale=4, size=(30, n_models)).astype(dtype)
    log_P = logistic.log_normalized(put(Z))
    Z = Z.astype(np.float64)
    log_sigmoid = -np.logaddexp(0, np.hstack([Z, -Z]) if n_models == 1 else -Z)
    expected = log_softmax(log_sigmoid, axis=1)
    atol = 4 * np.finfo(dtype).eps
    assert_close(log_P, expected, like=put(Z.astype(dtype)), dtype=dtype, ulps=16, atol=atol)


def test_a_function_gets_labels_and_probabilities(held_out):
    classes, Z, codes, weight = held_out
    seen = []

    def first_of_a_kind(y, P):
        seen.append((y, P))
        return 0.25

    score = scorer(first_of_a_kind, labels(classes))
    assert (score.name, score.function(Z, codes, weight)) == ("first_of_a_kind", 0.25)
    ((y, P),) = seen
    np.testing.assert_array_equal(y, classes[codes])
    expected = probabilities(Z)
    np.testing.assert_allclose(P, expected[:, 1] if len(classes) == 2 else expected, rtol=1e-10)


def test_metrics_of_scikit_learn_can_be_passed(held_out):
    classes, Z, codes, weight = held_out
    if len(classes) == 2:
        ours = scorer(metrics.roc_auc_score, labels(classes)).function(Z, codes, weight)
        expected = metrics.roc_auc_score(codes, Z[:, 0], sample_weight=weight)
    else:
        ours = -scorer(metrics.log_loss, labels(classes)).function(Z, codes, weight)
        expected = theirs("neg_log_loss", codes, Z, weight)
    assert ours == pytest.approx(expected, rel=1e-10)


def test_one_without_a_signature_is_called_without_weights(held_out):
    classes, Z, codes, weight = held_out

    class Metric:
        __signature__ = "none"

        def __call__(self, y, P):
            return 1

    score = scorer(Metric(), labels(classes))
    assert (score.name, score.function(Z, codes, weight)) == ("Metric", 1.0)


def test_what_is_no_score_is_told(held_out):
    classes, Z, codes, weight = held_out
    for value in (None, "0.9", [0.9], np.nan, -np.inf, True, 1j, np.ones(3)):

        def nonsense(y, P, value=value):
            return value

        with pytest.raises(ParameterError, match=r"scoring=nonsense returned .* expected a finite"):
            scorer(nonsense, labels(classes)).function(Z, codes, weight)


def test_what_cannot_score_is_told():
    for scoring in ("r2", None, 3, ["accuracy"]):
        with pytest.raises(ParameterError, match="neg_log_loss"):
            scorer(scoring, labels(np.arange(3)))
    with pytest.raises(ParameterError, match="did you mean roc_auc_ovr"):
        scorer("roc_auc_ov", labels(np.arange(3)))


@pytest.fixture
def matrix(rng):
    """A matrix of labels, margins (200, 3) float32 and weights, some of them 0."""
    truth = (rng.random((200, 3)) < [0.5, 0.1, 0.8]).astype(np.uint8)
    Z = (3 * truth - 1.5 + rng.normal(size=truth.shape) * 2).astype(np.float32)
    weight = rng.random(200) * (rng.random(200) < 0.9)
    return LabelMatrix(np.array(["a", "b", "c"]), truth), Z, truth, weight


@pytest.mark.parametrize("name", SCORES)
def test_scores_of_a_matrix_of_labels(matrix, name):
    labels, Z, truth, some = matrix
    if name == "top_k_accuracy":
        with pytest.raises(ParameterError, match="one class each"):
            scorer(name, labels)
        return
    score = scorer(name, labels).function
    for margins in (Z, Z.astype(np.float64), np.round(Z), np.round(Z) * 0):
        for weight in (some, np.ones(200)):
            expected = pytest.approx(theirs(name, truth, margins, weight), rel=1e-11)
            assert score(margins, truth, weight) == expected


def test_a_function_of_a_matrix_of_labels(matrix):
    labels, Z, truth, weight = matrix
    metric = metrics.label_ranking_average_precision_score
    P = logistic.sigmoid(Z.astype(np.float64))
    found = scorer(metric, labels).function(Z, truth, weight)
    assert found == metric(truth, P, sample_weight=weight)
    truth = np.where(truth, truth, 2)
    with pytest.raises(ParameterError, match="which entries of y are unknown"):
        scorer(metric, labels).function(Z, truth, weight)
