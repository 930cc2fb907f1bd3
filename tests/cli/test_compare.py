"""`gpulr compare`: the table, its JSON and its page."""

from __future__ import annotations

import re

import numpy as np
import pytest

import gpulr
from gpulr.cli.compare import in_words

pytest.importorskip("jinja2", reason='not installed: python -m pip install ".[plot]"')


@pytest.fixture
def files(tmp_path, digits_model):
    data = gpulr.datasets.load_digits()
    gpulr.train(data, max_iter=1, tol=0).save(tmp_path / "a.safetensors")
    digits_model.save(tmp_path / "b.safetensors")
    found = gpulr.compare(
        *(gpulr.load(tmp_path / f"{x}.safetensors") for x in "ab"), data.X_test, data.y_test
    )
    return ("compare", "a.safetensors", "b.safetensors"), found


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_table(run, files, width):
    command, found = files
    text = run(*command, COLUMNS=str(width)).stdout
    assert max(map(len, text.splitlines())) <= width
    total = found.scores[0]
    figures = [f"{total[name]:.4f}" for name in "ab"] + [
        f"{total[n]:+.4f}" for n in ("difference", "low", "high")
    ]
    assert re.search("accuracy[ │]+" + "[ │]+".join(map(re.escape, figures)), text)
    words = f"Right in a alone: {len(found.rows_a)} rows, in b alone: {len(found.rows_b)}"
    lines = [line.rstrip() for line in text.splitlines()]
    assert words in lines
    assert f"McNemar's test: p = {in_words(found.p_value)}" in lines
    assert f"rows {', '.join(map(str, found.rows_b[:3]))}" in text
    for j, each in enumerate(found.table):
        assert re.search(rf"^[│ ]*{j}[ │]+{each['a']:.4f} .* {each['only_b']} ", text, re.M)


def test_json_and_page(told, files, tmp_path):
    command, found = files
    record = told(*command, "--report", "c.html")
    assert record["n"] == 355
    assert record["rows_b"] == found.rows_b.tolist()
    assert record["each"]["difference"] == found.table["difference"].tolist()
    names = ["accuracy", "mean binary accuracy", "macro F1", "mean AUROC", "log-loss"]
    assert record["scores"]["name"] == names
    assert record["p_value"] == found.p_value
    assert told(*command, "--seed", 1)["scores"] != record["scores"]
    page = (tmp_path / "c.html").read_text(encoding="utf-8")
    policy = (
        "default-src 'none'; img-src data:; style-src 'sha256-[^']*'; script-src 'sha256-[^']*'; "
    )
    assert re.search(policy, page)
    assert page.count("<script") == 1
    assert not re.search(r"(src|href)=\"(?!data:image/png)", page)
    assert str(tmp_path) not in page
    n = [min(24, len(rows)) for rows in (found.rows_a, found.rows_b)]
    assert page.count("<img ") == sum(n)
    row, data = found.rows_b[0], gpulr.datasets.load_digits()
    a = gpulr.load(tmp_path / "a.safetensors")
    said, p = a.predict(data.X_test[[row]])[0], a.predict_proba(data.X_test[[row]]).max()
    true = data.y_test[row]
    assert f"<b>{true}</b> taken for <b>{said}</b> <span>by a at {p:.3f}, row {row}</span>" in page
    assert f"{found.scores[0]['difference']:+.4f}" in page
    assert "−" in re.findall("<td>(.)", page)
    assert not re.search(r"<td>-|\de-", page)


def test_pages_escape_names_and_labels_of_rows_that_are_no_images(run, tmp_path, rng):
    y = np.array(["<script>", "&amp;", "c"])[np.arange(90) % 3]
    X = rng.normal(size=(90, 3)) + 2 * np.eye(3)[np.arange(90) % 3]
    np.savez(tmp_path / "t.npz", X=X, y=y)
    for name, n in (("<b>.safetensors", 1), ("b.safetensors", 9)):
        gpulr.train(X, y, max_iter=n, tol=0, C=n * 1e-3).save(tmp_path / name)
    run("compare", "<b>.safetensors", "b.safetensors", "--data", "t.npz", "--report", "c.html")
    page = (tmp_path / "c.html").read_text(encoding="utf-8")
    assert page.count("<script>") == 1
    assert "<b>.safe" not in page
    assert "&lt;script&gt;" in page
    assert "&amp;amp;" in page


def test_several_labels(run, told, tmp_path, rng):
    X = rng.normal(size=(90, 3))
    Y = (X > 0).astype(np.uint8)
    np.savez(tmp_path / "t.npz", X=X, y=Y)
    for name, n in (("a.safetensors", 1), ("b.safetensors", 9)):
        gpulr.train(X, Y, max_iter=n, tol=0).save(tmp_path / name)
    command = ("compare", "a.safetensors", "b.safetensors", "--data", "t.npz", "--report", "c.html")
    assert len(told(*command)["each"]["p_value"]) == 3
    assert "all labels of a row right" in run(*command).stdout
    assert '<th scope="col" class="text">a says</th>' in (tmp_path / "c.html").read_text()


def test_failures(run, files, tmp_path):
    command, _ = files
    X = gpulr.datasets.load_digits()
    gpulr.train(X.X, X.y > 4, max_iter=1, tol=0).save(tmp_path / "two.safetensors")
    assert "other classes" in run("compare", "a.safetensors", "two.safetensors", code=3).stderr
    gpulr.train(X.X, np.eye(10, dtype=np.uint8)[X.y], max_iter=1, tol=0).save(
        tmp_path / "labels.safetensors"
    )
    said = run("compare", "a.safetensors", "labels.safetensors", code=3).stderr
    assert "labels.safetensors says any number of labels of a row, a.safetensors its class" in said
    gpulr.train(X.X[:, :9], X.y, max_iter=1, tol=0).save(tmp_path / "narrow.safetensors")
    for options, words, code in (
        (["a.safetensors", "narrow.safetensors"], "a.safetensors 64, narrow.safetensors 9.", 3),
        ([*command[1:], "--level", 2], "--level 2", 2),
        ([*command[1:], "--report", "c.txt"], "ends in .html", 2),
    ):
        said = run("compare", *options, code=code).stderr
        assert words in " ".join(said.split())
        assert "to test on" not in said  # no data were loaded
