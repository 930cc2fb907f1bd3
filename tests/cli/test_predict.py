"""`gpulr predict`: pictures, rows and tables, and inputs that cannot be used."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

import gpulr
from gpulr.images.loading import load_images
from helpers import strict_json


def picture(digit, pad, *, ink=0, paper=255, mode="L"):
    """Draw a digit's mean image, enlarged, somewhere on paper of another size."""
    digits = gpulr.datasets.load_digits()
    shape = digits.X[digits.y == digit].mean(axis=0).reshape(8, 8)
    large = np.kron(shape, np.ones((12, 12)))
    page = np.full((large.shape[0] + 3 * pad, large.shape[1] + pad), float(paper))
    page[pad : pad + large.shape[0], : large.shape[1]] += (ink - paper) * large
    return Image.fromarray(page.round().astype(np.uint8)).convert(mode)


def test_images_are_read_however_they_are_framed(run, told, model_file, tmp_path):
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


def test_images_of_the_model_s_shape_are_taken_as_they_are(tmp_path, digits_model, digits):
    image = Image.fromarray((255 * digits[2][0]).round().astype(np.uint8).reshape(8, 8))
    image.save(tmp_path / "digit.png")
    rows = load_images([tmp_path / "digit.png"], digits_model)
    np.testing.assert_allclose(rows[0], digits[2][0], atol=1 / 255)


def test_images_come_as_bright_or_dark_as_those_trained_on(tmp_path, digits):
    paper = (255 * (1 - digits[0])).round().astype(np.uint8)
    model = gpulr.train(paper, digits[1], image_shape=(8, 8), max_iter=30, tol=0)
    paths = [tmp_path / f"{i}.png" for i in range(30)]
    for path, row in zip(paths, paper, strict=False):
        Image.fromarray(row.reshape(8, 8)).save(path)
    np.testing.assert_allclose(load_images(paths, model), paper[:30], atol=0.01)


def test_transparent_images(tmp_path, digits_model):
    for ink, name in ((0, "black"), (255, "white")):
        mask = picture(4, 10, ink=255, paper=0)
        image = Image.merge("RGBA", [Image.new("L", mask.size, ink)] * 3 + [mask])
        image.save(tmp_path / f"{name}.png")
    rows = load_images([tmp_path / "black.png", tmp_path / "white.png"], digits_model)
    assert digits_model.predict(rows).tolist() == [4, 4]


def test_inputs_that_cannot_be_used_do_not_keep_others_from_being_predicted(
    run, told, model_file, tmp_path
):
    picture(4, 0).save(tmp_path / "four.png")
    picture(6, 0).save(tmp_path / "six.png")
    Image.new("L", (50, 50), 255).save(tmp_path / "white.png")
    np.save(tmp_path / "narrow.npy", np.zeros((3, 5)))
    (tmp_path / "README.md").write_text("no rows")
    bad = ["white.png", "narrow.npy", "none.npz", "README.md"]
    inputs = ("four.png", *bad, "six.png")
    shown = run("predict", model_file, *inputs, code=3)
    assert "four.png" in shown.stdout
    assert "six.png" in shown.stdout
    assert "white.png" not in shown.stdout
    for words in (
        "error: white.png: nothing is drawn",
        "error: narrow.npy: X has 5 features; this model was trained on 64 (digits, images of",
        "8×8). Pass rows",
        "error: README.md: has the unknown suffix '.md'. Supported are .npz",
        "also pictures (.png, .jpg, ",
    ):
        assert words in shown.stderr
    assert shown.stderr.count("error:") == 4
    record = told("predict", model_file, *inputs, code=3)
    found = [(each["input"], each["predicted"]) for each in record["predictions"]]
    assert found == [("four.png", 4), ("six.png", 6)]
    assert [each["input"] for each in record["errors"]] == bad
    assert "nothing is drawn" in record["errors"][0]["error"]
    assert set(told("predict", model_file, "four.png")) == {"model", "classes", "predictions"}


def test_what_the_model_sees_is_shown(run, model_file, digits_model, tmp_path):
    for folder, digit in (("a", 4), ("b", 6)):
        (tmp_path / folder).mkdir()
        picture(digit, 20).save(tmp_path / folder / "x.png")
    picture(0, 20).save(tmp_path / "a" / "x-framed.png")
    names = ["a/x.png", "b/x.png", "a/x-framed.png"]
    before = [(tmp_path / name).read_bytes() for name in names]
    assert "3 images in a" in run("predict", model_file, *names, "--framed", "a").stderr
    assert [(tmp_path / name).read_bytes() for name in names] == before
    rows = load_images([tmp_path / name for name in names], digits_model)
    written = ["a/x-framed-2.png", "a/x-framed-3.png", "a/x-framed-framed.png"]
    for name, row in zip(written, rows, strict=True):
        seen = np.asarray(Image.open(tmp_path / name), dtype=np.float32) / 255
        np.testing.assert_allclose(seen, np.kron(row.reshape(8, 8), np.ones((35, 35))), atol=0.01)
    in_a_file = ("predict", model_file, "a/x.png", "--framed", "a/x.png")
    assert "folder" in run(*in_a_file, code=2).stderr


def test_it_is_said_when_it_is_unsure(run, told, model_file, digits_model, digits, tmp_path):
    rows = np.stack([digits[2][0], digits[0].mean(axis=0)])
    P = digits_model.predict_proba(rows).max(axis=1)
    assert P[0] > 0.5 > P[1]
    np.save(tmp_path / "rows.npy", rows)
    predictions = told("predict", model_file, "rows.npy")
    assert [p["certain"] for p in predictions["predictions"]] == [True, False]
    _, first, second = run("predict", model_file, "rows.npy").stdout.splitlines()
    assert "unsure" not in first
    assert " unsure " in second


def test_npy_and_how_many_rows(told, model_file, digits_model, digits, tmp_path):
    np.save(tmp_path / "rows.npy", digits[2][:30])
    predictions = told("predict", model_file, "rows.npy")["predictions"]
    expected = digits_model.predict(digits[2][:30])
    np.testing.assert_array_equal([p["predicted"] for p in predictions], expected)
    assert len(told("predict", model_file, "digits", "--rows", 3)["predictions"]) == 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_it_goes_on_past_whatever_is_no_file_of_rows(run, told, model_file, digits, tmp_path):
    np.save(tmp_path / "good.npy", digits[2][:2])
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
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n not really")
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY nothing")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    bad += ["broken.png", "broken.npy", "objects.npy", "missing.png"]
    record = told("predict", model_file, *bad[:4], "good.npy", *bad[4:], code=3)
    assert [each["input"] for each in record["predictions"]] == ["good.npy[0]", "good.npy[1]"]
    assert [each["input"] for each in record["errors"]] == bad
    said = run("predict", model_file, *bad[-4:], code=3).stderr
    assert all(name in said for name in bad[-4:])


def _write_table(path, names, rows):
    path.write_text("\n".join([names, *(",".join(map(str, row)) for row in rows)]))


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


def test_rows_without_labels(run, kinds, tmp_path):
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
    predictions = told("predict", "m.safetensors", "new.csv")["predictions"]
    assert [row["true"] for row in predictions] == y.tolist()


def test_a_label_of_a_usual_name_is_remembered(run, tmp_path):
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.normal(size=(20, 2)), np.arange(20) % 2])
    _write_table(tmp_path / "table.csv", "a,b,target", rows)
    run("train", "--data", "table.csv", "-o", "m.safetensors")
    _write_table(tmp_path / "new.csv", "label,b,target", rows)
    assert "lacks 'a'" in run("evaluate", "m.safetensors", "--data", "new.csv", code=3).stderr


def test_a_model_of_days(told, tmp_path, blobs):
    days = np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "M8[D]")
    model = gpulr.train(blobs[0], days[blobs[1]])
    model.save(tmp_path / "m.safetensors")
    np.save(tmp_path / "row.npy", blobs[0][:1])
    predicted = told("predict", "m.safetensors", "row.npy")
    assert predicted["predictions"][0]["predicted"] == str(model.predict(blobs[0][:1])[0])


@pytest.fixture
def pictures(run, model_file, tmp_path):
    """A folder of pictures and other things, beside a model of the digits, which is here."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, digit in enumerate((4, 0)):
        picture(digit, 0).save(folder / f"{9 - i}.PNG")
    (folder / "notes.txt").write_text("four and zero")
    (folder / ".hidden.png").write_text("no picture")
    (folder / "more.png").mkdir()
    return folder


def test_a_folder_of_pictures_is_predicted_in_order(run, pictures, tmp_path):
    result = run("predict", "digits.safetensors", "pictures", "--framed", "seen", "--json")
    found = strict_json(result.stdout)["predictions"]
    found = [(each["input"], each["predicted"]) for each in found]
    assert found == [("pictures/8.PNG", 0), ("pictures/9.PNG", 4)]
    assert "pictures: 2 pictures; 3 other files or folders skipped" in result.stderr
    assert "2 images in seen" in result.stderr
    (tmp_path / "empty").mkdir()
    result = run("predict", "digits.safetensors", "empty", "pictures/8.PNG", code=3)
    assert "empty: is a folder without pictures (.png, " in result.stderr
    assert "pictures/8.PNG" in result.stdout
