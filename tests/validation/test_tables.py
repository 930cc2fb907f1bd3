"""Columns by name: a model takes DataFrames with its columns in any order, and no others."""

from __future__ import annotations

import contextlib
from decimal import Decimal

import numpy as np
import pytest

import gpulr
from gpulr.errors import DataError
from gpulr.validation.tables import from_table

y = np.arange(60) % 3
pandas = pytest.importorskip("pandas", reason="pandas is not installed")


@pytest.fixture(scope="module")
def frame():
    X = np.random.default_rng(3).normal(size=(60, 3))
    return pandas.DataFrame(X, columns=["a", "b", "c"])


@pytest.fixture(scope="module")
def model(frame):
    return gpulr.train(frame, y, max_iter=20, tol=0)


def test_a_file_keeps_the_names(model, tmp_path):
    model.save(tmp_path / "m.safetensors")
    assert gpulr.load(tmp_path / "m.safetensors").data["feature_names"] == ["a", "b", "c"]


def test_columns_are_put_in_order(model, frame):
    expected = model.predict_proba(frame.to_numpy())
    for names in ("abc", "cab", "bac"):
        np.testing.assert_array_equal(model.predict_proba(frame[list(names)]), expected)
    np.testing.assert_array_equal(model.predict(frame[list("cba")]), model.predict(frame))
    assert model.evaluate(frame[list("cba")], y).accuracy == model.evaluate(frame, y).accuracy


def test_missing_and_other_columns_are_named(model, frame):
    with pytest.raises(DataError, match=r"X lacks 'c' and has extra columns: 'd'.*'a', 'b', 'c'"):
        model.predict(frame.rename(columns={"c": "d"}))
    with pytest.raises(DataError, match="X lacks 'b'"):
        model.predict(frame[["a", "c"]])
    with pytest.raises(DataError, match="X has extra columns: 'd'"):
        model.predict(frame.assign(d=1.0))


def test_only_names_on_both_sides_are_compared(model, frame):
    expected = model.predict_proba(frame)
    for names in (range(3), ["a", "a", "b"]):
        other = frame.set_axis(list(names), axis=1)
        np.testing.assert_array_equal(model.predict_proba(other), expected)
    several = frame.set_axis(["a", "a", "b"], axis=1)
    estimator = gpulr.OneVsAllLogisticRegression().fit(several, y)
    assert not hasattr(estimator, "feature_names_in_")
    estimator.predict(several)
    unnamed = gpulr.train(frame.to_numpy(), y, max_iter=20, tol=0)
    assert "feature_names" not in unnamed.data
    other = frame.set_axis(["x", "y", "z"], axis=1)
    np.testing.assert_array_equal(unnamed.predict_proba(other), expected)


def test_a_data_set_brings_its_names(frame):
    names = {"feature_names": ("a", "b", "c"), "label_name": "kind"}
    data = gpulr.datasets.Dataset(frame.to_numpy(), y, **names)
    assert "label 'kind'" in repr(data)
    for part in (data, data.split()):
        record = gpulr.train(part, max_iter=1, tol=0).data
        assert record["feature_names"] == ["a", "b", "c"]
        assert record["label"] == "kind"
    with pytest.raises(DataError, match="feature_names has 2 names, but X has 3"):
        gpulr.datasets.Dataset(data.X, data.y, feature_names=("a", "b"))


# ---- tables of other libraries -------------------------------------------------------------------


TABLES = {
    "records": lambda frame: frame.to_records(index=False),
    "arrow": lambda frame: pytest.importorskip("pyarrow").table(dict(columns(frame))),
    "arrow batch": lambda frame: TABLES["arrow"](frame).to_batches()[0],
    "polars": lambda frame: pytest.importorskip("polars").DataFrame(dict(columns(frame))),
    "dask": lambda frame: pytest.importorskip("dask.dataframe").from_pandas(frame, npartitions=2),
}


def columns(frame):
    return ((name, frame[name].to_numpy()) for name in frame)


@pytest.fixture(params=TABLES)
def table(request):
    """A function that makes a table of one library of a DataFrame."""
    return TABLES[request.param]


def test_tables_are_predicted_by_name(model, frame, table):
    expected = model.predict_proba(frame)
    for names in ("abc", "cab", "bca"):
        np.testing.assert_array_equal(model.predict_proba(table(frame[list(names)])), expected)
        trained = gpulr.train(table(frame[list(names)]), y, max_iter=20, tol=0)
        assert trained.data["feature_names"] == list(names)
        np.testing.assert_allclose(trained.predict_proba(frame), expected, rtol=1e-4)
        assert model.evaluate(table(frame[list(names)]), y).accuracy == model.score(frame, y)
    with pytest.raises(DataError, match=r"X lacks 'c' and has extra columns: 'd'"):
        model.predict(table(frame.rename(columns={"c": "d"})))


def test_estimators_take_no_table_in_another_order_for_their_own(frame, table):
    estimator = gpulr.OneVsAllLogisticRegression().fit(table(frame), y)
    rows = frame.to_numpy()
    expected = gpulr.OneVsAllLogisticRegression().fit(rows, y).predict_proba(rows)
    np.testing.assert_allclose(estimator.predict_proba(table(frame)), expected, rtol=1e-6)
    assert list(getattr(estimator, "feature_names_in_", "abc")) == list("abc")
    try:
        found = estimator.predict_proba(table(frame[list("cab")]))
    except ValueError as error:  # scikit-learn's, of the tables that it knows
        found = str(error)
    if isinstance(found, str):
        assert "order" in found
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_labels_in_tables(frame, table):
    labels = pandas.DataFrame(np.arange(120).reshape(60, 2) % 3 == 0, columns=["x", "y"]) * 1.0
    if not isinstance(made := table(labels), np.ndarray):
        model = gpulr.train(frame, made, max_iter=5, tol=0)
        assert model.classes.tolist() == ["x", "y"]
        assert model.evaluate(frame, made).labels.tolist() == ["x", "y"]
    classes = gpulr.train(frame, table(labels[["x"]]), max_iter=5, tol=0).classes
    assert classes.tolist() == [0, 1]


# ---- columns that are not numbers ----------------------------------------------------------------


def days():
    return pandas.Series(pandas.date_range("2020", periods=60))


NOT_NUMBERS = {
    "text": lambda: days().astype(str),
    "text of digits": lambda: pandas.Series(["1", "2"] * 30),
    "datetime": days,
    "datetime with a zone": lambda: days().dt.tz_localize("UTC"),
    "timedelta": lambda: days() - days()[0],
    "period": lambda: days().dt.to_period("D"),
    "category of numbers": lambda: pandas.Series(pandas.Categorical([1, 2] * 30)),
    "category of text": lambda: pandas.Series(pandas.Categorical(["1", "2"] * 30)),
    "objects: date": lambda: days().dt.date,
    "objects: Timestamp": lambda: days().astype(object),
    "objects: Timedelta": lambda: (days() - days()[0]).astype(object),
    "objects: str": lambda: pandas.Series(["1", "2"] * 30, dtype=object),
}


@pytest.mark.parametrize("kind", NOT_NUMBERS)
def test_only_columns_that_are_not_numbers_are_named(frame, kind):
    broken = frame.assign(b=NOT_NUMBERS[kind]())
    model = gpulr.train(frame, y, max_iter=1, tol=0)
    message = r"^X has columns that are not numbers: 'b' \([^']*\)\. Drop them, or encode them"
    if kind.startswith("objects"):
        message = message.replace("[^']*", kind.split()[1])
    for call in (
        lambda: gpulr.train(broken, y),
        lambda: model.predict(broken),
        lambda: gpulr.OneVsAllLogisticRegression().fit(broken, y),
        lambda: gpulr.train(broken[["b"]], y),
    ):
        with pytest.raises(DataError, match=message):
            call()


@pytest.mark.parametrize("kind", ["text", "datetime", "timedelta", "objects: date"])
@pytest.mark.parametrize("library", ["polars", "arrow"])
def test_columns_of_other_tables_that_are_not_numbers(frame, kind, library):
    made, values = TABLES[library](frame), NOT_NUMBERS[kind]()
    values = values.tolist() if values.dtype == object or kind == "text" else values.to_numpy()
    if library == "polars":
        broken = made.with_columns(b=pytest.importorskip("polars").Series(values))
    else:
        broken = made.set_column(1, "b", pytest.importorskip("pyarrow").array(values))
    for call in (gpulr.train, gpulr.OneVsAllLogisticRegression().fit):
        with pytest.raises(DataError, match=r"not numbers: 'b' \((?!.*'[ac]').*\)\. Drop them"):
            call(broken, y)


def test_many_columns_are_listed_in_short():
    broken = pandas.DataFrame(np.full((4, 30), "1"))
    with pytest.raises(DataError, match=r"8 \(str\), 9 \(str\), … \(30 of them\)\. Drop"):
        gpulr.train(broken, [0, 1] * 2)


def test_columns_of_numbers_of_any_kind(frame, table):
    mixed = frame.assign(b=np.arange(60), c=frame["c"] > 0)
    expected = gpulr.train(mixed.to_numpy(dtype=float), y, tol=1e-6)
    for made in (
        mixed,
        mixed.astype(object),
        mixed.convert_dtypes(),
        mixed.assign(b=[Decimal(i) for i in range(60)]),
        mixed.astype(pandas.SparseDtype("float", 0.0)),
    ):
        model = gpulr.train(made, y, tol=1e-6)
        np.testing.assert_allclose(model.weights, expected.weights, rtol=1e-4, atol=1e-6)
    made = table(mixed.astype(float))
    np.testing.assert_array_equal(gpulr.train(made, y, tol=1e-6).weights, expected.weights)
    missing = mixed.convert_dtypes().mask(mixed["b"] == 7)
    with pytest.raises(DataError, match=r"NaN or infinity \(first in row 7\)"):
        gpulr.train(missing, y)


def test_a_column_of_arrays_is_taken_alone(frame):
    rows = frame.to_numpy()
    whole = pandas.DataFrame({"e": list(rows)})
    with pytest.raises(
        DataError, match=r"'e' \(ndarray\)\. For the arrays .*pass it alone: X\['e'\]"
    ):
        gpulr.train(whole.assign(f=1.0), y)
    expected = gpulr.train(rows, y)
    columns = [whole["e"], pandas.Series(rows.tolist())]
    with contextlib.suppress(ImportError):
        import polars

        columns += [polars.Series(rows.tolist()), polars.Series(rows, dtype=polars.Array(float, 3))]
    with contextlib.suppress(ImportError):
        import pyarrow

        flat = pyarrow.array(rows.ravel())
        table = pyarrow.table({"e": pyarrow.FixedSizeListArray.from_arrays(flat, 3)})
        columns += [table["e"], table["e"].combine_chunks(), pyarrow.array(rows.tolist())]
    for column in columns:
        np.testing.assert_array_equal(gpulr.train(column, y).weights, expected.weights)
        estimator = gpulr.OneVsAllLogisticRegression().fit(column, y)
        assert estimator.predict(column).shape == (60,)


def test_a_lazy_table_is_collected_once(frame, model, monkeypatch):
    polars = pytest.importorskip("polars", reason="polars is not installed")
    lazy = polars.LazyFrame({name: frame[name].to_numpy() for name in frame})
    collect, collected = polars.LazyFrame.collect, []
    monkeypatch.setattr(
        polars.LazyFrame, "collect", lambda self: collected.append(0) or collect(self)
    )
    estimator = gpulr.OneVsAllLogisticRegression().fit(frame, y)
    for call in (
        lambda: gpulr.train(lazy, y, max_iter=1, tol=0),
        lambda: model.predict(lazy),
        lambda: model.evaluate(lazy, y),
        lambda: gpulr.OneVsAllLogisticRegression().fit(lazy, y),
        lambda: estimator.predict(lazy.select("c", "b", "a")),
    ):
        collected.clear()
        call()
        assert len(collected) == 1
    np.testing.assert_array_equal(
        estimator.predict(lazy.select("c", "b", "a")), estimator.predict(frame)
    )


def test_columns_of_several_types_are_as_wide_as_holds_them(frame):
    def dtype_of(**types):
        return from_table(frame.round().abs().astype(types), "X").dtype

    every = dict.fromkeys("abc", "float32")
    assert dtype_of(**every) == np.float32
    assert dtype_of(**every | {"b": "uint8"}) == np.float32
    assert dtype_of(**every | {"b": "int32"}) == np.float64
    assert dtype_of(**every | {"b": "bool", "c": "bool"}) == np.float32
    assert dtype_of(**dict.fromkeys("abc", "uint8")) == np.uint8
    # Not bytes, which would be divided by 255.
    assert dtype_of(a="uint8", b="uint8", c="bool") == np.int16


@pytest.mark.parametrize("n", [1, 60, 30_000])  # the last in several blocks
def test_rows_are_made_of_columns(n):
    X = np.random.default_rng(0).normal(size=(n, 30)).astype(np.float32)
    columns = {str(i): X[:, i].astype(np.float64 if i % 2 else np.float32) for i in range(30)}
    made = from_table(pandas.DataFrame(columns), "X")
    assert made.flags.c_contiguous
    np.testing.assert_array_equal(made, X)
    one = pandas.DataFrame(X)
    assert np.shares_memory(from_table(one, "X"), one.to_numpy())
