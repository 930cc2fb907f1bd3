"""Tables that are read for a model: with or without labels, columns by name."""

from __future__ import annotations

import numpy as np
import pytest

import gpulr
from gpulr.datasets.readers.table_columns import KnownColumns
from gpulr.datasets.reading import read_labelled, read_rows
from gpulr.errors import DataError, DataFileError, LabelColumnWarning, RowNumberWarning

NAMED = KnownColumns(3, "kind", ("a", "b", "c"))
UNNAMED = KnownColumns(3)
X = np.array([[1.5, 2, 3], [4, 5, 6.5]], np.float32)


@pytest.fixture
def path(tmp_path):
    def write(text):
        (tmp_path / "new.csv").write_text(text)
        return tmp_path / "new.csv"

    return write


def check(got, y=None):
    np.testing.assert_array_equal(got[0], X)
    assert got[0].dtype == np.float32
    assert (got[1] is None) == (y is None)
    if y is not None:
        np.testing.assert_array_equal(got[1], y)


ROWS = [
    # As many columns as features have no label.
    *(("a,b,c\n1.5,2,3\n4,5,6.5\n", known, None) for known in (NAMED, UNNAMED)),
    *(("1.5,2,3\n4,5,6.5\n", known, None) for known in (NAMED, UNNAMED)),
    *(("\n1.5;2;3\n\n4;5;6.5", known, None) for known in (NAMED, UNNAMED)),
    ("a,1,2\n1.5,2,3\n4,5,6.5\n", UNNAMED, None),
    ("a,1,2\n1.5,2,3\n4,5,6.5\n", KnownColumns(3, "kind", ("a", "1", "2")), None),
    # Names that a model knows may be a label's name or numbers.
    ("x,y,label\n1.5,2,3\n4,5,6.5\n", KnownColumns(3, "kind", ("x", "y", "label")), None),
    ("0,1,2\n1.5,2,3\n4,5,6.5\n", KnownColumns(3, None, ("0", "1", "2")), None),
    # One column more is the label.
    ("a,kind,b,c\n1.5,0,2,3\n4,1,5,6.5\n", NAMED, [0, 1]),
    ("label,a,b,c\n0,1.5,2,3\n1,4,5,6.5\n", NAMED, [0, 1]),
    ("a,b,c,truth\n1.5,2,3,0\n4,5,6.5,1\n", NAMED, [0, 1]),
    ("c,truth,b,a\n3,0,2,1.5\n6.5,1,5,4\n", NAMED, [0, 1]),
    ("KIND,a,b,c\n0,1.5,2,3\n1,4,5,6.5\n", NAMED, [0, 1]),
    # Without names it is found as in training.
    ("0,1.5,2,3\n1,4,5,6.5\n", UNNAMED, [0, 1]),
    ("1.5,2,3,x\n4,5,6.5,y\n", UNNAMED, ["x", "y"]),
    ("1.5,2,3,0\n4,5,6.5,1\n", KnownColumns(3, "-1"), [0, 1]),
    ("0,1.5,2,3\n1,4,5,6.5\n", NAMED, [0, 1]),
    # Columns are put in order.
    ("c,a,b\n3,1.5,2\n6.5,4,5\n", NAMED, None),
    ("c,a,kind,b\n3,1.5,x,2\n6.5,4,y,5\n", NAMED, ["x", "y"]),
    # Names that are none are not compared.
    ("a,a,b\n1.5,2,3\n4,5,6.5\n", NAMED, None),
    ("a,,c\n1.5,2,3\n4,5,6.5\n", NAMED, None),
    # Row numbers, of any kind, are no feature of a model that knows its features.
    *(
        (text.format(*first.split()), NAMED, labels)
        for first in ("0 1", "57 3", "0.5 1", "2020-01-01 2020-01-02", "x x")
        for text, labels in (
            (",a,b,c\n{},1.5,2,3\n{},4,5,6.5\n", None),
            (",c,kind,b,a\n{},3,x,2,1.5\n{},6.5,y,5,4\n", ["x", "y"]),
        )
    ),
]


@pytest.mark.parametrize(("text", "known", "labels"), ROWS)
def test_rows_and_labels(path, text, known, labels):
    check(read_rows(path(text), known), labels)
    if labels is not None:
        got, header = read_labelled(path(text), known), text.splitlines()[0]
        check((got.X, got.y), labels)
        assert got.feature_names == (known.features if "c" in header else None)
        names = set(header.split(",")) & {"kind", "KIND", "label", "truth"} or {None}
        assert {got.label_name} == names


def test_a_label_that_is_taken_for_one(path):
    with pytest.warns(LabelColumnWarning, match="'n'"):
        check(read_rows(path("n,a,b,c\n0,1.5,2,3\n1,4,5,6.5\n"), UNNAMED), [0, 1])


@pytest.mark.parametrize(("known", "message"), [(NAMED, "'kind'.*gpulr predict"), (UNNAMED, "")])
def test_labels_that_are_required_are_missed(path, known, message):
    with pytest.raises(DataFileError, match=f"none for the label.*{message}"):
        read_labelled(path("a,b,c\n1.5,2,3\n4,5,6.5\n"), known)


def test_a_single_feature(path):
    for text in ("a\n1.5\n2\n", "1.5\n2\n"):
        rows, labels = read_rows(path(text), KnownColumns(1))
        np.testing.assert_array_equal(rows, [[1.5], [2]])
        assert labels is None
    with pytest.raises(DataFileError, match="single column"):
        read_rows(path("1.5\n2\n"), KnownColumns(2))


@pytest.mark.parametrize(
    "text",
    [
        ",a,b,kind\n0,1.5,2,0\n1,4,5,1\n2,7,8,0\n",
        ",a,b\n0,1.5,2\n1,4,5\n2,7,8\n",
        ",kind,b,a\n0,1,1.5,2\n1,0,4,5\n2,0,7,8\n",
    ],
    ids=range(3),
)
def test_row_numbers_do_not_stand_in_for_a_feature_that_is_missing(path, text):
    with pytest.raises((DataError, DataFileError), match="'c'"):
        read_rows(path(text), NAMED)
    if "kind" in text:
        with pytest.raises(DataError, match="'c'"):
            read_labelled(path(text), NAMED)


def test_label_goes_before_what_the_model_knows(path):
    rows, labels = read_rows(path("a,b,c\n1.5,2,3\n4,5,6.5\n"), UNNAMED, label="c")
    np.testing.assert_array_equal(rows, X[:, :2])
    np.testing.assert_array_equal(labels, ["3", "6.5"])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("a,b,d", "lacks 'c' and has extra columns: 'd'"),
        ("x,y,z", "lacks 'a', 'b', 'c' and has extra columns: 'x', 'y', 'z'"),
        ("kind,a,b,c,other", "has extra columns: 'kind'"),
        ("a,b,kind", r"new\.csv lacks 'c'.*'a', 'b', 'c'"),
    ],
)
def test_other_names_are_refused(path, names, message):
    label = "other" if "other" in names else None
    row = ",".join(map(str, range(names.count(",") + 1)))
    with pytest.raises(DataError, match=message):
        read_rows(path(f"{names}\n{row}\n"), NAMED, label=label)


def test_pixels_without_labels(path):
    rows, _ = read_rows(path(",".join(["200"] * 16) + "\n"), KnownColumns(16))
    assert rows.dtype == np.uint8
    assert rows.tolist() == [[200] * 16]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,c\n1,,3\n", r"line 2, column 2 \('b'\): a missing value"),
        ("a,b,c\n1,x,3\n", r"line 2, column 2 \('b'\): the text 'x'.*--label"),
        ("1,2,3\n4,5\n", "line 2: 2 columns, expected 3"),
        ("a,b,c\n", "header and no samples"),
        ("a,b,c\n1,nan,3\n", "line 2, column 2"),
    ],
)
def test_faults_are_located(path, text, message):
    with pytest.raises(DataFileError, match=message):
        read_rows(path(text), NAMED)


def test_row_numbers_for_a_model_without_names(path):
    with pytest.warns(RowNumberWarning):
        check(read_rows(path(",a,b,c\n9,1.5,2,3\n7,4,5,6.5\n"), UNNAMED))
    with pytest.warns(RowNumberWarning):
        got = read_labelled(path(",label,a,b,c\n9,1,1.5,2,3\n7,0,4,5,6.5\n"), UNNAMED)
    check((got.X, got.y), [1, 0])


def test_row_numbers_that_a_model_was_trained_on_stay(path):
    """As models of tables were before row numbers were left out."""
    known = KnownColumns(3, "label")
    check(read_rows(path(",a,b\n1.5,2,3\n4,5,6.5\n"), known))
    numbered = path(",label,a,b\n7,1,2,3\n9,0,5,6.5\n")
    for rows, labels in (read_rows(numbered, known), _pair(read_labelled(numbered, known))):
        np.testing.assert_array_equal(rows, np.float32([[7, 2, 3], [9, 5, 6.5]]))
        np.testing.assert_array_equal(labels, [1, 0])


def _pair(dataset):
    return dataset.X, dataset.y


@pytest.mark.parametrize("label", ["label", "outcome"])
def test_a_table_with_and_without_its_index_is_the_same_to_a_model(tmp_path, rng, label):
    """Trained on one, evaluated and applied to the other; on a part of the rows, too."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(rng.normal(size=(40, 3)), columns=["a", "b", "c"])
    frame[label] = np.where(frame["a"] + 0.1 * frame["b"] > 0, "yes", "no")
    indexed, plain, part = (tmp_path / f"{name}.csv" for name in ("indexed", "plain", "part"))
    frame.to_csv(indexed)
    frame.to_csv(plain, index=False)
    frame.drop(columns=label).sample(7, random_state=0).to_csv(part)
    with pytest.warns(RowNumberWarning):
        on_indexed = gpulr.train(gpulr.datasets.load(indexed))
    on_plain = gpulr.train(gpulr.datasets.load(plain))
    np.testing.assert_array_equal(on_indexed.weights, on_plain.weights)
    for model in (on_indexed, on_plain):
        known = KnownColumns(3, model.data["label"], tuple(model.data["feature_names"]))
        scores = {
            model.score(dataset.X, dataset.y)
            for dataset in (read_labelled(path, known) for path in (indexed, plain))
        }
        assert scores == {model.score(frame[["a", "b", "c"]], frame[label])}
        rows, labels = read_rows(part, known)
        assert labels is None
        np.testing.assert_allclose(rows, frame.sample(7, random_state=0)[["a", "b", "c"]], 1e-6)
