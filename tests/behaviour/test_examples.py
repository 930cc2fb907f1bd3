"""The scripts in docs/examples do what they say."""

from __future__ import annotations

import os
import runpy
from pathlib import Path

import numpy as np
import pytest

import gpulr

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture(autouse=True)
def figures():
    """Have figures without a display, and none that are left."""
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="Matplotlib is not installed")
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")


def run(name):
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def test_all_are_tested():
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert names <= tested


def test_digit_weights(capsys):
    found = run("digit_weights")
    assert len(found["plt"].get_fignums()) == 3
    assert f"by the largest margin:    {found['result'].accuracy:.3f}" in capsys.readouterr().out


def test_gradient_descent():
    trained = run("gradient_descent")["trained"]
    gd, nesterov, lbfgs = (trained[name] for name in ("gd", "nesterov", "lbfgs"))
    costs = [each.history.cost[-1].sum() for each in (gd, nesterov, lbfgs)]
    assert lbfgs.n_iter < 30
    assert costs[0] > costs[1] + 0.01


def test_preconditioner():
    passes = [int((gap > 1e-6).sum()) for gap in run("preconditioner")["ways"].values()]
    assert passes[2] <= passes[1] < passes[0] / 2  # what the page's picture shows


def test_choosing_c(capsys):
    found = run("choosing_c")
    assert found["found"].best_C_1se < found["found"].best_C
    assert found["test"].p_value == 0.01
    assert "650 models" in capsys.readouterr().out


def test_weights_along_c():
    found = run("weights_along_c")["found"]
    spread = np.ptp(found.paths, axis=0).max(axis=(1, 2))
    assert spread[-1] > 10 * spread[found.Cs == found.best_C]


def test_odds_ratios(capsys):
    found = run("odds_ratios")
    assert found["result"].converged.all()
    assert (found["low"] <= found["high"]).all()
    assert "worst radius" in capsys.readouterr().out


def test_calibration():
    found = run("calibration")
    X, y = found["X_test"], found["y_test"]
    before, after = (found[name].evaluate(X, y).averages for name in ("balanced", "calibrated"))
    assert after["neg_brier_score"] > before["neg_brier_score"] / 2
    assert after["roc_auc"] == pytest.approx(before["roc_auc"], abs=1e-6)


def test_rare_labels(capsys):
    found = run("rare_labels")
    never, after = found["never"], found["after"]
    assert never.sum() >= 10
    assert (after[never] > 0).all()
    assert after.mean() > found["before"].mean() + 0.1
    assert f"{never.sum()} before, 0 after" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["digits", pytest.param("mnist", marks=pytest.mark.slow)])
def test_label_errors(capsys, monkeypatch, name):
    if name == "digits":
        monkeypatch.delenv("GPULR_DATA_HOME", raising=False)
    elif "GPULR_DATA_HOME" not in os.environ:
        pytest.skip("GPULR_DATA_HOME names no folder that may have MNIST")
    result = run("label_errors")
    assert result["data"].name.startswith(name)
    np.testing.assert_allclose(result["P"].sum(axis=1), 1.0, atol=1e-5)
    assert result["found"].mean() > (0.6 if name == "digits" else 0.3)
    assert f"{len(result['changed'])} labels changed" in capsys.readouterr().out


def test_linear_probe(capsys):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    with torch.random.fork_rng():
        found = run("linear_probe")
    model, features, logits = found["model"], found["test_features"], found["logits"].numpy()
    assert found["probe"] > found["pixels"] + 0.01
    # As far as float32 goes, which rounds in proportion to the terms that are summed.
    terms = np.abs(features.numpy()) @ np.abs(np.asarray(model.weights))
    assert (np.abs(logits - np.asarray(model.decision_function(features))) <= 1e-6 * terms).all()
    again = np.asarray(found["again"].predict(features))
    np.testing.assert_array_equal(again, np.asarray(model.predict(features)))
    assert f"network: {found['probe']:.3f}\n" in capsys.readouterr().out


def test_rows_in_parts(capsys):
    found = run("rows_in_parts")
    parts = [load() for load in found["parts"]]
    X, y = (np.concatenate([part[i] for part in parts[:-1]]) for i in (0, 1))
    np.testing.assert_allclose(found["model"].weights, gpulr.train(X, y).weights, atol=1e-4)
    assert found["scores"].accuracy == pytest.approx(found["model"].score(*parts[-1]))
    assert found["scores"].accuracy > found["without"] + 0.2
    assert f"accuracy with them:        {found['scores'].accuracy:.3f}" in capsys.readouterr().out


def test_dask_cluster(capsys):
    pytest.importorskip("distributed", reason="of Dask's clusters")
    from clusters import cluster

    example = run("dask_cluster")
    X, y = example["data"](4_000, 1_000)
    with cluster(n_workers=2):
        found = example["main"](X, y)
        rows, labels = X.compute(), y.compute()
    here = gpulr.train(rows, labels)
    np.testing.assert_allclose(found["model"].weights, here.weights, atol=5e-3)
    assert found["scores"].accuracy == pytest.approx(found["found"].model.score(rows, labels))
    assert found["scores"].accuracy > 0.7
    assert "has the least log-loss of held-out rows" in capsys.readouterr().out


def test_interrupted(capsys, monkeypatch):
    monkeypatch.delenv("GPULR_DATA_HOME", raising=False)
    found = run("interrupted")
    assert found["same"]
    assert capsys.readouterr().out.count("The same call goes on from") == 2
