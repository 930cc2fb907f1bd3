"""The command line: what each command prints, writes and refuses."""

from __future__ import annotations

import os
import re
import sys
import time
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest
from PIL import Image

import gpulr
from gpulr.cli import notebook, train

TRAIN_FIELDS = {
    **dict.fromkeys(("data", "backend", "device", "solver"), str),
    **dict.fromkeys(("n_train", "n_test", "n_iter"), int),
    **dict.fromkeys(("train_accuracy", "test_accuracy", "mean_binary_accuracy"), float),
    **dict.fromkeys(("cost", "binary_accuracy"), list),
    **{"fallback_reason": (str, type(None)), "converged": bool, "seconds": dict},
}
DIGITS = ("train", "--data", "digits")
QUICK = ("--max-iter", 3, "--tol", 0)


@pytest.fixture
def mnist_home():
    """Folder that holds MNIST, for processes that run elsewhere."""
    home = Path(os.environ.get("GPULR_DATA_HOME") or "nowhere").expanduser().absolute()
    if not gpulr.datasets.mnist.find_original() or not home.is_dir():
        pytest.skip("mnist-original is not in the folder that GPULR_DATA_HOME names")
    return str(home)


@pytest.fixture
def digits_file(tmp_path):
    """table.npz: the digits' training part, which has no test part of its own."""
    digits = gpulr.datasets.load_digits()
    np.savez(tmp_path / "table.npz", X=digits.X, y=digits.y)
    return len(digits.X)


def test_the_page_of_a_bootstrap_has_its_intervals(told, tmp_path):
    told("bootstrap", *DIGITS[1:], "--n", 5, "--max-iter", 3, "--output", "b.safetensors")
    told("report", "b.safetensors", "--output", "page.html")
    assert "95 % interval over 5 resamples" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_train_evaluate_predict_agree(told):
    trained = told(*DIGITS, "--output", "model.safetensors")
    for name, kind in TRAIN_FIELDS.items():
        assert isinstance(trained[name], kind), name
    assert (trained["data"], trained["backend"]) == ("digits", "numpy")
    assert trained["n_train"] + trained["n_test"] == 1797
    assert len(trained["cost"]) == len(trained["binary_accuracy"]) == 10
    assert trained["mean_binary_accuracy"] == pytest.approx(np.mean(trained["binary_accuracy"]))
    assert trained["test_accuracy"] > 0.94
    assert set(trained["seconds"]) == {"load", "train", "evaluate"}
    evaluated = told("evaluate", "model.safetensors")
    assert evaluated["accuracy"] == trained["test_accuracy"]
    assert evaluated["binary_accuracy"] == trained["binary_accuracy"]
    assert np.sum(evaluated["confusion"]) == evaluated["n"] == trained["n_test"]
    assert evaluated["averages"]["accuracy"] == evaluated["accuracy"]
    assert np.mean(evaluated["scores"]["f1"]) == pytest.approx(evaluated["averages"]["f1_macro"])
    assert evaluated["scores"]["class"] == list(range(10))
    predicted = told("predict", "model.safetensors", "digits")
    right = [p["predicted"] == p["true"] for p in predicted["predictions"]]
    assert np.mean(right) == trained["test_accuracy"]
    assert told("report", "model.safetensors")["n"] == trained["n_test"]


def test_train_json_equals_the_library_and_writes_infinity_as_null(told):
    how = ("--solver", "gd", "--max-iter", 30, "--tol", 0, "--C", "inf")
    record, digits = told(*DIGITS, *how), gpulr.datasets.load_digits()
    model = gpulr.train(digits, solver="gd", max_iter=30, tol=0, C=np.inf)
    evaluation = model.evaluate(digits.X_test, digits.y_test)
    assert (record["n_iter"], record["C"]) == (30, None)
    assert record["test_accuracy"] == evaluation.accuracy
    np.testing.assert_allclose(record["cost"], model.history.cost[-1], rtol=1e-6)
    np.testing.assert_array_equal(record["binary_accuracy"], evaluation.binary_accuracy)


def test_weights_of_positives(told):
    record = told(*DIGITS, "--balanced", "--pos-weight", 3)
    model = gpulr.train(gpulr.datasets.load_digits(), class_weight="balanced", pos_weight=3.0)
    np.testing.assert_allclose(record["cost"], model.history.cost[-1], rtol=1e-6)


def test_train_prints_figures_under_their_names_and_warnings_that_name_options(run):
    result = run(*DIGITS, "--max-iter", 3)
    for words in ("mean of the binary accuracies (test)", "multiclass accuracy (test)"):
        assert words in result.stdout
    for words in ("not reach --tol 0.0001", "raise --max-iter", "(--standardize)"):
        assert words in result.stderr


def test_default_data_falls_back_loudly_without_network(told, run):
    started = time.monotonic()
    assert told("train", *QUICK)["data"] == "digits"
    assert time.monotonic() - started < 25  # 15 s for giving up, and some for a slow machine
    shown = run("train", *QUICK).stderr
    assert shown.startswith("Loading ")
    assert "warning: MNIST cannot be had" in shown
    assert "name them: --data digits." in shown


FAILURES = [
    (["train", "--data", "no-such-file.npz"], 3, "does not exist"),
    (["train", "--data", "mnist"], 3, "GPULR_DATA_HOME"),
    (["train", "--data", "C=1.csv"], 3, "C=1.csv"),  # a path is not taken for a setting
    (["train", "--data", "digits", "--C", "-1"], 2, "--C -1.0; expected"),
    (["train", "--data", "digits", "--C", "nan"], 2, "--C nan; expected"),
    (["train", "--data", "digits", "--scale", "x"], 2, "--scale x"),
    (["train", "--data", "digits", "--backend", "abacus"], 2, "abacus"),
    (["train", "--data", "missing.npz", "--tol", "-1"], 2, "--tol -1.0; expected"),
    (["train", "--data", "missing.npz", "--C", "0"], 2, "--C 0.0; expected"),
    (["train", "--data", "missing.npz", "--pos-weight", "0"], 2, "--pos-weight 0.0; expected"),
    (["search", "--data", "missing.npz", "--pos-weight", "-1"], 2, "--pos-weight -1.0; expected"),
    (["train", "--data", "missing.npz", "--solver", "newton"], 2, "--solver newton; use"),
    (["train", "--data", "missing.npz", "--max-iter", "-3"], 2, "--max-iter -3; expected"),
    (["train", "--recipe", "notebook", "--max-iter", "-3"], 2, "--max-iter -3; expected"),
    (
        ["train", "--data", "missing.npz", "--learning-rate", "1"],
        *(2, "--learning-rate 1.0 has no use in --solver lbfgs"),
    ),
    (
        ["train", "--data", "missing.npz", "--standardize", "--scale", "1/2"],
        *(2, "--standardize chooses the scale; leave out --scale 0.5."),
    ),
    (["train", "--no-such-option"], 2, "--no-such-option"),
    (["train", "--data", "digits", "--output", "no/such/folder/m"], 2, "folder that exists"),
    (["train", "--recipe", "notebook", "--data", "digits"], 2, "mnist-original"),
    (["train", "--data", "table.csv", "--test-size", "2"], 2, "test_size"),
    (["train", "--recipe", "notebook", "--solver", "gd"], 2, "leave out --solver"),
    (["train", "--data", "digits", "--test-size", "2"], 2, "test_size"),
    (["train", "--data", "digits", "--output", "table.csv"], 2, "would be lost"),
    (["train", "--data", "digits", "-o", "m.pkl"], 2, "use m.safetensors"),
    (["train", "--data", "text.csv"], 3, "--label"),
    (["train", "--data", "fractions.csv"], 3, "a, b, outcome"),
    (["evaluate", "missing.safetensors"], 3, "no such file"),
    (["predict", "missing.safetensors", "x.png"], 3, "no such file"),
    (["export", "missing.safetensors", "-o", "m.onnx"], 3, "no such file"),
    (["export", "m.safetensors", "-o", "m.pmml"], 2, "use .onnx (for ONNX Runtime"),
    (["export", "m.safetensors", "-o", "m.joblib", "--input-dtype", "uint8"], 2, "for .onnx"),
    (["export", "m.safetensors", "-o", "no/such/m.onnx"], 2, "folder that exists"),
    (["data", "missing.csv"], 3, "does not exist"),
    (["search", "--data", "digits", "-o", "m"], 2, "use m.safetensors"),
    (["search", "--Cs", "1"], 2, "a single one: 1,"),
    (["search", "--Cs", "-3"], 2, "at least 2"),
    (["search", "--Cs", "a,b"], 2, "--Cs a,b"),
    (["search", "--Cs", ","], 2, "a single one: 1,"),
    (["search", "--Cs", "1,-2"], 2, "--Cs -2.0; expected"),
    (["search", "--Cs", "1,1"], 2, "more than once"),
    (["search", "--folds", "1", "--data", "missing.npz"], 2, "--folds 1; expected at least 2"),
    (
        ["search", "--folds", "1000", "--data", "digits"],
        *(2, "--folds 1000 is too many folds: the most"),
    ),
    (["search", "--scoring", "roc", "--data", "missing.npz"], 2, "neg_log_loss"),
    (["search", "--tol", "0", "--data", "missing.npz"], 2, "--tol 0 never ends"),
    (["search", "--backend", "abacus"], 2, "abacus"),
    (["search", "--plot", "path.xyz"], 2, ".png"),
    (["search", "--plot", "no/folder/path.png"], 2, "folder that exists"),
    (["search", "--output", "no/folder/m"], 2, "folder that exists"),
    (["search", "--output", "m.safetensors", "--no-refit"], 2, "leave out --no-refit"),
    (["search", "--one-standard-error", "--no-refit"], 2, "leave out --no-refit"),
    (["search", "--data", "missing.npz"], 3, "does not exist"),
    (["bootstrap", "--data", "missing.npz", "--weights", "bayes"], 2, '--weights bayes; use "poi'),
    (["bootstrap", "--data", "missing.npz", "--level", "95"], 2, "--level 95; expected"),
    (["bootstrap", "--data", "missing.npz", "--n", "1"], 2, "--n"),
    (["bootstrap", "--data", "missing.npz", "--C", "-1"], 2, "--C -1.0; expected"),
    (["bootstrap", "--data", "missing.npz"], 3, "does not exist"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), FAILURES)
def test_failures_have_exit_codes_and_say_why(run, tmp_path, arguments, code, message):
    (tmp_path / "table.csv").write_text("label,a\n" + "0,1\n1,2\n" * 10)
    (tmp_path / "text.csv").write_text("a,kind,mood\n" + "1,yes,good\n2,no,bad\n" * 10)
    (tmp_path / "fractions.csv").write_text("a,b,outcome\n" + "0.5,1,0\n2,1,1\n" * 10)
    result = run(*arguments, code=code)
    assert message in result.stderr
    assert "error:" in result.stderr
    assert result.stdout == ""


def test_export(run, told, model_file, tmp_path):
    output, X = tmp_path / "digits.joblib", gpulr.datasets.load_digits().X_test
    result = run("export", model_file, "--output", output)
    assert (result.stdout, "Wrote" in result.stderr) == ("", True)
    predicted = joblib.load(output).predict(X)
    np.testing.assert_array_equal(predicted, gpulr.load(model_file).predict(X))
    path = model_file.rename(tmp_path / "model.onnx")
    before = path.read_bytes()
    assert "would be lost" in run("export", path, "-o", path, code=2).stderr
    assert path.read_bytes() == before
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    output = tmp_path / "digits.ONNX"
    record = told("export", path, "-o", output, "--input-dtype", "uint8")
    size = output.stat().st_size
    expected = {"model": str(path), "output": str(output), "format": "onnx", "bytes": size}
    assert record == expected
    X = onnx.load(output).graph.input[0]
    assert X.type.tensor_type.elem_type == onnx.TensorProto.UINT8


def test_a_backend_that_is_not_here_is_one_warning_or_exit_code_4(run, told):
    if gpulr.backends()["cupy"].usable:
        pytest.skip("this machine has a GPU")
    arguments = (*DIGITS, "--backend", "cupy", *QUICK)
    record = told(*arguments)
    assert record["backend"] == "numpy"
    assert record["fallback_reason"]
    said = run(*arguments).stderr
    assert said.count("warning:") == 1
    assert "Training on NumPy instead" in said
    assert "CuPy" in run(*arguments, code=4, GPULR_FALLBACK="error").stderr


def test_rows_are_held_out_and_again_for_evaluate(told, digits_file):
    arguments = ("train", "--data", "table.npz", "--max-iter", 30, "--tol", 0)
    trained = told(*arguments, "--test-size", 0.3, "--seed", 5, "-o", "m.safetensors")
    assert trained["n_test"] == round(0.3 * digits_file)
    assert told("evaluate", "m.safetensors")["accuracy"] == trained["test_accuracy"]
    record = told(*arguments, "--test-size", 0)
    assert (record["n_test"], record["test_accuracy"]) == (0, None)
    assert record["train_accuracy"] > 0.9


def test_a_named_label_column_is_found_again(told, tmp_path):
    rows = ["a,kind,b"] + [f"{i % 2},{'yes' if i % 2 else 'no'},{i % 3}" for i in range(40)]
    (tmp_path / "table.csv").write_text("\n".join(rows))
    arguments = ("train", "--data", "table.csv", "--label", "kind", "-o", "m.safetensors")
    record = told(*arguments, "--max-iter", 50, "--tol", 0)
    assert record["classes"] == ["no", "yes"]
    assert (len(record["cost"]), record["test_accuracy"]) == (1, 1.0)
    assert told("evaluate", "m.safetensors")["n"] == record["n_test"] == 8
    assert told(*arguments)["output"] == "m.safetensors"  # replaces a model


def test_the_first_column_as_label_is_announced(run, tmp_path):
    (tmp_path / "table.csv").write_text("age,income\n" + "0,1\n1,2\n" * 10)
    said = run("train", "--data", "table.csv", "--json").stderr
    assert "'age'" in said
    assert "--label" in said


@pytest.mark.parametrize(
    "command", [("train",), ("search", "--Cs", "1,10", "--folds", 2)], ids=["train", "search"]
)
def test_pixels_of_a_table_are_told_of(run, tmp_path, command):
    def said(most, *more):
        rows = np.random.default_rng(0).integers(0, most, (40, 17))
        rows[:, 0] = np.arange(40) % 2
        names = ["label", *(f"p{i}" for i in range(16))]
        lines = [",".join(map(str, row)) for row in [names, *rows]]
        (tmp_path / "table.csv").write_text("\n".join(lines))
        return run(*command, "--data", "table.csv", *more).stderr

    words = "table.csv: whole numbers from 0 to 255, taken for 4×4 pixels"
    assert f"{words}, divided by 255" in said(200)
    unscaled = said(200, "--scale", "1")
    assert words in unscaled
    assert "divided" not in unscaled
    assert "pixels" not in said(128)  # small numbers


def test_data(run, told):
    record = told("data")
    assert set(record) == set(gpulr.datasets.NAMES)
    assert record["digits"]["available"]
    assert "digits" in run("data").stdout
    record = told("data", "digits")
    assert (record["n_train"], record["n_test"], record["n_features"]) == (1442, 355, 64)
    assert "8, 8" in run("data", "digits").stdout


def test_doctor(run, told):
    record = told("doctor")
    assert record["backends"]["numpy"]["usable"]
    cupy = record["backends"]["cupy"]
    assert cupy["usable"] or (cupy["reason"] and cupy["remedy"])
    assert record["blas"] or sys.platform == "darwin"
    text = run("doctor", GPULR_BACKEND="cuda").stdout
    for words in ("cupy", "driver", "nothing: GPULR_BACKEND"):
        assert words in text


@pytest.mark.parametrize("output", [(), ("--output", "m.safetensors")])
def test_ctrl_c_prints_the_json_of_the_model_so_far(ctrl_c, told, output):
    ctrl_c(train, lambda progress: progress.iteration == 4)
    record = told(*DIGITS, *output, code=130)
    for name, kind in TRAIN_FIELDS.items():
        assert isinstance(record[name], kind), name
    assert record["interrupted"] is True
    model = gpulr.load(record["output"])
    assert record["n_iter"] == model.n_iter >= 4
    assert not record["converged"]
    digits = gpulr.datasets.load_digits()
    assert record["test_accuracy"] == model.score(digits.X_test, digits.y_test)


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.mnist
def test_recipe_notebook(mnist_home, told):
    record = told("train", "--recipe", "notebook", GPULR_DATA_HOME=mnist_home)
    assert (record["data"], record["n_train"], record["n_test"]) == ("mnist-original", 56000, 14000)
    assert record["C"] is None
    theirs, ours = record["notebook"], np.array(record["binary_accuracy"])
    np.testing.assert_allclose(ours[:8], theirs["binary_accuracy"], atol=0.003)
    for value, expected, atol in (
        (record["mean_binary_accuracy"], theirs["mean_binary_accuracy"], 0.003),
        (record["digit_0_alone"]["train"], theirs["digit_0_train"], 0.003),
        (record["digit_0_alone"]["test"], ours[0], 1e-4),
    ):
        assert value == pytest.approx(expected, abs=atol)
    assert 0.885 < record["test_accuracy"] < 0.91


@pytest.mark.parametrize("n_classes", [1, 10])  # digit 0 alone, or all ten
def test_ctrl_c_in_the_notebook_prints_the_json_of_the_model_so_far(
    ctrl_c, told, monkeypatch, n_classes
):
    digits = gpulr.datasets.load_digits()
    whole = replace(digits, X_test=None, y_test=None, name="mnist-original")
    monkeypatch.setattr(notebook, "load_mnist_original", lambda: whole)
    ctrl_c(notebook, lambda progress: progress.iteration == 4 and len(progress.cost) == n_classes)
    record = told("train", "--recipe", "notebook", "--max-iter", 9, code=130)
    assert (record["data"], record["interrupted"]) == ("mnist-original", True)
    model = gpulr.load(record["output"])
    assert (model.n_models, model.n_iter) == (n_classes, 4)
    assert record["n_iter"] == 4


def test_help_and_version(run):
    assert "train" in run(code=2).stdout
    assert run("--version").stdout.strip() == f"gpulr {gpulr.__version__}"
    shown = " ".join(run("--help").stdout.split())
    for words in ("2 usage", "130 interrupted", "GPULR_RESCUE", "the last line on standard error"):
        assert words in shown
    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    assert 'gpulr = "gpulr.cli:main"' in pyproject.read_text()


DATA = ("mnist-original", ".csv", ".tsv", ".gz", ".npz", ".mat", "IDX", "folder")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train", [*DATA, "--backend", "--solver", "--C", "--max-iter", "--tol", "--output"]),
        ("train", ["holds the labels: its name, or for .csv", "holds out different rows"]),
        ("search", [*DATA, "--Cs", "--folds", "--scoring", "--one-standard-error", "--plot"]),
        ("bootstrap", [*DATA, "--n", "--level", "--weights", "--top", "--plot", "--output"]),
        *((command, DATA) for command in ("evaluate", "report", "video", "data")),
        *((command, ["--json"]) for command in ("predict", "export")),
    ],
)
def test_help_names_options_and_what_data_can_be(run, command, words):
    shown = run(command, "--help", COLUMNS="400").stdout
    for each in (*words, "--json"):
        assert each in shown
    lines = [line for line in shown.splitlines() if "--help" not in line]  # which is Typer's
    assert not [line for line in lines if "bool" in line.lower()]  # a flag has no value


@pytest.fixture
def tagged(tmp_path, rng):
    """A data set of 60 rows with three overlapping labels, and one row to predict."""
    X = rng.normal(size=(60, 4))
    Y = (X[:, :3] + 0.3 * rng.normal(size=(60, 3)) > 0).astype(np.uint8)
    np.savez(tmp_path / "tagged.npz", X=X, y=Y)
    np.save(tmp_path / "row.npy", np.array([[9.0, -9, 9, 0], [-9, -9, -9, 0]]))
    return Y


def test_several_labels(run, told, tagged):
    described = told("data", "tagged.npz")
    assert described["classes"] == [0, 1, 2]
    assert described["counts"] == tagged.sum(axis=0).tolist()
    shown = run("train", "--data", "tagged.npz", "--output", "m.safetensors").stdout
    for words in (" F1 ", "micro F1 (test)", "all labels of a row right (train)", "3 models"):
        assert words in shown
    trained = told("train", "--data", "tagged.npz")
    evaluated = told("evaluate", "m.safetensors")
    assert evaluated["n"] == 12
    assert trained["test"]["micro_f1"] == evaluated["micro_f1"] > 0.7
    assert len(evaluated["label_f1"]) == len(trained["cost"]) == 3
    assert "all labels of a row right" in run("evaluate", "m.safetensors").stdout
    predictions = told("predict", "m.safetensors", "row.npy", "tagged.npz")["predictions"]
    assert [each["predicted"] for each in predictions[:2]] == [[0, 2], []]
    assert predictions[2]["true"] == np.flatnonzero(tagged[0]).tolist()
    assert "0, 2" in run("predict", "m.safetensors", "row.npy").stdout
    error = run("evaluate", "m.safetensors", "--data", "digits", code=3).stderr
    assert "features" in error  # of one label a row


def test_tables_are_whole_in_80_columns(run, tmp_path, rng):
    names = [f"a-name-of-{'many-' * 8}characters-{j}" for j in range(3)]
    X, y = rng.normal(size=(60, 4)), np.arange(60) % 3
    lines = [",".join([*map(str, row), names[j]]) for row, j in zip(X, y, strict=True)]
    (tmp_path / "named.csv").write_text("\n".join(["a,b,c,d,name", *lines]))
    np.savez(tmp_path / "tagged.npz", X=X, y=(X[:, :3] > 0).astype(np.uint8))
    for data in (["tagged.npz"], ["named.csv", "--label", "name"]):
        shown = run("train", "--data", *data, COLUMNS="80").stdout
        assert max(map(len, shown.splitlines())) <= 80
        assert "iterations" in shown
        assert "converged" in shown
        if data[0] == "named.csv":  # labels are told apart by what is left of them
            assert all(
                re.search(rf"^a-name-of-.*….*characters-{j} ", shown, re.M) for j in range(3)
            )
        else:
            assert "…" not in shown


def test_image_shape_is_pythons(run, tmp_path):
    np.savez(tmp_path / "t.npz", X=np.arange(60.0).reshape(20, 3), y=np.arange(20) % 2)
    run("train", "--data", "t.npz", "-o", "m.safetensors")
    Image.new("L", (9, 9)).save(tmp_path / "x.png")
    error = run("predict", "m.safetensors", "x.png", code=3).stderr
    assert "image_shape=(height, width) in Python, or on an .npz file" in error


LABELS = ("[/x] odd", "[red]a & b[/red]", ":smile:")


def test_labels_and_names_of_files_are_shown_as_they_are(run, tmp_path):
    rows = ["kind,a,b,c"]
    rows += [f"{LABELS[i % 3]},{i % 3 == 0:d},{i % 3 == 1:d},{i % 7}" for i in range(60)]
    (tmp_path / "br[b]x.csv").write_text("\n".join(rows))
    data = ("br[b]x.csv", "--label", "kind")
    trained = run("train", "--data", *data, "--output", "m.safetensors", COLUMNS="160")
    assert "br[b]x" in trained.stderr
    evaluated = run("evaluate", "m.safetensors", COLUMNS="160").stdout
    assert "br[b]x, test rows: 12" in evaluated
    predicted = run("predict", "m.safetensors", *data, COLUMNS="160").stdout
    described = run("data", *data, COLUMNS="160").stdout
    assert "br[b]x" in run("search", "--data", *data, "--Cs", "1,2").stderr
    head = evaluated.partition("true down, predicted across\n")[2].partition("━┩\n")[0]
    for label in LABELS:
        assert label in trained.stdout
        assert label in described
        assert predicted.count(label) >= 14  # predicted and true
        assert label in head
        assert evaluated.count(label) == 3  # its accuracy, its row, its column
    assert "[/x].csv: " in run("data", "[/x].csv", code=3).stderr
