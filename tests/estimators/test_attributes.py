"""The fitted attributes of estimators are what predicts, whoever set them."""

from __future__ import annotations

import copy
import pickle
from dataclasses import fields, replace

import numpy as np
import pytest
from array_api_compat import array_namespace
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.utils.validation import check_is_fitted

import gpulr
from gpulr import OneVsAllLogisticRegression, OneVsAllLogisticRegressionCV
from gpulr.backend import to_host
from gpulr.model.record import History

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

METHODS = ("decision_function", "predict", "predict_proba", "predict_log_proba")


def name_of(value):
    """The name of a module or function, without its address: workers have to agree on it."""
    return getattr(value, "__name__", str(value))


def pickled(model):
    return pickle.loads(pickle.dumps(model))


def unfitted(coef, intercept, classes, **parameters):
    model = OneVsAllLogisticRegression(**parameters)
    model.coef_, model.intercept_, model.classes_ = coef, intercept, classes
    return model


def assert_predicts(model, X, coef, intercept, classes, atol=1e-12):
    """Compare with the textbook's formulas."""
    Z = np.asarray(X, dtype=np.float64) @ np.asarray(coef, dtype=np.float64).T + intercept
    P = 1 / (1 + np.exp(-Z))
    if Z.shape[1] == 1:
        P, index = np.hstack([1 - P, P]), (Z[:, 0] > 0).astype(int)
    else:
        P, index = P / P.sum(axis=1, keepdims=True), Z.argmax(axis=1)
    expected = (Z[:, 0] if Z.shape[1] == 1 else Z, np.asarray(classes)[index], P, np.log(P))
    for name, values in zip(METHODS, expected, strict=True):
        found = to_host(getattr(model, name)(X))
        if name == "predict":
            np.testing.assert_array_equal(found, values)
        else:
            np.testing.assert_allclose(found, values, atol=atol, rtol=1e-9)


def keep_classes(model, index):
    for name in ("classes_", "coef_", "intercept_"):
        setattr(model, name, getattr(model, name)[index])


@pytest.fixture
def fitted(blobs):
    X, y = blobs
    names = np.array(["low", "middle", "high"])[y]
    return OneVsAllLogisticRegression(dtype="float64").fit(X.astype(float), names)


# ---- what is assigned, and what is written into -------------------------------------------------


def test_a_subset_and_an_order_of_features(fitted, blobs):
    """As celltypist does where a sample lacks genes, or has them in another order."""
    X = blobs[0].astype(float)
    kept = [3, 0, 1]
    before = fitted.n_features_in_, fitted.coef_
    fitted.n_features_in_, fitted.coef_ = len(kept), fitted.coef_[:, kept]
    assert_predicts(fitted, X[:, kept], fitted.coef_, fitted.intercept_, fitted.classes_)
    assert fitted.model_.n_features == 3
    np.testing.assert_array_equal(fitted.model_.predict(X[:, kept]), fitted.predict(X[:, kept]))
    fitted.n_features_in_, fitted.coef_ = before
    assert fitted.model_.converged  # as it was fitted


def test_fewer_classes(fitted, blobs):
    """As celltypist does to leave out cell types, down to two of them."""
    X = blobs[0].astype(float)
    two = np.array([0, 2])
    keep_classes(fitted, two)
    assert_predicts(fitted, X, fitted.coef_, fitted.intercept_, ["high", "middle"])
    theirs = LogisticRegression()
    theirs.coef_, theirs.intercept_ = fitted.coef_, fitted.intercept_
    theirs.classes_ = fitted.classes_
    np.testing.assert_array_equal(theirs.predict(X), fitted.predict(X))


@pytest.mark.parametrize("route", [pickled, copy.deepcopy, copy.copy, lambda m: m], ids=name_of)
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_writing_into_the_arrays(blobs, route, standardize, dtype):
    X, y = blobs
    X = 100 + X
    model = OneVsAllLogisticRegression(standardize=standardize, dtype=dtype).fit(X, y)
    model = route(model)
    model.coef_[1] = 0
    tight = {"atol": 1e-12 if dtype == "float64" else 1e-4}
    Z = model.decision_function(X)
    np.testing.assert_allclose(Z, X @ model.coef_.T + model.intercept_, **tight)
    model.coef_[:] = 0
    np.testing.assert_allclose(model.decision_function(X), np.tile(model.intercept_, (90, 1)))
    model.intercept_[:] = 0
    assert not model.decision_function(X).any()
    np.testing.assert_allclose(model.predict_proba(X), 1 / 3)
    assert not model.model_.decision_function(X).any()


def test_labels_by_other_names(fitted, blobs):
    X, y = blobs
    fitted.classes_ = np.array([30, 10, 20])  # of high, low, middle: in no order
    expected = np.array([10, 20, 30])[y]
    assert fitted.score(X, expected) > 0.8
    model = fitted.model_
    assert model.classes.tolist() == [10, 20, 30]
    np.testing.assert_array_equal(model.predict(X), fitted.predict(X))
    assert model.score(X, expected) == fitted.score(X, expected)
    P = fitted.predict_proba(X)
    np.testing.assert_allclose(model.predict_proba(X, normalize=True), P[:, [1, 2, 0]], rtol=1e-12)


def test_two_classes_that_change_places_and_classes_of_objects(fitted, blobs, tmp_path):
    X, y = blobs
    path = tmp_path / "m.safetensors"
    model = OneVsAllLogisticRegression().fit(X, y > 0)
    before = model.predict(X)
    model.classes_ = model.classes_[::-1]
    np.testing.assert_array_equal(model.predict(X), ~before)
    model.model_.save(path)
    np.testing.assert_array_equal(gpulr.load(path).predict(X), ~before)
    fitted.classes_ = np.array(["a", "b", "c"], dtype=object)
    assert fitted.predict(X).dtype == object
    fitted.model_.save(path)
    assert gpulr.load(path).classes.tolist() == ["a", "b", "c"]


# ---- coef_ as a sparse matrix -------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3])
def test_sparsify_and_densify_change_no_prediction(blobs, n_classes):
    X, y = blobs
    X, y = X[y < n_classes], y[y < n_classes]
    model = OneVsAllLogisticRegression().fit(X, y)
    n_iter = model.model_.n_iter
    assert n_iter > 0
    assert copy.deepcopy(model).sparsify().model_.n_iter == n_iter
    model.coef_[:, 1] = 0.0
    dense, before = model.coef_, model.decision_function(X)
    assert model.sparsify() is model
    assert sparse.issparse(model.coef_)
    assert model.coef_.format == "csr"
    assert model.coef_.nnz == 3 * model.coef_.shape[0]
    for other in (model, copy.deepcopy(model), pickled(model)):
        found = other.decision_function(X)
        assert found.dtype == before.dtype
        np.testing.assert_array_equal(found, before)
    assert model.sparsify().densify() is model
    np.testing.assert_array_equal(model.coef_, dense)
    np.testing.assert_array_equal(model.densify().decision_function(X), before)


def test_a_zero_of_either_sign_is_the_same_weight(blobs):
    """A sparse coef_ has no −0, and keeps the history of training."""
    X, y = blobs
    model = OneVsAllLogisticRegression(max_iter=1).fit(np.zeros_like(X), y)
    assert model.model_.n_iter == 1
    for zero in (0.0, -0.0):
        model.coef_[:] = zero
        assert model.model_.n_iter == 1
        assert copy.deepcopy(model).sparsify().model_.n_iter == 1
    warm = OneVsAllLogisticRegression(warm_start=True).fit(X, y).sparsify()
    assert warm.fit(X, y).n_iter_ == 0  # where a sparse coef_ is
    assert not sparse.issparse(warm.coef_)


def test_what_sparsify_refuses(blobs, xp, put):
    for method in (OneVsAllLogisticRegression.sparsify, OneVsAllLogisticRegression.densify):
        with pytest.raises(NotFittedError):
            method(OneVsAllLogisticRegression())
    if xp.__name__.endswith("numpy"):
        return
    model = OneVsAllLogisticRegression().fit(put(blobs[0]), blobs[1])
    with pytest.raises(gpulr.ParameterError, match="sparse matrices are SciPy's"):
        model.sparsify()
    assert model.densify().predict(put(blobs[0])).shape == (90,)


# ---- estimators that were never fitted ----------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("make", [np.asarray, np.ndarray.tolist, sparse.csr_array], ids=name_of)
@pytest.mark.parametrize("kind", [OneVsAllLogisticRegression, OneVsAllLogisticRegressionCV])
def test_attributes_make_an_estimator_fitted(rng, n_classes, make, kind):
    n_models = 1 if n_classes == 2 else n_classes
    coef, intercept = rng.normal(size=(n_models, 4)), rng.normal(size=n_models)
    model = kind()
    with pytest.raises(NotFittedError):
        model.predict(np.eye(4))
    with pytest.raises(NotFittedError):
        model.model_  # noqa: B018
    assert not hasattr(model, "model_")
    model.coef_, model.intercept_ = make(coef), intercept.tolist()
    model.classes_ = list("xyz"[:n_classes])
    check_is_fitted(model)
    X = rng.normal(size=(20, 4))
    assert_predicts(model, X, coef, intercept, model.classes_)
    with pytest.raises(ValueError, match="X has 3 features"):
        model.predict(X[:, :3])
    assert model.model_.n_features == 4
    assert not model.model_.converged
    with pytest.raises(NotFittedError):
        clone(model).predict(X)


def test_one_row_without_its_axis_and_one_intercept_for_all(rng):
    """As scikit-learn's own cross-validation sets them."""
    X, w = rng.normal(size=(20, 4)), rng.normal(size=4)
    model = unfitted(w, 0.0, np.array([0, 1]))
    assert_predicts(model, X, w[np.newaxis], 0.0, [0, 1])
    assert unfitted(np.eye(3), 0.5, np.arange(3)).decision_function(np.eye(3)).max() == 1.5


@pytest.mark.parametrize("dtype", ["float16", "int64", "bool", ">f8", ">f4", "float32"])
def test_numbers_of_any_type(rng, dtype):
    coef = rng.integers(0, 2, (3, 4)).astype(dtype)
    model = unfitted(coef, np.zeros(3, dtype=dtype), np.arange(3))
    Z = model.decision_function(np.eye(4))
    np.testing.assert_array_equal(Z, coef.T.astype(float))
    assert Z.dtype == ("float32" if "f4" in dtype or dtype == "float32" else "float64")


def test_rounds_of_federated_training(blobs):
    """As Flower's clients do: zeros to begin with, one iteration, the mean of the weights."""
    X, y = blobs[0].astype(float), blobs[1]
    halves = [(X[i::2], y[i::2]) for i in range(2)]

    def client(parameters, rows=None):
        model = OneVsAllLogisticRegression(warm_start=True, max_iter=1)
        model.classes_ = np.arange(3)
        model.coef_, model.intercept_ = parameters
        return model if rows is None else model.fit(*rows)

    parameters = np.zeros((3, 4)), np.zeros(3)
    for _ in range(30):
        models = [client(parameters, half) for half in halves]
        parameters = [
            np.mean([getattr(m, name) for m in models], axis=0) for name in ("coef_", "intercept_")
        ]
    there = OneVsAllLogisticRegression().fit(X, y)
    assert client(parameters).score(X, y) >= there.score(X, y) - 0.05
    # Where training had come to, it goes on.
    model = client((there.coef_, there.intercept_), (X, y))
    assert model.n_iter_.tolist() == [0]


def test_a_warm_start_needs_no_classes_and_no_intercept_that_is_not_fitted(blobs):
    X, y = blobs
    there = OneVsAllLogisticRegression(fit_intercept=False).fit(X, y)
    model = OneVsAllLogisticRegression(fit_intercept=False, warm_start=True)
    model.coef_ = there.coef_
    assert model.fit(X, y).n_iter_.tolist() == [0]
    with pytest.raises(gpulr.ParameterError, match="intercept_ is not"):
        unfitted(there.coef_, None, None, warm_start=True).fit(X, y)


def test_a_warm_start_follows_the_classes(fitted, blobs):
    X, y = blobs[0].astype(float), np.array(["low", "middle", "high"])[blobs[1]]
    model = clone(fitted).set_params(warm_start=True)
    model.classes_, model.coef_ = fitted.classes_, fitted.coef_
    model.intercept_ = fitted.intercept_
    keep_classes(model, [2, 0, 1])
    assert model.fit(X, y).n_iter_.tolist() == [0]
    assert model.classes_.tolist() == ["high", "low", "middle"]
    two = unfitted(np.eye(2, 4), np.zeros(2), np.array([0, 1]), warm_start=True)
    message = r"coef_, which has 2 rows.*it takes 1.*warm_start=False"
    with pytest.raises(gpulr.ParameterError, match=message):
        two.fit(X, y == "low")


# ---- what does not belong together ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"coef_": np.zeros((3, 5))}, r"5 columns, and n_features_in_ is 4. Assign n_features_in_"),
        ({"n_features_in_": 2}, r"4 columns, and n_features_in_ is 2"),
        ({"coef_": np.zeros((2, 4))}, r"coef_ has 2 rows, and classes_ has shape \(3,\)"),
        ({"coef_": np.zeros((1, 4))}, r"coef_ has 1 rows, and classes_ has shape \(3,\)"),
        ({"classes_": np.arange(2)}, r"classes_ has shape \(2,\)"),
        ({"classes_": np.zeros((3, 1))}, r"classes_ has shape \(3, 1\)"),
        ({"intercept_": np.zeros(4)}, r"intercept_ has shape \(4,\).*coef_ has 3"),
        ({"intercept_": ["a", "b", "c"]}, r"intercept_ has .*dtype <U1"),
        ({"intercept_": None}, "intercept_ is not"),
        ({"coef_": np.zeros((3, 4, 1))}, r"coef_ has shape \(3, 4, 1\)"),
        ({"coef_": np.zeros((0, 4))}, r"coef_ has shape \(0, 4\)"),
        ({"coef_": np.zeros((3, 4), dtype=complex)}, "coef_ has dtype complex128"),
        ({"coef_": None}, "coef_ has dtype object"),
    ],
    ids=str,
)
def test_attributes_that_do_not_belong_together(fitted, blobs, attributes, message):
    for name, value in attributes.items():
        setattr(fitted, name, value)
    for method in METHODS:
        with pytest.raises(gpulr.ParameterError, match=message):
            getattr(fitted, method)(blobs[0])
    with pytest.raises(gpulr.ParameterError, match=message):
        fitted.model_  # noqa: B018


def test_classes_that_no_model_can_have(fitted, blobs):
    fitted.classes_ = np.array([1, 1, 2])
    assert set(fitted.predict(blobs[0])) <= {1, 2}
    with pytest.raises(gpulr.ParameterError, match="more than once"):
        fitted.model_  # noqa: B018


# ---- one truth for what is saved, exported and asked for -----------------------------------------


@pytest.mark.parametrize("kept", [[0, 1, 2], [0, 2]], ids=["all", "two models of two classes"])
def test_what_is_saved_and_exported_is_what_predicts(fitted, blobs, tmp_path, kept):
    onnxruntime = pytest.importorskip("onnxruntime")
    X = blobs[0].astype(float)
    fitted.coef_ = fitted.coef_[::-1] + 0.5
    fitted.intercept_ = fitted.intercept_ - 1
    keep_classes(fitted, kept)
    assert_predicts(fitted, X, fitted.coef_, fitted.intercept_, fitted.classes_)
    expected = fitted.predict_proba(X)
    fitted.model_.save(tmp_path / "model.safetensors")
    loaded = gpulr.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded.predict_proba(X, normalize=True), expected)
    theirs = fitted.model_.to_sklearn()
    assert isinstance(theirs, OneVsRestClassifier)
    assert len(theirs.estimators_) == loaded.n_models == len(kept)
    np.testing.assert_array_equal(theirs.predict(X), fitted.predict(X))
    np.testing.assert_allclose(theirs.predict_proba(X), expected, rtol=1e-9)
    assert loaded.score(X, fitted.predict(X)) == 1.0
    fitted.model_.to_onnx(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    np.testing.assert_array_equal(session.run(["label"], {"X": X})[0], fitted.predict(X))


def test_the_history_is_that_of_the_weights(fitted, blobs):
    X, y = blobs[0].astype(float), np.array(["low", "middle", "high"])[blobs[1]]
    trained = fitted.model_
    assert trained.converged
    assert trained.n_iter == fitted.n_iter_[0]
    assert trained.settings["solver"] == "lbfgs"
    for route in (pickled, copy.deepcopy):
        again = route(fitted).model_
        for field in fields(History):
            kept = getattr(again.history, field.name)
            np.testing.assert_array_equal(kept, getattr(trained.history, field.name))
        assert again.settings == trained.settings
        assert again.data == trained.data
    fitted.coef_ = fitted.coef_.copy()
    assert fitted.model_.converged
    fitted.coef_[0, 0] += 1
    changed = fitted.model_
    assert not changed.converged
    assert np.isnan(changed.history.cost).all()
    assert changed.history.cost.shape == (1, 3)
    assert changed.settings == {"C": 1.0, "tol": 1e-4, "max_iter": 2000}
    assert repr(changed).endswith("3 classes, made of assigned weights>")
    assert fitted.fit(X, y).model_.converged


def test_what_is_kept_of_pictures(images):
    X, y = images
    model = OneVsAllLogisticRegression(image_shape=(8, 4), max_iter=5).fit(X, y)
    assert model.model_.image_shape == (8, 4)
    model.coef_[:] += 0.1
    assert model.model_.image_shape == (8, 4)
    model.coef_, model.n_features_in_ = model.coef_[:, :20], 20
    assert model.model_.image_shape is None


def test_names_of_features_go_with_the_model(blobs, tmp_path):
    pandas = pytest.importorskip("pandas")
    X, y = blobs
    table = pandas.DataFrame(X, columns=list("abcd"))
    model = OneVsAllLogisticRegression().fit(table, y)
    assert model.model_.data["feature_names"] == list("abcd")
    mixed = model.model_.predict(table[list("dbca")])  # in any order: it knows them
    np.testing.assert_array_equal(mixed, model.predict(table))
    # scikit-learn's rule: names that were fitted are compared with those of X.
    model.coef_, model.n_features_in_ = model.coef_[:, [1, 0]], 2
    with pytest.raises(ValueError, match="feature names"):
        model.predict(table[["b", "a"]])
    assert "feature_names" not in model.model_.data
    model.feature_names_in_ = np.array(["b", "a"], dtype=object)
    attributes = model.coef_, model.intercept_, model.classes_
    assert_predicts(model, table[["b", "a"]], *attributes, atol=1e-5)
    assert model.model_.data["feature_names"] == ["b", "a"]


def test_pickles_are_small_and_do_not_hold_a_model(digits):
    X, y = digits[0][:300], digits[1][:300]
    model = OneVsAllLogisticRegression(max_iter=3).fit(X, y)
    assert "model_" not in vars(model)
    wide = clone(model).fit(np.tile(X, 10), y)
    arrays = model.coef_.nbytes + 8 * X.shape[1]  # and the features' standard deviations
    assert len(pickle.dumps(wide)) - len(pickle.dumps(model)) < 1.05 * 9 * arrays


@pytest.mark.parametrize("cv", [False, True])
def test_pickles_of_before(blobs, cv):
    """From when the model was an attribute of its own, and parameters were fewer."""
    X, y = blobs
    kind = OneVsAllLogisticRegressionCV if cv else OneVsAllLogisticRegression
    now = kind(**{"Cs": [0.1, 1.0], "cv": 3} if cv else {"C": 0.5}).fit(X, y)
    state = dict(now.__getstate__())
    for name in ("_record", "_found", "penalty", "standardize", "callbacks", "n_jobs"):
        state.pop(name, None)
    state["model_"], state["n_iter_"] = now.model_, now.model_.history.n_iter
    if cv:
        state["search_"] = now.search_
    before = kind.__new__(kind)
    before.__setstate__(state)
    np.testing.assert_array_equal(before.predict_proba(X), now.predict_proba(X))
    assert repr(before) == repr(now)
    assert before.model_.converged
    np.testing.assert_array_equal(clone(before).fit(X, y).coef_, now.coef_)
    if cv:
        np.testing.assert_array_equal(before.search_.scores, now.search_.scores)
    before.coef_[:] = 0
    assert not (before.decision_function(X) - before.intercept_).any()


def test_the_search_of_the_cv_estimator_has_the_same_model(blobs):
    X, y = blobs
    model = OneVsAllLogisticRegressionCV(Cs=[0.1, 1.0], cv=3).fit(X, y)
    assert model.search_.model.converged
    model.coef_, model.intercept_ = np.zeros((3, 4)), np.array([0.0, 1.0, 0.0])
    assert set(model.predict(X)) == {1}
    for one in (model.model_, model.search_.model):
        assert set(one.predict(X)) == {1}
        assert one.settings["C"] == model.C_
    assert "_found" not in repr(replace(model.search_, model=None))


# ---- standardised training -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_standardised_training_keeps_its_digits(blobs, dtype):
    """Margins cancel where means are large; the intercept says the digits that make up for it."""
    X, y = blobs
    X = X.astype(float) + 30_000
    model = OneVsAllLogisticRegression(standardize=True, dtype=dtype).fit(X, y)
    exact = X @ model.coef_.astype(float).T + model.intercept_
    atol = 1e-5 if dtype == "float32" else 1e-9
    np.testing.assert_allclose(model.decision_function(X), exact, atol=atol)
    trained = gpulr.train(X, y, standardize=True, dtype=dtype, scale=None)
    np.testing.assert_allclose(model.decision_function(X), trained.decision_function(X), atol=1e-5)
    # The centre is no second truth: with features in another order the margins are the same.
    order = [2, 0, 3, 1]
    model.coef_ = model.coef_[:, order]
    tolerance = 0.2 if dtype == "float32" else 1e-9
    np.testing.assert_allclose(model.decision_function(X[:, order]), exact, atol=tolerance)


def test_attributes_of_other_libraries(put, blobs):
    X, y = blobs
    model = OneVsAllLogisticRegression(standardize=True, dtype="float64").fit(put(X), put(y))
    expected = to_host(model.decision_function(put(X)))
    xp = array_namespace(model.coef_)
    order = [2, 0, 1]
    model.coef_ = xp.take(model.coef_, put(order), axis=0)
    model.intercept_ = to_host(model.intercept_)[order]
    model.classes_ = put(model.classes_[order])
    Z = model.decision_function(put(X))
    assert array_namespace(Z) is array_namespace(put(X))
    np.testing.assert_allclose(to_host(Z), expected[:, order], atol=1e-9)
    np.testing.assert_allclose(to_host(model.decision_function(X)), expected[:, order], atol=1e-9)
    np.testing.assert_array_equal(model.model_.predict(X), model.predict(X))
    model.coef_ = put(np.ones((3, 4), dtype=np.int64))
    expected = X.sum(axis=1, keepdims=True, dtype=np.float64) + to_host(model.intercept_)
    np.testing.assert_allclose(to_host(model.decision_function(put(X))), expected, atol=1e-6)
