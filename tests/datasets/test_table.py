"""Text tables: dialects, headers, the label column, row numbers, pixels, and faults by line."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from gpulr.datasets import load, read
from gpulr.datasets.readers import table as table_reader
from gpulr.errors import DataFileError, LabelColumnWarning, ParameterError, RowNumberWarning


@pytest.fixture
def table(tmp_path):
    def read_text(text, name="a.csv", **options):
        content = text if isinstance(text, bytes) else text.encode()
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
        return read(tmp_path / name, **options)

    return read_text


PLAIN = "label,a,b\n3,1.5,2\n4,-1,1e3\n3,0,0\n"


def check(got, y=(3, 4, 3), X=((1.5, 2), (-1, 1000), (0, 0))):
    np.testing.assert_array_equal(got.X, np.array(X, np.float32))
    np.testing.assert_array_equal(got.y, np.array(y))
    assert got.X.dtype == np.float32
    assert got.image_shape is None


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.tsv", "A.CSV"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_dialects(table, name, delimiter, end, mark):
    got = table(mark + PLAIN.replace(",", delimiter).replace("\n", end).encode(), name)
    check(got)
    assert got.name == name[0]
    assert got.y.dtype == np.int64


SAME = [
    ('"label","a, in cm","b"\n"3","1.5","2"\n"4","-1","1e3"\n3,0,0', {}),
    ("\n\nlabel,a,b\n\n3, 1.5 ,2\n4,-1,1e3\n\n3,0,0\n\n", {}),
    ("3,1.5,2\n4,-1,1e3\n3,0,0\n", {}),
    ("a,b,CLASS\n1.5,2,3\n-1,1e3,4\n0,0,3\n", {}),
    ("a,Target,b\n1.5,3,2\n-1,4,1e3\n0,3,0\n", {}),
    ("y,a,b\n3.0,1.5,2\n4.0,-1,1e3\n+3,0,0\n", {}),
    ("label,0,1\n3,1.5,2\n4,-1,1e3\n3,0,0\n", {}),
    ("a,b,kind\n1.5,2,3\n-1,1e3,4\n0,0,3\n", {"label": "kind"}),
    ("a,b,kind\n1.5,2,3\n-1,1e3,4\n0,0,3\n", {"label": "KIND"}),
    ("a,label,kind\n1.5,2,3\n-1,1e3,4\n0,0,3\n", {"label": "kind"}),
    ("a,label,kind\n1.5,2,3\n-1,1e3,4\n0,0,3\n", {"label": 2}),
    ("a,label,kind\n1.5,2,3\n-1,1e3,4\n0,0,3\n", {"label": "-1"}),
    ("1.5,2,3\n-1,1e3,4\n0,0,3\n", {"label": "2"}),
    ("1.5,2,3\n-1,1e3,4\n0,0,3\n", {"label": -1}),
    ("a,2,b\n1.5,3,2\n-1,4,1e3\n0,3,0\n", {"label": "2"}),
    ("k,a,k\n1.5,2,3\n-1,1e3,4\n0,0,3\n", {"label": 2}),
    ("a,b,kind\n1.5,2,x\n-1,1e3,y\n0,0,x\n", {"y": "xyx"}),
    ("1.5,2,x\n-1,1e3,y\n0,0,x\n", {"y": "xyx"}),
    ("1.5,x,2\n-1,y,1e3\n0,x,0\n", {"y": "xyx"}),
    ("n,a,b\nx,1.5,2\ny,-1,1e3\nx,0,0\n", {"y": "xyx"}),
    ("\na,b,kind\n\n1.5,2, x\n\n-1,1e3, y\n0,0,x", {"y": "xyx"}),
    ("a,b,label\n1.5,2,cat\n-1,1e3,dog\n0,0, cat\n", {"y": ("cat", "dog", "cat")}),
    ("cat,1.5,2\ndog,-1,1e3\ncat,0,0\n", {"y": ("cat", "dog", "cat")}),
    ("1.5,2,é\n-1,1e3,ü\n0,0,é\n", {"y": "éüé", "label": 2}),
    ("label,a,b\n1.5,1.5,2\n2,-1,1e3\n1.5,0,0\n", {"y": ("1.5", "2", "1.5")}),
]


@pytest.mark.parametrize(("text", "options"), SAME)
def test_headers_label_columns_and_labels(table, text, options):
    y = options.get("y", (3, 4, 3))
    check(table(text, label=options.get("label")), tuple(y))


@pytest.mark.parametrize("names", ["first,a,b", "digit,0,1"])
def test_the_first_column_is_taken_for_the_label_with_a_warning(table, names):
    with pytest.warns(LabelColumnWarning, match=f"{names[:5]}.*--label"):
        check(table(f"{names}\n3,1.5,2\n4,-1,1e3\n3,0,0\n"))


def test_large_whole_labels_are_exact(table):
    numbers = (2**53 + 1, 16_777_217, -5)
    text = "".join(f"{n},{n % 7},1\n" for n in numbers)
    check(table(text), numbers, [(n % 7, 1) for n in numbers])
    assert table(f"{2**64},1,2\n1,2,3\n").y.dtype.kind == "U"


def test_files_that_others_write(tmp_path):
    np.savetxt(tmp_path / "a.csv", [[3, 1.5, 2], [4, -1, 1e3], [3, 0, 0]], delimiter=",")
    check(read(tmp_path / "a.csv"))
    (tmp_path / "a.csv.gz").write_text(PLAIN)  # which a browser unpacked
    check(read(tmp_path / "a.csv.gz"))


def rows(values):
    return "".join(",".join(map(str, row)) + "\n" for row in values)


def test_pixels_become_uint8(table, X, y):
    X[0, 0] = 255
    got, last = table(rows(np.column_stack([y, X]))), table(rows(np.column_stack([X, y])), label=-1)
    np.testing.assert_array_equal(got.y, y)
    assert got.image_shape == (5, 5)
    for each in (got, last):
        np.testing.assert_array_equal(each.X, X)
        assert each.X.dtype == np.uint8


OTHER_NUMBERS = {
    "not square": lambda X: X[:, :24],
    "small": lambda X: X[:, :9],
    "up to 127": lambda X: X // 2,
    "fractions": lambda X: X + 1.5,
    "from -1": lambda X: X - 1,
    "up to 256": lambda X: X + 1,
    "up to 1": lambda X: X / 255,
}


@pytest.mark.parametrize("change", OTHER_NUMBERS.values(), ids=OTHER_NUMBERS)
def test_other_numbers_stay_float(table, X, y, change):
    X = X.astype(float)
    X[0, :2] = 0, 255
    X = change(X)
    got = table(rows(np.column_stack([y, X])))
    np.testing.assert_allclose(got.X, X, rtol=1e-6)
    assert got.X.dtype == np.float32
    assert got.image_shape is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label,a,b\n1,2,3\n4,,6\n", r"line 3, column 2 \('a'\): a missing value"),
        ("label,a,b\n1,2,3\n,5,6\n", r"line 3, column 1 \('label'\): a missing value"),
        ("label,a,b\n1,2,3\n4,NaN,6\n", r"line 3, column 2 \('a'\): a missing value \(NaN\)"),
        ("label,a,b\n1,2,3\nnan,5,6\n", r"line 3, column 1 \('label'\): a missing value \(nan\)"),
        ("a,b,label\n1,2,x\n4,5,NaN\n", r"line 3, column 3 \('label'\): a missing value \(NaN\)"),
        ("1,2,3\n4,-nan,6\n", r"line 2, column 2: '-nan', which is no number"),
        ("label,a,b\n1,2,3\n\n4,5,x\n", r"line 4, column 3 \('b'\): the text 'x'"),
        ("1,2,3\n4,5\n", r"line 2: 2 columns, expected 3"),
        ("1,2,3\n4,5,6,7\n", r"line 2: 4 columns, expected 3"),
        ("label,a,b\n1,2\n3,4\n", r"line 2: 2 columns, expected 3"),
        ("1,2,3\n4,,6\n", r"line 2, column 2: a missing value"),
        ("1,,3\n4,5,6\n", r"line 1, column 2: a missing value"),
        ("1,abc,3.5\n4,5,6\n", r"line 1, column 2: the text 'abc'"),
        ("1,2,inf\n4,5,6\n", r"line 1, column 3: inf, which float32"),
        ("1,2,3\n4,5,1e39\n", r"line 2, column 3: 1e39, which float32"),
        ("1,2,1_000\n", r"line 1, column 3"),
        ("", "empty"),
        ("\n\n", "holds no rows"),
        ("label,a,b\n", "header and no samples"),
        ("label,a,b\n\n\n", "header and no samples"),
        ("1\n2\n", "single column"),
        ("label,Label,b\n1,2,3\n", "2 columns named 'label', at indices 0, 1"),
        (b"label,a\n1,\xff\n", "not UTF-8 text: byte 0xff in line 2"),
        ("label,a\n1,2\n".encode("utf-16"), "not UTF-8"),
        (b"label,a\n1,\0\n", "line 2"),
        (b"1,2\n3,4\0\n", "line 2"),
        (b'1,2\n"3,4\n5,6\n', "."),
        (f"{'x' * 1001},1,2.5\ny,2,3\n", "labels of up to 1,001 characters in column 1"),
        ("<html>,\n", "line 1, column 2: a missing value"),
        (",2,3\n4,5,6\n", "line 1, column 1: a missing value"),
        (",1,2\n4,5,6\n", "line 1, column 1: a missing value"),
        (",0\n4,5\n", "line 1, column 1: a missing value"),
        (",cat,2\n1,dog,3\n", "line 1, column 1: a missing value"),
        ("a,b,label\n1,2,x\n3,4,y\0\n", "a NUL byte in line 3"),
        ('label,a,"b\n3,1.5,2\n4,-1,1e3\n', 'line 1, .*"b.* a quote is not closed'),
        ('"label,a,b\n3,1.5,2\n4,-1,1e3\n', "a quote is not closed"),
        ('a,b,label\n1,2,x\n3,4,"y\n5,6,x\n', "ends within a quote"),
        ('1,2,"x\n3,4,y\n', "not closed|ends within a quote"),
        # What is no label is not taken for one.
        ("a,b,outcome\n1.5,2,0\n1,3,1\n", r"'a', holds fractions.*columns: a, b, outcome.*--label"),
        ("0.5,2,0\n1,3,1\n", r"the first holds fractions.*no header, 3 columns.*--label"),
        ("a,b,kind\n1.5,2,0\n1,3,x\n", r"line 3, column 3 \('kind'\): the text 'x'.*--label"),
        ("a,b,kind\n1,u,v\n1,x,y\n", r"line 2, column 2 \('b'\): the text 'u'.*--label"),
    ],
)
def test_faults_are_located(table, text, message):
    with pytest.raises(DataFileError, match=message):
        table(text)


@pytest.mark.parametrize(
    ("text", "label", "message"),
    [
        (PLAIN, "z", r"no column 'z' \(columns: label, a, b\)"),
        (PLAIN, 3, "index 3"),
        (PLAIN, -4, "index -4"),
        ("k,a,k\n1.5,2,3\n-1,1e3,4\n0,0,3\n", "k", "2 columns named 'k'"),
    ],
    ids=range(4),
)
def test_unknown_or_ambiguous_label(table, text, label, message):
    with pytest.raises(DataFileError, match=message):
        table(text, label=label)


def test_label_for_other_formats(tmp_path, X, y):
    np.savez(tmp_path / "a.npz", X=X, y=y)
    for what in (tmp_path / "a.npz", "digits"):
        with pytest.raises(ParameterError, match="label="):
            load(what, label="y")


def test_gz_bomb_and_damage(tmp_path, monkeypatch):
    monkeypatch.setattr(table_reader, "TEXT_ALWAYS_FINE", 1000)
    damaged = gzip.compress(PLAIN.encode())[:-5]
    bomb = gzip.compress(b"1,2\n" * 1_000_000)
    for content, message in ((bomb, "decompression bomb"), (damaged, "sha256")):
        (tmp_path / "a.csv.gz").write_bytes(content)
        with pytest.raises(DataFileError, match=message):
            read(tmp_path / "a.csv.gz")


@pytest.mark.parametrize(
    "text",
    [
        ",label,a,b\n0,3,1.5,2\n1,4,-1,1e3\n2,3,0,0\n",
        ",label,a,b\n7,3,1.5,2\n2,4,-1,1e3\n5,3,0,0\n",
        "Unnamed: 0,label,a,b\n0,3,1.5,2\n1,4,-1,1e3\n2,3,0,0\n",
        ",Unnamed: 0,label,a,b\n0,7,3,1.5,2\n1,2,4,-1,1e3\n2,5,3,0,0\n",
        ",a,b,label\n0,1.5,2,3\n1,-1,1e3,4\n2,0,0,3\n",
    ],
    ids=range(5),
)
def test_row_numbers_are_left_out(table, text):
    with pytest.warns(RowNumberWarning, match="no name.*left out. If it is a feature, name it"):
        got = table(text)
    check(got)
    assert got.feature_names == ("a", "b")
    assert got.label_name == "label"


def test_row_numbers_above_columns_without_names(table):
    with pytest.warns(RowNumberWarning), pytest.warns(LabelColumnWarning, match="'0'"):
        check(table(",0,1,2\n0,3,1.5,2\n1,4,-1,1e3\n2,3,0,0\n"))
    with pytest.warns(RowNumberWarning):  # as R writes them
        got = table('"","a","b","kind"\n"1",1.5,2,"x"\n"2",-1,1e3,"y"\n"3",0,0,"x"\n')
    check(got, ("x", "y", "x"))


@pytest.mark.parametrize("values", [("0.5", "1", "2"), ("1", "1", "2"), ("-1", "0", "1")])
def test_a_first_column_that_may_be_a_feature_is_kept(table, values):
    text = ",a,label\n" + "".join(f"{v},2,{i}\n" for i, v in enumerate(values))
    check(table(text), (0, 1, 2), [(float(v), 2) for v in values])


def test_row_numbers_that_are_the_label(table):
    text = ",a,b\n7,1.5,2\n2,-1,1e3\n5,0,0\n"
    check(table(text, label=0), (7, 2, 5))
    with pytest.warns(LabelColumnWarning, match="the first, '',"):
        check(table(text.replace("7", "2")), (2, 2, 5))
    with pytest.warns(LabelColumnWarning, match="the first, '',"):
        check(table(",a,b\nx,1.5,2\ny,-1,1e3\nx,0,0\n"), ("x", "y", "x"))


@pytest.mark.parametrize("name", ['"a\nb"', '"a\n\nb"', '"a\r\nb"', '"a, ""b"" and\nc"'])
@pytest.mark.parametrize("place", range(3))
def test_names_of_several_lines(table, name, place):
    names = ["label", "a", "b"]
    names[place] = name
    options = {} if place else {"label": 0}
    check(table(",".join(names) + "\n3,1.5,2\n4,-1,1e3\n3,0,0\n", **options))
    with pytest.raises(DataFileError, match=rf"line {3 + name.count(chr(10))}, column 3"):
        table(",".join(names) + "\n3,1.5,2\n4,-1,x\n3,0,0\n", **options)


def test_labels_of_several_lines(table):
    check(table('3,4,"x\n\ny"\n5,6,z\n'), ("x\n\ny", "z"), ((3, 4), (5, 6)))


def test_more_columns_than_samples_can_have(table):
    with pytest.raises(DataFileError, match="1,000,002 columns"):
        table("0," * 1_000_001 + "1\n", "a.csv.gz")


def test_numbers_that_count_the_columns_are_names(table):
    """As pandas writes the columns of an array."""
    with pytest.warns(LabelColumnWarning, match="the first, '0',"):
        got = table("0,1,2\n3,1.5,2\n4,-1,1e3\n3,0,0\n")
    check(got)
    assert got.feature_names == ("1", "2")
    check(table("0,1,2\n3,4,5\n6,7,8\n"), (0, 3, 6), ((1, 2), (4, 5), (7, 8)))  # rows of arange
    check(table("1,2,3\n3,4,5\n"), (1, 3), ((2, 3), (4, 5)))
    check(table("0,1\n3,4\n"), (0, 3), ((1,), (4,)))
