"""Solvers and searches beside others': the objective, its optimum, each contestant's process."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from bench import data as data_sets
from bench import peers, table
from bench.data import Objective
from bench.peers import Job, Peer
from gpulr.families import search as searching
from helpers import reference, scikit_learns, targets

CS = [0.1, 1.0]


@pytest.fixture
def objective(data):
    return Objective(data.X * data.scale, data.y, np.arange(10), 1.0)


def test_objective_is_the_formula(data, objective, monkeypatch, rng):
    monkeypatch.setattr(data_sets, "BLOCK", 64)
    theta = rng.standard_normal((65, 2))
    Y = np.column_stack([data.y == 3, data.y == 7])
    cost, gradient = reference(data.X / 16, Y, theta, 1.0)
    found = objective.costs(theta[:-1], theta[-1], [3, 7])
    np.testing.assert_allclose(found, cost, rtol=1e-13)
    np.testing.assert_allclose(objective.gradient(theta, [3, 7]), gradient, rtol=1e-12, atol=1e-15)


def test_optimum_is_scikit_learns_and_the_gradient_vanishes_there(data, objective, monkeypatch):
    best = scikit_learns(data.X / 16, targets(data.y)[:, [3]], 1.0)
    theirs = objective.costs(best[:-1], best[-1], [3])[0]
    found = objective.newton(np.zeros(64), 0.0, 3, 1e-11)
    assert found.gradient_norm <= 1e-11
    assert found.cost == pytest.approx(theirs, abs=1e-12)
    w, b = found.theta[:-1, np.newaxis], found.theta[-1:]
    assert objective.costs(w, b, [3])[0] == pytest.approx(found.cost, rel=1e-13)
    monkeypatch.setattr(peers, "GOAL", 0.0)
    with pytest.raises(ArithmeticError, match="The optimum was not found"):
        peers.find_optimum(objective, [(0.0, np.zeros(64), 0.0)])


def test_gaps_and_times_of_a_sample_of_the_classes_are_scaled_up(data):
    data = replace(data, sampled=(2, 5))
    (part, whole) = points = [
        {"runs": [3.0, 1.0, 2.0], "W": np.zeros((64, k)), "b": np.zeros(k)} for k in (2, 10)
    ]
    results = [{"one_class_at_a_time": p is part, "points": [p]} for p in points]
    best = np.array(peers.measure_gaps(results, data, None)["costs"])
    assert part["seconds"] == 10.0
    assert part["gap"] == pytest.approx(5 * (2 * np.log(2) - best[[2, 5]].sum()), rel=1e-3)
    assert whole["seconds"] == 2.0
    assert whole["gap"] == pytest.approx(10 * np.log(2) - best.sum(), rel=1e-3)


def run(name, data):
    (peer,) = (peer for peer in peers.solver_peers("mnist") if peer.name == name)
    return peer, peers.run(Job(peer, range(data.n_classes), data.scale), data)


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("name", ["gpulr-lbfgs", "gpulr-gd", "sklearn-lbfgs"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_contestant_comes_near_the_optimum(data, name):
    data = replace(data, X=data.X[:200], y=data.y[:200] % 3, sampled=(0, 1, 2))
    peer, result = run(name, data)
    assert "error" not in result
    peers.measure_gaps([result], data, None)
    assert [p["setting"] for p in result["points"]] == list(peer.settings)
    assert all(p["gap"] >= 0.0 and min(p["runs"]) > 0.0 for p in result["points"])
    assert result["points"][0]["gap"] < (1.0 if name == "gpulr-gd" else 0.05)


def test_a_peer_that_is_not_installed_is_recorded(data, tmp_path, monkeypatch):
    (tmp_path / "jax.py").write_text("raise ModuleNotFoundError('no jax')")
    monkeypatch.syspath_prepend(tmp_path)
    _, result = run("jax-gd", data)  # in a process of its own
    assert result["points"] == []
    assert table.reason(result) == "not installed"


def test_the_optimum_is_reused_for_the_same_data_alone(tmp_path):
    path = tmp_path / "peers.json"
    optimum = {"cost": 0.6004018}
    path.write_text(json.dumps({"data": {"sha256": "0"}, "C": 1.0, "optimum": optimum}))
    assert peers.known_optimum(path, {"sha256": "0"})["cost"] == 0.6004018
    assert peers.known_optimum(path, {"sha256": "1"}) is None
    assert peers.known_optimum(tmp_path / "none.json", {"sha256": "0"}) is None


def test_synthetic_rows_have_every_class(monkeypatch):
    data = data_sets.synthetic200(1000, 16, 40)
    assert data.X.dtype == np.float32
    assert len(np.unique(data.y)) == data.n_classes == 40
    assert len(data.sampled) == 2
    monkeypatch.setattr(data_sets, "synthetic200", lambda *arguments: arguments)
    assert data_sets.DATA["embeddings"]() == (20_000, 512, 20, "embeddings")
    X, y = data_sets.clouds(200, 3, 50)
    assert (X.dtype, np.bincount(y).tolist()) == (np.float32, [4] * 50)


# Searches


@pytest.fixture
def few(data):
    keep = np.flatnonzero(data.y < 4)[:120]
    return replace(data, X=data.X[keep], y=data.y[keep], sampled=(0, 1, 2, 3))


@pytest.fixture
def pairs(few):
    rows = np.arange(len(few.X))
    return [(rows[rows % 2 != f], rows[rows % 2 == f]) for f in range(2)]


@pytest.mark.filterwarnings("ignore")
def test_both_train_the_same_models(few, pairs, monkeypatch):
    # The process keeps what searches train; here, for one test.
    monkeypatch.setattr(searching, "CrossValidation", searching.CrossValidation)
    X, Y = few.X / 16, targets(few.y)

    def only(family, tol, X, **options):
        job = Job(Peer("", "", family, "", (), options), [0, 1, 2, 3], 1 / 16, 0.0, CS, pairs)
        (point,) = peers.FITS[family](X, few.y, job)({"tol": tol})
        return point

    ours = only("gpulr-search", 1e-6, few.X, refit=False)
    theirs = only("sklearn-cv", 1e-6, X)
    assert ours.W.shape == theirs.W.shape == (2, 2, 65, 4)
    for f, (train, _) in enumerate(pairs):
        for c, C in enumerate(CS):
            best = scikit_learns(X[train], Y[train], C)
            np.testing.assert_allclose(ours.W[f, c], best, atol=2e-3)
            np.testing.assert_allclose(theirs.W[f, c], best, atol=2e-3)
    assert ours.about["models"] == theirs.about["models"] == 16
    assert (ours.seconds > 0, theirs.seconds > 0) == (True, True)
    assert only("gpulr-search", 1e-3, few.X, refit=True).about["models"] == 20
    assert only("sklearn", 1e-3, X, solver="lbfgs").about["models"] == 4


@pytest.mark.parametrize("classes", [[0, 1, 2, 3], [1, 3]])
def test_objectives_are_those_of_each_folds_rows(few, pairs, classes, rng):
    ours, theirs = (
        (rng.normal(size=(2, 2, 65, len(trained))), np.array(trained))
        for trained in ([0, 1, 2, 3], classes)
    )
    compared = peers.compare(few, np.array(CS), pairs, classes, ours, theirs)
    assert compared["models"] == 4 * len(classes)
    X, Y = few.X / 16, targets(few.y)[:, classes]
    differences, scores = [], []
    for f, (train, test) in enumerate(pairs):
        for c, C in enumerate(CS):
            both = ours[0][f, c][:, classes], theirs[0][f, c]
            one, two = (reference(X[train], Y[train], theta, C)[0] for theta in both)
            differences.append(one - two)
            np.testing.assert_allclose(compared["difference"][f][c], one - two, rtol=6e-3)
            Z = [X[test] @ theta[:-1] + theta[-1] for theta in both]
            if len(classes) == 4:
                right = [np.mean(z.argmax(axis=1) == few.y[test]) for z in Z]
            else:
                right = [np.mean((z > 0) == Y[test], axis=0) for z in Z]
            scores.append(np.abs(np.subtract(*right)))
    assert compared["at_least_as_good"] == np.sum(np.array(differences) <= 0)
    assert compared["largest_excess"] == pytest.approx(np.max(differences), rel=6e-3)
    assert compared["largest_gain"] == pytest.approx(-np.min(differences), rel=6e-3)
    assert compared["largest_score_difference"] == pytest.approx(np.max(scores), rel=6e-3)
    assert compared["score"].startswith("multiclass" if len(classes) == 4 else "binary")
