"""Columns of several models in one: the margins of each, and what is known of all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import gpulr
from gpulr.backend import to_host
from helpers import assert_close, assert_optimal, stacked


@pytest.fixture
def X(rng):
    return rng.normal(size=(90, 4)) * [1.0, 5.0, 0.2, 1.0] + [0.0, 30.0, -2.0, 1.0]


@pytest.fixture
def tags(rng, X):
    """Make labels of so many columns."""
    centred = (X - X.mean(axis=0)) / X.std(axis=0)
    return lambda k: (centred @ rng.normal(size=(4, k)) + rng.normal(size=(90, k)) > 0).astype(int)


def named(model, *names):
    return replace(model, classes=np.array(names))


def margins_of(models, X):
    return np.concatenate([to_host(model.decision_function(X)) for model in models], axis=1)


def test_labels(X, tags):
    Y = tags(5)
    parts = [gpulr.train(X, Y[:, :2], C=[1.0, 2.0]), gpulr.train(X, Y[:, 2:], C=3.0)]
    parts = [named(parts[0], "a", "b"), named(parts[1], "c", "d", "e")]
    found, whole = gpulr.stack(parts), gpulr.train(X, Y, C=[1.0, 2.0, 3.0, 3.0, 3.0])
    assert found.classes.tolist() == list("abcde")
    assert found.multilabel
    np.testing.assert_array_equal(found.decision_function(X), margins_of(parts, X))
    # Columns do not depend on their neighbours, so these are those of one training.
    np.testing.assert_array_equal(found.weights, whole.weights)
    np.testing.assert_array_equal(found.intercept, whole.intercept)
    for name in ("n_iter", "converged", "stalled", "refreshes"):
        np.testing.assert_array_equal(
            getattr(found.history, name), getattr(whole.history, name), err_msg=name
        )
    np.testing.assert_array_equal(found.history.cost, whole.history.cost)
    assert found.settings == whole.settings
    assert found.data == whole.data | {
        "origin": "2 columns of a trained model and 3 columns of a trained model"
    }
    assert found.score(X, Y) == whole.score(X, Y)
    assert found.select(classes=list("cde")).settings["C"] == [3.0, 3.0, 3.0]


def test_models_of_two_classes_become_labels(X, tags):
    Y = tags(3)
    warm = gpulr.train(X, np.array(["cold", "warm"])[Y[:, 0]])
    others = named(gpulr.train(X, Y[:, 1:]), "wet", "windy")
    found = gpulr.stack([warm, others])
    assert found.classes.tolist() == ["warm", "wet", "windy"]
    np.testing.assert_array_equal(found.predict(X)[:, 0], warm.predict(X) == "warm")
    np.testing.assert_array_equal(found.predict(X)[:, 1:], others.predict(X))
    assert gpulr.stack([warm]).predict(X).shape == (90, 1)


def test_classes_compete(X, rng):
    y = rng.integers(0, 6, 90)
    low, high = (gpulr.train(X[part], y[part]) for part in (y < 3, y > 2))
    found = gpulr.stack([high, low])
    assert not found.multilabel
    assert found.classes.tolist() == [3, 4, 5, 0, 1, 2]
    Z = margins_of([high, low], X)
    np.testing.assert_array_equal(found.predict(X), found.classes[Z.argmax(axis=1)])
    assert found.score(X, y) == np.mean(found.predict(X) == y)
    assert found.evaluate(X, y).confusion.sum() == 90
    assert "n_samples" not in found.data or np.sum(y < 3) == 45
    theirs = found.to_sklearn()
    np.testing.assert_array_equal(theirs.predict(X), found.predict(X))


@pytest.mark.parametrize(
    ("settings", "dtype"),
    [
        (({}, {}), "float32"),
        (({"standardize": True}, {"standardize": True}), "float32"),
        (({"standardize": True}, {}), "float64"),
        (({}, {"standardize": True}), "float64"),
        (({"dtype": "float64"}, {}), "float64"),
        (({"standardize": True, "dtype": "float64"}, {"standardize": True}), "float64"),
    ],
    ids=str,
)
def test_centres_and_dtypes(put, X, tags, settings, dtype):
    """Margins stay, to the rounding of the narrower; one centre is kept, several leave none."""
    Y = tags(4)
    parts = [
        named(gpulr.train(put(X), put(Y[:, i : i + 2]), **each), *names)
        for i, each, names in zip((0, 2), settings, (("a", "b"), ("c", "d")), strict=True)
    ]
    found = gpulr.stack(parts)
    like = put(X)
    Z = found.decision_function(like)
    assert_close(Z, margins_of(parts, like), like=like, dtype=dtype, ulps=2**30, atol=1e-4)
    plain = X @ to_host(found.weights).astype(np.float64) + to_host(found.intercept)
    np.testing.assert_allclose(plain, to_host(Z), atol=1e-4)
    centres = [part.center for part in parts]
    kept = centres[0] is not None and np.array_equal(*map(to_host, centres))
    assert (found.center is not None) == kept


def test_models_standardised_on_other_rows_keep_their_margins(X, tags):
    """Far from 0 and in float32, where X W + b alone would lose them."""
    X, Y = X + 1e4, tags(4)
    parts = [
        named(gpulr.train(X[:60], Y[:60, :2], standardize=True), "a", "b"),
        named(gpulr.train(X[30:], Y[30:, 2:], standardize=True), "c", "d"),
    ]
    found = gpulr.stack(parts)
    assert found.center is None
    np.testing.assert_allclose(found.decision_function(X), margins_of(parts, X), atol=1e-5)


def test_other_scales(tags, images):
    """C refers to the scaled X: without a common scale, to X as it is."""
    X, Y = images[0], tags(4)
    X = X[:90]
    parts = [
        named(gpulr.train(X, Y[:, :2], C=2.0, tol=1e-9, dtype="float64"), "a", "b"),
        named(gpulr.train(X, Y[:, 2:], C=0.01, scale=1.0, tol=1e-9, dtype="float64"), "c", "d"),
    ]
    found = gpulr.stack(parts)
    assert found.scale == found.settings.get("scale", 1.0) == 1.0
    assert_optimal(X.astype(np.float64), Y, stacked(found), found.settings["C"], tol=1e-5)


def test_thresholds(X, tags):
    Y = tags(4)
    a, b = named(gpulr.train(X, Y[:, :2]), "a", "b"), named(gpulr.train(X, Y[:, 2:]), "c", "d")
    a = replace(a, thresholds=np.array([0.5, -0.5]))
    found = gpulr.stack([a, b])
    said = np.concatenate([a.predict(X), b.predict(X)], axis=1)
    np.testing.assert_array_equal(found.predict(X), said)
    # No margin is above 0 that is 0, in either.
    nothing = replace(b, weights=b.weights * 0, intercept=b.intercept * 0)
    assert not gpulr.stack([a, nothing]).predict(X)[:, 2:].any()
    assert gpulr.stack([b]).thresholds is None


def test_what_is_known_of_positives(X, tags):
    Y = tags(4)
    a, b = named(gpulr.train(X, Y[:, :2]), "a", "b"), named(gpulr.train(X, Y[:, 2:]), "c", "d")
    a, b = (replace(m, data=m.data | {"prior": p}) for m, p in ((a, [0.1, 0.2]), (b, [0.3, 0.4])))
    found = gpulr.stack([a, b])
    assert found.data["prior"] == [0.1, 0.2, 0.3, 0.4]
    found = replace(found, data=found.data | {"n_unknown": 5})
    calibration = {"n_samples": 9, "a": [1.0, 2.0, 3.0, 4.0], "b": [0.0, -1.0, 0.5, 2.0]}
    found = replace(found, data=found.data | {"calibration": calibration})
    some = found.select(classes=["d", "a"], features=[0, 1]).data
    assert some["prior"] == [0.4, 0.1]
    assert some["calibration"] == {"n_samples": 9, "a": [4.0, 1.0], "b": [2.0, 0.0]}
    assert "n_unknown" not in some
    two = gpulr.train(X, Y[:, 0])
    two = replace(two, data=two.data | {"prior": [0.25], "calibration": {"a": [2.0], "b": [1.0]}})
    turned = two.select(classes=[1, 0]).data
    assert turned["prior"] == [0.75]
    assert turned["calibration"] == {"a": [2.0], "b": [-1.0]}


def test_histories_of_other_lengths(X, tags):
    Y = tags(4)
    short = named(gpulr.train(X, Y[:, :2], max_iter=2, tol=0), "a", "b")
    long = named(gpulr.train(X, Y[:, 2:], max_iter=5, tol=0, solver="gd"), "c", "d")
    history = gpulr.stack([short, long]).history
    assert history.cost.shape == (6, 4)
    np.testing.assert_array_equal(history.cost[3:, :2], np.tile(short.history.cost[-1], (3, 1)))
    assert history.seconds[-1] == short.history.seconds[-1] + long.history.seconds[-1]
    assert history.refreshes is None  # "gd" has none
    assert history.n_iter.tolist() == [2, 2, 5, 5]


def test_files_and_other_software(X, tags, tmp_path):
    Y = tags(4)
    parts = [
        named(gpulr.train(X, Y[:, :2], standardize=True), "a", "b"),
        named(gpulr.train(X[:80], Y[:80, 2:], standardize=True, max_iter=3), "c", "d"),
    ]
    parts[1] = replace(parts[1], thresholds=np.array([0.25, -0.25]))
    found = gpulr.stack(parts)
    found.save(tmp_path / "all.safetensors")
    again = gpulr.load(tmp_path / "all.safetensors")
    np.testing.assert_array_equal(again.predict(X), found.predict(X))
    assert again.data == found.data
    assert again.settings == found.settings
    pytest.importorskip("jinja2")
    gpulr.report(again, tmp_path / "all.html")
    page = (tmp_path / "all.html").read_text(encoding="utf-8")
    assert "2 columns of a trained model and 2 columns of a trained model" in page
    theirs = replace(found, thresholds=None).to_sklearn()
    np.testing.assert_allclose(theirs.predict_proba(X), found.predict_proba(X), rtol=1e-9)
    onnxruntime = pytest.importorskip("onnxruntime")
    found.to_onnx(tmp_path / "all.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "all.onnx")
    (label,) = session.run(["label"], {"X": X})
    np.testing.assert_array_equal(label, found.predict(X))


def test_names_of_features(X, tags):
    pandas = pytest.importorskip("pandas")
    Y = tags(4)
    frame = pandas.DataFrame(X, columns=list("wxyz"))
    known = named(gpulr.train(frame, Y[:, :2]), "a", "b")
    other = named(gpulr.train(frame[list("zyxw")], Y[:, 2:]), "c", "d")
    with pytest.raises(gpulr.ParameterError, match=r"Feature 0 .*'w', and 'z'.*select"):
        gpulr.stack([known, other])
    found = gpulr.stack([known, other.select(features=list("wxyz"))])
    np.testing.assert_array_equal(found.predict(frame)[:, 2:], other.predict(frame))
    unnamed = named(gpulr.train(X, Y[:, 2:]), "c", "d")
    assert gpulr.stack([unnamed, known]).data["feature_names"] == list("wxyz")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda labels, classes, two: [], r"got \[\]"),
        (lambda labels, classes, two: labels, "got <OneVsAll"),
        (lambda labels, classes, two: [labels, "model"], "got a list of OneVsAll, str"),
        (lambda labels, classes, two: [labels, labels], r"models have \[0, 1, 2\].*replace"),
        (lambda labels, classes, two: [labels, two], r"models have \[1\]"),
        (lambda labels, classes, two: [labels, named(labels, *"abc")], "in one way"),
        (lambda labels, classes, two: [labels, classes], "one class per row"),
        (lambda labels, classes, two: [two, classes], "one class per row"),
        (lambda labels, classes, two: [labels, labels.select(features=[0, 1, 2])], "3, 4 features"),
    ],
)
def test_what_does_not_go_together(X, tags, rng, make, says):
    labels, classes = gpulr.train(X, tags(3)), gpulr.train(X, rng.integers(0, 3, 90))
    two = gpulr.train(X, rng.integers(0, 2, 90))
    with pytest.raises(gpulr.ParameterError, match=says):
        gpulr.stack(make(labels, classes, two))
