"""Scores and evaluations of margins, beside those of scikit-learn, and counted by hand."""

from __future__ import annotations

from inspect import signature

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn import metrics

from gpulr import DataError, ParameterError, logistic
from gpulr.model.scores import SCORES, left_out, scorer
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
        if not two and "scale_by_half" not in signature(metrics.brier_score_loss).parameters:
            pytest.skip("scikit-learn before 1.7 has no Brier score of several classes")
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


@pytest.mark.parametrize("name", SCORES)
def test_scores_of_blocks_of_rows_have_the_same_bits(held_out, name, monkeypatch):
    _, Z, codes, weight = held_out
    both = []
    for entries in (2**18, 60):
        monkeypatch.setattr("gpulr.model.measures.ENTRIES", entries)
        both.append(SCORES[name][0](Z, codes, weight))
    np.testing.assert_array_equal(*both)


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


def per_label(name, y, z, w):
    """The score of one label by scikit-learn."""
    p = 1 / (1 + np.exp(-z.astype(np.float64)))
    if name == "neg_log_loss":
        return -metrics.log_loss(y, p, sample_weight=w, labels=[0, 1])
    if name == "neg_brier_score":
        return -metrics.brier_score_loss(y, p, sample_weight=w)
    base = name.removesuffix("_ovr_weighted").removesuffix("_ovr")
    base = base if base.startswith(("roc", "balanced")) else name.rsplit("_", 1)[0]
    base = {"average": "average_precision", "balanced": "balanced_accuracy"}.get(base, base)
    said = z if base in ("roc_auc", "average_precision") else z > 0
    return getattr(metrics, f"{base}_score")(y, said, sample_weight=w)


@pytest.mark.parametrize("name", [name for name in SCORES if name != "top_k_accuracy"])
def test_scores_of_each_model(matrix, name):
    labels, Z, truth, weight = matrix
    found = scorer(name, labels).per_model(Z, truth, weight)
    expected = [per_label(name, y, z, weight) for y, z in zip(truth.T, Z.T, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-11)
    assert found.dtype == np.float64
    codes = np.array([0, 1, 2, 2])[truth[:, 0] + 2 * truth[:, 1]]  # each class against all others
    if name not in OF_TWO:
        classes = Labels(np.array(["x", "y", "z"]), codes)
        found = scorer(name, classes).per_model(Z, codes, weight)
        expected = [per_label(name, codes == j, Z[:, j], weight) for j in range(3)]
        np.testing.assert_allclose(found, expected, rtol=1e-11)
    two = Labels(np.array(["x", "y"]), truth[:, 0].astype(int))
    found = scorer(name, two).per_model(Z[:, :1], two.codes, weight)
    expected = [per_label(name, truth[:, 0], Z[:, 0], weight)]
    np.testing.assert_allclose(found, expected, rtol=1e-11)


@pytest.mark.parametrize("name", [name for name in SCORES if name != "top_k_accuracy"])
def test_unknown_entries_are_skipped(matrix, rng, name):
    labels, Z, truth, weight = matrix
    unknown = rng.random(truth.shape) < 0.2
    partly = np.where(unknown, 2, truth).astype(np.uint8)
    found = scorer(name, labels).per_model(Z, partly, weight)
    expected = [
        per_label(name, y[~u], z[~u], weight[~u])
        for y, z, u in zip(truth.T, Z.T, unknown.T, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-11)
    if name in ("roc_auc", "neg_log_loss", "f1", "average_precision_macro"):
        found = scorer(name, labels).function(Z, partly, weight)
        assert found == pytest.approx(np.mean(expected), rel=1e-11)


def test_what_rows_do_not_define_is_nan_of_one_model_and_an_error_of_all(matrix):
    labels, Z, truth, weight = matrix
    truth = truth.copy()
    truth[:, 0], truth[:, 1] = 0, 1
    for name, undefined in (
        *((name, [True, True, False]) for name in ("roc_auc", "balanced_accuracy")),
        *((name, [True, False, False]) for name in ("average_precision", "f1", "recall")),
        *((name, [False, False, False]) for name in ("accuracy", "neg_log_loss")),
    ):
        score = scorer(name, labels)
        assert np.isnan(score.per_model(Z, truth, weight)).tolist() == undefined
        assert np.isfinite(score.function(Z, truth, weight))
        left = left_out(name, truth, weight)
        assert left.tolist() == ([False] * 3 if name in ("f1", "recall") else undefined)
    with pytest.raises(DataError, match="roc_auc is undefined on 200 held-out rows"):
        scorer("roc_auc", labels).function(Z, np.zeros_like(truth), weight)


def test_order_of_any_margins(rng):
    Z = rng.choice(np.array([-np.float32(3e38), -1e-45, -0.0, 0.0, 1e-45, 2, 3e38], "f4"), (400, 2))
    truth = rng.integers(0, 2, Z.shape).astype(np.uint8)
    matrix = LabelMatrix(np.arange(2), truth)
    for margins in (Z, Z.astype(np.float64), np.asfortranarray(Z), np.repeat(Z, 2, axis=1)[:, ::2]):
        found = scorer("roc_auc", matrix).per_model(margins, truth, np.ones(400))
        expected = [
            metrics.roc_auc_score(truth[:, j], Z[:, j].astype(np.float64)) for j in range(2)
        ]
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("kept", [0, 2**18])  # rows of columns that fit the memory of a thread
@pytest.mark.parametrize("weight", [1.0, 0.3, None])
def test_scores_of_columns_of_any_kind(rng, monkeypatch, kept, weight):
    monkeypatch.setattr("gpulr.model.binary.KEPT", kept)
    monkeypatch.setattr("gpulr.model.ranking.KEPT", kept)
    for n in (2, 3, 700, 40):  # memory that a longer column has used is used again
        Z = rng.normal(size=(n, 5)).astype(np.float32)
        Z[:, 1] = Z[:, 1].round()
        Z[:, 2] = 0.0
        truth = (rng.random(Z.shape) < [0.5, 0.3, 0.1, 0.02, 0.9]).astype(np.uint8)
        truth[0], truth[-1] = 0, 1
        w = rng.random(n) + 0.1 if weight is None else np.full(n, weight)
        for name, their in (
            ("roc_auc", metrics.roc_auc_score),
            ("average_precision", metrics.average_precision_score),
            (
                "neg_log_loss",
                lambda y, z, **told: -metrics.log_loss(y, logistic.sigmoid(z), **told),
            ),
            ("f1", lambda y, z, **told: metrics.f1_score(y, z > 0, **told)),
        ):
            found = scorer(name, LabelMatrix(np.arange(5), truth)).per_model(Z, truth, w)
            margins = Z.astype(np.float64)
            expected = [their(truth[:, j], margins[:, j], sample_weight=w) for j in range(5)]
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12, err_msg=name)


def test_a_column_does_not_depend_on_its_neighbours(rng):
    Z = rng.normal(size=(600, 40)).astype(np.float32)
    truth = (rng.random(Z.shape) < 0.3).astype(np.uint8)
    weight = rng.random(600)
    for name in ("roc_auc", "average_precision", "neg_log_loss", "f1"):
        score = scorer(name, LabelMatrix(np.arange(40), truth)).per_model
        alone = [score(Z[:, [j]], truth[:, [j]], weight)[0] for j in (0, 17, 39)]
        assert score(Z, truth, weight)[[0, 17, 39]].tolist() == alone


def test_thresholds_count_where_something_is_predicted(matrix):
    labels, Z, truth, weight = matrix
    thresholds = np.array([0.5, -1.0, 0.1])
    moved = (Z - thresholds).astype(np.float64)
    for name in ("accuracy", "f1", "precision_micro", "recall_weighted", "balanced_accuracy"):
        score = scorer(name, labels)
        for of in (score.function, score.per_model):
            np.testing.assert_array_equal(
                of(Z, truth, weight, thresholds), of(moved, truth, weight)
            )
    for name in ("roc_auc", "neg_log_loss", "neg_brier_score", "average_precision_micro"):
        score = scorer(name, labels).function
        assert score(Z, truth, weight, thresholds) == score(Z, truth, weight)


def test_scorers_of_scikit_learn(held_out, matrix):
    classes, Z, codes, weight = held_out
    if len(classes) == 2:  # what is positive, no scorer that is not told knows of text
        score = scorer(metrics.make_scorer(metrics.fbeta_score, beta=2), labels(classes)).function
        with pytest.raises(ParameterError, match="fbeta_score cannot score these rows"):
            score(Z, codes, weight)
        classes = np.array([0, 1])
    known = metrics.get_scorer("neg_log_loss")
    assert scorer(known, labels(classes)).name == "neg_log_loss"
    fbeta = metrics.make_scorer(metrics.fbeta_score, beta=2, average="macro")
    found = scorer(fbeta, labels(classes)).function(Z, codes, weight)
    told = {"beta": 2, "average": "macro", "sample_weight": weight}
    assert found == metrics.fbeta_score(codes, predicted(Z), **told)
    of_scores = metrics.make_scorer(metrics.d2_log_loss_score, response_method="predict_proba")
    found = scorer(of_scores, labels(classes)).function(Z, codes, weight)
    P = probabilities(Z)
    P = P[:, 1] if len(classes) == 2 else P
    assert found == pytest.approx(metrics.d2_log_loss_score(codes, P, sample_weight=weight))
    found = scorer("matthews_corrcoef", labels(classes)).function(Z, codes, weight)
    assert found == metrics.matthews_corrcoef(codes, predicted(Z), sample_weight=weight)
    many, Z, truth, weight = matrix
    assert scorer(metrics.get_scorer("f1_macro"), many).name == "f1_macro"
    found = scorer("jaccard_macro", many)
    expected = metrics.jaccard_score(truth, Z > 0, average="macro", sample_weight=weight)
    assert found.function(Z, truth, weight) == expected
    ranked = metrics.make_scorer(metrics.label_ranking_loss, response_method="decision_function")
    expected = metrics.label_ranking_loss(truth, Z, sample_weight=weight)
    for two in (slice(0, 3), slice(0, 2)):  # of two labels, scikit-learn must see no two classes
        some = LabelMatrix(many.classes[two], truth[:, two])
        expected = metrics.label_ranking_loss(truth[:, two], Z[:, two], sample_weight=weight)
        assert scorer(ranked, some).function(Z[:, two], truth[:, two], weight) == expected
    each = [
        metrics.jaccard_score(truth[:, j], Z[:, j] > 0, average="macro", sample_weight=weight)
        for j in range(3)
    ]
    assert found.per_model(Z, truth, weight).tolist() == each


@pytest.mark.parametrize("name", ["r2", "neg_mean_squared_error", "adjusted_rand_score"])
def test_scores_of_other_things_than_classifiers_are_refused(name):
    with pytest.raises(ParameterError, match=f"scoring='{name}'"):
        scorer(name, labels(np.arange(3)))


@pytest.mark.parametrize("function", [lambda estimator, X, y: 1.0, lambda y: 1.0, lambda: 1.0])
def test_a_function_of_an_estimator_is_told(function):
    with pytest.raises(ParameterError, match="cannot be called with the true labels and the"):
        scorer(function, labels(CLASSES[4]))
