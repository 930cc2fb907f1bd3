"""`gpulr search`, and its progress bar."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest

import gpulr
from gpulr.cli import search
from gpulr.cli.search import parse_values
from helpers import strict_json

FIELDS = {
    **dict.fromkeys(("data", "scoring", "backend", "device"), str),
    **dict.fromkeys(("n_train", "n_test", "n_folds", "n_trained"), int),
    **dict.fromkeys(("Cs", "mean_scores", "standard_errors", "scores", "n_iter"), list),
    **dict.fromkeys(("best_C", "best_C_1se", "refit_C", "test_accuracy"), float),
    **{"converged": bool, "seconds": dict},
}
DIGITS = ("search", "--data", "digits")


def test_json_has_the_promised_fields_and_equals_the_library(told):
    record = told(*DIGITS, "--Cs", "10,0.1,1", "--folds", 3, "--tol", 1e-3)
    for name, kind in FIELDS.items():
        assert isinstance(record[name], kind), name
    digits = gpulr.datasets.load_digits()
    found = gpulr.search(digits, Cs=[10, 0.1, 1], cv=3, tol=1e-3)
    assert record["Cs"] == [10, 0.1, 1]
    assert (record["n_folds"], record["n_trained"], record["n_train"]) == (3, 90, 1442)
    np.testing.assert_allclose(record["scores"], found.scores, atol=0.003)
    np.testing.assert_allclose(record["mean_scores"], np.mean(record["scores"], axis=0))
    assert (record["best_C"], record["best_C_1se"]) == (found.best_C, found.best_C_1se)
    assert record["refit_C"] == found.best_C
    expected = found.model.score(digits.X_test, digits.y_test)
    assert record["test_accuracy"] == pytest.approx(expected, abs=0.006)
    assert record["test_score"] == record["test_accuracy"]
    assert set(record["seconds"]) == {"load", "search", "evaluate"}


def test_the_table_marks_the_best_and_the_simplest_within_one_error(run, told):
    arguments = (*DIGITS, "--Cs", 6, "--one-standard-error", "-o", "m.safetensors", "--tol", 1e-2)
    result, record = run(*arguments), told(*arguments)
    rows = [line for line in result.stdout.splitlines() if re.match(r"│ +[\d.e+-]+ ", line)]
    columns = (record[name] for name in ("Cs", "mean_scores", "standard_errors"))
    for line, C, mean, error in zip(rows, *columns, strict=True):
        for words in (f"{C:.4g}", f"{mean:.4f}", f"{error:.4f}"):
            assert words in line
        assert ("best" in line) == (record["best_C"] == C)
        assert ("within one standard error" in line) == (record["best_C_1se"] == C)
    assert len(rows) == 6
    assert record["refit_C"] == record["best_C_1se"] < record["best_C"]
    assert "300 models (10 classes × 6 values of C × 5 folds)" in result.stdout
    assert f"refitted on all rows with C = {record['refit_C']:.4g}" in result.stdout
    words = re.escape(f"{record['test_accuracy']:.4f}")
    assert re.search(rf"multiclass accuracy \(test\) +{words}\n", result.stdout)
    assert told("evaluate", "m.safetensors")["accuracy"] == record["test_accuracy"]


def test_rows_are_held_out_where_there_is_no_test_part(told, tmp_path):
    digits = gpulr.datasets.load_digits()
    np.savez(tmp_path / "table.npz", X=digits.X[:500], y=digits.y[:500] > 4)
    arguments = ("search", "--data", "table.npz", "--Cs", "0.1,1", "--folds", 2)
    record = told(*arguments, "-o", "m.safetensors")
    assert (record["n_train"], record["n_test"], record["n_trained"]) == (400, 100, 4)
    evaluated = told("evaluate", "m.safetensors")
    assert (evaluated["n"], evaluated["accuracy"]) == (100, record["test_accuracy"])
    record = told(*arguments, "--test-size", 0)
    assert (record["n_train"], record["n_test"], record["test_accuracy"]) == (500, 0, None)


def test_a_matrix_of_labels(run, told, tmp_path):
    digits = gpulr.datasets.load_digits()
    Y = (digits.y[:500, np.newaxis] % [2, 3] == 0).astype(np.uint8)
    np.savez(tmp_path / "labels.npz", X=digits.X[:500], y=Y)
    arguments = ("search", "--data", "labels.npz", "--Cs", "0.1,1", "--folds", 2)
    record = told(*arguments, "-o", "m.safetensors")
    evaluated = told("evaluate", "m.safetensors")
    assert record["test"]["subset_accuracy"] == evaluated["subset_accuracy"] > 0.6
    text = " ".join(run(*arguments).stdout.split())
    assert "8 models (2 labels × 2 values of C × 2 folds)" in text
    assert f"all labels of a row right (test) {evaluated['subset_accuracy']:.4f}" in text


def test_a_C_for_each_model(run, told):
    arguments = (*DIGITS, "--Cs", "0.001,0.1,10", "--folds", 2, "--per-model", "--tol", 1e-2)
    record = told(*arguments, "-o", "m.safetensors")
    assert record["refit_C"] == record["best_C"]
    assert len(record["best_C"]) == 10
    assert len(record["mean_scores"]) == 3
    model = gpulr.load("m.safetensors")
    assert model.settings["C"] == model.data["search"]["best_C"] == record["best_C"]
    text = " ".join(run(*arguments).stdout.split())
    for C, n in zip(*np.unique(record["best_C"], return_counts=True), strict=True):
        assert f"{C:.4g} │" in text
        assert f"best of {n} model" in text
    assert "refitted on all rows with the C of each model" in text


def test_the_refitted_model_is_tested_by_the_score_that_chose_it(run, told):
    arguments = (*DIGITS, "--Cs", "0.1,", "--scoring", "roc_auc_ovr", "--tol", 1e-2, "--folds", 2)
    digits, text = gpulr.datasets.load_digits(), run(*arguments, "-o", "m.safetensors").stdout
    found = gpulr.load("m.safetensors").evaluate(digits.X_test, digits.y_test)
    assert f"roc_auc_ovr (test)  {found.averages['roc_auc_ovr']:.4f}" in text
    assert f"multiclass accuracy (test)             {found.accuracy:.4f}" in text
    expected = pytest.approx(found.averages["roc_auc_ovr"], abs=1e-6)
    assert told(*arguments)["test_score"] == expected


def test_without_refit_and_the_chart(run, tmp_path):
    result = run(
        *(*DIGITS, "--Cs", "1,inf", "--no-refit", "--scoring", "neg_log_loss", "--folds", 2),
        *("--max-iter", 30, "--standardize", "--balanced", "--plot", "path.png", "--json"),
        *("--pos-weight", 2),
    )
    digits = gpulr.datasets.load_digits()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = gpulr.search(
            *(digits.X, digits.y),
            **{"Cs": [1, np.inf], "cv": 2, "max_iter": 30, "standardize": True, "refit": False},
            **{"class_weight": "balanced", "pos_weight": 2.0, "scoring": "neg_log_loss"},
        )
    assert "Drew path.png" in result.stderr
    record = strict_json(result.stdout)
    assert record["Cs"] == [1, None]
    assert record["scoring"] == "neg_log_loss"
    np.testing.assert_allclose(record["mean_scores"], found.mean_scores, rtol=1e-6)
    assert record["refit_C"] is record["test_accuracy"] is record["backend"] is None
    assert (tmp_path / "path.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("10", 10),
        (" 7 ", 7),
        ("0.1,1, 10", [0.1, 1, 10]),
        ("1,", [1.0]),
        ("0.5", [0.5]),
        ("inf", [np.inf]),
        ("1e-3,inf", [1e-3, np.inf]),
    ],
)
def test_values_of_C(text, values):
    assert parse_values(text) == values
    assert type(parse_values(text)) is type(values)


@pytest.mark.parametrize("done", [True, False], ids=["something", "nothing"])
def test_a_lost_cluster_prints_what_is_known(monkeypatch, run, done):
    found = gpulr.search(gpulr.datasets.load_digits(), Cs=[0.1], cv=2, refit=False)

    def lose(**_):
        error = gpulr.WorkersLostError("No worker is left.")
        error.search = found if done else None
        raise error

    monkeypatch.setattr(search, "search_models", lose)
    result = run(*DIGITS, "--json", code=130 if done else 1)
    assert "No worker is left" in result.stderr
    if done:
        record = strict_json(result.stdout)
        assert (record["Cs"], record["refit_C"], record["interrupted"]) == ([0.1], None, True)


@pytest.mark.parametrize("C", [0.1, 10])
def test_ctrl_c_prints_what_is_known_and_exits_130(ctrl_c, run, C):
    ctrl_c(search, lambda progress: progress.C >= C)
    result = run(*DIGITS, "--Cs", "0.1,10", "--json", code=130)
    assert f"interrupted after {int(C > 1)} of 2 values of C" in result.stderr
    record = strict_json(result.stdout)
    assert record["interrupted"] is True
    assert record["data"] == "digits"
    assert record["Cs"] == [0.1][: int(C > 1)]
    assert record["best_C"] == (0.1 if C > 1 else None)
    assert record["refit_C"] is record["test_accuracy"] is None
