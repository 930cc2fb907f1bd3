"""Thresholds: what is predicted with them, wherever something is predicted."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import gpulr
from gpulr.backend import to_host
from gpulr.model.predicted import predicted, predicted_codes
from gpulr.show.predictions import Predictions, true_names


def models(rng, dtype="float32"):
    """Models of several classes, two classes, and labels, each with thresholds; and their y."""
    X = rng.normal(size=(90, 5))
    codes = (X[:, :4] @ rng.normal(size=(4, 4)) + rng.normal(size=(90, 4))).argmax(axis=1)
    ys = {
        "several": np.array(["a", "b", "c", "d"])[codes],
        "two": codes > 1,
        "labels": (X[:, :3] + rng.normal(size=(90, 3)) > 0.5).astype(np.uint8),
    }
    for name, y in ys.items():
        model = gpulr.train(X, y, dtype=dtype)
        Z = to_host(model.decision_function(X)).astype(np.float64)
        # One of them is a margin itself, which reaches it.
        thresholds = Z[rng.integers(0, 90, model.n_models), np.arange(model.n_models)]
        yield name, X, y, Z, replace(model, thresholds=thresholds)


def expected(model, Z):
    """Return what the rule says, in the words of Python."""
    at = model.thresholds
    if model.multilabel:
        return [[int(z >= t) for z, t in zip(row, at, strict=True)] for row in Z.tolist()]
    if model.n_models == 1:
        return [model.classes.tolist()[int(row[0] >= at[0])] for row in Z.tolist()]
    far = [[z - t for z, t in zip(row, at, strict=True)] for row in Z.tolist()]
    return [model.classes.tolist()[row.index(max(row))] for row in far]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_predicted_evaluated_and_shown(rng, dtype):
    for name, X, y, Z, model in models(rng, dtype):
        labels = expected(model, Z)
        assert to_host(model.predict(X)).tolist() == labels
        assert labels != to_host(replace(model, thresholds=None).predict(X)).tolist()
        result, right = model.evaluate(X, y), np.asarray(labels) == y
        if name == "labels":
            assert result.subset_accuracy == right.all(axis=1).mean()
            np.testing.assert_array_equal(result.label_accuracy, right.mean(axis=0))
            assert result.predicted_positives.tolist() == np.sum(labels, axis=0).tolist()
        else:
            assert result.accuracy == right.mean() == model.score(X, y)
            positive = np.asarray(y)[:, None] == model.classes[-model.n_models :]
            binary = ((model.thresholds <= Z) == positive).mean(axis=0)
            np.testing.assert_array_equal(result.binary_accuracy, binary)
        shown = Predictions.of(model, X, true_names(model, y, 90))
        names = np.asarray(labels)
        said = names == 1 if name == "labels" else names[:, None] == model.classes
        np.testing.assert_array_equal(shown.predicted, said)
        np.testing.assert_array_equal(shown.right, right.all(axis=1) if right.ndim == 2 else right)
        np.testing.assert_array_equal(shown.take(np.array([3])).above, shown.above[[3]])


def test_without_thresholds_a_margin_of_zero_says_no_and_with_zeros_yes():
    Z = np.array([[0.0], [1e-30], [-1e-30]], np.float32)
    assert predicted_codes(Z).tolist() == [0, 1, 0]
    assert predicted_codes(Z, np.zeros(1)).tolist() == [1, 1, 0]
    assert predicted(np.array([[3e38]], np.float32), np.array([np.inf])).tolist() == [[False]]
    two = np.array([[1.0, 2.0]], np.float32)
    assert predicted_codes(two, np.array([0.0, np.inf])).tolist() == [0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_onnx_gives_the_same_labels(tmp_path, rng, dtype):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    for name, X, _, _, model in models(rng, dtype):
        path = tmp_path / f"{name}.onnx"
        model.to_onnx(path, input_dtype="float64")
        session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
        margins, label = session.run(["margins", "label"], {"X": X})
        # Thresholds of which float32 has only neighbours: between a margin and the next.
        assert label.tolist() == expected(model, margins), name
        for step in (-np.inf, np.inf):
            between = np.nextafter(margins[7].astype(np.float64), step)
            moved = replace(model, thresholds=between)
            moved.to_onnx(path, input_dtype="float64")
            session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
            margins, label = session.run(["margins", "label"], {"X": X})
            assert label.tolist() == expected(moved, margins), name


def test_thresholds_are_checked_where_they_are_assigned(rng):
    model = gpulr.train(rng.normal(size=(60, 5)), np.arange(60) % 3, max_iter=3, tol=0)
    for given in ([1, 0.5, np.inf], np.float32([1, 0.5, np.inf])):
        found = replace(model, thresholds=given).thresholds
        assert (found.dtype, found.tolist()) == (np.float64, [1, 0.5, np.inf])
    assert replace(model, thresholds=0.25).thresholds.tolist() == [0.25] * 3
    wrong = [0.1, 0.2], [[0.1, 0.2, 0.3]], [0, np.nan, 1], [0, -np.inf, 1], "f1", ["a", "b", "c"]
    for given in wrong:
        with pytest.raises(gpulr.ParameterError, match="expected 3 numbers, one for each model"):
            replace(model, thresholds=given)


def test_scikit_learn_cannot_hold_them(rng):
    for *_, model in models(rng):
        with pytest.raises(gpulr.ParameterError, match=r"replace\(model, thresholds=None\)"):
            model.to_sklearn()
        assert replace(model, thresholds=None).to_sklearn().n_features_in_ == 5


def test_the_page_gets_them(rng):
    canvas_of = pytest.importorskip("gpulr.reporting.pictures").canvas_of
    model = gpulr.train(rng.random((30, 4, 4)), np.arange(30) % 3, max_iter=3, tol=0)
    assert canvas_of(model, list("abc"))[0]["thresholds"] is None
    model = replace(model, thresholds=np.array([0.25, -1.0, np.inf]))
    found = json.loads(json.dumps(canvas_of(model, list("abc"))[0], allow_nan=False))
    assert found["thresholds"][:2] == [0.25, -1.0]
    assert found["thresholds"][2] > 1e300


def test_where_rows_and_weights_are(put, rng):
    X = rng.normal(size=(90, 5)).astype(np.float32)
    Y = (X[:, :3] + rng.normal(size=(90, 3)) > 0.5).astype(np.uint8)
    for y in (Y, Y.sum(axis=1), Y[:, 0]):
        here, there = gpulr.train(X, y), gpulr.train(put(X), y)
        Z = here.decision_function(X)
        refined = [
            model.with_thresholds(Z, y).calibrated(put(Z), put(y)) for model in (here, there)
        ]
        here, there = refined
        assert type(there.weights) is type(put(X))
        np.testing.assert_allclose(to_host(there.weights), here.weights, rtol=1e-3, atol=1e-4)
        labels = there.predict(put(X))
        assert type(labels) is type(put(y))
        far = np.abs(here.decision_function(X) - here.thresholds).min(axis=1) > 1e-3
        np.testing.assert_array_equal(to_host(labels)[far], here.predict(X)[far])
        assert there.score(put(X), put(y)) == pytest.approx(here.score(X, y), abs=0.05)
