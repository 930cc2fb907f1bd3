"""Calibration against scikit-learn's, and models for another share of positives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

import gpulr
from gpulr.backend import to_host
from gpulr.logistic import sigmoid
from gpulr.model.calibration import platt


def drawn(rng, n=900, k=3):
    """Rows whose labels are drawn by probabilities, the last of them rare."""
    X = rng.normal(size=(n, 6))
    Z = 2 * X @ rng.normal(size=(6, k)) + np.linspace(0, -5, k)
    return X, (rng.random((n, k)) < sigmoid(Z)).astype(np.uint8)


def scikit_learns(z, y, s):
    """Return a and b of CalibratedClassifierCV's sigmoid, on margins that are given."""
    frozen = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    frozen.coef_, frozen.intercept_ = np.ones((1, 1)), np.zeros(1)
    whole = CalibratedClassifierCV(FrozenEstimator(frozen), method="sigmoid")
    (fitted,) = whole.fit(z[:, None], y, sample_weight=s).calibrated_classifiers_
    (curve,) = fitted.calibrators
    return -curve.a_, -curve.b_


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.filterwarnings("ignore:Since FrozenEstimator")
@pytest.mark.parametrize(("scale", "shift"), [(1, 0), (0.01, 0), (20, -300), (1e6, 1e7)])
def test_a_and_b_are_scikit_learn_s(rng, weighted, scale, shift):
    X, Y = drawn(rng)
    Z = X[:, :3] * [1, 1, 1] + 2 * Y
    s = rng.integers(0, 3, len(X)) + 0.5 * rng.random(len(X)) if weighted else np.ones(len(X))
    a, b, share = platt(scale * Z.T + shift, Y.T == 1, np.tile(s, (3, 1)))
    np.testing.assert_allclose(share, np.average(Y, axis=0, weights=s), rtol=1e-12)
    for j in range(3):
        # On margins of about 1: scikit-learn's own tolerance is absolute.
        slope, offset = scikit_learns(Z[:, j], Y[:, j], s)
        assert a[j] * scale == pytest.approx(slope, rel=1e-5)
        assert a[j] * shift + b[j] == pytest.approx(offset, rel=1e-5, abs=1e-5)


def test_the_gradient_at_a_and_b_is_zero(rng):
    X, Y = drawn(rng, 400)
    Y[:, 1] = X[:, 1] > 0  # separable: the targets keep it finite
    Z = X[:, :3] * np.exp(rng.normal(size=3)) + Y
    s = rng.random(Z.shape)
    a, b, _ = platt(Z.T, Y.T == 1, s.T)
    positive, others = (s * Y).sum(axis=0), (s * (1 - Y)).sum(axis=0)
    R = s * (sigmoid(a * Z + b) - np.where(Y, (positive + 1) / (positive + 2), 1 / (others + 2)))
    assert np.abs(R.sum(axis=0)).max() < 1e-8
    assert np.abs((R * Z).sum(axis=0)).max() < 1e-8


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("standardize", [False, True])
def test_weights_and_intercept_absorb_it_and_thresholds_move_along(rng, dtype, standardize):
    X, Y = drawn(rng)
    X = X + 50.0
    model = gpulr.train(X[:600], Y[:600], dtype=dtype, standardize=standardize)
    model = replace(model, thresholds=np.array([0.5, -1.0, np.inf]))
    Z = model.decision_function(X)
    new = model.calibrated(Z[600:], Y[600:])
    record = new.data["calibration"]
    assert record["n_samples"] == 300
    tight = 1e-4 if dtype == "float32" else 1e-10
    expected = sigmoid(np.multiply(record["a"], Z) + record["b"])
    np.testing.assert_allclose(new.predict_proba(X), expected, rtol=0, atol=tight)
    assert new.weights.dtype == model.weights.dtype
    np.testing.assert_allclose(
        new.thresholds[:2], np.multiply(record["a"], [0.5, -1, 0])[:2] + record["b"][:2]
    )
    assert (new.predict(X) == model.predict(X)).mean() > 0.999
    assert model.data.get("calibration") is None
    # A second time hardly moves it, and a and b lead from the margins of training.
    twice = new.calibrated(new.decision_function(X[600:]), Y[600:])
    again = sigmoid(np.multiply(twice.data["calibration"]["a"], Z) + twice.data["calibration"]["b"])
    np.testing.assert_allclose(twice.predict_proba(X), again, rtol=0, atol=tight)


@pytest.mark.filterwarnings("ignore:Since FrozenEstimator")
def test_several_classes_and_two(rng):
    X = rng.normal(size=(500, 4))
    y = np.array(["a", "b", "c"])[(X[:, :3] + rng.normal(size=(500, 3))).argmax(axis=1)]
    for several in (True, False):
        y = y if several else y == "b"
        model = gpulr.train(X[:250], y[:250])
        Z = to_host(model.decision_function(X[250:]))
        record = model.calibrated(Z, y[250:]).data["calibration"]
        for j, name in enumerate(model.classes[-model.n_models :]):
            slope, offset = scikit_learns(Z[:, j].astype(float), y[250:] == name, np.ones(250))
            assert record["a"][j] == pytest.approx(slope, rel=1e-5)
            assert record["b"][j] == pytest.approx(offset, rel=1e-5, abs=1e-5)
    flat = model.calibrated(Z[:, 0], y[250:])  # margins of one model, as scikit-learn has them
    assert flat.data["calibration"] == record


def test_margins_that_say_nothing_or_the_contrary(rng):
    X, Y = drawn(rng)
    model = replace(gpulr.train(X, Y), thresholds=np.zeros(3))
    Z = model.decision_function(X).astype(np.float64)
    Z[:, 1], Z[:, 2] = -Z[:, 1], 7.0
    with pytest.warns(gpulr.ParameterWarning, match="say nothing about these labels.*: 1, 2"):
        new = model.calibrated(Z, Y)
    positive = Y.sum(axis=0)
    others = 900 - positive
    share = (positive * (positive + 1) / (positive + 2) + others / (others + 2)) / 900
    P = new.predict_proba(X)
    np.testing.assert_allclose(P[:, 1:], np.broadcast_to(share[1:], (900, 2)), rtol=1e-6)
    assert not new.predict(X)[:, 1:].any()
    assert new.predict(X)[:, 0].any()


def test_labels_without_positive_or_other_rows_stay_as_they_are(rng):
    X, Y = drawn(rng)
    model, one_sided = gpulr.train(X, Y), Y.copy()
    one_sided[:, 0], one_sided[:, 2] = 0, 1
    Z = model.decision_function(X)
    with pytest.warns(gpulr.ParameterWarning, match=r"Not calibrated, .*: 0, 2\."):
        new = model.calibrated(Z, one_sided)
    np.testing.assert_array_equal(new.weights[:, [0, 2]], model.weights[:, [0, 2]])
    np.testing.assert_array_equal(new.intercept[[0, 2]], model.intercept[[0, 2]])
    with pytest.raises(gpulr.DataError, match="nothing to calibrate by"):
        model.calibrated(Z, np.zeros_like(Y))


def test_a_model_s_calibration_does_not_depend_on_its_neighbours_or_on_rows_of_weight_0(rng):
    X, Y = drawn(rng, 300)
    Z, s = X[:, :3] + Y, rng.integers(0, 2, 300).astype(float)
    together = platt(Z.T.copy(), Y.T == 1, np.tile(s, (3, 1)))
    for j in range(3):
        alone = platt(Z.T[[j]].copy(), Y.T[[j]] == 1, s[None])
        np.testing.assert_array_equal(np.ravel(alone), [each[j] for each in together])
    kept = platt(Z[s > 0].T.copy(), Y[s > 0].T == 1, np.ones((3, int(s.sum()))))
    np.testing.assert_allclose(together, kept, rtol=1e-9)


WRONG = {
    "margins of other models": (lambda Z, Y: (Z[:, :2], Y), r"Z has shape \(900, 2\)"),
    "other rows": (lambda Z, Y: (Z[:5], Y), "y has shape"),
    "NaN": (lambda Z, Y: (np.where(Z > 0, np.nan, Z), Y), "NaN or infinity"),
    "text": (lambda Z, Y: (Z.astype(str), Y), "Z"),
    "no rows": (lambda Z, Y: (Z[:0], Y[:0]), "Z has shape"),
    "labels": (lambda Z, Y: (Z, 3 * Y), "expected 0 and 1"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("method", ["calibrated", "with_thresholds"])
def test_what_is_no_margins_or_labels(rng, name, method):
    X, Y = drawn(rng)
    model = gpulr.train(X, Y)
    change, words = WRONG[name]
    with pytest.raises(gpulr.DataError, match=words):
        getattr(model, method)(*change(model.decision_function(X), Y))
    with pytest.raises(gpulr.DataError, match="sample_weight"):
        getattr(model, method)(model.decision_function(X), Y, sample_weight=np.ones(3))


@pytest.mark.parametrize("method", ["calibrated", "with_thresholds"])
def test_probabilities_are_not_margins(rng, method):
    X, Y = drawn(rng)
    model = gpulr.train(X, Y)
    with pytest.warns(gpulr.ParameterWarning, match='method="decision_function"'):
        getattr(model, method)(model.predict_proba(X), Y)


def test_another_share_of_positives(rng):
    X, Y = drawn(rng)
    model = gpulr.train(X, Y, dtype="float64")
    before = np.array([0.4, 0.2, 0.1])
    model = replace(model, data={**model.data, "prior": before.tolist()}, thresholds=np.zeros(3))
    for p in (0.3, np.array([0.2, 0.5, 0.9])):
        new = model.with_prior(p)
        # Bayes' rule with the odds of the classes changed.
        P = model.predict_proba(X)
        odds = P / (1 - P) * (p / (1 - p)) / (before / (1 - before))
        np.testing.assert_allclose(new.predict_proba(X), odds / (1 + odds), rtol=1e-9)
        np.testing.assert_allclose(new.data["prior"], np.broadcast_to(p, 3))
        np.testing.assert_array_equal(new.thresholds, model.thresholds)
        back = new.with_prior(before)
        np.testing.assert_allclose(back.predict_proba(X), P, rtol=1e-9)
    for wrong in (0, 1, -0.5, np.nan, [0.1, 0.2], "half", None):
        with pytest.raises(gpulr.ParameterError, match="expected a share between 0 and 1"):
            model.with_prior(wrong)
    unknown = replace(model, data={"name": "arrays"})
    with pytest.raises(gpulr.ParameterError, match="does not say what share"):
        unknown.with_prior(0.1)


WEIGHTS = {
    "none": {},
    "balanced": {"class_weight": "balanced"},
    "factor": {"pos_weight": 3.0},
    "both": {"class_weight": "balanced", "pos_weight": [0.5, 1.0, 4.0]},
}


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["labels", "sparse", "unknown", "classes"])
def test_the_share_of_training_is_what_a_model_says_on_average(rng, name, weighted, kind):
    X, Y = drawn(rng, 300)
    s = rng.integers(1, 4, 300) / 2 if weighted else np.ones(300)
    y, truth, known = Y, Y, np.ones(Y.shape)
    if kind == "sparse":
        y = csr_array(Y)
    elif kind == "unknown":
        known[::7, 0] = 0
        y = np.where(known, Y, np.nan)
    elif kind == "classes":
        y = Y[:, 0] + Y[:, 1].astype(int)
        truth = y[:, None] == np.arange(3)
    arguments = WEIGHTS[name] | ({"sample_weight": s} if weighted else {})
    model = gpulr.train(X, y, C=np.inf, dtype="float64", tol=1e-9, **arguments)
    # The intercept's gradient is zero: as they are weighted, P is Y on average.
    W = known * s[:, None] * np.where(truth, np.broadcast_to(arguments.get("pos_weight", 1), 3), 1)
    if name in ("balanced", "both"):
        V = known * s[:, None]
        W = W * np.where(truth, (V * (1 - truth)).sum(axis=0) / (V * truth).sum(axis=0), 1)
    P = (W * model.predict_proba(X)).sum(axis=0) / W.sum(axis=0)
    np.testing.assert_allclose(model.data["prior"], P, rtol=1e-6)


def test_a_label_that_training_had_no_row_of_stays_as_it_is(rng):
    X, Y = drawn(rng)
    Y[:, 1] = 0
    model = gpulr.train(X, Y)
    with pytest.warns(gpulr.ParameterWarning, match=r"stay as they are, .*: 1\."):
        new = model.with_prior(0.3)
    assert new.intercept[1] == model.intercept[1]
    assert (new.intercept != model.intercept)[[0, 2]].all()


def test_a_calibrated_model_s_file(tmp_path, rng):
    X, Y = drawn(rng)
    model = gpulr.train(X, Y)
    Z = model.decision_function(X)
    new = model.with_thresholds(Z, Y, {"recall": 0.5}).calibrated(Z, Y)
    new.save(tmp_path / "model.safetensors")
    loaded = gpulr.load(tmp_path / "model.safetensors")
    assert loaded.data == new.data
    assert repr(loaded).endswith(", with thresholds and calibration>")
    assert loaded.data["thresholds"] == {"by": "recall", "least": 0.5, "n_samples": 900}
    np.testing.assert_array_equal(loaded.predict(X), new.predict(X))
    short = replace(new, data={**new.data, "prior": [0.5]})
    with pytest.raises(gpulr.ModelFileError, match="prior has 1 values for 3 models"):
        short.save(tmp_path / "model.safetensors")


def test_heavy_rows_of_separable_labels(rng):
    # Targets so near 0 and 1 that costs tell points apart no more, only gradients do.
    X, Y = drawn(rng, 500)
    Y[:, 0], Y[:, 1] = X[:, 0] > 0.1, X[:, 1] > 2
    W, heavy = np.ones(Y.T.shape), 1e6
    a, b, _ = platt(X.T[:3], Y.T == 1, heavy * W)
    positive = heavy * Y.sum(axis=0)
    target = np.where(Y, (positive + 1) / (positive + 2), 1 / (heavy * 500 - positive + 2))
    R = sigmoid(a * X[:, :3] + b) - target
    assert np.abs(R.mean(axis=0)).max() < 1e-6 * np.minimum(target, 1 - target).mean()
