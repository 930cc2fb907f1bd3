"""Rows with any number of labels, as scikit-learn's OneVsRestClassifier takes and predicts them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from array_api_compat import array_namespace
from scipy import sparse
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import gpulr
from gpulr import OneVsAllLogisticRegression, OneVsAllLogisticRegressionCV
from gpulr.backend import to_host

EXACT = {"tol": 1e-9, "max_iter": 20_000}
METHODS = ("predict", "predict_proba", "decision_function")
NAMES = ["cat", "dog", "ant", "bee"]


@pytest.fixture
def tagged(rng):
    """X (120, 5) and Y (120, 4): rows with none, some and all of four labels."""
    X = rng.normal(size=(120, 5))
    Y = X @ rng.normal(size=(5, 4)) + rng.normal(size=(120, 4)) > [0.0, 1.0, -1.0, 0.5]
    assert {0, 4} <= set(Y.sum(axis=1))
    return X, Y.astype(np.int64)


@pytest.fixture
def theirs():
    return OneVsRestClassifier(LogisticRegression(solver="newton-cholesky", tol=1e-9))


@pytest.mark.parametrize("n_labels", [2, 4])
def test_all_that_one_vs_rest_says(tagged, theirs, n_labels):
    X, Y = tagged[0], tagged[1][:, :n_labels]
    ours, theirs = OneVsAllLogisticRegression(**EXACT).fit(X, Y), theirs.fit(X, Y)
    assert ours.multilabel_
    assert not hasattr(ours, "estimators_")
    assert ours.coef_.shape == (n_labels, 5)
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    for method in METHODS:
        found, expected = getattr(ours, method)(X), getattr(theirs, method)(X)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
        assert found.dtype == expected.dtype
    np.testing.assert_allclose(ours.predict_log_proba(X), np.log(theirs.predict_proba(X)), 1e-4)
    weight = np.linspace(0.0, 2.0, 120)
    assert ours.score(X, Y) == theirs.score(X, Y)
    np.testing.assert_allclose(ours.score(X, Y, weight), theirs.score(X, Y, weight), rtol=1e-12)


@pytest.mark.parametrize(
    "form", [np.ndarray.tolist, list, lambda Y: Y.astype(bool), lambda Y: Y.astype(np.float32)]
)
def test_every_dense_form_is_the_same(tagged, form):
    X, Y = tagged
    expected = OneVsAllLogisticRegression().fit(X, Y)
    found = OneVsAllLogisticRegression().fit(X, form(Y))
    np.testing.assert_array_equal(found.coef_, expected.coef_)
    np.testing.assert_array_equal(found.predict(X), expected.predict(X))
    assert found.score(X, form(Y)) == expected.score(X, Y)


@pytest.mark.parametrize("form", [sparse.csr_array, sparse.csc_matrix, sparse.coo_array])
def test_predictions_are_sparse_where_labels_were(tagged, theirs, form):
    X, Y = tagged
    ours, theirs = OneVsAllLogisticRegression(**EXACT).fit(X, form(Y)), theirs.fit(X, form(Y))
    found, expected = ours.predict(X), theirs.predict(X)
    assert sparse.issparse(found)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found.toarray(), expected.toarray())
    assert ours.score(X, form(Y)) == ours.score(X, Y) == theirs.score(X, form(Y))
    assert not sparse.issparse(ours.fit(X, Y).predict(X))


def test_names_of_a_frame_are_the_models(tagged):
    pandas = pytest.importorskip("pandas")
    X, Y = tagged
    frame = pandas.DataFrame(Y, columns=NAMES)
    ours = OneVsAllLogisticRegression().fit(X, frame)
    np.testing.assert_array_equal(ours.classes_, np.arange(4))
    assert ours.model_.classes.tolist() == NAMES
    assert ours.model_.multilabel
    assert ours.model_.history.converged.all()
    assert ours.score(X, frame) == ours.score(X, Y) == ours.model_.score(X, frame)
    with pytest.raises(gpulr.DataError, match="this model tells the labels"):
        ours.score(X, frame[NAMES[::-1]])
    # Labels left out by their numbers keep their names; names that are assigned are theirs.
    ours.coef_, ours.intercept_ = ours.coef_[[2, 0]], ours.intercept_[[2, 0]]
    ours.classes_ = ours.classes_[[2, 0]]
    assert ours.model_.classes.tolist() == ["ant", "cat"]
    np.testing.assert_array_equal(ours.predict(X), ours.model_.predict(X))
    ours.classes_ = ["x", "y"]
    assert ours.model_.classes.tolist() == ["x", "y"]


def test_one_label_that_is_left_is_still_a_matrix(tagged):
    X, Y = tagged
    ours = OneVsAllLogisticRegression().fit(X, Y)
    expected = {method: getattr(ours, method)(X)[:, 1:2] for method in METHODS}
    ours.coef_, ours.intercept_, ours.classes_ = ours.coef_[1], ours.intercept_[1:2], [1]
    for method in METHODS:
        np.testing.assert_allclose(getattr(ours, method)(X), expected[method], rtol=1e-12)


def test_a_constant_label_is_learnt(tagged):
    X, Y = tagged
    Y[:, 1], Y[:, 2] = 0, 1
    ours = OneVsAllLogisticRegression().fit(X, Y)
    np.testing.assert_array_equal(ours.predict(X)[:, 1:3], Y[:, 1:3])


@pytest.fixture
def partly(tagged, rng):
    """X and Y with a fifth of the labels unknown, NaN; and which are known."""
    X, Y = tagged
    known = rng.random(Y.shape) < 0.8
    return X, np.where(known, Y, np.nan), known


def test_unknown_labels_count_nowhere(partly, theirs):
    X, Y, known = partly
    ours = OneVsAllLogisticRegression(**EXACT).fit(X, Y)
    for j in range(4):
        rows = known[:, j]
        alone = theirs.estimator.fit(X[rows], Y[rows, j])
        np.testing.assert_allclose(ours.coef_[j], alone.coef_[0], atol=1e-5)
        np.testing.assert_allclose(ours.intercept_[j], alone.intercept_[0], atol=1e-5)
    right = (ours.predict(X) == Y) | ~known
    weight = np.linspace(0.0, 2.0, 120)
    assert ours.score(X, Y) == pytest.approx(right.all(axis=1).mean(), rel=1e-12)
    expected = np.average(right.all(axis=1), weights=weight)
    assert ours.score(X, Y, weight) == pytest.approx(expected, rel=1e-12)


def test_unknown_labels_in_every_form(partly):
    X, Y, known = partly
    expected = OneVsAllLogisticRegression().fit(X, Y)
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(Y, columns=NAMES)
    forms = [frame.astype("Int8"), frame.astype("boolean"), np.where(known, Y, None)]
    for form in forms:
        found = OneVsAllLogisticRegression().fit(X, form)
        np.testing.assert_array_equal(found.coef_, expected.coef_)
        assert found.score(X, form) == expected.score(X, Y)


def test_unknown_labels_among_the_tools(partly):
    """scikit-learn's refuse them unless they are passed a splitter; gpulr's take them."""
    X, Y, _ = partly
    folds = KFold(3)
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match="NaN"):
        cross_val_score(OneVsAllLogisticRegression(), X, Y, cv=3)
    scores = cross_val_score(OneVsAllLogisticRegression(), X, Y, cv=folds, error_score="raise")
    own = OneVsAllLogisticRegressionCV(Cs=[1.0], cv=folds).fit(X, Y)
    np.testing.assert_allclose(own.scores_[:, 0], scores, atol=0.06)  # tolerances differ
    grid = {"C": [0.01, 1.0]}
    found = GridSearchCV(OneVsAllLogisticRegression(), grid, cv=folds, error_score="raise")
    assert found.fit(X, Y).best_estimator_.multilabel_
    P = gpulr.cross_val_predict(X, Y, cv=folds)
    assert P.shape == Y.shape
    with pytest.raises(gpulr.DataError):
        OneVsAllLogisticRegression().fit(X, np.where(np.arange(4) == 2, np.nan, Y))


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_weights_are_those_of_one_vs_rest(tagged, class_weight):
    X, Y = tagged
    theirs = OneVsRestClassifier(LogisticRegression(tol=1e-9, class_weight=class_weight))
    theirs.set_params(estimator__solver="newton-cholesky").fit(X, Y)
    ours = OneVsAllLogisticRegression(class_weight=class_weight, **EXACT).fit(X, Y)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-5)
    heavier = OneVsAllLogisticRegression(pos_weight=[1.0, 4.0, 1.0, 1.0], **EXACT).fit(X, Y)
    changed = heavier.coef_ != OneVsAllLogisticRegression(**EXACT).fit(X, Y).coef_
    assert changed.any(axis=1).tolist() == [False, True, False, False]


def test_where_the_arrays_are(put, tagged):
    X, Y = tagged
    ours = OneVsAllLogisticRegression(dtype="float32").fit(put(X), put(Y))
    expected = OneVsAllLogisticRegression(dtype="float32").fit(X, Y)
    for method in METHODS:
        found = getattr(ours, method)(put(X))
        assert array_namespace(found) is array_namespace(put(X))
        assert found.dtype == put(getattr(expected, method)(X)).dtype
        np.testing.assert_allclose(to_host(found), getattr(expected, method)(X), atol=2e-3)
    assert ours.score(put(X), put(Y)) == pytest.approx(expected.score(X, Y), abs=0.02)


@pytest.mark.parametrize("scoring", [None, "f1_macro", "roc_auc", "average_precision"])
@pytest.mark.parametrize("n_labels", [2, 4])
def test_cross_validation_by_scikit_learn(tagged, theirs, scoring, n_labels):
    X, Y = tagged[0], tagged[1][:, :n_labels]
    ours = make_pipeline(StandardScaler(), OneVsAllLogisticRegression(**EXACT))
    found, expected = (
        cross_val_score(each, X, Y, cv=3, scoring=scoring, error_score="raise")
        for each in (ours, make_pipeline(StandardScaler(), theirs))
    )
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_out_of_fold_answers_of_scikit_learn(tagged, theirs, method):
    X, Y = tagged
    ours = cross_val_predict(OneVsAllLogisticRegression(**EXACT), X, Y, cv=3, method=method)
    theirs = cross_val_predict(theirs, X, Y, cv=3, method=method)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_grid_search(tagged, theirs):
    X, Y = tagged
    ours = GridSearchCV(OneVsAllLogisticRegression(**EXACT), {"C": [0.01, 1.0]}, cv=3).fit(X, Y)
    theirs = GridSearchCV(theirs, {"estimator__C": [0.01, 1.0]}, cv=3).fit(X, Y)
    np.testing.assert_allclose(
        ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], atol=1e-9
    )
    assert ours.best_params_["C"] == theirs.best_params_["estimator__C"]


def test_its_own_cross_validation(tagged):
    X, Y = tagged
    ours = OneVsAllLogisticRegressionCV(Cs=[0.01, 1.0], cv=3).fit(X, Y)
    found = gpulr.search(X, Y, Cs=[0.01, 1.0], cv=3, scale=None, dtype="float64")
    np.testing.assert_array_equal(ours.scores_, found.scores)
    assert ours.multilabel_
    assert found.best_C == ours.C_
    assert ours.coefs_paths_.shape == (3, 2, 4, 6)
    np.testing.assert_array_equal(ours.predict(X), found.model.predict(X))
    assert ours.search_.model.multilabel


def test_calibration_takes_one_label_per_row_only(tagged, theirs):
    X, Y = tagged
    for each in (OneVsAllLogisticRegression(), theirs):
        with pytest.raises(ValueError, match="1d array"):
            CalibratedClassifierCV(each).fit(X, Y)


def test_copies(tagged):
    X, Y = tagged
    pandas = pytest.importorskip("pandas")
    ours = OneVsAllLogisticRegression().fit(X, pandas.DataFrame(Y, columns=NAMES))
    again = pickle.loads(pickle.dumps(ours))
    assert again.model_.classes.tolist() == NAMES
    np.testing.assert_array_equal(again.predict(X), ours.predict(X))
    assert not hasattr(clone(ours), "coef_")
    with pytest.raises(AttributeError, match="not fitted"):
        _ = clone(ours).multilabel_
    # Afterwards it can be trained on one class per row, and the other way round.
    assert not again.fit(X, Y[:, 0]).multilabel_
    assert again.classes_.tolist() == [0, 1]
    assert again.fit(X, Y).model_.classes.tolist() == [0, 1, 2, 3]


def test_skops(tagged):
    io = pytest.importorskip("skops.io")
    X, Y = tagged
    ours = OneVsAllLogisticRegression().fit(X, sparse.csr_array(Y))
    name = "gpulr.estimators.logistic_regression.OneVsAllLogisticRegression"
    content = io.dumps(ours)
    assert io.get_untrusted_types(data=content) == [name]
    again = io.loads(content, trusted=[name])
    np.testing.assert_array_equal(again.predict(X).toarray(), ours.predict(X).toarray())
    assert again.model_.multilabel


def test_pipelines_know_names_of_columns(tagged):
    pandas = pytest.importorskip("pandas")
    X, Y = tagged
    pipeline = make_pipeline(StandardScaler(), OneVsAllLogisticRegression())
    pipeline.set_output(transform="pandas")
    pipeline.fit(pandas.DataFrame(X, columns=list("abcde")), Y)
    assert pipeline[-1].feature_names_in_.tolist() == list("abcde")
    assert pipeline[-1].model_.data["feature_names"] == list("abcde")


def test_a_warm_start(tagged):
    X, Y = tagged
    ours = OneVsAllLogisticRegression(warm_start=True).fit(X, Y)
    assert ours.fit(X, Y).n_iter_[0] == 0
    with pytest.raises(gpulr.ParameterError, match=r"for the labels .*takes 3: .*classes"):
        ours.fit(X, Y[:, :3].argmax(axis=1))
    ours.fit(X, Y)
    ours.coef_, ours.intercept_, ours.classes_ = ours.coef_[:3], ours.intercept_[:3], [0, 1, 2]
    with pytest.raises(gpulr.ParameterError, match=r"for the labels .*features, classes"):
        ours.fit(X, Y[:, :3].argmax(axis=1))
    # Weights that are assigned begin the first training too.
    other = OneVsAllLogisticRegression(warm_start=True)
    trained = OneVsAllLogisticRegression().fit(X, Y)
    other.coef_, other.intercept_ = trained.coef_, trained.intercept_
    assert other.fit(X, Y).n_iter_[0] == 0
    assert other.multilabel_


@pytest.mark.parametrize(
    ("Y", "says"),
    [
        (np.array([[0, 2]] * 120), "expected 0 and 1 only"),
        (np.array([["a", "b"]] * 120), "MultiLabelBinarizer"),
        (np.ones((119, 2)), "a row of zeros and ones for each row of X"),
        (np.zeros((120, 2, 2)), "dim"),
        ([[0, 1]] * 119 + [[0, 1, 1]], "rows of equal length|MultiLabelBinarizer"),
    ],
)
def test_what_is_no_matrix_of_labels(tagged, Y, says):
    with pytest.raises(ValueError, match=says):
        OneVsAllLogisticRegression().fit(tagged[0], Y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("raw", [False, True])
def test_an_onnx_pipeline(tagged, dtype, raw):
    skl2onnx = pytest.importorskip("skl2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    gpulr.register_skl2onnx()
    X, Y = tagged[0].astype(dtype), tagged[1]
    ours = OneVsAllLogisticRegression()
    pipeline = make_pipeline(StandardScaler(), ours).fit(X, Y)
    options = {id(ours): {"zipmap": False, "raw_scores": raw}}
    content = skl2onnx.to_onnx(pipeline, X[:1], options=options).SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    label, scores = session.run(None, {session.get_inputs()[0].name: X})
    np.testing.assert_array_equal(label, pipeline.predict(X))
    expected = (pipeline.decision_function if raw else pipeline.predict_proba)(X)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)
