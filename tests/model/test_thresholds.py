"""Thresholds by F1, precision and recall, against all of them tried, and scikit-learn's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import f1_score, precision_recall_curve, precision_score, recall_score
from sklearn.model_selection import TunedThresholdClassifierCV

import gpulr
from gpulr.backend import to_host
from gpulr.model.thresholds import best_thresholds


def cases(rng):
    """Margins with ties and weights, and labels, a row each; some of them hopeless."""
    Z = np.round(rng.normal(size=(6, 120)), 1)
    Z[1], Z[2] = rng.normal(size=120), 3.0
    Y = rng.random((6, 120)) < 0.3
    Y[3:] = Z[3:] + rng.normal(size=(3, 120)) > 1
    Y[5] = False
    Y[5, 7] = True
    return Z, Y, rng.integers(0, 3, (6, 120)).astype(float)


def value_of(y, said, w, rule, least):
    """Return what a rule goes by, and what decides between equals."""
    right, predicted, positives = w @ (said & y), w @ said, w @ y
    p, r = right / predicted if predicted else 0.0, right / positives
    return {
        "f1": (2 * right / (predicted + positives), r),
        "precision": (r if p >= least else 0.0, p),
        "recall": (p if r >= least else 0.0, r),
    }[rule]


def tried(z, y, w, rule, least):
    """Return the best value of all thresholds."""
    found = [value_of(y, z >= t, w, rule, least) for t in np.unique(z[w > 0])]
    return max(value if value[0] > 0 else (0.0, 0.0) for value in found)


RULES = [("f1", 0), ("precision", 0.5), ("precision", 0.9), ("recall", 0.9), ("recall", 1.0)]


@pytest.mark.parametrize(("rule", "least"), RULES)
@pytest.mark.parametrize("weighted", [False, True])
def test_no_other_threshold_is_better(rng, rule, least, weighted):
    Z, Y, W = cases(rng)
    W = W if weighted else np.ones_like(W)
    thresholds = best_thresholds(Z, Y, W, rule, least)
    for z, y, w, t in zip(Z, Y, W, thresholds, strict=True):
        if not (w * y).any():
            assert np.isnan(t)
            continue
        best = tried(z, y, w, rule, least)
        if np.isposinf(t):
            assert best == (0.0, 0.0)
            assert rule == "precision"
            continue
        assert value_of(y, z >= t, w, rule, least) == pytest.approx(best, rel=1e-12)
        # Half way between the margins that it parts, or at the last of all.
        known = np.unique(z[w > 0])
        above, below = known[known >= t].min(), known[known < t]
        assert t == (pytest.approx((above + below.max()) / 2) if len(below) else above)


def test_scikit_learn_s_curve_and_tuned_threshold(rng):
    X = rng.normal(size=(400, 5))
    y = X @ rng.normal(size=5) + rng.normal(size=400) > 2
    model = gpulr.train(X[:200], y[:200], dtype="float64")
    z = to_host(model.decision_function(X[200:]))
    precision, recall, _ = precision_recall_curve(y[200:], z[:, 0])
    with np.errstate(invalid="ignore"):
        f1 = 2 * precision * recall / (precision + recall)
    for rule, best in (
        ("f1", np.nanmax(f1)),
        ({"precision": 0.8}, recall[precision >= 0.8].max()),
        ({"recall": 0.8}, precision[recall >= 0.8].max()),
    ):
        said = model.with_thresholds(z, y[200:], rule).predict(X[200:])
        scores = {
            "f1": f1_score(y[200:], said),
            "precision": recall_score(y[200:], said),
            "recall": precision_score(y[200:], said),
        }
        assert scores[rule if rule == "f1" else next(iter(rule))] == pytest.approx(best)
    tuned = TunedThresholdClassifierCV(
        FrozenEstimator(model.to_sklearn()),
        scoring="f1",
        response_method="decision_function",
        thresholds=50,
        cv="prefit",
        refit=False,
    ).fit(X[200:], y[200:])
    assert np.nanmax(f1) >= tuned.best_score_ - 1e-12


def test_weights_of_zero_are_rows_that_are_not_there(rng):
    Z, Y, W = cases(rng)
    keep = rng.random(120) < 0.5
    for rule, least in RULES:
        some = best_thresholds(Z[:, keep], Y[:, keep], W[:, keep], rule, least)
        zero = best_thresholds(Z, Y, W * keep, rule, least)
        np.testing.assert_array_equal(some, zero)


def test_between_neighbouring_numbers_the_threshold_is_the_upper_one():
    upper = 1.0 + np.finfo(np.float64).eps
    Z, Y = np.array([[1.0, upper]]), np.array([[False, True]])
    assert best_thresholds(Z, Y, np.ones((1, 2)), "f1").tolist() == [upper]
    assert best_thresholds(Z, Y, np.ones((1, 2)), "recall", 1.0).tolist() == [upper]


def labels(rng):
    X = rng.normal(size=(300, 4))
    Y = (X[:, :3] + rng.normal(size=(300, 3)) > [0, 1.5, 2.5]).astype(np.uint8)
    return X, Y, gpulr.train(X, Y)


def test_the_model_keeps_probabilities_and_says_how(rng):
    X, Y, model = labels(rng)
    Z = model.decision_function(X)
    new = model.with_thresholds(Z, Y)
    np.testing.assert_array_equal(new.decision_function(X), Z)
    assert new.data["thresholds"] == {"by": "f1", "least": None, "n_samples": 300}
    assert model.thresholds is None
    assert (new.evaluate(X, Y).label_f1 >= model.evaluate(X, Y).label_f1 - 1e-12).all()
    assert new.evaluate(X, Y).label_f1[2] > model.evaluate(X, Y).label_f1[2]
    y = Y.sum(axis=1)
    several = gpulr.train(X, y)
    new = several.with_thresholds(several.decision_function(X), y)
    assert new.thresholds.shape == (several.n_models,)


def test_labels_without_positive_rows_and_a_precision_out_of_reach(rng):
    X, Y, model = labels(rng)
    Z, none = model.decision_function(X), Y.copy()
    none[:, 1] = 0
    with pytest.warns(gpulr.ParameterWarning, match=r"no positive rows of them: 1\."):
        new = model.with_thresholds(Z, none)
    assert new.thresholds[1] == 0
    before = replace(model, thresholds=np.full(3, 0.25))
    with pytest.warns(gpulr.ParameterWarning, match="no positive rows"):
        assert before.with_thresholds(Z, none).thresholds[1] == 0.25
    with pytest.raises(gpulr.DataError, match="No label of y has positive rows"):
        model.with_thresholds(Z, 0 * Y)
    worst = Z.copy()
    worst[:, 2] = np.where(Y[:, 2], -5.0, 5.0)
    with pytest.warns(gpulr.ParameterWarning, match=r"precision of 0.9 .*never predicted: 2\."):
        new = model.with_thresholds(worst, Y, {"precision": 0.9})
    assert not new.predict(X)[:, 2].any()


@pytest.mark.parametrize(
    "rule",
    [
        *("F1", "accuracy", {}, {"precision": 0}, {"recall": 1.1}, {"f1": 0.5}, None, 0.5),
        *({"precision": 0.9, "recall": 0.9}, {"precision": "high"}, {"recall": np.nan}),
    ],
)
def test_no_rule(rng, rule):
    X, Y, model = labels(rng)
    with pytest.raises(gpulr.ParameterError, match="is no rule for thresholds"):
        model.with_thresholds(model.decision_function(X), Y, rule)


@pytest.mark.filterwarnings("ignore:No threshold chosen", "ignore:Not calibrated")
@pytest.mark.parametrize("method", ["with_thresholds", "calibrated"])
def test_entries_that_are_not_known_do_not_count(rng, method):
    X, Y, model = labels(rng)
    Z, unknown = model.decision_function(X), rng.random(Y.shape) < 0.3
    new = getattr(model, method)(Z, np.where(unknown, np.nan, Y))
    for j in range(3):
        known = ~unknown[:, j]
        alone = getattr(model, method)(Z[known], np.eye(3, dtype=np.uint8)[j] * Y[known])
        if method == "calibrated":
            np.testing.assert_allclose(new.weights[:, j], alone.weights[:, j], rtol=1e-6)
            assert new.data["prior"][j] == pytest.approx(Y[known, j].mean())
        else:
            assert new.thresholds[j] == alone.thresholds[j]
