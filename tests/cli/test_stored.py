"""Data that may be larger than memory, on the command line: each command reads each kind."""

from __future__ import annotations

import numpy as np
import pytest

import gpulr
from gpulr.reporting.command import reproduction
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


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_to_train_on(run, told, tmp_path, rng, kind):
    pandas = pytest.importorskip("pandas", reason="which writes tables")
    X = rng.normal(size=(300, 4))
    table = pandas.DataFrame(X, columns=["a", "b,c", "d", "label"]).assign(
        who=[f"row {i}" for i in range(300)], kind=np.where(X[:, 1] > X[:, 0], "yes", "no")
    )
    data = str(tmp_path / f"t.{kind}")
    if kind == "csv":
        table.to_csv(data, index=False)
    else:
        pytest.importorskip("pyarrow", reason="which writes Parquet")
        table.to_parquet(data)
    columns = "--label", "kind", "--features", '"b,c",a'
    described = told("data", data, *columns)
    assert (described["n_features"], described["classes"]) == (2, ["no", "yes"])
    trained = told("train", "--data", data, *columns, "--output", "m.safetensors")
    model = gpulr.load(tmp_path / "m.safetensors")
    assert model.data["feature_names"] == ["b,c", "a"]
    assert (model.data["label"], model.data["chosen_features"]) == ("kind", True)
    evaluated = told("evaluate", "m.safetensors")  # which finds the columns, and the rows held out
    assert evaluated["accuracy"] == trained["test_accuracy"] > 0.9
    assert told("evaluate", "m.safetensors", "--data", data)["n"] == 300
    predictions = told("predict", "m.safetensors", data)["predictions"]
    truth = [each["predicted"] for each in predictions]
    assert truth == model.predict(X[:, [1, 0]].astype(np.float32)).tolist()
    assert f"--features '{columns[-1]}'" in reproduction(model)[0]
    found = told("search", "--data", data, *columns, "--Cs", "0.1,1", "--folds", 2)
    assert found["test_accuracy"] > 0.9
    said = run("train", "--data", data, *columns[:2], "--features", "a,z", code=3).stderr
    assert "has no column z; it has" in said
    assert "--features" in said
    said = run("train", "--data", data, *columns[:3], "a,kind", code=3).stderr
    assert "cannot be the label and a feature" in said


def test_columns_are_for_tables(run):
    for options in (("--features", "a"), ("--label", "a")):
        said = run("train", "--data", "digits", *options, code=2).stderr
        assert f"{options[0]} (" in said


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


@pytest.mark.parametrize("features", ["", "a,,b", "a\nb"], ids=["nothing", "no name", "two lines"])
def test_features_that_name_no_columns(run, features):
    said = run("train", "--data", "digits", "--features", features, code=2).stderr
    assert f"--features {features!r}; expected columns' names with commas between them" in said
