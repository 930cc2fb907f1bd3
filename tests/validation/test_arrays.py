"""What cannot be used is refused before training, by a typed error that names what to do."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pytest
from scipy import sparse

import gpulr
from gpulr.backend import NumPyBackend
from gpulr.validation.arrays import check_rows
from gpulr.validation.label_values import check_labels
from gpulr.validation.labels import read_labels

X = np.random.default_rng(0).normal(size=(12, 3))
y = np.arange(12) % 3


def with_value(value, row=5):
    broken = X.copy()
    broken[row, 1] = value
    return broken


BAD_ROWS = {
    "nan": (with_value(np.nan), r"NaN or infinity \(first in row 5\).*Remove such rows"),
    "inf": (with_value(np.inf), r"first in row 5"),
    "-inf float32": (with_value(-np.inf).astype(np.float32), r"first in row 5"),
    "no rows": (X[:0], r"empty.*\(0, 3\).*at least one row"),
    "no features": (X[:, :0], r"empty.*\(12, 0\)"),
    "empty images": (np.zeros((12, 0, 4)), r"empty"),
    "one dimension": (X[:, 0], r"shape \(12,\).*reshape\(1, -1\).*reshape\(-1, 1\)"),
    "a number": (3.0, r"shape \(\).*reshape"),
    "complex": (X + 1j, r"complex128.*real numbers"),
    "objects": (X.astype(str).astype(object), r"objects of type str.*np\.asarray\(X, dtype=float"),
    "str": (X.astype(str), r"<U\d+.*real numbers"),
    "dates": (np.zeros((12, 3), "datetime64[D]"), r"datetime64.*real numbers"),
    "records": (np.zeros((12, 3), "f4,f4"), r"real numbers"),
    "ragged": ([[1, 2], [3]] * 6, r"cannot be made into an array.*equal length"),
    "beyond float32": (with_value(-1e39), r"beyond 3\.4e\+38.*first in row 5.*float64"),
    "sparse nan": (sparse.csr_matrix(with_value(np.nan)), r"NaN or infinity \(first in row 5\)"),
    "sparse inf": (sparse.coo_array(with_value(np.inf, row=7)), r"first in row 7"),
    "sparse beyond float32": (sparse.csc_array(with_value(1e39)), r"beyond 3\.4e\+38.*in row 5"),
    "sparse complex": (sparse.csr_array(X + 1j), r"sparse with dtype complex128.*real numbers"),
    "sparse without rows": (sparse.csr_array((0, 3)), r"sparse of shape \(0, 3\).*expected rows"),
    "masked": (np.ma.masked_invalid(with_value(np.nan)), r"masked.*filled"),
    "dictionary": ({"X": 1}, r"object"),
}

BAD_LABELS = {
    "name of a column": ("label", r"not the name of their column\. Pass y=X\[.label.\]"),
    "too few": (y[:-1], r"12 rows and y has 11 labels"),
    "too many": (np.append(y, 0), r"12 rows and y has 13 labels"),
    "none": ([], r"y has 0 labels"),
    "one class": (np.full(12, 7), r"one class only \(\[7\]\).*at least two"),
    "one name": (["a"] * 12, r"one class only \(\['a'\]\)"),
    "nan": (np.where(y == 1, np.nan, y), r"y holds NaN.*Remove"),
    "inf": (np.where(y == 1, np.inf, y), r"y holds NaN or infinity"),
    "continuous": (y + 0.5, r"fractions.*class labels.*regression"),
    "complex": (y + 1j, r"complex128.*numbers, booleans, strings, or other values"),
    "records": (np.zeros(12, "f4,f4"), r"expected numbers"),
    "no time": (np.where(y == 1, np.datetime64("NaT", "D"), y.astype("M8[D]")), r"y holds NaT"),
    "no number": ([Decimal("NaN"), Decimal(1)] * 6, r"Decimal"),
    "fractions of floats": (np.array([0.5, 1.0], dtype=object)[y % 2], r"y holds fractions"),
    "nothing": ([None] * 12, r"NoneType that cannot be sorted.*remove rows"),
    "not ordered": ([object() for _ in y], r"type object that cannot be sorted"),
    "dates and times": ([date(2020, 1, 1), datetime(2020, 1, 1)] * 6, r"date, datetime.*one kind"),
    "sets": ([{1}, {1, 2}] * 6, r"y holds a set for each row.*MultiLabelBinarizer"),
    "lists": (np.array([[1], [1, 2]] * 6, dtype=object), r"a list for each row"),
    "three dimensions": (np.zeros((12, 2, 2)), r"shape \(12, 2, 2\); expected one label per row"),
    "no columns": (np.zeros((12, 0)), r"shape \(12, 0\); expected one label per row"),
    "a number": (3, r"shape \(\)"),
    "mixed": (np.array([1, "a", None], dtype=object)[y], r"NoneType, int, str.*all of one kind"),
    "missing name": (np.array(["a", "b", np.nan], dtype=object)[y], r"float, str.*one kind"),
    "masked": (np.ma.masked_equal(y, 1), r"y is a masked array"),
    "huge": ([2**70, 1, 2] * 4, r"too large"),
    "ragged": ([[1], [1, 2], 3] * 4, r"y cannot be made into an array"),
}


class EqualToOne:
    """As tensors of one number are: equal to it, and not found by it in a dict."""

    __hash__ = object.__hash__

    def __eq__(self, other):
        return bool(other == 1)

    def __repr__(self):  # the name of a test, in each process the same
        return "one"


BAD_SETTINGS = {
    "solver": [
        ("newton", r"solver='newton'; use one of lbfgs, nesterov, gd"),
        (["gd"], "solver="),
    ],
    "standardize": [("no", "standardize='no'; expected True or False"), (1, "True or False")],
    "batched": [("no", "batched='no'")],
    "callbacks": [(print, "callables"), ([print, 1], "callables")],
    "C": [
        (True, "C=True"),
        ("1", "C='1'"),
        (0, "C=0; expected a number > 0 .∞ is allowed"),
        (-1.0, "C=-1.0"),
        (np.nan, "C=nan"),
        ("big", "C='big'"),
        (None, "C=None"),
        (1j, "C="),
        ([1.0, 2.0], r"C has shape \(2,\); expected a number or \(3,\)"),
        (np.ones((1, 3)), r"C has shape \(1, 3\)"),
        ([1, 0, 1], "C="),
        ([1, np.nan, 1], "C="),
        ([[1], [1, 2], 3], r"C cannot be made into an array.*or \(3,\)"),
        (np.complex128(1 + 1j), "C="),
        (np.array([1, 1, 1 + 1j]), "C="),
        (np.ma.array([1.0, 1.0, 2.0], mask=[0, 0, 1]), "C is a masked array"),
        (np.ma.masked, "C is a masked array"),
        (np.timedelta64(1, "s"), "C="),
        (10**400, "C=1000"),
        (np.True_, "C="),
        ({1: 2.0}, "C is an object of type dict"),
    ],
    "scale": [(0, "scale=0; expected a number > 0"), (-1, "scale=-1"), ("automatic", "scale=")],
    "learning_rate": [(0, "learning_rate=0"), (np.inf, "learning_rate=inf"), ("fast", "fast")],
    "max_iter": [(-1, "whole number ≥ 0"), (1.5, "1.5"), (True, "True"), (None, "None")],
    "tol": [(-1e-3, "tol=-0.001; expected a number ≥ 0"), (np.nan, "tol=nan"), (np.inf, "inf")],
    "dtype": [
        ("float16", 'use "float32" or "float64"'),
        ("float99", 'use "float32" or "float64"'),
        (int, "dtype="),
        (">f4", "dtype="),
        (None, "dtype=None"),
    ],
    "image_shape": [
        ((2, 2), r"image_shape=\(2, 2\) does not fit 3 features"),
        ((-1, -3), "image_shape"),
        ((1.5, 2), "image_shape"),
        ("3", "image_shape"),
    ],
    "backend": [("gpu", "backend='gpu'; use one of")],
    "class_weight": [
        ("even", r"class_weight='even'; use \"balanced\" or a dict"),
        ([1, 2, 3], "use .balanced. or a dict"),
        ({7: 1.0}, r"class_weight names \[7\], which y does not have"),
        ({EqualToOne(): 1.0}, r"class_weight names \[one\], which y does not have"),
        ({1: -1.0}, r"class_weight\[1\]=-1.0; expected a number ≥ 0"),
        ({1: np.nan}, r"class_weight\[1\]=nan"),
        ({1: "2"}, r"class_weight\[1\]='2'"),
    ],
}
SETTINGS = [(name, *case) for name, cases in BAD_SETTINGS.items() for case in cases]


@pytest.mark.parametrize("case", BAD_ROWS)
def test_rows_that_cannot_be_trained_on_or_predicted(case):
    rows, message = BAD_ROWS[case]
    model = gpulr.train(X, y, max_iter=1, tol=0)
    for call in (lambda: gpulr.train(rows, y), lambda: model.predict(rows)):
        with pytest.raises(gpulr.DataError, match=f"(?s){message}"):
            call()


@pytest.mark.parametrize("case", BAD_LABELS)
def test_labels_that_cannot_be_trained_on(case):
    labels, message = BAD_LABELS[case]
    with pytest.raises(gpulr.DataError, match=message):
        gpulr.train(X, labels)


MIXED = {
    "number and text": [1, "a", "b"],
    "text and NaN": ["a", float("nan"), "b"],
    "text and None": ["a", None, "b"],
    "bytes and text": [b"a", "b", "c"],
    "number and bytes": [1, b"a", b"b"],
    "date and text": [np.datetime64("2020"), "2021", "2022"],
    "duration and number": [np.timedelta64(1, "s"), 2, 3],
    "date and datetime": [date(2020, 1, 1), datetime(2020, 1, 1), date(2021, 1, 1)],
}


@pytest.mark.parametrize("case", MIXED)
def test_labels_of_several_types_are_refused_in_whatever_holds_them(case):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    labels = np.empty(3, dtype=object)
    labels[:] = MIXED[case]
    forms = [labels[y].tolist(), tuple(labels[y].tolist()), labels[y], labels[y][:, np.newaxis]]
    forms = [*forms, pandas.Series(labels[y]), pandas.DataFrame({"y": labels[y]})]
    names = {type(label).__name__ for label in labels}
    model = gpulr.train(X, y, max_iter=1, tol=0)
    for form in forms:
        for call in (
            lambda form=form: gpulr.train(X, form),
            lambda form=form: gpulr.search(X, form),
            lambda form=form: gpulr.bootstrap(X, form, n=2),
            lambda form=form: gpulr.OneVsAllLogisticRegression().fit(X, form),
            lambda form=form: model.evaluate(X, form),
        ):
            with pytest.raises(gpulr.DataError, match="expected labels all of one kind") as caught:
                call()
            if not hasattr(form, "iloc"):  # a Series has its own idea of what is missing
                assert all(name in str(caught.value) for name in names)


def test_labels_of_one_type_keep_it():
    for labels, dtype in (
        ([True, False, True], "bool"),
        ([np.str_("a"), "b", "c"], "<U1"),
        ([1, True, 3], "int64"),
        ([1, 2.0, 3], "float64"),
        ([np.timedelta64(i, "s") for i in range(3)], "<m8[s]"),
    ):
        for form in ([labels[i] for i in y], np.array([*labels, None], dtype=object)[:-1][y]):
            assert gpulr.train(X, form, max_iter=1, tol=0).classes.dtype == dtype
    with pytest.raises(gpulr.DataError, match=r"float64 does not hold exactly.*as strings"):
        gpulr.train(X, np.array([0.0, 2**53 + 1, 2], dtype=object)[y])


BAD_WEIGHTS = {
    "complex": (np.ones(12) + 1j, "sample_weight has dtype complex128; expected real numbers"),
    "complex objects": (np.array([1j] * 12, dtype=object), "objects of type complex"),
    "masked": (np.ma.array(np.ones(12), mask=y == 1), "sample_weight is a masked array"),
    "dates": (np.full(12, np.datetime64("2020")), r"datetime64\[Y\]; expected real numbers"),
    "text of digits": (["1"] * 12, "<U1; expected real numbers"),
    "a dict": ({"a": 1.0}, "sample_weight is an object of type dict"),
    "sparse": (sparse.csr_array(np.ones((12, 1))), "sample_weight is an object of type"),
    "too few": (np.ones(11), r"shape \(11,\); expected one for each row, \(12,\)"),
    "two-dimensional": (np.ones((12, 1)), r"shape \(12, 1\)"),
    "a number": (1.0, r"shape \(\)"),
    "negative": (np.where(y == 1, -1.0, 1.0), "NaN, infinity or negative"),
    "nan": (np.where(y == 1, np.nan, 1.0), "NaN, infinity or negative"),
    "inf": (np.where(y == 1, np.inf, 1.0), "NaN, infinity or negative"),
    "names": (["a"] * 12, "sample_weight has dtype <U1; expected real numbers"),
    "none": (np.zeros(12), r"weights of all rows of \[0, 1, 2\] are zero"),
    "one class left": (y == 1, r"all rows of \[0, 2\] are zero.*at least two"),
}


@pytest.mark.parametrize("case", BAD_WEIGHTS)
def test_sample_weights_that_cannot_be_used(case):
    weights, message = BAD_WEIGHTS[case]
    with pytest.raises(gpulr.DataError, match=message):
        gpulr.train(X, y, sample_weight=weights)


def test_settings_that_exclude_each_other():
    with pytest.raises(gpulr.ParameterError, match=r'no use in solver="lbfgs".*Leave it out'):
        gpulr.train(X, y, learning_rate=0.1)
    with pytest.raises(gpulr.ParameterError, match="chooses the scale; leave out scale=2"):
        gpulr.train(X, y, standardize=True, scale=2)


@pytest.mark.parametrize(("name", "value", "message"), SETTINGS, ids=str)
def test_settings_that_cannot_be_used(name, value, message):
    with pytest.raises(gpulr.ParameterError, match=message):
        gpulr.train(X, y, **{name: value})


def test_errors_are_value_errors_too():
    with pytest.raises(ValueError, match="NaN"):
        gpulr.train(with_value(np.nan), y)
    with pytest.raises(ValueError, match="C=0"):
        gpulr.train(X, y, C=0)


def test_X_without_y_and_y_without_X():
    for arguments in ((X,), (None, y)):
        with pytest.raises(gpulr.DataError, match="both X and y, or neither"):
            gpulr.train(*arguments)
    with pytest.raises(gpulr.DataError, match="brings its own labels"):
        gpulr.train(gpulr.datasets.Dataset(X, y), y)


def test_settings_are_checked_before_data_is_loaded(monkeypatch):
    monkeypatch.setattr(gpulr.datasets, "load_default", lambda: pytest.fail("data was loaded"))
    with pytest.raises(gpulr.ParameterError, match="tol"):
        gpulr.train(tol=-1)


@pytest.mark.parametrize("row", [0, 7, 11])
def test_the_first_bad_row_is_named_whatever_the_blocks(put, monkeypatch, row):
    broken = with_value(np.nan, row)
    broken[-1, 0] = np.inf
    here = put(broken)
    monkeypatch.setattr(type(gpulr.backend.backend_of(here)), "block_bytes", 100)
    with pytest.raises(gpulr.DataError, match=f"first in row {row}\\)"):
        gpulr.train(here, y)


def test_complex_and_one_dimension_on_a_device(put):
    for bad, message in ((X + 1j, "real numbers"), (X[:, 0], "reshape"), (X[:0], "empty")):
        with pytest.raises(gpulr.DataError, match=message):
            gpulr.train(put(bad), y)


def test_checking_copies_nothing_and_gives_sorted_classes_and_codes():
    for rows in (X, np.asfortranarray(X), X[:, ::2], X.reshape(12, 3, 1), X.astype(np.uint8)):
        assert np.shares_memory(check_rows(rows), rows)
    assert NumPyBackend("numpy", np).asarray(X) is X
    labels = read_labels(["b", "a", "b"], 3)
    assert labels.classes.tolist() == ["a", "b"]
    assert labels.codes.tolist() == [1, 0, 1]
    assert labels.codes.dtype == np.int32
    assert check_labels([0.0, -0.0, 2.0], 3).tolist() == [0, 0, 2]
