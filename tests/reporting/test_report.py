"""The report as a file: complete, under its policy, escaped, and true to the model.

What it does in a browser is in test_browser.py.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shlex
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas
import pytest
from PIL import Image
from scipy.sparse import csr_array
from typer.testing import CliRunner

import gpulr
from clusters import cluster
from gpulr import show
from gpulr.cli.app import app
from gpulr.errors import DataError, MissingExtraError, ModelFileError, ParameterError
from gpulr.logistic import sigmoid
from gpulr.model.evaluation import Evaluation
from gpulr.model.one_vs_all import evaluated
from gpulr.reporting.command import reproduction
from gpulr.reporting.mistakes import MOST_MISTAKES, mistakes_of
from gpulr.reporting.paths import file_name, without_folders
from gpulr.reporting.pictures import weight_pictures
from gpulr.reporting.tested import _of_classes
from gpulr.show.predictions import Predictions, most_probable, true_names
from helpers import multiples, strict_json

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    "\"' onmouseover=alert(3) x='",
    "{{ 7 * 7 }}{% for x in y %}",
    "]]>--><!--</style><style>*{display:none}",
    "javascript:alert(4)",
    "a" * 300,
    "&amp;&lt;",
    "'); alert(5); ('",
    "数字 \u202e rtl",
]
FEW = {"max_iter": 4, "tol": 0}
ALLOWED = (
    "html head meta title style script body header main section footer div p span small b em sub "
    "strong h1 h2 h3 dl dt dd ul li figure figcaption img canvas button table caption thead tbody "
    "tfoot tr th td pre code svg g line text polyline polygon circle path rect "
    "input label select output details summary"
)


class Page(HTMLParser):
    """The elements of a page, its text, and the text of its blocks; tags have to be balanced."""

    def __init__(self, text):
        super().__init__()
        self.text, self.elements, self.blocks, self._words, self._open = text, [], [], [], []
        self.feed(text)
        self.close()
        assert not self._open
        self.shown = " ".join("".join(self._words).split())
        names = ("model", "behind", "thresholds", "trial")
        self.model, self.behind, self.thresholds, self.trial = map(self._json, names)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag in ("script", "style"):
            self.blocks.append((tag, dict(attributes), ""))
        if tag not in ("meta", "img", "input"):
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag
        self._words.append(" ")

    def handle_data(self, data):
        if self._open and self._open[-1] in ("script", "style"):
            tag, attributes, text = self.blocks[-1]
            self.blocks[-1] = (tag, attributes, text + data)
        else:
            self._words.append(data + " ")

    def _json(self, name):
        found = [text for _, attributes, text in self.blocks if attributes.get("id") == name]
        return json.loads(found[0]) if found else None

    def of(self, tag):
        return [found for name, found in self.elements if name == tag]

    def lacks(self, *words):
        return [each for each in words if each not in self.shown]


def check(text):
    """Check what every page has to be, and return it."""
    page = Page(text)
    assert len(text.encode()) < 1_000_000
    assert {tag for tag, _ in page.elements} <= set(ALLOWED.split())
    (policy,) = [found["content"] for found in page.of("meta") if "http-equiv" in found]
    policy = dict(part.split(" ", 1) for part in policy.split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["img-src"] == "data:"
    assert "unsafe" not in str(policy)
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") or name == "style" for name in attributes), tag
        for name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
            value = attributes.get(name)
            assert value is None or (tag == "img" and value.startswith("data:image/png;base64,"))
    for tag, attributes, block in page.blocks:
        digest = base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()
        if attributes.get("type") == "application/json":
            assert "<" not in block
        else:
            assert attributes == {}
            assert policy[f"{tag}-src"] == f"'sha256-{digest}'"
            assert "url(" not in block
            assert "import" not in block
    assert not re.search(r"https?://|//www", text)
    assert all(attributes.get("alt") for attributes in page.of("img"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    return page


@pytest.fixture
def paged(tmp_path):
    """Write a report, check it, and return it."""

    def paged(*arguments):
        gpulr.report(*arguments[:1], tmp_path / "report.html", *arguments[1:])
        return check((tmp_path / "report.html").read_text(encoding="utf-8"))

    return paged


@pytest.fixture(scope="module")
def data():
    return gpulr.datasets.load_digits()


@pytest.fixture(scope="module")
def model(data):
    return gpulr.train(data)


def test_digits(paged, model, data):
    page = paged(model, data)
    result = model.evaluate(data.X_test, data.y_test)
    n_wrong = int(np.sum(model.predict(data.X_test) != data.y_test))
    assert not page.lacks(
        f"Multiclass accuracy {100 * result.accuracy:.2f} %",
        f"Mean binary accuracy {100 * result.mean_binary_accuracy:.2f} %",
        *("On the test rows of digits: 355", "would already score 90.00 %"),
        *("Converged 10 of 10", "Solver time", "scikit-learn's bundled digits", "--data digits"),
        *(f"numpy {np.__version__}", f"All {n_wrong} wrong rows"),
    )
    each = r"(\d) taken for (\d) (\d) at (?:> )?0\.\d{3} (\d) at (?:< )?0\.\d{3}"
    named = re.findall(each, " ".join(page.shown.split()))
    assert len(named) == n_wrong
    assert all((true, said) == (last, first) for true, said, first, last in named)
    sizes = {"svg": 2, "polyline": 20, "img": 10 + n_wrong}
    assert {tag: len(page.of(tag)) for tag in sizes} == sizes
    counts = [int(n) for n in re.findall(r'<td class="(?:right|wrong)\d".*?>(\d+)</td>', page.text)]
    assert (sum(counts), max(counts)) == (355, result.confusion.max())
    np.testing.assert_array_equal(weights_in(page.model), model.weights)
    np.testing.assert_array_equal(page.model["intercept"], model.intercept)
    assert page.model["names"] == list(page.model["examples"]) == [str(d) for d in range(10)]
    assert page.model["shape"] == [8, 8]
    assert (page.model["extent"], page.model["middle"]) == (model.data["extent"], [3.5, 3.5])


def weights_in(embedded, n_features=64):
    """The weights of a model in a page, as page.js reads them."""
    dtype = {32: "<f4", 64: "<f8"}[embedded["bits"]]
    return np.frombuffer(base64.b64decode(embedded["weights"]), dtype).reshape(n_features, -1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_canvas_has_standardised_models_as_rows_are_passed(paged, data, dtype):
    X = (data.X + 1000).astype(np.float64)
    model = gpulr.train(X, data.y, standardize=True, dtype=dtype, image_shape=(8, 8), **FEW)
    embedded = paged(model).model
    assert embedded["bits"] == 8 * model.weights.itemsize
    Z = X[:50] @ weights_in(embedded).astype(np.float64) + embedded["intercept"]
    np.testing.assert_allclose(Z, model.decision_function(X[:50]), rtol=1e-4, atol=1e-4)


def test_hostile_labels_are_text(paged, data):
    labels = np.array(HOSTILE)
    model = gpulr.train(data.X, labels[data.y], image_shape=(8, 8), **FEW)
    page = paged(model, data.X_test, labels[data.y_test])
    assert len(page.blocks) == 4  # a style, two of JSON, and a script
    shown = (label.replace("\u202e", "�") for label in HOSTILE if len(label) < 300)
    assert not page.lacks(*shown, "a" * 20 + "…" + "a" * 19)
    assert page.model["names"][0] == min(HOSTILE)
    assert "a" * 300 not in page.text


def test_hostile_records_are_text(paged, model, data):
    evil = "<img src=x onerror=alert(1)>\"'</script>"
    record = {**model.data, "name": evil, "source": f"/tmp/{evil}; rm -rf .csv", "label": evil}
    other = replace(model, data=record, device=evil, fallback_reason=evil, versions={evil: evil})
    page = paged(other)
    assert page.shown.count("<img src=x") >= 5
    words = words_of(reproduction(other)[0])
    assert words[words.index("--data") + 1] == "script>; rm -rf .csv"
    assert words[words.index("--label") + 1] == evil
    not_unicode = {**model.data, "name": "x", "source": "/tmp/\udcff.csv"}
    assert "udcff.csv" in paged(replace(model, data=not_unicode)).shown


def test_twenty_six_classes(paged, rng):
    letters = np.array([chr(ord("a") + k) for k in range(26)])
    y = np.arange(260) % 26
    X = (255 * (rng.random((26, 784)) < 0.3)[y] * rng.random((260, 784))).astype(np.uint8)
    model = gpulr.train(X, letters[y], image_shape=(28, 28), **FEW)
    page = paged(model, X, letters[y])
    assert (page.model["names"], page.model["examples"]) == (letters.tolist(), {})
    assert len(page.of("img")) >= 26
    assert (len(page.of("polyline")), len(page.of("polygon"))) == (2, 4)  # medians, and bands


def test_images_that_are_not_square(paged, rng):
    X = rng.random((40, 10, 24)).astype(np.float32)
    embedded = paged(gpulr.train(X, np.arange(40) % 3, **FEW)).model
    assert (embedded["shape"], embedded["paper"]) == ([10, 24], [117, 280])


@pytest.mark.parametrize(
    ("shape", "classes", "why"),
    [
        ((12, 12, 3), 3, "not grey"),
        ((2, 60), 3, "hold no drawing"),
        ((128, 128), 12, "of this page"),
    ],
)
def test_without_a_canvas_the_page_says_why(paged, rng, shape, classes, why):
    X = rng.random((40, int(np.prod(shape)))).astype(np.float32)
    y = np.arange(40) % classes
    model = gpulr.train(X, y, image_shape=shape, solver="gd", **FEW)
    page = paged(model, X, y)
    assert why in page.shown
    assert page.model is None
    assert not page.of("canvas")
    assert "strokes" not in page.blocks[-1][2]


def test_rows_that_are_not_images(paged, blobs):
    X, y = blobs
    model = gpulr.train(X, y)
    page = paged(model, X, y)
    assert not page.of("img")
    assert "counts for the class" in page.shown
    assert "each a weight per standard deviation of its feature" in page.shown
    each = model.weights[:, 2] * X.std(axis=0)
    largest = int(np.argmax(each))
    assert f"feature {largest} {each[largest]:+.3g} ×{np.exp(each[largest]):.3g}" in page.shown
    old = paged(replace(model, feature_std=None))
    assert "this model does not know the features’ standard deviations" in old.shown
    wrong = np.flatnonzero(model.predict(X) != y)
    worst = wrong[np.argmax(model.decision_function(X)[wrong].max(axis=1))]
    assert f"p of true {worst} " in page.shown


def test_empty_wide_and_long_names_of_classes(paged, blobs):
    X, y = blobs
    labels = np.array(["", "猫の長い名前です、とても", f"class {'x' * 40} 07"])[y]
    page = paged(gpulr.train(X, labels, **FEW), X, labels)
    assert not page.lacks("(empty)", "class x…xxx 07", "猫の長い…とても")
    assert [each.get("class") for each in page.of("span")].count("upright") == 1


def test_few_mistakes_of_many_rows_are_pale():
    result = Evaluation(0.98, np.ones(2), 1.0, np.array([[207, 5], [0, 100]]), np.arange(2))
    assert _of_classes(result)["shade"].tolist() == [[8, 2], [0, 9]]


def test_two_classes(paged, data):
    two, test = np.isin(data.y, (3, 8)), np.isin(data.y_test, (3, 8))
    model = gpulr.train(data.X[two], data.y[two], image_shape=(8, 8), **FEW)
    page = paged(model, data.X_test[test], data.y_test[test])
    assert "Multiclass" not in page.shown
    assert page.model["names"] == ["3", "8"]
    assert len(page.model["intercept"]) == 1
    assert set(page.model["examples"]) == {"3", "8"}
    accuracy = model.score(data.X_test[test], data.y_test[test])
    assert not page.lacks("8 or 3", f"Accuracy {100 * accuracy:.2f} %")


def test_several_labels(paged, data):
    Y = multiples(data.y_test)
    model = gpulr.train(data.X, multiples(data.y), image_shape=(8, 8))
    page, result = paged(model, data.X_test, Y), model.evaluate(data.X_test, Y)
    assert not page.lacks(
        f"All labels of a row right {100 * result.subset_accuracy:.2f} %",
        f"Micro F1 {result.micro_f1:.4f}",
        f"always answering “absent” would score {100 * np.mean(Y == 0):.2f} %. F1",
        f"of {np.sum(model.predict(data.X_test) != Y)} wrong labels",
    )
    assert re.search(r"\d is (present|absent) its model says\s0\.\d{3}", page.shown)
    assert page.model["multilabel"]
    assert page.model["examples"] == {}  # labels 0, 1, 2 are no digits
    assert len(page.of("img")) == 3 + 24


def test_labels_that_most_rows_have(paged, data):
    Y, Y_test = (np.column_stack([y > 1, y == 3]).astype(int) for y in (data.y, data.y_test))
    model = gpulr.train(data.X, Y, image_shape=(8, 8), **FEW)
    page, share = paged(model, data.X_test, Y_test), Y_test.mean(axis=0)  # 8 of 10 rows, 1 of 10
    none, commoner = np.mean(1 - share), np.mean(np.maximum(share, 1 - share))
    assert commoner > 0.8 > none
    assert not page.lacks(
        f"always answering “absent” would score {100 * none:.2f} %",
        f"each label’s commoner answer {100 * commoner:.2f} %",
    )


def test_many_classes_in_tables_that_end(paged, rng):
    X, y = rng.normal(size=(900, 6)), np.arange(900) % 300
    page = paged(gpulr.train(X, y, **FEW), X, y)
    assert not page.lacks("100 more not shown", "Commonest confusions, of 300 classes")


def test_a_search_of_a_C_for_each_model(paged, data):
    found = gpulr.search(data, Cs=[0.01, 1], cv=2, tol=1e-2, per_model=True)
    page = paged(found)
    for n in np.unique(found.best_C, return_counts=True)[1]:
        assert f"best of {n} model" in page.shown
    assert page.lacks("within one standard error")


def test_a_search(paged, data):
    found = gpulr.search(data, Cs=[0.01, 1, np.inf], cv=3, max_iter=30, tol=1e-2)
    page = paged(found, data)
    scores = zip(["0.01", "1", "∞"], found.mean_scores, strict=True)
    assert not page.lacks(*(f"{C} {mean:.4f}" for C, mean in scores))
    assert not page.lacks("C was chosen by cross-validation on 3 folds: 90 models")
    assert len(page.of("svg")) == 3
    with pytest.raises(ParameterError, match="refit"):
        paged(replace(found, model=None))


@pytest.mark.parametrize("n_iter", [0, 1, 400])
def test_short_and_long_training(paged, data, n_iter):
    page = paged(gpulr.train(data, solver="gd", C=np.inf, max_iter=n_iter, tol=0))
    assert not page.lacks("ran all iterations", "No labelled rows were passed")
    assert len(page.of("svg")) == (2 if n_iter else 0)
    assert sum(len(curve["points"]) for curve in page.of("polyline")) < 12_000


def test_status_of_models_that_did_not_converge(paged, data):
    with pytest.warns(gpulr.ConvergenceWarning):
        model = gpulr.train(data, max_iter=2, tol=1e-6)
    assert "reached max_iter" in paged(model).shown


def test_sparse_and_frames_and_lists(paged, blobs):
    X, y = blobs
    model = gpulr.train(X, y)
    data = (X, y), (csr_array(X), list(y)), (pandas.DataFrame(X), pandas.Series(y))
    pages = [paged(model, *rows) for rows in data]
    assert len({re.sub(r"Written .*? UTC", "", page.shown) for page in pages}) == 1


def test_arrays_of_any_library(paged, put, data):
    model = gpulr.train(put(data.X), put(data.y), image_shape=(8, 8), **FEW)
    page = paged(model, put(data.X_test), put(data.y_test))
    expected = paged(model, data.X_test, data.y_test)
    assert page.of("img") == expected.of("img")
    assert page.model == expected.model


def only_the_time_differs(pages):
    return len({re.sub(r"Written .*? UTC", "", page.text) for page in pages}) == 1


def test_rows_in_parts(paged, data):
    model = gpulr.train(data, **FEW)
    X, y = data.X, data.y  # more wrong rows than are shown
    parts = [(X[:100], y[:100]), (X[100:101], y[100:101]), (X[101:], y[101:])]
    rows = gpulr.Blocks([lambda part=part: part[0] for part in parts])
    both = gpulr.Blocks([lambda part=part: part for part in parts])
    pages = [paged(model, X, y), paged(model, rows, y), paged(model, both)]
    assert len(pages[0].of("img")) == 10 + 24
    assert only_the_time_differs(pages)
    with pytest.raises(DataError, match="There is no y"):
        paged(model, rows)
    labels = (X[:, 20:23] > X[:, 20:23].mean(axis=0)).astype(int)
    several = gpulr.train(X, labels, **FEW)
    blocks = gpulr.Blocks([lambda: X[:400], lambda: X[400:]])
    assert only_the_time_differs([paged(several, X, labels), paged(several, blocks, labels)])


def test_rows_on_a_cluster(paged, data):
    pytest.importorskip("distributed", reason="of Dask's clusters")
    import dask.array as da

    model, X = gpulr.train(data, **FEW), da.from_array(data.X, chunks=(500, 64))
    pages = [paged(model, data.X, data.y), paged(model, X, data.y)]
    with cluster(n_workers=1):
        pages.append(paged(model, X, da.from_array(data.y, chunks=600)))
    assert only_the_time_differs(pages)


def test_labels_of_days_and_of_a_frame(paged, blobs):
    X, y = blobs
    days = np.array(["2020-01-01", "2020-02-01", "2020-03-01"], dtype="M8[D]")[y]
    assert "2020-02-01" in paged(gpulr.train(X, days, **FEW), X, days).shown
    Y = pandas.DataFrame({"red": X[:, 0] > 0, "<b>": X[:, 1] > 0.5}).astype(int)
    assert not paged(gpulr.train(X, Y, **FEW), X, Y).lacks("red", "<b>")


@pytest.mark.parametrize(
    ("path", "rows", "error", "message"),
    [
        ("report.pdf", None, ParameterError, r"\.html"),
        ("nowhere/report.html", None, ParameterError, "folder"),
        ("report.html", lambda data: (data.X,), DataError, "both"),
        ("report.html", lambda data: (data.X[:, :5], data.y), DataError, "features"),
        ("report.html", lambda data: (data, data.y), DataError, "brings its own labels"),
        ("model.html", None, ParameterError, "would be lost"),
    ],
)
def test_what_cannot_be_written(model, data, tmp_path, path, rows, error, message):
    model.save(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").rename(tmp_path / "model.html")
    with pytest.raises(error, match=message):
        gpulr.report(model, tmp_path / path, *(rows(data) if rows else ()))
    assert [file.name for file in tmp_path.iterdir()] == ["model.html"]


def test_without_jinja2_the_error_names_the_extra(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r'python -m pip install "\.\[plot\]"'):
        gpulr.report(model, tmp_path / "report.html")
    digits = gpulr.datasets.load_digits()
    with pytest.raises(DataError, match="brings its own labels"):  # told first
        gpulr.report(model, tmp_path / "report.html", digits, digits.y)
    assert not list(tmp_path.iterdir())


def test_a_page_that_fails_leaves_the_old_one(model, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    gpulr.report(model, path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ModelFileError, match="the report could not be written: No space"):
        gpulr.report(model, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_mistakes_are_sorted_as_pictures_of_them_are(model, data):
    predictions = Predictions.of(model, data.X, true_names(model, data.y, len(data.y)))
    wrong = np.flatnonzero(~predictions.right)
    expected = wrong[most_probable(predictions.confidence[wrong], MOST_MISTAKES)]  # show.mistakes
    (found,) = evaluated(model, data.X, data.y, [mistakes_of])[1]
    assert found.rows.tolist() == expected.tolist()
    assert found.n_wrong == len(wrong) > MOST_MISTAKES


def test_weights_are_in_the_unit_of_their_picture(paged, data):
    model = gpulr.train(data.X, data.y, scale=1 / 16, image_shape=(8, 8), **FEW)
    _, limit = weight_pictures(model, 10)
    (bar,) = [a for a in show.weights(model).child_axes if a.get_ylabel().startswith("← against")]
    np.testing.assert_allclose(bar.get_ylim(), [-limit, limit], rtol=1e-6)
    assert "weight × 16" in bar.get_ylabel()
    assert f"full colour is a weight × 16 of {limit:.3g} or more" in paged(model).shown


def cells_of_rows(true, said):
    """The rows of each cell, as the page names cells."""
    cells = {}
    for row, (i, j) in enumerate(zip(true, said, strict=True)):
        cells.setdefault(f"{i},{j}", []).append(row)
    return cells


def test_rows_behind_each_cell_are_its_most_confident(paged, model, data):
    behind, said = paged(model, data).behind, model.predict(data.X_test)
    P, cells = model.predict_proba(data.X_test), cells_of_rows(data.y_test, said)
    assert behind["cells"].keys() == cells.keys()
    for cell, rows in cells.items():
        i, j = map(int, cell.split(","))
        best = sorted(rows, key=lambda row, j=j: -P[row, j])[:6]
        shown = behind["cells"][cell]
        assert [row for row, *_ in shown] == best
        for row, p_said, p_true, _ in shown:
            np.testing.assert_allclose([p_said, p_true], P[row, [j, i]], rtol=0, atol=1e-5)
    sheet = Image.open(io.BytesIO(base64.b64decode(behind["sheet"].partition(",")[2])))
    pixels = np.asarray(sheet.convert("L")) / 255
    ((row, _, _, k), *_) = behind["cells"]["3,3"]
    down, across = 8 * (k // behind["across"]), 8 * (k % behind["across"])
    tile = pixels[down : down + 8, across : across + 8]
    np.testing.assert_allclose(tile, data.X_test[row].reshape(8, 8), atol=0.04)


def test_of_a_table_the_features_that_argued_are_behind_cells(paged, rng):
    X, y = rng.normal(size=(90, 4)), np.arange(90) % 3
    X[:, 2] += 3 * y
    X[:4, 2] = 9  # taken for the third class by this feature alone
    frame = pandas.DataFrame(X, columns=["a", "b", "</script>", "d"])
    model = gpulr.train(frame, y, standardize=True)
    behind = paged(model, frame, y).behind
    assert not behind["pictures"]
    row, _, _, reasons = behind["cells"]["0,2"][0]
    feature, value, adds = max(reasons, key=lambda reason: reason[2])
    assert (behind["features"][str(feature)], value) == ("</script>", 9.0)
    difference = (X[row, 2] - model.center[2]) * (model.weights[2, 2] - model.weights[2, 0])
    np.testing.assert_allclose(adds, difference, rtol=1e-2)


def test_the_page_stays_small(paged, rng):
    X = rng.integers(0, 256, (2_000, 784), dtype=np.uint8)  # which PNG does not compress
    y = np.arange(2_000) % 30
    page = paged(gpulr.train(X, y, image_shape=(28, 28), max_iter=1, tol=0), X, y)
    assert page.behind is None or len(page.behind["sheet"]) <= 45_000


def test_of_many_classes_the_commonest_confusions_have_rows(paged, rng):
    X, y = rng.normal(size=(2_000, 5)), np.arange(2_000) % 31
    model = gpulr.train(X, y, max_iter=1, tol=0)
    page, counts = paged(model, X, y), model.evaluate(X, y).confusion
    np.fill_diagonal(counts, 0)
    listed = [each["data-cell"] for each in page.of("td") if "data-cell" in each]
    assert len(listed) == 10
    assert set(page.behind["cells"]) == set(listed)
    shown = [counts[tuple(map(int, cell.split(",")))] for cell in listed]
    assert shown == sorted(counts.ravel(), reverse=True)[:10]
    for cell, rows in page.behind["cells"].items():
        i, j = map(int, cell.split(","))
        assert len(rows) == min(6, counts[i, j])
        assert all(y[row] == i and model.predict(X[[row]])[0] == j for row, *_ in rows)
    assert len(page.of("details")) == 31  # and weights of each class are seen when it is chosen
    assert not any("open" in each for each in page.of("details"))


def test_more_than_20_classes_are_sorted_as_in_their_picture(paged, rng):
    X, y = rng.normal(size=(600, 3)), rng.permutation(np.arange(600) % 24)
    model = gpulr.train(X, y, **FEW)
    page = paged(model, X, y)
    (ax,) = [show.confusion(model.evaluate(X, y))]
    drawn = [label.get_text() for label in ax.get_yticklabels()]
    assert (
        re.findall(r'<th scope="row" title="(\d+)">\d+</th><td class="(?:right|wrong)', page.text)
        == drawn
    )
    counts = model.evaluate(X, y).confusion
    cells = re.findall(r'data-cell="(\d+),(\d+)">(\d+)<', page.text)
    assert len(cells) == np.count_nonzero(counts)
    assert all(counts[int(i), int(j)] == int(n) for i, j, n in cells)


def test_a_row_to_try(paged, blobs, data, model):
    X, y = blobs
    own = gpulr.train(X, y, standardize=True)
    trial = paged(own, X, y).trial
    for words, values in zip(trial["about"], trial["rows"], strict=True):
        row, name = re.fullmatch(r"row (\d+), (.*)", words).groups()
        np.testing.assert_allclose(values, X[int(row)], rtol=1e-6)
        true, said = y[int(row)], own.predict(X[[int(row)]])[0]
        assert name == (f"{true}" if said == true else f"{true} taken for {said}")
    low, high = np.array(trial["low"]), np.array(trial["high"])
    assert ((low <= trial["rows"]) & (trial["rows"] <= high)).all()
    strength = np.abs(X.std(axis=0)[:, None] * own.weights).max(axis=1)
    assert trial["order"] == np.argsort(-strength).tolist()
    assert paged(own).trial is None  # of no rows
    assert paged(model, data).trial is None  # of images
    wide = gpulr.train(np.tile(X, 100), y, max_iter=1, tol=0)
    assert paged(wide, np.tile(X, 100), y).trial is None


def test_rows_are_evaluated_in_one_pass(paged, blobs):
    X, y = blobs
    model, loads = gpulr.train(X, y), []

    def load():
        loads.append(1)
        return X, y

    blocks = gpulr.Blocks([load])
    model.evaluate(blocks)
    once = len(loads)
    paged(model, blocks)
    assert len(loads) - once <= once + 2  # and the rows behind cells


def test_intervals_of_a_bootstrap(paged, blobs, data):
    X, y = blobs
    result = gpulr.bootstrap(X, y, n=20)
    page = paged(result, X, y)
    assert "The line is a weight’s 95 % interval over 20 resamples of the rows." in page.shown
    low, high = result.coef_interval()
    step = result.step
    line = r'title="feature (\d+)">.*?<td class="muted">(\S+) to (\S+)</td>'
    cards = re.findall(line, page.text)
    assert len(cards) == result.model.weights.size
    for k, (feature, left, right) in enumerate(cards):
        j, f = k // len(low), int(feature)
        ends = [float(each.replace("−", "-")) for each in (left, right)]
        np.testing.assert_allclose(ends, [step[f] * low[f, j], step[f] * high[f, j]], rtol=0.06)
    images = gpulr.bootstrap(data.X[:300], data.y[:300], n=9, image_shape=(8, 8), **FEW)
    assert "over 9 resamples of the rows leaves 0" in paged(images).shown


@pytest.mark.parametrize("own", [None, 0.25, np.inf])
@pytest.mark.parametrize("several", [False, True])
def test_counts_of_each_threshold(paged, data, several, own):
    y, y_test = (multiples(of)[:, : 3 if several else 1] for of in (data.y, data.y_test))
    y, y_test = (y, y_test) if several else (y[:, 0], y_test[:, 0])
    model = gpulr.train(data.X, y, image_shape=(8, 8), **FEW)
    if own is not None:
        model = replace(model, thresholds=np.full(model.n_models, own))
    sliders = paged(model, data.X_test, y_test).thresholds
    Z, Y = model.decision_function(data.X_test), y_test.reshape(len(y_test), -1)
    fewer, every = np.array(sliders["fewer"]), np.array(sliders["all"])
    yes, no = np.concatenate(
        [every[..., np.newaxis] - fewer.cumsum(axis=-1), every[..., np.newaxis]], -1
    )
    said = model.predict(data.X_test).reshape(Y.shape)
    for j, k in enumerate(sliders["own"]):
        hit, false = (np.sum((said[:, j] == 1) & (Y[:, j] == side)) for side in (1, 0))
        assert (yes[j, k], no[j, k]) == (hit, false)
        assert (yes[j, -1], no[j, -1]) == (np.sum(Y[:, j] == 1), np.sum(Y[:, j] == 0))
        p = (sliders["thresholds"] * model.n_models)[j] if own is None else sliders["thresholds"][j]
        at = p.index(0.7311)  # of a margin of 1
        assert yes[j, at] == np.sum((Z[:, j] > 1) & (Y[:, j] == 1))
        assert p[k] == (None if own == np.inf else round(float(sigmoid(own or 0.0)), 4))


def test_curves_of_both_charts_are_named(paged, model):
    names = re.findall(r'class="leader".*?<text[^>]*>(\d)</text>', paged(model).text)
    assert names == [*map(str, range(10))] * 2


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("/home/ann/her secret/table.csv", "table.csv"),
        ("C:\\Users\\ann\\her secret\\table.csv", "table.csv"),
        ("her secret/parts.zarr/", "parts.zarr"),
        ("built from /home/ann/idx", "built from idx"),
        ("scikit-learn's bundled digits", "scikit-learn's bundled digits"),
        ("/", "/"),
    ],
)
def test_sources_without_their_folders(source, shown):
    assert file_name(source) == shown
    assert without_folders(f"It ({source}) is gone.", source) == f"It ({shown}) is gone."


def test_no_folder_is_named_in_a_page(paged, data, tmp_path):
    np.savez(tmp_path / "table.npz", X=data.X[:300], y=data.y[:300])
    model = gpulr.train(gpulr.datasets.load(tmp_path / "table.npz"), **FEW)
    assert str(tmp_path) in model.data["source"]  # the file still finds its data
    reason = f"CuPy is broken: '{tmp_path}/libcudart.so', of 3 and/or 4 GB/s"
    model = replace(model, fallback_reason=reason)
    page = paged(model)
    assert tmp_path.name not in page.text
    assert not page.lacks("table.npz", "--data table.npz", "libcudart.so", "and/or 4 GB/s")
    with_weights = gpulr.train(gpulr.datasets.load(tmp_path / "table.npz"), fit_intercept=False)
    assert "load('table.npz')" in reproduction(with_weights)[0]
    (tmp_path / "table.npz").unlink()
    assert "table.npz is no longer where it was" in paged(model).shown


# ---- what trains it again ----


def words_of(command):
    """The words that a shell makes of a command in several lines."""
    return shlex.split(command.replace("\\\n", " "))


def cli(*arguments):
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.parametrize(
    "options",
    [
        ["train", "--max-iter", 7, "--tol", 0, "--C", 0.3],
        ["train", "--solver", "nesterov", "--learning-rate", 0.05, "--max-iter", 5, "--tol", 0],
        ["train", "--standardize", "--balanced", "--dtype", "float64", "--loop", "--tol", 1e-3],
        ["train", "--scale", "1/3", "--C", "inf", "--max-iter", 4, "--tol", 0],
        ["train", "--test-size", 0.3, "--seed", 4, "--tol", 1e-2],
        ["train", "--test-size", 0, "--tol", 1e-2],
        ["train", "--calibrate", "--thresholds", "precision=0.75", "--seed", 2, "--tol", 1e-2],
        ["search", "--Cs", "0.1,1", "--folds", 3, "--one-standard-error", "--tol", 1e-2],
        ["search", "--Cs", "0.1,1", "--folds", 2, "--per-model", "--tol", 1e-2],
    ],
)
def test_the_command_trains_the_same_model(options, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "a 'table' $HOME.npz"
    np.savez(tmp_path / name, X=data.X[:400], y=data.y[:400])
    cli(*options, "--data", name, "--output", "first.safetensors")
    first = gpulr.load("first.safetensors")
    command, notes = reproduction(first)
    assert notes == [f"Run it in the folder of {name}, which this page leaves out."]
    name, *words = words_of(command)
    assert name == "gpulr"
    cli(*words)
    again = gpulr.load("model.safetensors")
    np.testing.assert_array_equal(again.weights, first.weights)
    assert again.settings == first.settings
    assert {**again.data, "search": 0} == {**first.data, "search": 0}


@pytest.mark.parametrize(
    "settings",
    [
        {"C": [0.1] * 9 + [0.2]},
        {"fit_intercept": False},
        {"class_weight": {0: 2.0, 3: 0.5}},
        {"standardize": True, "C": np.inf},
    ],
)
def test_the_call_trains_the_same_model(settings, data):
    X, y = data.X[:300], data.y[:300]
    first = gpulr.train(X, y, max_iter=4, tol=0, **settings)
    call, notes = reproduction(first)
    assert "passed as arrays" in notes[0]
    if "C" in settings and isinstance(settings["C"], list):
        call = call.replace(", ...]", ", 0.1, 0.2]")  # of long lists, the beginning
    namespace = {"X": X, "y": y}
    exec(call.rpartition("\n")[0], namespace)
    np.testing.assert_array_equal(namespace["model"].weights, first.weights)


def test_the_page_says_what_was_done_after_training(data, tmp_path):
    model = gpulr.train(data.X, data.y, max_iter=4, tol=0)
    Z = model.decision_function(data.X_test)
    new = model.with_thresholds(Z, data.y_test, {"recall": 0.8}).calibrated(Z, data.y_test)
    gpulr.report(new, tmp_path / "report.html", data.X_test, data.y_test)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    rows = f"by margins of {len(Z)} rows"
    assert f"<dt>thresholds</dt><dd>for recall of 0.8 or more {rows}</dd>" in page
    assert f"<dt>calibration</dt><dd>{rows}</dd>" in page
    assert "largest margin above its threshold" in page
    assert all(f"<td>{threshold:.4f}</td></tr>" in page for threshold in new.thresholds)
    new = replace(new, thresholds=[np.inf, *new.thresholds[1:]])
    gpulr.report(new, tmp_path / "report.html", data.X, data.y)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("<td>never</td></tr>") == 1
    assert any("OneVsAll.calibrated" in note for note in reproduction(new)[1])
    assert len(reproduction(new)[1]) == len(reproduction(model)[1]) + 1


def test_the_call_names_what_the_command_line_lacks(data):
    model = gpulr.train(data, fit_intercept=False, max_iter=2, tol=0)
    call, notes = reproduction(model)
    assert "gpulr.datasets.load('digits')" in call
    assert "fit_intercept=False" in notes[0]
    weighted = gpulr.train(data, sample_weight=np.ones(len(data.y)), max_iter=2, tol=0)
    call, notes = reproduction(weighted)
    assert "sample_weight=sample_weight" in call
    assert any("does not hold the weights" in note for note in notes)


# ---- gpulr report ----


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, and a page in it."""
    monkeypatch.chdir(tmp_path)
    return lambda name="report.html": check((tmp_path / name).read_text(encoding="utf-8"))


def test_command_line(model, folder, tmp_path):
    model.save("m.safetensors")
    result = cli("report", "m.safetensors", "--json")
    record = strict_json(result.stdout)
    assert (record["data"], record["n"], record["output"]) == ("digits", 355, "report.html")
    assert record["bytes"] == (tmp_path / "report.html").stat().st_size
    assert "On the test rows of digits: 355" in folder().shown
    assert "Wrote report.html" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["m.safetensors", "-o", "m.safetensors"], 2, "--output m.safetensors"),
        (["m.safetensors", "-o", "nowhere/r.html"], 2, "folder"),
        (["m.safetensors", "--data", "nothing.csv"], 3, "nothing.csv"),
        (["nothing.safetensors"], 3, "no such file"),
    ],
)
def test_command_line_refuses(model, folder, tmp_path, arguments, code, words):
    model.save("m.safetensors")
    before = (tmp_path / "m.safetensors").read_bytes()
    result = CliRunner().invoke(app, ["report", *arguments])
    assert result.exit_code == code
    assert words in result.stderr
    assert (tmp_path / "m.safetensors").read_bytes() == before
    assert not (tmp_path / "report.html").exists()


def test_command_line_without_data(data, folder):
    gpulr.train(data.X, data.y, image_shape=(8, 8), **FEW).save("m.safetensors")
    result = cli("report", "m.safetensors", "--output", "p.html")
    assert "Not evaluated: This model was trained on arrays" in result.output
    page = folder("p.html")
    assert "Not evaluated. This model was trained on arrays" in page.shown
    assert page.model is not None


def test_command_line_shows_the_search(folder):
    arguments = ("--data", "digits", "--Cs", "0.1,inf", "--folds", 2, "--tol", 1e-2)
    cli("search", *arguments, "--max-iter", 30, "--output", "m.safetensors")
    cli("report", "m.safetensors")
    assert "C was chosen by cross-validation on 2 folds" in folder().shown
    assert "--Cs 0.1,inf" in folder().shown
