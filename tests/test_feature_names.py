"""Columns by name: a model takes DataFrames with its columns in any order, and no others."""

from __future__ import annotations

import numpy as np
import pytest

import gpulr
from gpulr.errors import DataError

pandas = pytest.importorskip("pandas", reason="pandas is not installed")


@pytest.fixture(scope="module")
def frame():
    X = np.random.default_rng(3).normal(size=(60, 3))
    return pandas.DataFrame(X, columns=["a", "b", "c"])


@pytest.fixture(scope="module")
def model(frame):
    return gpulr.train(frame, np.arange(60) % 3, max_iter=20, tol=0)


def test_a_file_keeps_the_names(model, tmp_path):
    model.save(tmp_path / "m.safetensors")
    assert gpulr.load(tmp_path / "m.safetensors").data["feature_names"] == ["a", "b", "c"]


def test_columns_are_put_in_order(model, frame):
    expected = model.predict_proba(frame.to_numpy())
    for names in ("abc", "cab", "bac"):
        np.testing.assert_array_equal(model.predict_proba(frame[list(names)]), expected)
    np.testing.assert_array_equal(model.predict(frame[list("cba")]), model.predict(frame))
    y = np.arange(60) % 3
    assert model.evaluate(frame[list("cba")], y).accuracy == model.evaluate(frame, y).accuracy


def test_missing_and_other_columns_are_named(model, frame):
    with pytest.raises(DataError, match=r"X lacks 'c' and has 'd' besides.*'a', 'b', 'c'"):
        model.predict(frame.rename(columns={"c": "d"}))
    with pytest.raises(DataError, match="X lacks 'b'"):
        model.predict(frame[["a", "c"]])
    with pytest.raises(DataError, match="X has 'd' besides"):
        model.predict(frame.assign(d=1.0))


def test_only_names_on_both_sides_are_compared(model, frame):
    expected = model.predict_proba(frame)
    for names in (range(3), ["a", "a", "b"]):
        np.testing.assert_array_equal(
            model.predict_proba(frame.set_axis(list(names), axis=1)), expected
        )
    unnamed = gpulr.train(frame.to_numpy(), np.arange(60) % 3, max_iter=20, tol=0)
    assert "feature_names" not in unnamed.data
    other = frame.set_axis(["x", "y", "z"], axis=1)
    np.testing.assert_array_equal(unnamed.predict_proba(other), expected)


def test_a_data_set_brings_its_names(frame):
    names = {"feature_names": ("a", "b", "c"), "label_name": "kind"}
    data = gpulr.datasets.Dataset(frame.to_numpy(), np.arange(60) % 3, **names)
    assert "label 'kind'" in repr(data)
    for part in (data, data.split()):
        record = gpulr.train(part, max_iter=1, tol=0).data
        assert record["feature_names"] == ["a", "b", "c"]
        assert record["label"] == "kind"
    with pytest.raises(DataError, match="feature_names has 2 names, but X has 3"):
        gpulr.datasets.Dataset(data.X, data.y, feature_names=("a", "b"))
