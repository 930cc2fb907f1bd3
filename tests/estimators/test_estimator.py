"""The scikit-learn estimators: scikit-learn's own checks, optimum, and scores."""

from __future__ import annotations

import doctest
import pickle
import warnings
from functools import cache

import numpy as np
import pytest
import sklearn
from array_api_compat import array_namespace, device
from scipy import sparse
from sklearn import datasets
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_score,
    cross_validate,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_X_y

import gpulr
from covering import some_nightly
from gpulr import OneVsAllLogisticRegression, OneVsAllLogisticRegressionCV
from gpulr.backend import is_device_array, to_host
from gpulr.estimators import cross_validated, inputs, logistic_regression
from helpers import python

EXACT = {"tol": 1e-9, "max_iter": 20_000}
CS = [0.01, 1.0, 100.0]


# ---- scikit-learn's checks ----------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [OneVsAllLogisticRegression(), OneVsAllLogisticRegressionCV(Cs=[0.1, 1.0], cv=3)]
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


ESTIMATORS = ("OneVsAllLogisticRegression", "OneVsAllLogisticRegressionCV")
ROWS = np.random.default_rng(0).standard_normal((30, 3))
LABELS = np.arange(30) % 3


@pytest.mark.parametrize(
    ("X", "y", "seen"),
    [
        (ROWS, LABELS, True),
        (ROWS.astype(np.float32).T.copy().T, LABELS.astype(np.int8), True),
        (np.rint(ROWS).astype(np.int64), LABELS == 1, True),
        (np.where(ROWS > 2.0, np.nan, ROWS), LABELS, False),
        (np.where(ROWS > 2.0, np.inf, ROWS), LABELS, False),
        (np.full((30, 3), 1e308), LABELS, False),  # whose sum is not finite
        (ROWS, LABELS[:20], False),
        (ROWS, LABELS[:, None], False),
        (ROWS, LABELS + 0.5, False),
        (ROWS, np.arange(30), False),
        (ROWS, LABELS * 10, False),  # might be as many classes
        (ROWS[:, :0], LABELS, False),
        (ROWS[0], LABELS[:3], False),
        (ROWS + 1j, LABELS, False),
    ],
)
def test_what_is_seen_to_pass_scikit_learns_checks_passes_them(X, y, seen):
    assert inputs._pass(X, y) == seen
    if seen:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            rows, labels = check_X_y(X, y, **inputs._AS_IS)
            check_classification_targets(y)
        assert rows is X
        assert np.array_equal(labels, y)


def test_more_classes_than_half_the_rows_are_told_as_scikit_learn_does():
    told = []
    for estimator in (LogisticRegression(), OneVsAllLogisticRegression(backend="numpy")):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            estimator.fit(ROWS, np.arange(30))
        told.append([str(each.message) for each in caught if each.category is UserWarning])
    assert told[0] == told[1]  # of scikit-learn 1.6 nothing


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [
        OneVsAllLogisticRegression(warm_start=True, class_weight="balanced", dtype="float64"),
        OneVsAllLogisticRegression(solver="nesterov"),
    ]
)
def test_scikit_learns_checks_of_other_parameters(estimator, check):
    check(estimator)


@pytest.mark.slow  # each check once more; of the search with ten values of C on five folds
@pytest.mark.parametrize("name", some_nightly(ESTIMATORS, ESTIMATORS[1:]))
def test_no_check_is_skipped(name):
    pytest.importorskip("pandas", reason="one of the checks needs DataFrames")
    code = f"""
import warnings
warnings.simplefilter("error")
warnings.filterwarnings("ignore", "The least populated class in y")
from sklearn.utils.estimator_checks import check_estimator
import gpulr
results = check_estimator(gpulr.{name}(), on_skip=None)
assert len(results) > 50
print({{result["status"] for result in results}})
"""
    # Without the variable, scikit-learn leaves a check of array-API dispatch out.
    assert python(code, SCIPY_ARRAY_API="1").strip() == "{'passed'}"


@pytest.mark.parametrize(
    ("estimator", "check", "dtypes"),
    [
        ("OneVsAllLogisticRegression()", "check_array_api_input_and_values", "float32 float64"),
        pytest.param(
            "OneVsAllLogisticRegressionCV(Cs=[0.1, 1.0], cv=3)",
            "check_array_api_input",
            "float64",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_array_api_dispatch(estimator, check, dtypes):
    pytest.importorskip("array_api_strict")
    pytest.importorskip("sklearn", "1.9", reason="before, the check wants classes_ on the device")
    code = f"""
from sklearn.utils.estimator_checks import {check} as check
import array_api_strict, gpulr
for name in ("CPU_DEVICE", "device1"):
    for dtype in "{dtypes}".split():
        estimator = gpulr.{estimator}
        check("", estimator, "array_api_strict", device_name=name, dtype_name=dtype)
"""
    python(code, SCIPY_ARRAY_API="1")


# ---- scikit-learn's optimum ---------------------------------------------------------------------


@cache
def load(name):
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    if name == "digits":
        return X[::6] / 16, y[::6]
    return (StandardScaler().fit_transform(X) if name in ("wine", "breast_cancer") else X), y


NAMES = ("digits", "iris", "wine", "breast_cancer")


@cache
def one_vs_rest(name, **settings):
    inner = LogisticRegression(solver="newton-cg", tol=1e-11, max_iter=9999, **settings)
    return OneVsRestClassifier(inner).fit(*load(name))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("settings", [{}, {"C": 0.01}, {"fit_intercept": False}], ids=str)
def test_equal_to_one_vs_rest(name, settings):
    X, y = load(name)
    ours = OneVsAllLogisticRegression(**EXACT, **settings).fit(X, y)
    theirs = one_vs_rest(name, **settings)
    weights = np.vstack([one.coef_ for one in theirs.estimators_])
    intercept = np.ravel([one.intercept_ for one in theirs.estimators_])
    np.testing.assert_allclose(ours.coef_, weights, atol=1e-5)
    # Without an intercept scikit-learn has a single 0 in each model.
    np.testing.assert_allclose(ours.intercept_, intercept, atol=1e-5)
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    for method in ("predict_proba", "decision_function"):
        np.testing.assert_allclose(getattr(ours, method)(X), getattr(theirs, method)(X), atol=1e-5)
    log_P = np.log(theirs.predict_proba(X))
    np.testing.assert_allclose(ours.predict_log_proba(X), log_P, atol=1e-4)
    assert ours.score(X, y) == theirs.score(X, y)


@pytest.mark.parametrize("name", NAMES)
def test_the_default_tolerance_predicts_as_the_optimum_does(name):
    X, y = load(name)
    theirs = one_vs_rest(name)
    for dtype in ("float32", "float64"):
        ours = OneVsAllLogisticRegression().fit(X.astype(dtype), y)
        assert np.mean(ours.predict(X.astype(dtype)) == theirs.predict(X)) >= 0.99
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=0.02)


def test_weights_and_a_class_weight():
    X, y = load("wine")
    s, each = np.linspace(0, 2, len(y)), {0: 2.0, 1: 0.5}
    ours = OneVsAllLogisticRegression(class_weight=each, **EXACT).fit(X, y, sample_weight=s)
    product = s * np.array([2.0, 0.5, 1.0])[y]
    for j in range(3):
        one = LogisticRegression(solver="newton-cholesky", tol=1e-12)
        one.fit(X, y == j, sample_weight=product)
        np.testing.assert_allclose(ours.coef_[j], one.coef_[0], atol=1e-5)


def test_a_class_weight_of_a_class_that_some_rows_lack(blobs):
    X, y = blobs
    few = y < 2
    model = OneVsAllLogisticRegression(class_weight={0: 2.0, 1: 0.5, 2: 7.0}).fit(X[few], y[few])
    same = OneVsAllLogisticRegression(class_weight={0: 2.0, 1: 0.5}).fit(X[few], y[few])
    np.testing.assert_array_equal(model.coef_, same.coef_)
    with pytest.raises(ValueError, match=r"class_weight names \[7\]"):  # or is 7 a slip of 1?
        model.set_params(class_weight={0: 2.0, 7: 0.5}).fit(X[few], y[few])


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_an_integer_weight_repeats_the_row(class_weight, rng):
    X, y = load("wine")
    times = rng.integers(0, 4, len(y))
    one = OneVsAllLogisticRegression(class_weight=class_weight)
    weighted = clone(one).fit(X, y, sample_weight=times)
    repeated = clone(one).fit(np.repeat(X, times, axis=0), np.repeat(y, times))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-6, atol=1e-9)


def test_probabilities_stay_probabilities_where_margins_are_huge():
    X = np.array([[-1e4], [0.0], [1e4]])
    for y in ([0, 1, 2], [0, 0, 1]):
        model = OneVsAllLogisticRegression(C=1e4, max_iter=50, tol=1e-2).fit(X, y)
        far = np.array([[-1e8], [1e8]])
        np.testing.assert_allclose(model.predict_proba(far).sum(axis=1), 1.0)
        assert np.all(np.isfinite(model.predict_log_proba(far)))


# ---- what is passed in ---------------------------------------------------------------------------


@pytest.mark.parametrize("labels", ["numbers", "names"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_arrays_stay_where_they_are(put, blobs, labels, n_classes):
    X, y = blobs
    X, y = X[y < n_classes], y[y < n_classes]
    s = np.linspace(0.5, 1.5, len(y))
    reference = OneVsAllLogisticRegression(**EXACT, dtype="float64").fit(X, y, sample_weight=s)
    model, rows = clone(reference), put(X)
    model.fit(rows, put(y) if labels == "numbers" else np.array(list("abc"))[y], put(s))
    there = [model.coef_, model.intercept_, model.n_iter_, model.decision_function(rows)]
    there += [model.predict_proba(rows), model.predict_log_proba(rows)]
    there += [model.predict(rows)] if labels == "numbers" else []
    for array in there:
        assert array_namespace(array) is array_namespace(rows)
        assert device(array) == device(rows)
    for name in ("decision_function", "predict_proba", "predict_log_proba"):
        expected = getattr(reference, name)(X)
        np.testing.assert_allclose(to_host(getattr(model, name)(rows)), expected, atol=1e-5)
    if labels == "numbers":
        np.testing.assert_array_equal(to_host(model.predict(rows)), reference.predict(X))
        score = model.score(rows, put(y), put(s))
        assert score == pytest.approx(reference.score(X, y, s))
    else:
        assert set(model.predict(rows)) <= set("abc")
    if is_device_array(rows):
        with pytest.raises(ValueError, match="X has 3 features"):
            model.predict(rows[:, :3])
        with pytest.raises(ValueError, match="Unknown label type"):
            model.fit(rows, put(y + 0.5))
    # Rows from elsewhere are predicted elsewhere.
    assert isinstance(model.predict_proba(X), np.ndarray)


def test_a_data_frame(blobs):
    pandas = pytest.importorskip("pandas")
    X, y = blobs
    table = pandas.DataFrame(X.astype(float), columns=["a", "b", "c", "d"])
    table["c"] = (10 * table["c"]).astype("int64")
    names = pandas.Series(np.array(["low", "middle", "high"])[y])
    weights = pandas.Series(np.ones(len(y)))
    model = OneVsAllLogisticRegression().fit(table, names, sample_weight=weights)
    assert model.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    assert model.classes_.tolist() == ["high", "low", "middle"]
    assert model.coef_.dtype == np.float64
    plain = OneVsAllLogisticRegression().fit(table.to_numpy(), names)
    np.testing.assert_allclose(model.coef_, plain.coef_, rtol=1e-12)
    assert not hasattr(plain, "feature_names_in_")
    assert model.score(table, names) == np.mean(model.predict(table) == names)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(table[["b", "a", "c", "d"]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(table.to_numpy())


@pytest.mark.parametrize("make", [sparse.csr_array, sparse.csr_matrix, sparse.coo_array])
def test_sparse_rows(make):
    X, y = load("digits")
    model = OneVsAllLogisticRegression(**EXACT).fit(make(X), y)
    dense = OneVsAllLogisticRegression(**EXACT).fit(X, y)
    np.testing.assert_allclose(model.coef_, dense.coef_, atol=1e-5)
    np.testing.assert_array_equal(model.predict(make(X)), dense.predict(X))


@pytest.mark.parametrize(
    "given", ["float64", "float32", "float16", "bfloat16", "uint8", "bool", "int32", "int64"]
)
def test_the_dtype_follows_X(blobs, given):
    X, y = blobs
    if given == "bfloat16":
        pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    expected = "float64" if given in ("float64", "int32", "int64") else "float32"
    X = np.clip(X + 2, 0, 9).astype(given)
    model = OneVsAllLogisticRegression(max_iter=2, tol=0).fit(X, y)
    for array in (model.coef_, model.intercept_, model.predict_proba(X)):
        assert array.dtype == expected
    other = OneVsAllLogisticRegression(max_iter=2, tol=0, dtype="float32").fit(X, y)
    assert other.coef_.dtype == np.float32
    assert model.model_.scale == 1.0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_rows_of_16_bits_are_checked_as_they_are(blobs, dtype):
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    X, y = blobs[0].astype(dtype), blobs[1]
    model = OneVsAllLogisticRegression().fit(X, y)
    assert model.model_.data["dtype"] == dtype
    expected = OneVsAllLogisticRegression(dtype="float32").fit(X.astype(np.float32), y)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-3, atol=1e-5)
    # Labels that scikit-learn is to look at itself, and what it says of them and of X.
    np.testing.assert_array_equal(model.coef_, OneVsAllLogisticRegression().fit(X, 1.0 * y).coef_)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(X, y[:-1])
    for value, words in ((np.nan, "Input X contains NaN"), (np.inf, "contains infinity")):
        X[3, 1] = value
        for call in (lambda: model.fit(X, y), lambda: model.predict(X)):
            with pytest.raises(ValueError, match=words):
                call()


def test_a_scale():
    X, y = datasets.load_digits(return_X_y=True)
    scaled = OneVsAllLogisticRegression(scale=1 / 16, **EXACT).fit(X[::6], y[::6])
    plain = OneVsAllLogisticRegression(**EXACT).fit(*load("digits"))
    np.testing.assert_allclose(16 * scaled.coef_, plain.coef_, atol=1e-6)


# ---- among scikit-learn's tools ------------------------------------------------------------------


def test_search_and_pipeline():
    X, y = datasets.load_wine(return_X_y=True)
    for model in (OneVsAllLogisticRegressionCV(Cs=CS, cv=3), OneVsAllLogisticRegression()):
        pipeline = make_pipeline(StandardScaler(), model)
        assert cross_val_score(pipeline, X, y, cv=3).mean() > 0.95
    grid = {"onevsalllogisticregression__C": [1e-4, 1.0]}
    search = GridSearchCV(pipeline, grid, cv=3, n_jobs=1).fit(X, y)
    assert search.best_params_ == {"onevsalllogisticregression__C": 1.0}
    assert search.best_estimator_[-1].coef_.shape == (3, 13)
    area = cross_val_score(pipeline, X, y, cv=3, scoring="roc_auc_ovr")
    assert area.mean() > 0.99


def test_sample_weights_are_routed():
    X, y = load("wine")
    model = OneVsAllLogisticRegression()
    s = np.where(y == 2, 0.0, 1.0)
    with sklearn.config_context(enable_metadata_routing=True):
        model.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        found = cross_validate(model, X, y, params={"sample_weight": s}, return_estimator=True)
    for one in found["estimator"]:
        assert not np.any(one.predict(X) == 2)
    assert found["test_score"].mean() > 0.9


def test_attributes(blobs):
    X, y = blobs
    model = OneVsAllLogisticRegression().fit(X, y)
    assert model.coef_.shape == (3, 4)
    assert model.intercept_.shape == (3,)
    assert model.n_iter_.tolist() == [model.model_.history.n_iter.max()]
    assert model.n_features_in_ == 4
    np.testing.assert_array_equal(model.coef_.T, model.model_.weights)
    assert isinstance(model.model_, gpulr.OneVsAll)
    binary = OneVsAllLogisticRegression().fit(X, y > 0)
    assert binary.coef_.shape == (1, 4)
    assert binary.classes_.tolist() == [False, True]
    Z = binary.decision_function(X)
    assert Z.shape == (90,)
    np.testing.assert_array_equal(binary.predict(X), Z > 0)


# ---- training ------------------------------------------------------------------------------------


def test_a_warm_start_needs_the_same_features_and_can_be_left_out(blobs):
    X, y = blobs
    model = OneVsAllLogisticRegression(warm_start=True, **EXACT).fit(X.astype(float), y)
    assert model.n_iter_.max() > 3
    weights = model.coef_.copy()
    assert model.fit(X.astype(float), y).n_iter_.max() == 0
    np.testing.assert_array_equal(model.coef_, weights)
    with pytest.raises(ValueError, match="model of 4 features"):
        model.fit(X[:, :2], y)
    assert model.set_params(warm_start=False, tol=1e-4).fit(X[:, :2], y).coef_.shape == (3, 2)


BOTH = pytest.mark.parametrize(
    "model",
    [OneVsAllLogisticRegression(), OneVsAllLogisticRegressionCV(Cs=CS, cv=3)],
    ids=["one", "cv"],
)


@BOTH
def test_the_warning_is_scikit_learns_and_gpulrs(blobs, model):
    model = clone(model).set_params(max_iter=2, tol=1e-12)
    for category in (ConvergenceWarning, gpulr.ConvergenceWarning):
        with pytest.warns(category, match=r"did not reach tol=1e-12.*raise max_iter") as caught:
            model.fit(*blobs)
        assert len(caught) == 1
        assert caught[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category)
            model.fit(*blobs)


@BOTH
def test_pickles_clones_and_how_it_looks(blobs, model):
    X, y = blobs
    model = clone(model).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert again.model_.settings == model.model_.settings
    assert clone(model).get_params() == model.get_params()
    np.testing.assert_array_equal(clone(model).fit(X, y).coef_, model.coef_)
    assert type(model).__name__ in model._repr_html_()
    assert repr(OneVsAllLogisticRegression(C=2.0)) == "OneVsAllLogisticRegression(C=2.0)"


@BOTH
def test_verbose_shows_a_progress_bar(blobs, monkeypatch, model):
    shown = []
    monkeypatch.setattr(logistic_regression, "ProgressBar", lambda: shown.append)
    monkeypatch.setattr(cross_validated, "SearchProgressBar", lambda: shown.append)
    clone(model).fit(*blobs)
    assert not shown
    fitted = clone(model).set_params(verbose=1).fit(*blobs)
    if hasattr(fitted, "search_"):
        assert shown[-1].done == shown[-1].total == 27
    else:
        assert shown[-1].iteration == fitted.n_iter_.max()


@pytest.mark.parametrize("cv", [False, True])
def test_a_stall_at_rounding_is_silent_and_any_other_is_told(cv, rng):
    """Nothing can be done about the first; that tol was not met is known all the same."""
    X, y = datasets.load_iris(return_X_y=True)
    model = OneVsAllLogisticRegression(C=0.01, tol=1e-12)
    if cv:
        model = OneVsAllLogisticRegressionCV(Cs=[0.01], cv=3, tol=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X.astype(np.float32), y)
    assert not model.model_.converged
    assert model.model_.history.stalled.all()
    assert model.n_iter_.max() < model.max_iter
    with pytest.warns(gpulr.ConvergenceWarning, match="float32"):  # who trains is told
        gpulr.train(X.astype(np.float32), y, C=0.01, tol=1e-12, scale=None)
    # Margins lose the digits that an offset of the features takes: standardising helps.
    X, y = rng.normal(size=(300, 5)) + 1e4, rng.integers(0, 3, 300)
    with pytest.warns(ConvergenceWarning, match="standardize=True"):
        model.fit(X.astype(np.float32), y)
    assert not model.model_.converged


def test_an_interrupted_estimator_is_fitted(blobs, monkeypatch):
    def interrupt(progress):
        if progress.iteration == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(logistic_regression, "ProgressBar", lambda: interrupt)
    model = OneVsAllLogisticRegression(verbose=1)
    with pytest.raises(gpulr.TrainingInterrupted):
        model.fit(*blobs)
    assert model.n_iter_.tolist() == [2]
    assert model.score(*blobs) > 0.5


@pytest.mark.parametrize("module", [logistic_regression, cross_validated])
def test_docstring_examples(module):
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


# ---- the C that cross-validation chooses ---------------------------------------------------------


def test_attributes_of_a_search_and_one_standard_error(digits):
    X, y = digits[0][:400], digits[1][:400]
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
    X = rng.normal(size=(150, 5)) + 0.5
    y = X @ rng.normal(size=5) + rng.normal(size=150) > 0.3
    settings = {"Cs": CS, "cv": 5, "tol": 1e-8, "fit_intercept": fit_intercept}
    ours = OneVsAllLogisticRegressionCV(**settings).fit(X, y)
    theirs = LogisticRegressionCV(**settings, scoring="accuracy", solver="newton-cholesky")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parameters that one version has and another lacks
        theirs.fit(X, y)
    scores = theirs.scores_[True] if isinstance(theirs.scores_, dict) else theirs.scores_
    np.testing.assert_allclose(ours.scores_, scores.reshape(5, 3), atol=1e-12)
    assert np.ravel(theirs.C_)[0] == ours.C_
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)


def test_the_model_is_one_vs_rest_at_the_chosen_c(blobs):
    X, y = blobs
    ours = OneVsAllLogisticRegressionCV(Cs=CS, cv=3, tol=1e-8, dtype="float64").fit(X, y)
    inner = LogisticRegression(C=ours.C_, solver="newton-cholesky", tol=1e-9, max_iter=10_000)
    theirs = OneVsRestClassifier(inner).fit(X.astype(np.float64), y)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-4)


def test_a_search_of_a_C_for_each_model(put, blobs):
    X, y = blobs
    fitted = OneVsAllLogisticRegressionCV(Cs=CS, cv=3, per_model=True).fit(put(X), y)
    found = gpulr.search(put(X), y, Cs=CS, cv=3, scale=None, per_model=True)
    assert fitted.C_.shape == (3,)
    assert device(fitted.C_) == device(fitted.coef_)
    assert to_host(fitted.C_).tolist() == found.best_C.tolist()
    assert fitted.search_.model.settings["C"] == found.best_C.tolist()
    assert fitted.search_.model_scores.shape == (3, len(CS), 3)
    assert fitted.search_.paths is fitted.coefs_paths_
    fitted.coef_ = 2.0 * fitted.coef_  # its history is not known any more, its settings are
    assert fitted.model_.settings["C"] == found.best_C.tolist()
    lean = OneVsAllLogisticRegressionCV(Cs=CS, cv=3, keep_paths=False).fit(X, y)
    assert isinstance(lean.C_, float)
    assert not hasattr(lean, "coefs_paths_")
    assert lean.search_.paths is None


def test_arrays_of_a_search_stay_where_they_are(put, blobs):
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


def test_a_fold_without_a_class_is_told(blobs):
    X, y = blobs
    pairs = [(np.flatnonzero(y < 2), np.flatnonzero(y == 2))]
    with pytest.raises(ValueError, match=r"trains on no row of \[2\]"):
        OneVsAllLogisticRegressionCV(Cs=CS, cv=pairs).fit(X, y)


def test_it_is_no_more_than_one_search(blobs):
    """A C that GridSearchCV would choose from the same scores."""
    X, y = blobs
    fitted = OneVsAllLogisticRegressionCV(Cs=CS, cv=3, tol=1e-6).fit(X, y)
    for C, scores in zip(CS, fitted.scores_.T, strict=True):
        one = OneVsAllLogisticRegression(C=C, tol=1e-6)
        np.testing.assert_allclose(cross_val_score(one, X, y, cv=3), scores, atol=1e-12)
