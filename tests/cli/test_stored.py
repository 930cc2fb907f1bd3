"""Data that may be larger than memory, on the command line: each command reads each kind."""

from __future__ import annotations

import numpy as np
import pytest

import gpulr
from stored_files import SAVED, save_npy


@pytest.mark.parametrize("save", SAVED, ids=lambda save: save.__name__[5:])
def test_every_command_reads_them(run, told, tmp_path, rng, save):
    X = rng.normal(size=(300, 5)).astype(np.float32)
    y = (X[:, :3] + 0.3 * rng.normal(size=(300, 3))).argmax(axis=1)
    data = str(save(tmp_path, X, y))
    described = told("data", data)
    assert (described["n_train"], described["n_features"]) == (300, 5)
    assert described["counts"] == np.bincount(y).tolist()
    trained = told("train", "--data", data, "--output", "m.safetensors")
    assert (trained["n_train"], trained["n_test"]) == (240, 60)
    evaluated = told("evaluate", "m.safetensors")  # the same rows held out
    assert evaluated["n"] == 60
    assert evaluated["accuracy"] == trained["test_accuracy"] > 0.7
    assert told("evaluate", "m.safetensors", "--data", data)["n"] == 300
    model = gpulr.load(tmp_path / "m.safetensors")
    predictions = told("predict", "m.safetensors", data)["predictions"]
    assert [each["predicted"] for each in predictions] == model.predict(X).tolist()
    assert [each["true"] for each in predictions] == y.tolist()


def test_search(told, tmp_path, rng):
    X = rng.normal(size=(300, 5)).astype(np.float32)
    y = (X[:, :3] + 0.3 * rng.normal(size=(300, 3))).argmax(axis=1)
    data = str(save_npy(tmp_path, X, y))
    found = told("search", "--data", data, "--Cs", "0.1,1", "--folds", "3")
    in_memory = gpulr.datasets.Dataset(X, y).split(0.2, 0)
    expected = gpulr.search(in_memory, Cs=[0.1, 1], cv=3)
    assert found["best_C"] in expected.Cs
    np.testing.assert_allclose(np.mean(found["scores"]), expected.scores.mean(), atol=0.02)


def test_rows_without_labels(run, told, tmp_path, rng):
    X = rng.normal(size=(60, 5)).astype(np.float32)
    model = gpulr.train(X, X[:, 0] > 0)
    model.save(tmp_path / "m.safetensors")
    (tmp_path / "parts").mkdir()
    for i in (0, 1):
        np.save(tmp_path / "parts" / f"{i}.npy", X[30 * i : 30 * i + 30])
    predictions = told("predict", "m.safetensors", "parts")["predictions"]
    assert [each["predicted"] for each in predictions] == model.predict(X).tolist()
    assert "true" not in predictions[0]
    said = run("train", "--data", "parts", code=3).stderr
    assert "holds rows without labels" in said
