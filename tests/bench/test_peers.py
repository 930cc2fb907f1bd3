"""Comparisons with peers: the objective and its optimum, the table, the chart, one worker."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import gpulr
from gpulr.show.benchmarks import STYLES

ROOT = Path(__file__).resolve().parents[2]
if not (ROOT / "bench" / "peers.py").exists():
    pytest.skip("the bench folder is not beside the tests", allow_module_level=True)

sys.path.append(str(ROOT))  # last, so that an installed gpulr stays the one that is tested
plot = pytest.importorskip("bench.plot")
objectives = pytest.importorskip("bench.objectives")
peer_data = pytest.importorskip("bench.peer_data")
peer_list = pytest.importorskip("bench.peer_list")
peer_report = pytest.importorskip("bench.peer_report")
peers = pytest.importorskip("bench.peers")


@pytest.fixture
def data():
    digits = gpulr.datasets.load_digits()
    X, y = digits.X[:400].astype(np.uint8), digits.y[:400].astype(np.int64)
    return peer_data.PeerData("digits", "bundled digits", X, y, 1 / 16, tuple(range(10)))


@pytest.fixture
def objective(data):
    return objectives.Objective(data.X * data.scale, data.y, np.arange(10), 1.0)


def test_objective_is_the_formula(data, objective, monkeypatch):
    monkeypatch.setattr(objectives, "BLOCK", 64)
    rng = np.random.default_rng(0)
    W, b = rng.standard_normal((64, 2)), rng.standard_normal(2)
    P = 1.0 / (1.0 + np.exp(-(data.X / 16 @ W + b)))
    Y = np.column_stack([data.y == 3, data.y == 7])
    expected = -np.mean(np.log(np.where(Y, P, 1 - P)), axis=0) + (W**2).sum(axis=0) / (2 * 400)
    np.testing.assert_allclose(objective.costs(W, b, [3, 7]), expected, rtol=1e-13)


def test_optimum_is_where_the_gradient_vanishes(objective):
    found = objective.newton(np.zeros(64), 0.0, 3, 1e-11)
    assert found.gradient_norm <= 1e-11
    w, b = found.theta[:-1], found.theta[-1:]
    assert objective.costs(w[:, np.newaxis], b, [3])[0] == pytest.approx(found.cost, rel=1e-13)
    rng = np.random.default_rng(0)
    for _ in range(5):
        W = w[:, np.newaxis] + 1e-3 * rng.standard_normal((64, 1))
        assert objective.costs(W, b, [3])[0] > found.cost


def test_optimum_is_scikit_learns(data, objective):
    linear_model = pytest.importorskip("sklearn.linear_model")
    model = linear_model.LogisticRegression(solver="newton-cholesky", tol=1e-10)
    model.fit(data.X / 16, data.y == 3)
    theirs = objective.costs(model.coef_.T, model.intercept_, [3])[0]
    assert objective.newton(np.zeros(64), 0.0, 3, 1e-11).cost == pytest.approx(theirs, abs=1e-12)


def test_an_optimum_that_is_not_found_is_an_error(objective, monkeypatch):
    monkeypatch.setattr(peers, "GOAL", 0.0)
    with pytest.raises(ArithmeticError, match="The optimum was not found"):
        peers.find_optimum(objective, [(0.0, None, 0.0)])


def test_gaps_and_times_of_a_sample_of_the_classes_are_scaled_up(data, tmp_path):
    data = peer_data.PeerData("digits", "", data.X, data.y, data.scale, (2, 5))
    np.savez(tmp_path / "part-0.npz", W=np.zeros((64, 2)), b=np.zeros(2))
    np.savez(tmp_path / "whole-0.npz", W=np.zeros((64, 10)), b=np.zeros(10))
    results = [
        {"name": name, "one_class_at_a_time": part, "points": [{"runs": [3.0, 1.0, 2.0]}]}
        for name, part in (("part", True), ("whole", False))
    ]
    optimum = peers.measure_gaps(results, data, tmp_path, None)
    best = np.array(optimum["costs"])
    (part,), (whole,) = results[0]["points"], results[1]["points"]
    assert part["seconds"] == 10.0
    assert part["gap"] == pytest.approx(5 * (2 * np.log(2) - best[[2, 5]].sum()), rel=1e-3)
    assert whole["seconds"] == 2.0
    assert whole["gap"] == pytest.approx(10 * np.log(2) - best.sum(), rel=1e-3)


@pytest.mark.parametrize("name", ["gpulr-lbfgs", "gpulr-gd", "sklearn-lbfgs"])
def test_a_worker_comes_near_the_optimum(data, tmp_path, name):
    if name.startswith("sklearn"):
        pytest.importorskip("sklearn")
    (peer,) = (peer for peer in peer_list.peers("mnist") if peer.name == name)
    peer_data.save(data, tmp_path)
    result = peers.run(peer, data, tmp_path, 0.0)
    assert "error" not in result
    peers.measure_gaps([result], data, tmp_path, None)
    assert [p["setting"] for p in result["points"]] == list(peer.settings)
    assert all(p["gap"] >= 0.0 and min(p["runs"]) > 0.0 for p in result["points"])
    assert result["points"][0]["gap"] < (1.0 if name == "gpulr-gd" else 0.05)


def test_a_peer_that_is_not_installed_is_recorded(data, tmp_path, monkeypatch):
    (tmp_path / "jax.py").write_text("raise ModuleNotFoundError('no jax')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (peer,) = (peer for peer in peer_list.peers("mnist") if peer.name == "jax-gd")
    peer_data.save(data, tmp_path)
    result = peers.run(peer, data, tmp_path, 0.0)
    assert result["points"] == []
    assert peer_report.reason(result) == "not installed"


def point(seconds, gap, **setting):
    return {"setting": setting, "seconds": seconds, "gap": gap, "others_cpu": 0.0, "runs": [1.0]}


def comparison():
    def result(name, dtype, *points, **more):
        one = name.startswith("sklearn")
        about = {"label": f"The {name}", "dtype": dtype, "one_class_at_a_time": one}
        return {"name": name, **about, "points": list(points), **more}

    return {
        "kind": "gpulr-peers",
        "schema": 1,
        "date": "2026-11-20T12:00:00+00:00",
        "commit": {"id": "0123456789abcdef", "dirty": False},
        "machine": {"cpu": "A processor", "cores": 2},
        "versions": {"python": "3.13.1", "gpulr": "0.1.0", "numpy": "2.4.0", "jax": "0.10"},
        "blas": [],
        "data": {
            **{"data": "MNIST", "description": "images", "n_samples": 60000, "n_features": 784},
            **{"n_models": 10, "X_dtype": "uint8", "sampled_classes": 10, "sha256": "0"},
        },
        "C": 1.0,
        "optimum": {"cost": 0.6004018, "gradient_norm": 1e-11, "costs": [0.06] * 10},
        "results": [
            result(
                "gpulr-lbfgs",
                "uint8",
                point(0.5, 1e-3, tol=1e-4),
                point(0.25, 1e-1, tol=1e-2),
                point(1.0, 1e-5, tol=1e-5),
            ),
            result("sklearn-lbfgs", "float32", point(15.0, 4e-3, tol=1e-4), point(3.0, 0.2, tol=1)),
            result("sklearn-liblinear", "float64", point(30.0, 1e-6, tol=1e-4)),
            result("jax-gd", "float32", error="ModuleNotFoundError: No module named 'jax'"),
        ],
    }


def test_time_to_a_gap_is_the_shortest_that_was_measured():
    points = comparison()["results"][0]["points"]
    assert peer_report.time_to(4e-3, points) == 0.5
    assert peer_report.time_to(1e-1, points) == 0.25
    assert peer_report.time_to(1e-6, points) is None


def test_the_table_says_what_the_file_says():
    rows = peer_report.table(comparison()).splitlines()
    assert (
        rows[2]
        == "| **The gpulr-lbfgs** | **uint8** | **tol=0.0001** | **500 ms** | **1.0e-3** | – | – |"
    )
    assert rows[3].startswith("| **The gpulr-lbfgs** | **uint8** | **tol=1e-05** | **1.00 s** |")
    assert (
        rows[4] == "| The sklearn-lbfgs | float32 | tol=0.0001 | 15.0 s | 4.0e-3 | 500 ms | 30× |"
    )
    assert rows[5] == "| The sklearn-liblinear | float64 | tol=0.0001 | 30.0 s | 1.0e-6 | – | – |"
    assert rows[6] == "| The jax-gd | float32 | not installed | – | – | – | – |"
    assert rows[8].startswith("MNIST: 60,000 × 784 uint8, 10 models, C = 1 (images). A processor")
    assert "smallest × of all points in the chart: 12× (The sklearn-lbfgs, tol=1)" in rows[8]


def test_the_readme_gets_both_tables_and_the_chart_is_drawn(tmp_path, capsys):
    from PIL import Image

    (tmp_path / "peers-mnist.json").write_text(json.dumps(comparison()))
    readme = tmp_path / "README.md"
    readme.write_text(f"Before\n{peer_report.START}\nold\n{peer_report.END}\nAfter\n")
    command = ["--results", str(tmp_path)]
    assert plot.main([*command, "--check", str(readme)]) == 1
    assert plot.main([*command, "--write", str(readme)]) == 0
    assert plot.main([*command, "--check", str(readme)]) == 0
    assert f"Before\n{peer_report.START}\n| | X |" in readme.read_text()
    chart = tmp_path / "peers-mnist.png"
    assert chart.stat().st_size < 100_000
    with Image.open(chart) as image:
        assert 700 < image.width < 1000
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3).astype(int)
    for result in comparison()["results"][:3]:
        hexadecimal = STYLES[result["name"]][0]
        colour = [int(hexadecimal[i : i + 2], 16) for i in (1, 3, 5)]
        assert (abs(pixels - colour).max(axis=1) <= 3).sum() > 10, result["name"]


def test_incomplete_files_are_named(tmp_path, capsys):
    (tmp_path / "peers-mnist.json").write_text('{"kind": "gpulr-peers"}')
    assert plot.main(["--results", str(tmp_path)]) == 1
    assert "peers-mnist.json is no complete result of bench.peers" in capsys.readouterr().err


def test_the_optimum_is_reused_for_the_same_data_alone(tmp_path):
    path = tmp_path / "peers.json"
    path.write_text(json.dumps(comparison()))
    assert peers.known_optimum(path, {"sha256": "0"})["cost"] == 0.6004018
    assert peers.known_optimum(path, {"sha256": "1"}) is None
    assert peers.known_optimum(tmp_path / "none.json", {"sha256": "0"}) is None


def test_synthetic_rows_have_every_class():
    data = peer_data.synthetic200(1000, 16, 40)
    assert data.X.dtype == np.float32
    assert len(np.unique(data.y)) == data.n_classes == 40
    assert len(data.sampled) == 2
