"""Estimators of Dask arrays and DataFrames, without a client: as those of all rows at once."""

from __future__ import annotations

import numpy as np
import pytest

from gpulr import OneVsAllLogisticRegression, OneVsAllLogisticRegressionCV

da = pytest.importorskip("dask.array", reason="of Dask's arrays")
RNG = np.random.default_rng(11)
X = RNG.normal(size=(300, 4))
NOISY = X @ RNG.normal(size=(4, 3)) + RNG.normal(size=(300, 3))
Y = np.array(["ash", "elm", "oak"])[NOISY.argmax(axis=1)]
METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function")


@pytest.mark.parametrize("y", [Y, Y == "elm", (NOISY > 0).astype(int)], ids=["3", "2", "labels"])
def test_fits_and_predicts_as_of_all_rows(y):
    weight = RNG.uniform(0.5, 2.0, 300)
    lazy = da.from_array(X, chunks=(130, 4))
    one = OneVsAllLogisticRegression(tol=1e-6).fit(X, y, weight)
    many = OneVsAllLogisticRegression(tol=1e-6).fit(lazy, da.from_array(y, chunks=70), weight)
    np.testing.assert_allclose(many.coef_, one.coef_, atol=1e-5)
    assert (many.n_features_in_, many.coef_.dtype) == (4, one.coef_.dtype)
    for method in METHODS:
        found, expected = getattr(one, method)(lazy), getattr(one, method)(X)
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        assert isinstance(found, da.Array)
        np.testing.assert_allclose(
            *(
                1.0 * (a != "elm") if a.dtype.kind == "U" else a
                for a in (np.asarray(found), expected)
            ),
            rtol=1e-12,
        )
    assert one.score(lazy, y) == pytest.approx(one.score(X, y), abs=1e-12)


def test_chooses_C_as_of_all_rows():
    how = {"Cs": [0.1, 10.0], "cv": 3, "tol": 1e-6}
    one = OneVsAllLogisticRegressionCV(**how).fit(X, Y)
    many = OneVsAllLogisticRegressionCV(**how).fit(da.from_array(X, chunks=(130, 4)), Y)
    assert many.C_ == one.C_
    np.testing.assert_allclose(many.scores_, one.scores_, atol=1e-12)


def test_names_of_columns_are_known():
    pandas = pytest.importorskip("pandas", reason="of its DataFrames")
    frames = pytest.importorskip("dask.dataframe", reason="of Dask's DataFrames")
    table = pandas.DataFrame(X, columns=list("abcd"))
    lazy = frames.from_pandas(table, npartitions=3)
    one = OneVsAllLogisticRegression().fit(lazy, Y)
    assert list(one.feature_names_in_) == list("abcd")
    np.testing.assert_array_equal(one.predict(lazy[list("dcba")]).compute(), one.predict(table))
    with pytest.raises(ValueError, match="lacks 'd'"):
        one.predict(lazy[list("abc")])
