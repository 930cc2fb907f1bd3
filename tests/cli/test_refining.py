"""`gpulr train --calibrate --thresholds`, and what other commands say of such models."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold

import gpulr
from gpulr.cli import refining

TRAIN = ("train", "--data", "digits", "--tol", 0.01, "--output", "m.safetensors")


def test_both_come_from_out_of_fold_margins(told, run):
    digits = gpulr.datasets.load_digits()
    record = told(*TRAIN, "--seed", 3, "--calibrate", "--thresholds", "recall=0.9")
    folds = StratifiedKFold(5, shuffle=True, random_state=3)
    Z = gpulr.cross_val_predict(digits, cv=folds, method="decision_function", tol=0.01)
    model = gpulr.train(digits, tol=0.01).with_thresholds(Z, digits.y, {"recall": 0.9})
    model, saved = model.calibrated(Z, digits.y), gpulr.load("m.safetensors")
    np.testing.assert_allclose(saved.weights, model.weights, rtol=1e-6)
    np.testing.assert_allclose(saved.thresholds, model.thresholds, rtol=1e-6)
    assert saved.data["thresholds"] == {**model.data["thresholds"], "folds": 5}
    words = "by out-of-fold margins of 1,442 rows in 5 folds"
    words = [f"thresholds for recall of 0.9 or more {words}", f"calibration {words}"]
    assert record["refinements"] == words
    assert record["thresholds"] == saved.thresholds.tolist()
    assert record["test_accuracy"] == saved.score(digits.X_test, digits.y_test)
    for command in (("evaluate", "m.safetensors"), ("predict", "m.safetensors", "digits")):
        assert f"The model has {' and '.join(words)}" in run(*command).stderr
    evaluated = told("evaluate", "m.safetensors")
    assert evaluated["thresholds"] == record["thresholds"]
    predicted = told("predict", "m.safetensors", "digits")["predictions"]
    assert [p["predicted"] for p in predicted] == saved.predict(digits.X_test).tolist()
    assert [p["certain"] for p in predicted] == (
        (saved.decision_function(digits.X_test) >= saved.thresholds).any(axis=1).tolist()
    )


def test_labels_by_their_own_thresholds(run, told, tmp_path, rng):
    X = rng.normal(size=(400, 5))
    Y = (X[:, :3] + rng.normal(size=(400, 3)) > [0, 1, 2.2]).astype(np.uint8)
    np.savez(tmp_path / "labels.npz", X=X, y=Y)
    options = ("--data", "labels.npz", "--output", "m.safetensors", "--thresholds", "f1")
    record = told("train", *options)
    assert record["test"]["label_f1"][2] > 0
    assert record["test"]["scores"]["threshold"] == record["thresholds"]
    model = gpulr.load(tmp_path / "m.safetensors")
    np.save(tmp_path / "rows.npy", X[:15])
    lines = run("predict", "m.safetensors", "rows.npy").stdout.splitlines()[1:]
    P, said = model.predict_proba(X[:15]), model.predict(X[:15])
    for line, p, which in zip(lines, P, said, strict=True):
        assert all(f"{each:.3f}" in line for each in p[which == 1])
    assert 0 < P[said == 1].min() < 0.5


def test_labels_that_are_not_all_known(told, tmp_path, rng):
    X = rng.normal(size=(400, 5))
    Y = (X[:, :3] + rng.normal(size=(400, 3)) > 0).astype(np.float32)
    Y[rng.random(Y.shape) < 0.1] = np.nan
    np.savez(tmp_path / "labels.npz", X=X, y=Y)
    assert told("data", "labels.npz")["counts"] == (Y == 1).sum(axis=0).tolist()
    options = ("--data", "labels.npz", "--test-size", 0, "--output", "m.safetensors")
    told("train", *options, "--calibrate", "--thresholds", "f1")
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    Z = gpulr.cross_val_predict(X, Y, cv=folds, method="decision_function")
    model, saved = gpulr.train(X, Y), gpulr.load("m.safetensors")
    model = model.with_thresholds(Z, Y, "f1").calibrated(Z, Y)
    np.testing.assert_allclose(saved.thresholds, model.thresholds, rtol=1e-6)
    assert saved.data["n_unknown"] == np.isnan(Y).sum()
    known = (saved.predict(X) == Y).sum(axis=0) / (~np.isnan(Y)).sum(axis=0)
    evaluated = told("evaluate", "m.safetensors")
    np.testing.assert_allclose(evaluated["label_accuracy"], known)
    searched = told("search", *options[:4], "--scoring", "average_precision", "--Cs", "0.1,1")
    assert searched["best_C"] in (0.1, 1)


@pytest.mark.parametrize("text", ["F1", "precision", "precision=2", "recall=x", "f1=0.5", "=", ""])
def test_no_rule(run, text):
    words = run(*TRAIN, "--thresholds", text, code=2).stderr
    assert "expected f1, precision=0.9 or recall=0.9" in words


@pytest.mark.filterwarnings("ignore:The least populated class")
def test_a_model_that_cannot_be_refined_is_not_lost(run, tmp_path, digits_model):
    X = np.random.default_rng(0).random((60, 4))
    np.savez(tmp_path / "rare.npz", X=X, y=np.repeat([0, 1, 2], [30, 29, 1]))
    options = ("--data", "rare.npz", "--test-size", 0, "-o", "m.safetensors", "--calibrate")
    assert "trains on no row of [2]" in run("train", *options, code=3).stderr
    assert gpulr.load(tmp_path / "m.safetensors").refinements == []


def test_ctrl_c_while_it_is_refined_keeps_the_model(run, monkeypatch, tmp_path):
    def interrupted(*_, **__):
        raise gpulr.TrainingInterrupted("stopped")

    monkeypatch.setattr(refining, "cross_val_predict", interrupted)
    words = run(*TRAIN, "--calibrate", code=130).stderr
    assert "refining; saved the trained model, without thresholds or calibration, as m.sa" in words
    assert "iteration" not in words
    assert gpulr.load(tmp_path / "m.safetensors").converged
