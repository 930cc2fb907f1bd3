"""The comparison of searches: what is measured of the models, and the table made of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import gpulr
from gpulr.families import search as searching
from helpers import reference, scikit_learns, targets

ROOT = Path(__file__).resolve().parents[2]
if not (ROOT / "bench" / "search.py").exists():
    pytest.skip("the bench folder is not beside the tests", allow_module_level=True)

sys.path.append(str(ROOT))  # last, so that an installed gpulr stays the one that is tested
peer_data = pytest.importorskip("bench.peer_data")
report_module = pytest.importorskip("bench.report")
search = pytest.importorskip("bench.search")
search_compare = pytest.importorskip("bench.search_compare")
search_report = pytest.importorskip("bench.search_report")
search_worker = pytest.importorskip("bench.search_worker")

CS = [0.1, 1.0]


@pytest.fixture
def data():
    digits = gpulr.datasets.load_digits()
    keep = np.flatnonzero(digits.y < 4)[:200]
    X = (16 * digits.X[keep]).round().astype(np.uint8)
    return peer_data.PeerData("digits", "some digits", X, digits.y[keep], 1 / 16, (0, 1, 2, 3))


@pytest.fixture
def pairs():
    rows = np.arange(200)
    return [(rows[rows % 2 != f], rows[rows % 2 == f]) for f in range(2)]


@pytest.fixture
def job():
    return {"Cs": CS, "classes": [0, 1, 2, 3], "scale": 1 / 16, "name": "gpulr"}


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch):
    """The worker keeps what searches train, in a process of its own; here, for one test."""
    monkeypatch.setattr(searching, "CrossValidation", searching.CrossValidation)


def only(fit, tol):
    (point,) = fit({"tol": tol})
    return point


@pytest.mark.filterwarnings("ignore")
def test_both_train_the_same_models(data, pairs, job):
    X = data.X / 16
    ours = only(search_worker.gpulr_fit(data.X, data.y, pairs, job), 1e-6)
    theirs = only(search_worker.sklearn_cv_fit(X, data.y, pairs, job), 1e-6)
    assert ours.W.shape == theirs.W.shape == (2, 2, 65, 4)
    Y = targets(data.y)
    for f, (train, _) in enumerate(pairs):
        for c, C in enumerate(CS):
            best = scikit_learns(X[train], Y[train], C)
            np.testing.assert_allclose(ours.W[f, c], best, atol=2e-3)
            np.testing.assert_allclose(theirs.W[f, c], best, atol=2e-3)
    assert ours.about["models"] == theirs.about["models"] == 16
    assert (ours.seconds > 0, theirs.seconds > 0) == (True, True)


def test_the_refit_and_the_single_fit(data, pairs, job):
    refit = search_worker.gpulr_fit(data.X, data.y, pairs, {**job, "name": "gpulr-refit"})
    assert only(refit, 1e-3).about["models"] == 20
    single = search_worker.one_vs_rest_fit(data.X / 16, data.y, pairs, job)
    assert only(single, 1e-3).about["models"] == 4


def found(rng, classes):
    return {"theta": rng.normal(size=(2, 2, 65, len(classes))), "classes": np.array(classes)}


@pytest.mark.parametrize("classes", [[0, 1, 2, 3], [1, 3]])
def test_objectives_are_those_of_each_folds_rows(data, pairs, classes):
    rng = np.random.default_rng(0)
    ours, theirs = found(rng, [0, 1, 2, 3]), found(rng, classes)
    compared = search_compare.compare(data, np.array(CS), pairs, classes, ours, theirs)
    assert compared["models"] == 4 * len(classes)
    X, Y = data.X / 16, targets(data.y)[:, classes]
    differences = []
    for f, (train, _) in enumerate(pairs):
        for c, C in enumerate(CS):
            one, _ = reference(X[train], Y[train], ours["theta"][f, c][:, classes], C)
            two, _ = reference(X[train], Y[train], theirs["theta"][f, c], C)
            differences.append(one - two)
            np.testing.assert_allclose(compared["difference"][f][c], one - two, rtol=6e-3)
    assert compared["at_least_as_good"] == np.sum(np.array(differences) <= 0)
    assert compared["largest_excess"] == pytest.approx(np.max(differences), rel=6e-3)
    assert compared["largest_gain"] == pytest.approx(-np.min(differences), rel=6e-3)
    scores = []
    for f, (_, test) in enumerate(pairs):
        for c in range(2):
            Z = [
                X[test] @ theta[:-1] + theta[-1]
                for theta in (ours["theta"][f, c][:, classes], theirs["theta"][f, c])
            ]
            if len(classes) == 4:
                right = [np.mean(z.argmax(axis=1) == data.y[test]) for z in Z]
            else:
                right = [np.mean((z > 0) == Y[test], axis=0) for z in Z]
            scores.append(np.abs(np.subtract(*right)))
    assert compared["largest_score_difference"] == pytest.approx(np.max(scores), rel=6e-3)
    assert compared["score"].startswith("multiclass" if len(classes) == 4 else "binary")


def report(*, sampled=None):
    results = [
        {"name": name, "label": label, "dtype": "float64", "others_cpu": 0.0, "models": 500}
        | {"runs": [1.0], "seconds": seconds, "extrapolated_from_classes": None}
        for (name, label), seconds in zip(
            search.LABELS.items(), (4.0, 4.5, 240.0, 20.0), strict=True
        )
    ]
    results[2] |= {"extrapolated_from_classes": sampled, "models": 500 if sampled is None else 50}
    return {
        "kind": search_report.KIND,
        "date": "2026-11-24T00:00:00+00:00",
        "commit": {"id": "0" * 40, "dirty": False},
        "machine": {"cpu": "a processor", "cores": 2},
        "versions": {"gpulr": "0.1", "python": "3.11", "numpy": "2.4", "scikit-learn": "1.9.1"},
        "blas": [],
        "data": {"data": "MNIST", "description": "digits", "n_samples": 60_000}
        | {"n_features": 784, "n_models": 10, "X_dtype": "uint8"},
        "Cs": [1e-4, 1e4],
        "n_folds": 5,
        "tol": 1e-4,
        "results": results,
        "compared": {"models": 500, "at_least_as_good": 498, "equal": 1e-9, "score": "accuracy"}
        | {"largest_excess": 2e-8, "largest_gain": 3e-3, "largest_score_difference": 0.0012},
    }


def test_the_table_has_ratios_and_says_how_good_the_models_are(tmp_path):
    (tmp_path / "search.json").write_text(json.dumps(report()))
    (tmp_path / "other.json").write_text('{"kind": "another"}')
    ((markers, text),) = search_report.sections(tmp_path).items()
    assert markers == ("<!-- search:start -->", "<!-- search:end -->")
    assert "| **gpulr.search** | **float64** | **500** | **4.00 s** | – |" in text
    assert "| 500 | 240 s | 60× |" in text
    assert "498 of 500" in text
    assert "at most 0.12 points" in text
    assert "≈" not in text
    assert "60× " in "\n".join(search_report.lines(report())) + " "


def test_what_is_extrapolated_is_marked():
    text = search_report.table(report(sampled=1))
    assert "| 500 | ≈ 240 s | 60× |" in text
    assert "trained 1 of the 10 classes; its time is scaled up to all" in text
    assert "extrapolated from 1" in "\n".join(search_report.lines(report(sampled=1)))


def test_without_results_there_is_no_section_and_a_broken_one_is_told(tmp_path):
    assert search_report.sections(tmp_path) == {}
    (tmp_path / "search.json").write_text(json.dumps({"kind": search_report.KIND, "results": []}))
    with pytest.raises(report_module.ResultFileError, match="measure again"):
        search_report.sections(tmp_path)


def test_data_of_either_kind():
    embeddings = search.DATA["embeddings"]()
    assert (embeddings.X.shape, embeddings.X.dtype) == ((20_000, 512), np.float32)
    assert (embeddings.name, embeddings.n_classes) == ("embeddings", 20)
    assert search.their_dtype(embeddings) == "float32"
