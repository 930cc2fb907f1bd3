"""`gpulr bootstrap`: what it prints, draws and saves."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import gpulr
from gpulr.cli import bootstrap
from helpers import strict_json

TABLE = ("bootstrap", "--data", "table.csv", "--n", 30, "--standardize")


@pytest.fixture
def table(tmp_path, rng):
    """A table of four named features, of which the first two matter, in different units."""
    X = rng.normal(size=(300, 4))
    z = 2 * X[:, 0] - X[:, 1]
    y = np.array(["low", "mid", "high"])[np.searchsorted([-1, 1], z + 0.3 * rng.normal(size=300))]
    X = X * [1.0, 1000.0, 0.01, 1.0]
    rows = [",".join([*map("{:.6g}".format, row), name]) for row, name in zip(X, y, strict=True)]
    (tmp_path / "table.csv").write_text("\n".join(["dose,salary,error,noise,label", *rows]))
    return np.loadtxt(
        tmp_path / "table.csv", np.float32, delimiter=",", usecols=range(4), skiprows=1
    ), y


def test_json_equals_the_library(told, table):
    X, y = table
    record = told(*TABLE, "--seed", 3, "--C", 2, "--level", 0.9)
    names = ("dose", "salary", "error", "noise")
    found = gpulr.bootstrap(X, y, n=30, random_state=3, standardize=True, C=2.0)
    assert (record["n_train"], record["n_test"], record["n_replicates"]) == (300, 0, 30)
    assert (record["level"], record["n_converged"], record["classes"]) == (
        *(0.9, 30),
        ["high", "low", "mid"],
    )
    low, high = found.coef_interval(0.9)
    far = np.maximum(low, -high) * found.feature_std[:, np.newaxis]
    for j, told_of in enumerate(record["models"]):
        assert told_of["class"] == found.model.classes[j]
        assert told_of["intercept"]["low"] == pytest.approx(
            float(found.intercept_interval(0.9)[0][j]), rel=1e-4
        )
        order = [names[f] for f in np.argsort(-far[:, j]) if far[f, j] > 0]
        assert [each["feature"] for each in told_of["features"]] == order
        assert told_of["n_for"] + told_of["n_against"] == len(order)
        for each in told_of["features"]:
            f = names.index(each["feature"])
            expected = [found.model.weights[f, j], low[f, j], high[f, j], X[:, f].std()]
            keys = ("weight", "low", "high", "standard_deviation")
            np.testing.assert_allclose([each[key] for key in keys], expected, rtol=1e-3)
    assert record["models"][0]["features"][0]["feature"] == "dose"


def test_the_table_has_the_strongest_per_standard_deviation(run, told, table):
    shown = run(*TABLE, "--top", 1, COLUMNS="100").stdout
    assert "weight per standard deviation" in shown
    first = told(*TABLE)["models"][0]["features"][0]
    std = first["standard_deviation"]
    words = [f"{std * first[part]:.4g}" for part in ("weight", "low", "high")]
    assert re.search(r"high +│ dose +│ +" + r" +│ +".join(map(re.escape, words)), shown)
    assert "1 more" in shown
    assert "30 replicates of 3 models in" in shown
    assert "90 of 90 converged" in shown
    everything = run(*TABLE, "--top", 0).stdout
    assert "salary" in everything
    assert "more" not in everything


def test_columns_that_are_named_are_the_features(told, table):
    record = told(*TABLE, "--features", "salary,noise")
    assert {each["feature"] for told_of in record["models"] for each in told_of["features"]} <= {
        *("salary", "noise")
    }
    assert record["n_features"] == 2


def test_features_that_say_nothing_are_told_of(run, tmp_path, rng):
    np.savez(tmp_path / "noise.npz", X=rng.normal(size=(80, 2)), y=np.arange(80) % 2)
    shown = run("bootstrap", "--data", "noise.npz", "--n", 20, "--C", 0.01, "--level", 0.99).stdout
    assert re.search(r"│ +1 │ none", shown)


def test_what_is_saved_is_a_model_with_its_replicates_beside_it(run, told, table):
    record = told(*TABLE, "-o", "b.safetensors", "--plot", "intervals.svg")
    assert record["output"] == "b.safetensors"
    found = gpulr.Bootstrap.load("b.safetensors")
    assert found.n_replicates == 30
    again = gpulr.bootstrap(*table, n=30, random_state=0, standardize=True)
    np.testing.assert_allclose(found.coef, again.coef, rtol=1e-4, atol=1e-5)
    assert gpulr.load("b.safetensors").data["feature_names"] == ["dose", "salary", "error", "noise"]
    assert told("evaluate", "b.safetensors")["accuracy"] > 0.8
    assert Path("intervals.svg").read_text().startswith("<?xml")
    result = run(*TABLE[:3], "--n", 2)
    assert "The bootstrap was not saved; --output bootstrap.safetensors keeps it" in result.stderr


def test_of_images_pixels_are_counted_and_drawn(run, told):
    arguments = ("bootstrap", "--data", "digits", "--n", 10, "--tol", 1e-2, "--max-iter", 30)
    shown, record = run(*arguments, "--plot", "maps.png").stdout, told(*arguments)
    for each in record["models"]:
        n = each["n_for"], each["n_against"], 64 - each["n_for"] - each["n_against"]
        assert re.search(rf"│ +{each['class']} +│ +{n[0]} +│ +{n[1]} +│ +{n[2]} ", shown)
        assert isinstance(each["features"][0]["feature"], int)


def test_labels_each_have_their_own(told, run, tmp_path, rng):
    X = rng.normal(size=(100, 3))
    np.savez(tmp_path / "tagged.npz", X=X, y=(X[:, :2] > 0).astype(np.uint8))
    told_of = told("bootstrap", "--data", "tagged.npz", "--n", 20)["models"]
    assert [each["label"] for each in told_of] == [0, 1]
    assert [each["features"][0]["feature"] for each in told_of] == [0, 1]
    assert "┃ label" in run("bootstrap", "--data", "tagged.npz", "--n", 5).stdout


@pytest.mark.parametrize("output", [(), ("-o", "b.safetensors")], ids=["", "output"])
def test_ctrl_c_saves_the_replicates_so_far(ctrl_c, told, monkeypatch, output):
    monkeypatch.setattr("gpulr.families.replicates.GROUP_BYTES", 2**21)
    ctrl_c(bootstrap, lambda progress: progress.models[0] >= 300)
    arguments = ("bootstrap", "--data", "digits", "--n", 40, "--tol", 1e-2, *output)
    record = told(*arguments, code=130)
    assert record["interrupted"] is True
    found = gpulr.Bootstrap.load(record["output"])
    assert 0 < found.n_replicates < 40
    assert record["n_replicates"] == found.n_replicates
    if output:
        assert record["output"] == "b.safetensors"


def test_ctrl_c_before_two_replicates_saves_the_model(ctrl_c, run):
    ctrl_c(bootstrap, lambda progress: progress.iteration == 2)
    result = run("bootstrap", "--data", "digits", "--n", 5, "--json", code=130)
    assert "Interrupted after 0 of 5 replicates; saved the model" in result.stderr
    record = strict_json(result.stdout)
    assert (record["models"], record["n_replicates"]) == (None, 0)
    assert gpulr.load(record["output"]).n_iter == 2
