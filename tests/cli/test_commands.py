"""The command line: what each command prints, writes and refuses."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import gpulr
from gpulr.cli import notebook, train
from gpulr.cli.app import app
from gpulr.images.loading import load_images
from helpers import strict_json

TRAIN_FIELDS = {
    **dict.fromkeys(("data", "backend", "device", "solver"), str),
    **dict.fromkeys(("n_train", "n_test", "n_iter"), int),
    **dict.fromkeys(("train_accuracy", "test_accuracy", "mean_binary_accuracy"), float),
    **dict.fromkeys(("cost", "binary_accuracy"), list),
    **{"fallback_reason": (str, type(None)), "converged": bool, "seconds": dict},
}


@pytest.fixture
def mnist_home():
    """Folder that holds MNIST, for processes that run elsewhere."""
    home = Path(os.environ.get("GPULR_DATA_HOME") or "nowhere").expanduser().absolute()
    if not gpulr.datasets.mnist.find_original() or not home.is_dir():
        pytest.skip("mnist-original is not in the folder that GPULR_DATA_HOME names")
    return str(home)


def test_train_json_has_the_promised_fields(told):
    record = told("train", "--data", "digits")
    for name, kind in TRAIN_FIELDS.items():
        assert isinstance(record[name], kind), name
    assert record["data"] == "digits"
    assert record["n_train"] + record["n_test"] == 1797
    assert record["backend"] == "numpy"
    assert len(record["cost"]) == len(record["binary_accuracy"]) == 10
    assert record["mean_binary_accuracy"] == pytest.approx(np.mean(record["binary_accuracy"]))
    assert record["test_accuracy"] > 0.94
    assert set(record["seconds"]) == {"load", "train", "evaluate"}


def test_train_json_writes_infinity_as_null(run):
    result = run("train", "--data", "digits", "--C", "inf", "--max-iter", 5, "--tol", 0, "--json")
    assert strict_json(result.stdout)["C"] is None


def test_train_json_equals_the_library(told):
    record = told("train", "--data", "digits", "--solver", "gd", "--max-iter", 30, "--tol", 0)
    digits = gpulr.datasets.load_digits()
    model = gpulr.train(digits, solver="gd", max_iter=30, tol=0)
    evaluation = model.evaluate(digits.X_test, digits.y_test)
    assert record["n_iter"] == 30
    assert record["test_accuracy"] == evaluation.accuracy
    np.testing.assert_allclose(record["cost"], model.history.cost[-1], rtol=1e-6)
    np.testing.assert_array_equal(record["binary_accuracy"], evaluation.binary_accuracy)


def test_train_prints_both_accuracies_under_their_names(run):
    result = run("train", "--data", "digits")
    assert "mean of the binary accuracies (test)" in result.stdout
    assert "multiclass accuracy (test)" in result.stdout


def test_default_data_falls_back_loudly_without_network(run):
    started = time.monotonic()
    result = run("train", "--json")
    assert time.monotonic() - started < 25  # 15 s for giving up, and some for a slow machine
    assert strict_json(result.stdout)["data"] == "digits"
    assert "warning: MNIST cannot be had" in result.stderr


def test_named_data_is_strict(run):
    result = run("train", "--data", "mnist", code=3)
    assert result.stdout == ""
    assert "error:" in result.stderr
    assert "GPULR_DATA_HOME" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "--data", "no-such-file.npz"], 3, "does not exist"),
        (["train", "--data", "digits", "--C", "-1"], 2, "--C -1.0; expected"),
        (["train", "--data", "digits", "--C", "nan"], 2, "--C nan; expected"),
        (["train", "--data", "digits", "--scale", "x"], 2, "--scale x"),
        (["train", "--data", "digits", "--backend", "abacus"], 2, "abacus"),
        (["train", "--data", "missing.npz", "--tol", "-1"], 2, "--tol -1.0; expected"),
        (["train", "--data", "missing.npz", "--C", "0"], 2, "--C 0.0; expected"),
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
        (["search", "--data", "digits", "-o", "m"], 2, "use m.safetensors"),
        (["train", "--data", "text.csv"], 3, "--label"),
        (["train", "--data", "fractions.csv"], 3, "a, b, outcome"),
        (["evaluate", "missing.safetensors"], 3, "no such file"),
        (["predict", "missing.safetensors", "x.png"], 3, "no such file"),
        (["export", "missing.safetensors", "-o", "m.onnx"], 3, "no such file"),
        (["export", "m.safetensors", "-o", "m.pmml"], 2, "use .onnx (for ONNX Runtime"),
        (["export", "m.safetensors", "-o", "m.joblib", "--input-dtype", "uint8"], 2, "for .onnx"),
        (["export", "m.safetensors", "-o", "no/such/m.onnx"], 2, "folder that exists"),
        (["data", "missing.csv"], 3, "does not exist"),
    ],
)
def test_failures_have_exit_codes_and_say_why(run, tmp_path, arguments, code, message):
    (tmp_path / "table.csv").write_text("label,a\n" + "0,1\n1,2\n" * 10)
    (tmp_path / "text.csv").write_text("a,kind,mood\n" + "1,yes,good\n2,no,bad\n" * 10)
    (tmp_path / "fractions.csv").write_text("a,b,outcome\n" + "0.5,1,0\n2,1,1\n" * 10)
    result = run(*arguments, code=code)
    assert message in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "example"),
    [
        (["train", "--data", "digits", "-o"], "model.safetensors"),
        (["search", "--data", "digits", "-o"], "model.safetensors"),
        (["search", "--data", "digits", "--plot"], "path.png"),
        (["report", "m.safetensors", "-o"], "report.html"),
        (["export", "m.safetensors", "-o"], "model.onnx"),
        (["video", "m.safetensors", "-o"], "video.mp4"),
    ],
)
def test_a_folder_is_no_file_to_write(tmp_path, arguments, example):
    if arguments[0] == "video":
        pytest.importorskip("av", reason="PyAV is not installed")
    result = CliRunner().invoke(app, [*arguments, str(tmp_path)])
    assert result.exit_code == 2
    assert f"{tmp_path}: that is a folder" in result.stderr
    assert str(tmp_path / example) in result.stderr
    assert result.stdout == ""


def test_export_writes_onnx(run, model_file, tmp_path):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    output = tmp_path / "digits.ONNX"
    result = run("export", model_file, "-o", output, "--input-dtype", "uint8", "--json")
    record = strict_json(result.stdout)
    assert record == {
        "model": str(model_file),
        "output": str(output),
        "format": "onnx",
        "bytes": output.stat().st_size,
    }
    X = onnx.load(output).graph.input[0]
    assert X.type.tensor_type.elem_type == onnx.TensorProto.UINT8


def test_export_writes_a_scikit_learn_estimator(run, model_file, tmp_path):
    output = tmp_path / "digits.joblib"
    result = run("export", model_file, "--output", output)
    assert result.stdout == ""
    assert "Wrote" in result.stderr
    X = gpulr.datasets.load_digits().X_test
    predicted = joblib.load(output).predict(X)
    np.testing.assert_array_equal(predicted, gpulr.load(model_file).predict(X))


def test_export_does_not_replace_the_model(run, model_file, tmp_path):
    path = model_file.rename(tmp_path / "model.onnx")
    before = path.read_bytes()
    assert "would be lost" in run("export", path, "-o", path, code=2).stderr
    assert path.read_bytes() == before


def test_without_arguments_shows_help(run):
    assert "train" in run(code=2).stdout


def test_version(run):
    assert run("--version").stdout.strip() == f"gpulr {gpulr.__version__}"


def test_backend_fallback_is_one_warning_and_recorded(run):
    if gpulr.backends()["cupy"].usable:
        pytest.skip("this machine has a GPU")
    result = run(
        "train", "--data", "digits", "--backend", "cupy", "--max-iter", 3, "--tol", 0, "--json"
    )
    record = strict_json(result.stdout)
    assert record["backend"] == "numpy"
    assert record["fallback_reason"]
    assert result.stderr.count("warning:") == 1
    assert "Training on NumPy instead" in result.stderr


def test_backend_unavailable_exits_4(run):
    if gpulr.backends()["cupy"].usable:
        pytest.skip("this machine has a GPU")
    arguments = ("train", "--data", "digits", "--backend", "cupy")
    assert "CuPy" in run(*arguments, code=4, GPULR_FALLBACK="error").stderr


def test_train_evaluate_predict_agree(told, tmp_path):
    trained = told("train", "--data", "digits", "--output", "model.safetensors")
    evaluated = told("evaluate", "model.safetensors")
    assert evaluated["accuracy"] == trained["test_accuracy"]
    assert evaluated["binary_accuracy"] == trained["binary_accuracy"]
    assert np.sum(evaluated["confusion"]) == evaluated["n"] == trained["n_test"]
    predicted = told("predict", "model.safetensors", "digits")
    right = [p["predicted"] == p["true"] for p in predicted["predictions"]]
    assert np.mean(right) == trained["test_accuracy"]


def test_evaluate_holds_the_same_rows_out_again(told, tmp_path):
    digits = gpulr.datasets.load_digits()
    np.savez(tmp_path / "table.npz", X=digits.X, y=digits.y)
    arguments = ("--data", "table.npz", "--test-size", 0.3, "--seed", 5, "-o", "m.safetensors")
    trained = told("train", *arguments)
    assert trained["n_test"] == round(0.3 * len(digits.X))
    evaluated = told("evaluate", "m.safetensors")
    assert evaluated["accuracy"] == trained["test_accuracy"]


def test_train_on_all_rows(told, tmp_path):
    digits = gpulr.datasets.load_digits()
    np.savez(tmp_path / "table.npz", X=digits.X, y=digits.y)
    record = told("train", "--data", "table.npz", "--test-size", 0)
    assert (record["n_test"], record["test_accuracy"]) == (0, None)
    assert record["train_accuracy"] > 0.9


def picture(digit, pad, *, ink=0, paper=255, mode="L"):
    """Draw a digit's mean image, enlarged, somewhere on paper of another size."""
    digits = gpulr.datasets.load_digits()
    shape = digits.X[digits.y == digit].mean(axis=0).reshape(8, 8)
    large = np.kron(shape, np.ones((12, 12)))
    page = np.full((large.shape[0] + 3 * pad, large.shape[1] + pad), float(paper))
    page[pad : pad + large.shape[0], : large.shape[1]] += (ink - paper) * large
    return Image.fromarray(page.round().astype(np.uint8)).convert(mode)


def test_predict_reads_images_however_they_are_framed(run, told, model_file, tmp_path):
    names = []
    for digit in (0, 4, 6):
        images = {
            "tight": picture(digit, 0),
            "padded": picture(digit, 150, mode="RGB"),
            "dark": picture(digit, 20, ink=255, paper=0),
            "grey": picture(digit, 20, ink=20, paper=178),
        }
        for name, image in images.items():
            names.append(f"{digit}-{name}.png")
            image.save(tmp_path / names[-1])
    predictions = told("predict", model_file, *names)["predictions"]
    assert [p["predicted"] for p in predictions] == [int(name[0]) for name in names]
    assert [p["input"] for p in predictions] == names
    table = run("predict", model_file, *names, COLUMNS="60").stdout
    assert all(name in table for name in names)


def test_images_of_the_model_s_shape_are_taken_as_they_are(tmp_path, model_file):
    model, digits = gpulr.load(model_file), gpulr.datasets.load_digits()
    image = Image.fromarray((255 * digits.X_test[0]).round().astype(np.uint8).reshape(8, 8))
    image.save(tmp_path / "digit.png")
    rows = load_images([tmp_path / "digit.png"], model)
    np.testing.assert_allclose(rows[0], digits.X_test[0], atol=1 / 255)


def test_images_come_as_bright_or_dark_as_those_trained_on(tmp_path):
    digits = gpulr.datasets.load_digits()
    paper = (255 * (1 - digits.X)).round().astype(np.uint8)
    model = gpulr.train(paper, digits.y, image_shape=(8, 8), max_iter=30, tol=0)
    paths = [tmp_path / f"{i}.png" for i in range(30)]
    for path, row in zip(paths, paper, strict=False):
        Image.fromarray(row.reshape(8, 8)).save(path)
    np.testing.assert_allclose(load_images(paths, model), paper[:30], atol=0.01)


def test_a_blank_page_is_refused(run, model_file, tmp_path):
    Image.new("L", (50, 50), 255).save(tmp_path / "blank.png")
    assert "nothing is drawn" in run("predict", model_file, "blank.png", code=3).stderr


def test_inputs_that_cannot_be_used_do_not_keep_others_from_being_predicted(
    run, told, model_file, tmp_path
):
    picture(4, 0).save(tmp_path / "four.png")
    picture(6, 0).save(tmp_path / "six.png")
    Image.new("L", (50, 50), 255).save(tmp_path / "white.png")
    np.save(tmp_path / "narrow.npy", np.zeros((3, 5)))
    inputs = ("four.png", "white.png", "narrow.npy", "none.npz", "six.png")
    shown = run("predict", model_file, *inputs, code=3)
    assert "four.png" in shown.stdout
    assert "six.png" in shown.stdout
    assert "white.png" not in shown.stdout
    assert "error: white.png: nothing is drawn" in shown.stderr
    assert "error: narrow.npy: X has 5 features" in shown.stderr
    assert shown.stderr.count("error:") == 3
    record = told("predict", model_file, *inputs, code=3)
    found = [(each["input"], each["predicted"]) for each in record["predictions"]]
    assert found == [("four.png", 4), ("six.png", 6)]
    assert [each["input"] for each in record["errors"]] == ["white.png", "narrow.npy", "none.npz"]
    assert "nothing is drawn" in record["errors"][0]["error"]
    good = told("predict", model_file, "four.png")
    assert set(good) == {"model", "classes", "predictions"}


def test_transparent_images(tmp_path, model_file):
    model = gpulr.load(model_file)
    for ink, name in ((0, "black"), (255, "white")):
        mask = picture(4, 10, ink=255, paper=0)
        image = Image.merge("RGBA", [Image.new("L", mask.size, ink)] * 3 + [mask])
        image.save(tmp_path / f"{name}.png")
    rows = load_images([tmp_path / "black.png", tmp_path / "white.png"], model)
    assert model.predict(rows).tolist() == [4, 4]


def test_predict_shows_what_the_model_sees(run, model_file, tmp_path):
    model = gpulr.load(model_file)
    for folder, digit in (("a", 4), ("b", 6)):
        (tmp_path / folder).mkdir()
        picture(digit, 20).save(tmp_path / folder / "x.png")
    picture(0, 20).save(tmp_path / "a" / "x-framed.png")
    names = ["a/x.png", "b/x.png", "a/x-framed.png"]
    before = [(tmp_path / name).read_bytes() for name in names]
    said = run("predict", model_file, *names, "--framed", "a").stderr
    assert "3 images in a" in said
    assert [(tmp_path / name).read_bytes() for name in names] == before
    rows = load_images([tmp_path / name for name in names], model)
    written = ["a/x-framed-2.png", "a/x-framed-3.png", "a/x-framed-framed.png"]
    for name, row in zip(written, rows, strict=True):
        seen = np.asarray(Image.open(tmp_path / name), dtype=np.float32) / 255
        np.testing.assert_allclose(seen, np.kron(row.reshape(8, 8), np.ones((35, 35))), atol=0.01)


def test_predict_cannot_show_in_a_file(run, model_file, tmp_path):
    picture(4, 20).save(tmp_path / "x.png")
    assert "folder" in run("predict", model_file, "x.png", "--framed", "x.png", code=2).stderr


def test_predict_says_when_it_is_unsure(run, told, model_file, tmp_path):
    digits = gpulr.datasets.load_digits()
    rows = np.stack([digits.X_test[0], digits.X.mean(axis=0)])
    P = gpulr.load(model_file).predict_proba(rows).max(axis=1)
    assert P[0] > 0.5 > P[1]
    np.save(tmp_path / "rows.npy", rows)
    predictions = told("predict", model_file, "rows.npy")
    assert [p["certain"] for p in predictions["predictions"]] == [True, False]
    _, first, second = run("predict", model_file, "rows.npy").stdout.splitlines()
    assert "unsure" not in first
    assert "(unsure)" in second


def test_predict_reads_npy(run, model_file, tmp_path):
    digits = gpulr.datasets.load_digits()
    np.save(tmp_path / "rows.npy", digits.X_test[:30])
    result = run("predict", model_file, "rows.npy", "--json")
    predictions = strict_json(result.stdout)["predictions"]
    expected = gpulr.load(model_file).predict(digits.X_test[:30])
    np.testing.assert_array_equal([p["predicted"] for p in predictions], expected)


@pytest.mark.parametrize("name", ["broken.png", "broken.npy", "objects.npy", "missing.png"])
def test_predict_refuses_damaged_files(run, model_file, tmp_path, name):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n not really")
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY nothing")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    result = run("predict", model_file, name, code=3)
    assert name in result.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_predict_goes_on_past_whatever_is_no_file_of_rows(run, model_file, tmp_path):
    digits = gpulr.datasets.load_digits()
    np.save(tmp_path / "good.npy", digits.X_test[:2])
    bad = ["fifo.npy", "fifo.png", "fifo.csv", "token.npy", "deep.npy", "single.npy", "chunk.png"]
    for name in bad[:3]:
        os.mkfifo(tmp_path / name)
    for name, header in ((bad[3], "{'descr': '<f4', \"\"\"}"), (bad[4], "[" * 5000)):
        text = header.encode()
        (tmp_path / name).write_bytes(
            b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + bytes(64)
        )
    np.save(tmp_path / "single.npy", 3.0)
    chunk = tmp_path / "chunk.png"
    Image.new("L", (30, 30)).save(chunk)
    chunk.write_bytes(chunk.read_bytes().replace(b"IDAT", b"ID\0T"))
    result = run("predict", model_file, *bad[:4], "good.npy", *bad[4:], "--json", code=3)
    record = strict_json(result.stdout)
    assert [each["input"] for each in record["predictions"]] == ["good.npy[0]", "good.npy[1]"]
    assert [each["input"] for each in record["errors"]] == bad


def test_wrong_number_of_features_is_bad_data(run, model_file, tmp_path):
    np.save(tmp_path / "rows.npy", np.zeros((3, 5)))
    error = run("predict", model_file, "rows.npy", code=3).stderr
    assert "5 features; this model was trained on 64 (digits, images of 8×8). Pass rows" in error


def test_a_named_label_column_is_found_again(told, tmp_path):
    rows = ["a,kind,b"] + [f"{i % 2},{'yes' if i % 2 else 'no'},{i % 3}" for i in range(40)]
    (tmp_path / "table.csv").write_text("\n".join(rows))
    arguments = ("train", "--data", "table.csv", "--label", "kind", "-o", "m.safetensors")
    record = told(*arguments, "--max-iter", 50, "--tol", 0)
    assert record["classes"] == ["no", "yes"]
    assert len(record["cost"]) == 1
    assert record["test_accuracy"] == 1.0
    assert told("evaluate", "m.safetensors")["n"] == record["n_test"] == 8
    assert told(*arguments)["output"] == "m.safetensors"  # replaces a model


def test_the_first_column_as_label_is_announced(run, tmp_path):
    (tmp_path / "table.csv").write_text("age,income\n" + "0,1\n1,2\n" * 10)
    result = run("train", "--data", "table.csv", "--json")
    assert "'age'" in result.stderr
    assert "--label" in result.stderr


@pytest.fixture
def kinds(run, tmp_path):
    """A model of a table whose label column is the only one of text, and its features' rows."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 4)).round(3), np.where(np.arange(40) % 2, "yes", "no")
    X[:, 0] += 4 * (y == "yes")
    _write_table(tmp_path / "table.csv", "a,b,c,d,kind", np.column_stack([X, y]))
    result = run("train", "--data", "table.csv", "-o", "m.safetensors", "--json")
    assert strict_json(result.stdout)["classes"] == ["no", "yes"]
    assert "label 'kind'" in result.stderr
    assert "warning" not in result.stderr
    return X, y


def _write_table(path, names, rows):
    path.write_text("\n".join([names, *(",".join(map(str, row)) for row in rows)]))


def test_predict_rows_without_labels(run, kinds, tmp_path):
    X, _ = kinds
    _write_table(tmp_path / "new.csv", "a,b,c,d", X[:6])
    _write_table(tmp_path / "turned.csv", "d,c,b,a", X[:6, ::-1])
    result = run("predict", "m.safetensors", "new.csv", "turned.csv", "--json")
    assert result.stderr == ""
    predictions = strict_json(result.stdout)["predictions"]
    assert len(predictions) == 12
    assert all("true" not in row for row in predictions)
    P = gpulr.load(tmp_path / "m.safetensors").predict_proba(X[:6].astype(np.float32))
    for half in (predictions[:6], predictions[6:]):
        np.testing.assert_allclose([row["probabilities"] for row in half], P, rtol=1e-6)
    _write_table(tmp_path / "other.csv", "a,b,c,e", X[:6])
    assert "lacks 'd'" in run("predict", "m.safetensors", "other.csv", code=3).stderr


def test_the_label_is_remembered_for_other_tables(run, told, kinds, tmp_path):
    X, y = kinds
    # Of two columns of text, only the name tells which is the label.
    _write_table(tmp_path / "old.csv", "label,kind,a,b,c,d", np.column_stack([X[:, 0], y, X]))
    _write_table(tmp_path / "new.csv", "d,kind,c,b,a", np.column_stack([X, y])[:, [3, 4, 2, 1, 0]])
    result = run("evaluate", "m.safetensors", "--data", "old.csv", code=3)
    assert "has extra columns: 'label'" in result.stderr
    evaluated = told("evaluate", "m.safetensors", "--data", "new.csv")
    assert evaluated["classes"] == ["no", "yes"]
    assert evaluated["accuracy"] >= 0.9
    predicted = run("predict", "m.safetensors", "new.csv", "--json")
    assert [row["true"] for row in strict_json(predicted.stdout)["predictions"]] == y.tolist()


def test_a_label_of_a_usual_name_is_remembered(run, tmp_path):
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.normal(size=(20, 2)), np.arange(20) % 2])
    _write_table(tmp_path / "table.csv", "a,b,target", rows)
    run("train", "--data", "table.csv", "-o", "m.safetensors")
    _write_table(tmp_path / "new.csv", "label,b,target", rows)
    assert "lacks 'a'" in run("evaluate", "m.safetensors", "--data", "new.csv", code=3).stderr


@pytest.mark.parametrize(
    "command", [("train",), ("search", "--Cs", "1,10", "--folds", 2)], ids=["train", "search"]
)
def test_pixels_of_a_table_are_told_of(run, tmp_path, command):
    rows = np.random.default_rng(0).integers(0, 200, (40, 17))
    rows[:, 0] = np.arange(40) % 2
    names = "label," + ",".join(f"p{i}" for i in range(16))
    _write_table(tmp_path / "table.csv", names, rows)
    said = run(*command, "--data", "table.csv").stderr
    assert "table.csv: whole numbers from 0 to 255, taken for 4×4 pixels, divided by 255" in said
    said = run(*command, "--data", "table.csv", "--scale", "1").stderr
    assert "taken for 4×4 pixels" in said
    assert "divided" not in said


def test_small_numbers_of_a_table_are_no_pixels(run, tmp_path):
    rows = np.random.default_rng(0).integers(0, 128, (40, 17))
    rows[:, 0] = np.arange(40) % 2
    names = "label," + ",".join(f"p{i}" for i in range(16))
    _write_table(tmp_path / "table.csv", names, rows)
    assert "pixels" not in run("train", "--data", "table.csv").stderr


def test_rows_limits_json_too(run, model_file):
    result = run("predict", model_file, "digits", "--rows", 3, "--json")
    assert len(strict_json(result.stdout)["predictions"]) == 3


def test_doctor_reports_a_wrong_setting(run):
    assert "GPULR_BACKEND" in run("doctor", GPULR_BACKEND="cuda").stdout


def test_data_lists_without_network(run, told):
    record = told("data")
    assert set(record) == set(gpulr.datasets.NAMES)
    assert record["digits"]["available"]
    assert "digits" in run("data").stdout


def test_data_describes(run, told):
    record = told("data", "digits")
    assert (record["n_train"], record["n_test"], record["n_features"]) == (1442, 355, 64)
    assert "8, 8" in run("data", "digits").stdout


def test_doctor(run, told):
    record = told("doctor")
    assert record["backends"]["numpy"]["usable"]
    cupy = record["backends"]["cupy"]
    assert cupy["usable"] or (cupy["reason"] and cupy["remedy"])
    assert record["blas"] or sys.platform == "darwin"
    text = run("doctor").stdout
    assert "cupy" in text
    assert "driver" in text


@pytest.mark.parametrize("output", [(), ("--output", "m.safetensors")])
def test_ctrl_c_prints_the_json_of_the_model_so_far(ctrl_c, told, output):
    ctrl_c(train, lambda progress: progress.iteration == 4)
    record = told("train", "--data", "digits", *output, code=130)
    for name, kind in TRAIN_FIELDS.items():
        assert isinstance(record[name], kind), name
    assert record["interrupted"] is True
    model = gpulr.load(record["output"])
    assert record["n_iter"] == model.n_iter >= 4
    assert not record["converged"]
    digits = gpulr.datasets.load_digits()
    assert record["test_accuracy"] == model.score(digits.X_test, digits.y_test)


@pytest.mark.mnist
def test_ctrl_c_in_the_notebook_prints_json_too(mnist_home, ctrl_c, told):
    ctrl_c(notebook, lambda progress: progress.iteration == 4)
    record = told("train", "--recipe", "notebook", code=130, GPULR_DATA_HOME=mnist_home)
    assert (record["data"], record["interrupted"]) == ("mnist-original", True)
    assert gpulr.load(record["output"]).n_iter == record["n_iter"]


@pytest.mark.slow
@pytest.mark.mnist
def test_recipe_notebook(mnist_home, told):
    record = told("train", "--recipe", "notebook", GPULR_DATA_HOME=mnist_home)
    assert (record["data"], record["n_train"], record["n_test"]) == ("mnist-original", 56000, 14000)
    assert record["C"] is None
    theirs = record["notebook"]
    ours = np.array(record["binary_accuracy"])
    np.testing.assert_allclose(ours[:8], theirs["binary_accuracy"], atol=0.003)
    assert record["mean_binary_accuracy"] == pytest.approx(
        theirs["mean_binary_accuracy"], abs=0.003
    )
    assert record["digit_0_alone"]["train"] == pytest.approx(theirs["digit_0_train"], abs=0.003)
    assert record["digit_0_alone"]["test"] == pytest.approx(ours[0], abs=1e-4)
    assert 0.885 < record["test_accuracy"] < 0.91


def test_help_names_every_option(run):
    text = run("train", "--help").stdout
    for option in ("data", "backend", "solver", "C", "max-iter", "tol", "output", "json"):
        assert f"--{option}" in text


@pytest.mark.parametrize(
    "command", ["train", "search", "evaluate", "predict", "report", "export", "video", "data"]
)
def test_help_shows_no_value_for_flags(command):
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).stdout
    lines = [line for line in shown.splitlines() if "--help" not in line]  # which is Typer's
    assert any("--json" in line for line in lines)
    assert not [line for line in lines if "bool" in line.lower()]


@pytest.mark.parametrize("command", ["train", "search", "evaluate", "report", "video", "data"])
def test_help_names_what_data_can_be(command):
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "400"}).stdout
    for words in ("mnist-original", ".csv", ".tsv", ".gz", ".npz", ".mat", "IDX", "folder"):
        assert words in shown


def test_warnings_name_options(run):
    result = run("train", "--data", "digits", "--max-iter", 3)
    assert "did not reach --tol 0.0001" in result.stderr
    assert "raise --max-iter" in result.stderr
    assert "(--standardize)" in result.stderr


def test_image_shape_is_pythons(run, tmp_path):
    np.savez(tmp_path / "t.npz", X=np.arange(60.0).reshape(20, 3), y=np.arange(20) % 2)
    run("train", "--data", "t.npz", "-o", "m.safetensors")
    Image.new("L", (9, 9)).save(tmp_path / "x.png")
    error = run("predict", "m.safetensors", "x.png", code=3).stderr
    assert "image_shape=(height, width) in Python, or on an .npz file" in error


def test_paths_are_not_taken_for_settings(run):
    assert "C=1.csv" in run("train", "--data", "C=1.csv", code=3).stderr


def test_console_script_is_declared():
    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    assert 'gpulr = "gpulr.cli:main"' in pyproject.read_text()


@pytest.fixture
def tagged(tmp_path, rng):
    """A data set of 60 rows with three overlapping labels, and one row to predict."""
    X = rng.normal(size=(60, 4))
    Y = (X[:, :3] + 0.3 * rng.normal(size=(60, 3)) > 0).astype(np.uint8)
    np.savez(tmp_path / "tagged.npz", X=X, y=Y)
    np.save(tmp_path / "row.npy", np.array([[9.0, -9, 9, 0], [-9, -9, -9, 0]]))
    return X, Y


def test_several_labels(run, told, tmp_path, tagged):
    _, Y = tagged
    described = told("data", "tagged.npz")
    assert described["classes"] == [0, 1, 2]
    assert described["counts"] == Y.sum(axis=0).tolist()
    shown = run("train", "--data", "tagged.npz", "--output", "m.safetensors").stdout
    for words in ("┃ F1", "micro F1 (test)", "all labels of a row right (train)", "3 models"):
        assert words in shown
    trained = told("train", "--data", "tagged.npz")
    evaluated = told("evaluate", "m.safetensors")
    assert evaluated["n"] == 12
    assert trained["test"]["micro_f1"] == evaluated["micro_f1"] > 0.7
    assert len(evaluated["label_f1"]) == len(trained["cost"]) == 3
    assert "all labels of a row right" in run("evaluate", "m.safetensors").stdout
    answer = run("predict", "m.safetensors", "row.npy", "tagged.npz", "--json").stdout
    first, second, third, *_ = strict_json(answer)["predictions"]
    assert first["predicted"] == [0, 2]
    assert second["predicted"] == []
    assert third["true"] == np.flatnonzero(Y[0]).tolist()
    assert "0, 2" in run("predict", "m.safetensors", "row.npy").stdout


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
        assert "…" not in shown


def test_one_label_where_the_model_tells_several(run, tagged):
    run("train", "--data", "tagged.npz", "--output", "m.safetensors")
    error = run("evaluate", "m.safetensors", "--data", "digits", code=3).stderr
    assert "features" in error


def test_a_model_of_days(told, tmp_path, blobs):
    days = np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "M8[D]")
    model = gpulr.train(blobs[0], days[blobs[1]])
    model.save(tmp_path / "m.safetensors")
    np.save(tmp_path / "row.npy", blobs[0][:1])
    predicted = told("predict", "m.safetensors", "row.npy")
    assert predicted["predictions"][0]["predicted"] == str(model.predict(blobs[0][:1])[0])


LABELS = ("[/x] odd", "[red]a & b[/red]", ":smile:")


def test_labels_and_names_of_files_are_shown_as_they_are(run, tmp_path):
    rows = ["kind,a,b,c"]
    rows += [f"{LABELS[i % 3]},{i % 3 == 0:d},{i % 3 == 1:d},{i % 7}" for i in range(60)]
    (tmp_path / "br[b]x.csv").write_text("\n".join(rows))
    options = ("--label", "kind", "--output", "m.safetensors")
    trained = run("train", "--data", "br[b]x.csv", *options, COLUMNS="160")
    assert "br[b]x" in trained.stderr
    evaluated = run("evaluate", "m.safetensors", COLUMNS="160")
    assert "br[b]x, test rows: 12" in evaluated.stdout
    predicted = run("predict", "m.safetensors", "br[b]x.csv", "--label", "kind", COLUMNS="160")
    described = run("data", "br[b]x.csv", "--label", "kind", COLUMNS="160")
    searched = run("search", "--data", "br[b]x.csv", "--label", "kind", "--Cs", "1,2")
    assert "br[b]x" in searched.stderr
    for label in LABELS:
        assert label in trained.stdout
        assert label in described.stdout
        assert predicted.stdout.count(label) >= 14  # predicted and true
        head = next(line for line in evaluated.stdout.splitlines() if "true \\ predicted" in line)
        assert label in head
        assert evaluated.stdout.count(label) == 3  # its accuracy, its row, its column
    assert "[/x].csv: " in run("data", "[/x].csv", code=3).stderr
