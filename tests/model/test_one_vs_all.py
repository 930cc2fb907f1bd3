"""Predictions against NumPy by hand, at the edges of the number range too."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, log_expit, softmax

import gpulr
from gpulr.backend import to_host
from gpulr.model.evaluation import evaluate_margins
from gpulr.model.record import History
from helpers import assert_close

WEIGHTS = np.array([[1.0, -2.0, 0.5], [0.0, 1.5, -1.0]])
INTERCEPT = np.array([0.5, -0.25, 0.0])
X = np.array([[1.0, 2.0], [-3.0, 0.5], [0.0, 0.0], [4.0, -1.0]])
Z = X @ WEIGHTS + INTERCEPT


def make_model(weights=WEIGHTS, intercept=INTERCEPT, classes=(0, 1, 2), put=np.asarray, **fields):
    k = np.shape(weights)[1]
    none = np.zeros(k, bool)
    history = History(np.zeros((1, k)), np.zeros((1, k)), np.zeros(1), np.zeros(k, int), none, none)
    weights, intercept = (put(np.asarray(a, dtype=np.float64)) for a in (weights, intercept))
    return gpulr.OneVsAll(
        weights, intercept, np.asarray(classes), history, "numpy", "cpu", **fields
    )


def constant(margins, classes=None):
    """A model whose margins do not depend on X."""
    classes = np.arange(len(margins)) if classes is None else classes
    return make_model(np.zeros((2, len(margins))), np.asarray(margins), classes)


def test_margins_and_probabilities(put):
    model, here = make_model(put=put), put(X)
    assert_close(model.decision_function(here), Z, like=here, dtype="float64")
    assert_close(model.predict_proba(here), expit(Z), like=here, dtype="float64")
    log_P = log_expit(Z)
    normalized = model.predict_proba(here, normalize=True)
    assert_close(normalized, softmax(log_P, axis=1), like=here, dtype="float64", ulps=16)
    by_hand = expit(Z) / expit(Z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(to_host(normalized), by_hand, rtol=1e-12)


def test_margins_in_several_blocks(put, rng, monkeypatch):
    rows = rng.normal(size=(101, 2))
    model, here = make_model(put=put), put(rows)
    monkeypatch.setattr(type(gpulr.backend.backend_of(here)), "block_bytes", 200)
    margins, expected = model.decision_function(here), rows @ WEIGHTS + INTERCEPT
    assert_close(margins, expected, like=here, dtype="float64", atol=1e-14)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 1e39])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_that_are_not_finite_are_refused(put, rng, dtype, odd):
    rows = rng.normal(size=(60, 130)).astype(dtype)
    W = rng.normal(size=(130, 3)).astype(np.float32)
    W[[7, 128]] = 0.0  # of features that no model looks at
    for column in (7, 128, 129):
        with np.errstate(over="ignore"):
            rows[41, column] = odd
        words = "beyond 3.4e.38" if np.isfinite(rows[41, column]) else "NaN or infinity"
        model = make_model(W, np.zeros(3), put=lambda a: put(a.astype(np.float32)))
        with pytest.raises(gpulr.errors.DataError, match=rf"{words}.*first in row 41"):
            model.predict(put(rows))
        rows[41, column] = 0.0


def test_margins_that_overflow_are_no_fault_of_the_rows(put):
    model = make_model(np.full((2, 3), 1e300), np.zeros(3), put=put)
    assert np.all(to_host(model.decision_function(put(np.full((1, 2), 1e300)))) == np.inf)


def test_classes_of_every_kind(put):
    winners = Z.argmax(axis=1)
    here = put(X)
    for classes in ([3, 5, 9], [-1.5, 0.0, 2.5], [False, True, True]):
        predicted = make_model(put=put, classes=classes).predict(here)
        assert to_host(predicted).tolist() == [classes[i] for i in winners]
        assert type(predicted) is type(here)
    predicted = make_model(put=put, classes=["a", "bb", "Ærø"]).predict(here)
    assert isinstance(predicted, np.ndarray)
    assert predicted.tolist() == [("a", "bb", "Ærø")[i] for i in winners]


def test_two_classes(put):
    model = make_model(WEIGHTS[:, :1], INTERCEPT[:1], ["no", "yes"], put)
    z, here = Z[:, :1], put(X)
    assert_close(model.predict_proba(here), expit(z), like=here, dtype="float64")
    both = np.hstack([expit(-z), expit(z)])
    assert_close(model.predict_proba(here, normalize=True), both, like=here, dtype="float64")
    assert model.predict(here).tolist() == ["yes" if margin > 0 else "no" for margin in z[:, 0]]
    assert constant([0.0], [4, 7]).predict(X).tolist() == [4] * 4  # P = 1/2 is not more than 1/2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "margins",
    [[0, 0, 0], [-1e4] * 3, [1e4] * 3, [-1e4, -1e4 + 1, -1e4], [-1e4, 1e4, 0], [-800, -801, -9e3]],
    ids=str,
)
def test_normalized_rows_sum_to_one(put, dtype, margins):
    weights, intercept = np.zeros((2, 3)), np.asarray(margins)
    model = make_model(weights, intercept, put=lambda array: put(array, dtype))
    P = to_host(model.predict_proba(put(X, dtype), normalize=True))
    assert np.all(np.isfinite(P))
    np.testing.assert_allclose(P.sum(axis=1), 1, rtol=4 * np.finfo(dtype).eps)
    log_P = log_expit(np.asarray(margins, dtype=float))
    np.testing.assert_allclose(P[0], softmax(log_P), rtol=1e-3 if dtype == "float32" else 1e-12)
    if len(set(margins)) == 1:
        np.testing.assert_allclose(P, 1 / 3, rtol=1e-6)


def test_models_without_weights_share_evenly_and_margins_decide_ties():
    model = gpulr.train(X, [0, 1, 2, 0], max_iter=0, tol=0)
    np.testing.assert_allclose(model.predict_proba(X, normalize=True), 1 / 3, rtol=1e-6)
    np.testing.assert_array_equal(model.predict_proba(X), 0.5)
    for margins in ([-300, -200, -400], [50, 60, 40], [-1e4, -9999, -1e4]):
        model = make_model(np.zeros((2, 3)), np.array(margins), put=np.float32)
        P = model.predict_proba(X.astype(np.float32))
        assert set(P.ravel()) in ({0.0}, {1.0})
        assert model.predict(X).tolist() == [1] * 4
        assert model.score(X, [1] * 4) == 1.0


def test_evaluation(put):
    y = np.array([1, 1, 2, 0])
    result = make_model(put=put).evaluate(put(X), put(y))
    expected = evaluate_margins(Z, y, np.arange(3))
    assert result.accuracy == expected.accuracy == make_model(put=put).score(put(X), put(y))
    np.testing.assert_array_equal(result.binary_accuracy, expected.binary_accuracy)
    np.testing.assert_array_equal(result.confusion, expected.confusion)
    result = make_model(classes=["a", "b", "c"]).evaluate(X, ["c"] * 4)
    assert result.confusion[:2].sum() == 0
    for method in (make_model().evaluate, make_model().score):
        with pytest.raises(gpulr.DataError, match=r"X is a Dataset.*evaluate\(data\.X, data\.y\)"):
            method(gpulr.datasets.Dataset(X, y))
        with pytest.raises(gpulr.DataError, match=r"Pass the labels, \(n_samples,\)\."):
            method(X)
    with pytest.raises(gpulr.DataError, match=r"Pass the labels, \(n_samples, 3\)\."):
        make_model(multilabel=True).evaluate(X)


@pytest.mark.parametrize(
    ("classes", "y", "message"),
    [
        ([0, 1, 2], [0, 1, 2, 3], r"not trained on: \[3\]; it knows \[0, 1, 2\]"),
        ([0, 1, 2], ["0", "1", "2", "0"], r"not trained on: \['0', '1', '2'\]"),
        (["0", "1", "2"], [0, 1, 2, 0], r"it knows \['0', '1', '2'\]"),
        ([0, 1, 2], [0, 1, 2], "4 rows and y has 3 labels"),
        ([0, 1, 2], [0.5, 1, 2, 0], "fractions"),
    ],
)
def test_labels_that_the_model_does_not_know(classes, y, message):
    with pytest.raises(gpulr.DataError, match=message):
        make_model(classes=classes).evaluate(X, y)
    with pytest.raises(gpulr.DataError, match=r"was trained on 2\. Pass rows"):
        make_model().predict(np.zeros((4, 3)))
    model = make_model(classes=np.array([0, 1, 2], dtype=np.uint8))  # equal in value
    assert model.score(X, [0.0, 1.0, 2.0, 0.0]) == model.score(X, [0, 1, 2, 0])


def test_weights_and_rows_of_different_libraries(put):
    expected = Z
    here = put(X)
    assert_close(make_model().decision_function(here), expected, like=here, dtype="float64")
    on_host = make_model(put=put).decision_function(X)
    assert isinstance(on_host, np.ndarray)
    np.testing.assert_allclose(on_host, expected)
    trained = gpulr.train(here, [0, 1, 2, 0], max_iter=5, tol=0)
    assert isinstance(trained.predict(X), np.ndarray)
    model = gpulr.train(here, [0, 1, 2, 0], backend="numpy", max_iter=5, tol=0)
    assert model.backend == "numpy"
    expected = gpulr.train(X, [0, 1, 2, 0], max_iter=5, tol=0)
    assert_close(model.weights, expected.weights, like=here, dtype="float32")


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool", "float32", "float64"])
def test_rows_are_computed_in_the_dtype_of_the_weights(put, rng, dtype):
    rows = rng.integers(0, 2, (9, 2)).astype(dtype)
    rows.flags.writeable = False
    before = rows.copy()
    here = put(rows)
    margins = make_model(put=put).decision_function(here)
    assert_close(margins, rows @ WEIGHTS + INTERCEPT, like=here, dtype="float64", atol=1e-15)
    np.testing.assert_array_equal(rows, before)


def test_facts_about_the_model():
    model = make_model(fallback_reason="because")
    assert (model.n_features, model.n_models, model.n_iter) == (2, 3, 0)
    assert not model.converged
    assert "3 models of 2 features for 3 classes, not converged" in repr(model)
    with pytest.raises(AttributeError):
        model.weights = 0
