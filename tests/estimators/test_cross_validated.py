"""The scikit-learn estimator that chooses C: scikit-learn's checks, and the result of a search."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from array_api_compat import array_namespace, device
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import gpulr
from gpulr import OneVsAllLogisticRegression, OneVsAllLogisticRegressionCV
from gpulr.backend import is_device_array, to_host
from gpulr.estimators import cross_validated
from gpulr.estimators.base import ConvergenceWarning
from helpers import python

CS = [0.01, 1.0, 100.0]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks([OneVsAllLogisticRegressionCV(Cs=CS, cv=3)])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.slow  # each check once more, with the default of ten values of C on five folds
def test_no_check_is_skipped():
    pytest.importorskip("pandas", reason="one of the checks needs DataFrames")
    code = """
import warnings
warnings.simplefilter("error")
warnings.filterwarnings("ignore", "The least populated class in y")
from sklearn.utils.estimator_checks import check_estimator
import gpulr
results = check_estimator(gpulr.OneVsAllLogisticRegressionCV(), on_skip=None)
assert len(results) > 50
print({result["status"] for result in results})
"""
    assert python(code, SCIPY_ARRAY_API="1").strip() == "{'passed'}"


@pytest.mark.slow
def test_array_api_dispatch():
    pytest.importorskip("array_api_strict")
    pytest.importorskip("sklearn", "1.9", reason="before, the check wants classes_ on the device")
    code = """
from sklearn.utils.estimator_checks import check_array_api_input as check
import array_api_strict, gpulr
estimator = gpulr.OneVsAllLogisticRegressionCV(Cs=[0.1, 1.0], cv=3)
for name in ("CPU_DEVICE", "device1"):
    check("", estimator, "array_api_strict", device_name=name, dtype_name="float64")
"""
    python(code, SCIPY_ARRAY_API="1")


def test_attributes_and_one_standard_error(digits):
    X, y = digits[0][:600], digits[1][:600]
    fitted = OneVsAllLogisticRegressionCV(Cs=CS, cv=4).fit(X, y)
    found = gpulr.search(X, y, Cs=CS, cv=4, scale=None)
    np.testing.assert_array_equal(fitted.scores_, found.scores)
    np.testing.assert_array_equal(fitted.Cs_, CS)
    assert fitted.C_ == found.best_C == fitted.search_.best_C
    np.testing.assert_array_equal(fitted.coef_, found.model.weights.T)
    assert fitted.n_iter_.tolist() == [fitted.model_.history.n_iter.max()]
    assert fitted.n_features_in_ == 64
    assert fitted.model_.settings["C"] == fitted.C_
    fitted = OneVsAllLogisticRegressionCV(Cs=np.logspace(-1, 2, 15), refit="1se").fit(X, y)
    assert fitted.C_ == fitted.search_.best_C_1se < fitted.search_.best_C


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_a_binary_problem_has_scikit_learns_scores(rng, fit_intercept):
    X = rng.normal(size=(300, 5)) + 0.5
    y = X @ rng.normal(size=5) + rng.normal(size=300) > 0.3
    settings = {"Cs": CS, "cv": 5, "tol": 1e-8, "fit_intercept": fit_intercept}
    ours = OneVsAllLogisticRegressionCV(**settings).fit(X, y)
    theirs = LogisticRegressionCV(**settings, scoring="accuracy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parameters that one version has and another lacks
        theirs.fit(X, y)
    scores = theirs.scores_[True] if isinstance(theirs.scores_, dict) else theirs.scores_
    np.testing.assert_allclose(ours.scores_, scores.reshape(5, 3), atol=1e-12)
    assert np.ravel(theirs.C_)[0] == ours.C_
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)


def test_the_model_is_one_vs_rest_at_the_chosen_c(digits):
    X, y = digits[0][:500], digits[1][:500]
    ours = OneVsAllLogisticRegressionCV(Cs=CS, cv=3, tol=1e-8, dtype="float64").fit(X, y)
    inner = LogisticRegression(C=ours.C_, solver="newton-cholesky", tol=1e-9, max_iter=10_000)
    theirs = OneVsRestClassifier(inner).fit(X.astype(np.float64), y)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-4)


def test_arrays_stay_where_they_are(put, blobs):
    X, y = blobs
    here = put(X)
    fitted = OneVsAllLogisticRegressionCV(Cs=CS, cv=3).fit(here, put(y))
    on_host = OneVsAllLogisticRegressionCV(Cs=CS, cv=3).fit(X, y)
    assert is_device_array(fitted.predict(here)) == is_device_array(here)
    assert is_device_array(fitted.coef_) == is_device_array(here)
    np.testing.assert_allclose(to_host(fitted.coef_), on_host.coef_, atol=1e-3)
    for name, atol in {"Cs_": 0, "scores_": 0.04, "coefs_paths_": 0.05, "n_iter_": 5}.items():
        there = getattr(fitted, name)
        assert array_namespace(there) is array_namespace(here)
        assert device(there) == device(here)
        np.testing.assert_allclose(to_host(there), getattr(on_host, name), atol=atol)


def test_weights_count_in_fitting_and_in_scoring(blobs):
    X, y = blobs
    pairs = list(StratifiedKFold(3).split(X, y))
    weight = np.where(np.arange(len(y)) % 2, 1.0, 0.0)
    kept = weight > 0
    number = np.cumsum(kept) - 1
    fewer = [(number[train[kept[train]]], number[test[kept[test]]]) for train, test in pairs]
    settings = {"Cs": CS, "tol": 1e-6, "dtype": "float64"}
    weighed = OneVsAllLogisticRegressionCV(cv=pairs, **settings).fit(X, y, sample_weight=weight)
    alone = OneVsAllLogisticRegressionCV(cv=fewer, **settings).fit(X[kept], y[kept])
    np.testing.assert_allclose(weighed.scores_, alone.scores_, atol=1e-12)
    np.testing.assert_allclose(weighed.coef_, alone.coef_, atol=1e-3)


def test_it_goes_where_estimators_go(blobs):
    X, y = blobs
    pipeline = make_pipeline(StandardScaler(), OneVsAllLogisticRegressionCV(Cs=CS, cv=3))
    assert cross_val_score(pipeline, X, y, cv=3).mean() > 0.6
    fitted = pipeline.fit(X, y)[-1]
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.coef_, fitted.coef_)
    assert clone(fitted).get_params() == fitted.get_params()
    assert "OneVsAllLogisticRegressionCV" in fitted._repr_html_()


def test_the_warning_is_scikit_learns_and_gpulrs(blobs):
    with pytest.warns(ConvergenceWarning, match="did not reach tol") as caught:
        OneVsAllLogisticRegressionCV(Cs=CS, cv=3, tol=1e-12, max_iter=2).fit(*blobs)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_a_fold_without_a_class_is_told(blobs):
    X, y = blobs
    pairs = [(np.flatnonzero(y < 2), np.flatnonzero(y == 2))]
    with pytest.raises(ValueError, match=r"trains on no row of \[2\]"):
        OneVsAllLogisticRegressionCV(Cs=CS, cv=pairs).fit(X, y)


def test_verbose_shows_a_progress_bar(blobs, monkeypatch):
    seen = []
    monkeypatch.setattr(cross_validated, "SearchProgressBar", lambda: seen.append)
    OneVsAllLogisticRegressionCV(Cs=CS, cv=3, verbose=1).fit(*blobs)
    assert seen[-1].done == seen[-1].total == 27


def test_it_is_no_more_than_one_search(blobs):
    """A C that GridSearchCV would choose from the same scores."""
    X, y = blobs
    fitted = OneVsAllLogisticRegressionCV(Cs=CS, cv=3, tol=1e-6).fit(X, y)
    for C, scores in zip(CS, fitted.scores_.T, strict=True):
        one = OneVsAllLogisticRegression(C=C, tol=1e-6)
        np.testing.assert_allclose(cross_val_score(one, X, y, cv=3), scores, atol=1e-12)
