"""Solvers and searches beside others': the objective, its optimum, each contestant's process."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest
import scipy.sparse as sp

from bench import arrays, clusters, contestants, families, goals, peers, searches, table
from bench import data as data_sets
from bench.__main__ import app
from bench.contestants import PEERS, Job, Part, Peer
from bench.data import Objective
from bench.peers import Ours
from gpulr.families import search as searching
from helpers import reference, scikit_learns, targets

CS = [0.1, 1.0]


@pytest.mark.parametrize("stored", [np.asarray, sp.csr_matrix])
def test_objective_is_the_formula(data, monkeypatch, rng, stored):
    monkeypatch.setattr(data_sets, "BLOCK", 64)
    theta = rng.standard_normal((65, 2))
    Y = np.column_stack([data.y == 3, data.y == 7])
    cost, gradient = reference(data.X / 16, Y, theta, 1.0)
    objective = Objective(stored(data.X), data.y, np.arange(10), 1.0, 1 / 16)
    found = objective.costs(theta[:-1], theta[-1], [3, 7])
    np.testing.assert_allclose(found, cost, rtol=1e-13)
    np.testing.assert_allclose(objective.gradient(theta, [3, 7]), gradient, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("judged", [(), (3, 7)])
def test_the_optimum_is_scikit_learns(data, judged, monkeypatch):
    ours = Ours(replace(data, judged=judged), 1.0, 0.0)
    at = list(judged or range(10))
    best = scikit_learns(data.X / 16, targets(data.y)[:, at], 1.0)
    np.testing.assert_allclose(ours.gaps(best[:-1], best[-1], at), 0.0, atol=1e-8)
    assert ours.certainty <= 1e-7 * ours.optimum.sum()
    monkeypatch.setattr(peers, "CERTAIN", 0.0)
    with pytest.raises(ArithmeticError, match="The optimum is not known"):
        Ours(data, 1.0, 0.0)


def test_gpulr_trains_at_the_loosest_tolerance_that_comes_as_near(data):
    ours = Ours(data, 1.0, 0.0)
    point = ours.reach(1e-3, range(10))
    index = peers.OURS.index(point["setting"])
    assert point["gaps"].sum() <= 1e-3 < ours.point(index - 1)["gaps"].sum()
    assert ours.reach(1e-3, [2, 5])["gaps"][[2, 5]].sum() <= 1e-3
    assert ours.reach(-1.0, range(10)) is None
    found = ours.result()["points"]
    assert 2 < len(found) < len(peers.OURS)
    gaps = [each["gap"] for each in found if "dtype" not in each["setting"] and each["gap"] > 1e-7]
    assert len(gaps) > 2
    assert gaps == sorted(gaps, reverse=True)


def test_float32_is_trained_before_float64(data, monkeypatch):
    ours, first = Ours(data, 1.0, 0.0), peers.FLOAT64
    gaps = dict(enumerate((3e-7, 1e-7, 2e-7, 1e-9, 1e-12), first - 2))  # out of order there
    monkeypatch.setattr(ours, "point", lambda i: {"at": i, "gaps": np.full(10, gaps.get(i, 0.1))})
    reached = [ours.reach(10 * gap, range(10)) for gap in (2e-6, 2e-7, 5e-9)]
    assert [point["at"] for point in reached] == [first - 2, first - 1, first + 1]


def test_gaps_and_times_of_a_part_of_the_classes_are_scaled_up(data):
    ours = Ours(data, 1.0, 0.0)
    zero = partial(np.zeros, dtype=np.float32)
    one = [Part({}, [c], 1.0, zero((64, 1)), zero(1), {"iterations": c}) for c in (2, 5)]
    whole = [Part({}, range(10), 2.0, zero((64, 10)), zero(10), {"iterations": 1})]
    part, all_ = peers.judge([[one, one[:1]], [whole]], ours, ours.optimum.sum())
    assert (part["seconds"], part["classes"], part["iterations"]) == (10.0, 2, 5)
    assert part["gap"] == pytest.approx(5 * (2 * np.log(2) - ours.optimum[[2, 5]].sum()), rel=1e-3)
    assert (all_["seconds"], all_["classes"]) == (2.0, 10)
    assert all_["gap"] == pytest.approx(10 * np.log(2) - ours.optimum.sum(), rel=1e-3)
    # Both are far away: gpulr's time is measured for the nearest.
    near, far = (part, all_) if part["gap"] < all_["gap"] else (all_, part)
    assert near["ratio"] == pytest.approx(near["seconds"] / near["ours"]["seconds"], rel=1e-3)
    assert far["ours"] is far["ratio"] is None


def installed(name):
    """Whether a peer's library is there."""
    imported = {"torch": "torch", "jax": "jax", "intelex": "sklearnex", "liblinear": "liblinear"}
    module = imported.get(name.partition("-")[0], name.partition("-")[0])
    module = {"sklearn-torch": "torch"}.get(name, module)
    return module == "sklearn" or find_spec(module) is not None


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("name", PEERS)
@pytest.mark.filterwarnings("ignore")
def test_a_contestant_comes_near_the_optimum(data, name):
    if not installed(name):
        pytest.skip(f"{name} is not installed")
    if name in ("intelex-lbfgs", "sklearn-torch"):
        pytest.skip("it changes scikit-learn in its process, or needs scipy to be imported its way")
    data = replace(data, X=data.X[:200], y=data.y[:200] % 3)
    ours = Ours(data, 1.0, 0.0)
    job = Job(PEERS[name], [0, 1, 2], data.scale, budget=60.0)
    result, points = peers.run(job, data, limit=60.0)
    assert "error" not in result
    (point, *_) = table.shown(peers.judge(points, ours, 0.1), 0.1)
    assert point["classes"] == 3
    assert 0.0 < point["gap"] < (1.0 if name == "jax-gd" else 0.05)


def test_a_budget_ends_after_the_class_that_exceeds_it(data):
    job = Job(PEERS["sklearn-lbfgs"], [4, 2, 1], 1.0, budget=-1.0)
    fit = contestants.in_turn(job, lambda setting, classes: (np.zeros((64, 2)), classes, 7), 2)
    ((setting, classes, seconds, _, b, about),) = fit({"tol": 1.0})
    assert (setting, classes, b, about) == ({"tol": 1.0}, [4, 2], [4, 2], {"iterations": 7})
    assert seconds >= 0.0


@pytest.mark.slow
def test_a_peer_that_is_not_installed_is_recorded(data, tmp_path, monkeypatch):
    (tmp_path / "jax.py").write_text("raise ModuleNotFoundError('no jax')")
    monkeypatch.syspath_prepend(tmp_path)
    job = Job(PEERS["jax-gd"], range(10), data.scale)
    result, points = peers.run(job, data, limit=60.0)  # in a process of its own
    assert points == []
    assert table.reason(result) == "not installed"


def test_data_sets_have_every_class_and_parts_of_them_too():
    data = data_sets.overlapping("clouds", 1000, 16, 40, judged=4)
    assert data.X.dtype == np.float32
    assert len(np.unique(data.y)) == data.n_classes == len(data.models) == 40
    assert len(data.judged) == 4
    part = data.part(0.01)
    assert (part.n_classes, part.part(1.0)) == (40, part)
    assert part.about["sha256"] != data.about["sha256"]
    text = data_sets.text(400, 1000, 4)
    assert (text.sizes["X_dtype"], text.sizes["n_models"]) == ("float32 CSR", 4)
    np.testing.assert_allclose(sp.linalg.norm(text.X, axis=1), 1.0, rtol=1e-5)
    assert data_sets.binary("b", 200, 3, np.float64).models == [1]


# Searches


@pytest.fixture
def few(data):
    keep = np.flatnonzero(data.y < 4)[:120]
    return replace(data, X=data.X[keep], y=data.y[keep])


@pytest.fixture
def pairs(few):
    rows = np.arange(len(few.X))
    return [(rows[rows % 2 != f], rows[rows % 2 == f]) for f in range(2)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_both_train_the_same_models(few, pairs, monkeypatch):
    # The process keeps what searches train; here, for one test.
    monkeypatch.setattr(searching, "CrossValidation", searching.CrossValidation)
    X, Y = few.X / 16, targets(few.y)

    def only(family, tol, X, **options):
        job = Job(Peer("", "", family, (), options=options), range(4), 1 / 16, Cs=CS, pairs=pairs)
        (part,) = family(X, few.y, job)({"tol": tol})
        return part

    ours = only(searches.gpulr_search_fit, 1e-6, few.X, refit=False)
    theirs = only(searches.sklearn_cv_fit, 1e-6, X)
    assert ours.W.shape == theirs.W.shape == (2, 2, 65, 4)
    for f, (train, _) in enumerate(pairs):
        for c, C in enumerate(CS):
            best = scikit_learns(X[train], Y[train], C)
            np.testing.assert_allclose(ours.W[f, c], best, atol=2e-3)
            np.testing.assert_allclose(theirs.W[f, c], best, atol=2e-3)
    assert ours.about["models"] == theirs.about["models"] == 16
    assert (ours.seconds > 0, theirs.seconds > 0) == (True, True)


@pytest.mark.parametrize("classes", [[0, 1, 2, 3], [1, 3]])
def test_objectives_are_those_of_each_folds_rows(few, pairs, classes, rng):
    ours, theirs = (
        (rng.normal(size=(2, 2, 65, len(trained))), np.array(trained))
        for trained in ([0, 1, 2, 3], classes)
    )
    compared = searches.compare(few, np.array(CS), pairs, classes, ours, theirs)
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


# Goals


@pytest.fixture
def small(data, monkeypatch):
    """Settings on the digits."""
    monkeypatch.setattr(goals, "DATA", {"mnist": lambda: data})
    monkeypatch.setattr(families, "DATA", {"mnist": lambda: data})
    monkeypatch.setattr(families, "NEAR", 0.2)  # accuracies on some rows
    monkeypatch.setattr(families, "PERMUTATIONS", 2)
    for module in (peers, searches, arrays, clusters):
        names = (*goals.TRAINED, "digits")
        monkeypatch.setattr(module, "DATA", dict.fromkeys(names, lambda: data))
    # The process keeps what searches train; here, for one test.
    monkeypatch.setattr(searching, "CrossValidation", searching.CrossValidation)
    for module in (goals, arrays, clusters):
        monkeypatch.setattr(module, "ROUNDS", dict.fromkeys(module.ROUNDS, 1))


SOME = ("arrays", "clusters", "thousand", "search", "predict", "first-call")


@pytest.mark.usefixtures("in_process", "small")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    [
        "pass",
        *(pytest.param(each, marks=pytest.mark.slow) for each in SOME),
        pytest.param("families", marks=[pytest.mark.slow, pytest.mark.nightly]),
        pytest.param("small", marks=[pytest.mark.slow, pytest.mark.nightly]),
    ],
)
def test_a_setting_is_written_as_soon_as_it_is_measured(name, tmp_path, capsys):
    for library in {"arrays": ("torch", "jax", "ml_dtypes"), "clusters": ("distributed",)}.get(
        name, ()
    ):
        pytest.importorskip(library, reason=f"{library} is not installed")
    command = ["goals", "--only", name, "--patience", "0", "--output", str(tmp_path)]
    app(command, standalone_mode=False)
    (path,) = tmp_path.iterdir()
    report = table.read(path)
    text = table.TABLES[report["kind"]][1](report)
    assert text in capsys.readouterr().err
    reached = table.goals_table([report]).splitlines()[2:-2]
    assert len(reached) == {
        "small": 9,
        "pass": 3,
        "predict": 2,
        "families": 3,
        "arrays": 11,
        "clusters": 6,
    }.get(name, 1)
    assert all(line.endswith((" yes |", " no |")) for line in reached)


def test_a_setting_that_fails_is_told_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    def fails(**_):
        raise ArithmeticError("no optimum")

    def measured(**_):
        return {"kind": "gpulr-ratios", "results": []}

    settings = {"one": ("one", fails), "two": ("two", measured)}
    monkeypatch.setattr(goals, "SETTINGS", settings)
    with pytest.raises(SystemExit, match="not measured: one"):
        goals.goals(output=tmp_path)
    assert "no optimum" in capsys.readouterr().err
    assert json.loads((tmp_path / "two.json").read_text())["kind"] == "gpulr-ratios"
    with pytest.raises(SystemExit, match="no setting is called"):
        goals.goals(only=["three"])
