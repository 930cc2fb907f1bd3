"""cross_val_predict(): each row is answered by the models of its fold, as these answer alone."""

from __future__ import annotations

import array_api_compat
import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit, StratifiedKFold
from sklearn.model_selection import cross_val_predict as of_scikit_learn
from sklearn.multiclass import OneVsRestClassifier

import gpulr
from gpulr.backend import to_host

METHODS = ["predict_proba", "decision_function", "predict"]
EXACT = {"dtype": "float64", "tol": 1e-9}


def labelled(rng, kind):
    """Rows and labels that overlap: of two classes, of three (texts), or any number of four."""
    X = rng.normal(size=(150, 5))
    Y = (X @ rng.normal(size=(5, 4)) + rng.normal(size=(150, 4)) > 0).astype(np.int64)
    if kind == "labels":
        return X, Y
    codes = Y[:, 0] if kind == "two" else np.array(["a", "bc", "d"])[Y[:, 0] + Y[:, 1]]
    return X, codes


def theirs(X, y, method, cv, C):
    one = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-9, max_iter=500)
    model = one if len(np.unique(y)) == 2 and y.ndim == 1 else OneVsRestClassifier(one)
    return of_scikit_learn(model, X, y, cv=cv, method=method)


@pytest.mark.covering(2)
@pytest.mark.parametrize("kind", ["two", "three", "labels"])
@pytest.mark.parametrize("method", METHODS)
def test_rows_are_answered_as_scikit_learn_answers_them(put, rng, kind, method):
    X, y = labelled(rng, kind)
    cv = KFold(4, shuffle=True, random_state=0)
    found = gpulr.cross_val_predict(put(X), y, C=0.3, cv=cv, method=method, **EXACT)
    expected = theirs(X, y, method, cv, 0.3)
    if method == "predict":
        assert to_host(found).tolist() == expected.tolist()
        assert to_host(found).dtype == (np.uint8 if kind == "labels" else y.dtype)
        return
    assert array_api_compat.device(found) == array_api_compat.device(put(X))
    if method == "decision_function" and kind == "two":
        expected = expected[:, np.newaxis]
    np.testing.assert_allclose(to_host(found), expected, atol=2e-6)
    if method == "predict_proba" and kind != "labels":
        np.testing.assert_allclose(to_host(found).sum(axis=1), 1.0, atol=1e-9)


@pytest.mark.covering(2)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"C": [0.1, 1.0, 10.0], "standardize": True},
        {"class_weight": {0: 2.0, 1: 0.5}, "fit_intercept": False, "scale": 0.5},
        {"solver": "nesterov", "learning_rate": 0.2, "max_iter": 50, "tol": 0.0},
    ],
    ids=str,
)
def test_each_fold_is_a_training_of_its_own(put, blobs, rng, method, settings):
    X, y = blobs
    weight = rng.uniform(0.5, 2.0, len(y))
    how = {"dtype": "float64", "tol": 1e-8, "backend": "auto"} | settings
    found = gpulr.cross_val_predict(put(X), y, cv=3, method=method, sample_weight=weight, **how)
    for train, test in StratifiedKFold(3).split(X, y):
        own = np.zeros(len(y))
        own[train] = weight[train]
        model = gpulr.train(put(X), y, sample_weight=own, **how)  # scaled by all rows
        answer = getattr(model, method)
        normalized = {"normalize": True} if method == "predict_proba" else {}
        expected = to_host(answer(put(X[test]), **normalized))
        np.testing.assert_allclose(to_host(found)[test], expected, atol=1e-5)


def test_groups_of_columns_and_one_by_one(blobs, monkeypatch):
    X, y = blobs
    whole = gpulr.cross_val_predict(X, y, **EXACT)
    np.testing.assert_allclose(gpulr.cross_val_predict(X, y, batched=False, **EXACT), whole)
    monkeypatch.setattr("gpulr.solvers.groups.WORKING_BYTES", 1)
    np.testing.assert_allclose(gpulr.cross_val_predict(X, y, **EXACT), whole)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["two", "three", "labels"])
def test_answers_are_made_of_blocks_of_rows(rng, monkeypatch, kind, method):
    X, y = labelled(rng, kind)
    whole = gpulr.cross_val_predict(X, y, cv=3, method=method)
    monkeypatch.setattr("gpulr.families.out_of_fold.ROWS", 7)
    some = gpulr.cross_val_predict(X, y, cv=3, method=method)
    np.testing.assert_array_equal(some, whole, strict=True)


def test_sparse_rows_and_bytes(rng):
    X, y = labelled(rng, "three")
    X = np.clip(40 * X + 100, 0, 255).astype(np.uint8)
    dense = gpulr.cross_val_predict(X, y)
    np.testing.assert_allclose(gpulr.cross_val_predict(csr_array(X), y), dense, atol=1e-5)
    assert dense.dtype == np.float32


def test_groups_and_pairs_of_a_partition(blobs):
    X, y = blobs
    groups = np.arange(90) // 6
    pairs = list(GroupKFold(3).split(X, y, groups))
    found = gpulr.cross_val_predict(X, y, cv=GroupKFold(3), groups=groups, **EXACT)
    np.testing.assert_array_equal(found, gpulr.cross_val_predict(X, y, cv=pairs, **EXACT))


@pytest.mark.parametrize(
    "cv",
    [
        ShuffleSplit(3, random_state=0),
        [(np.arange(45), np.arange(45, 90))],
        [(np.arange(1, 90), [0, 0]), (np.arange(45), np.arange(1, 90))],
    ],
)
def test_folds_that_are_no_partition_are_refused(blobs, cv):
    with pytest.raises(gpulr.ParameterError, match="a partition of the rows"):
        gpulr.cross_val_predict(*blobs, cv=cv)
    with pytest.raises(ValueError, match="partition"):  # as scikit-learn does
        of_scikit_learn(LogisticRegression(), *blobs, cv=cv)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"method": "predict_probability"}, gpulr.ParameterError, "did you mean"),
        ({"method": None}, gpulr.ParameterError, "method=None"),
        ({"C": [1.0, 2.0]}, gpulr.ParameterError, "C has shape"),
        ({"cv": 1}, gpulr.ParameterError, "cv=1"),
        ({"solver": "abacus"}, gpulr.ParameterError, "abacus"),
        ({"callbacks": [3]}, gpulr.ParameterError, "callables"),
        ({"batched": "no"}, gpulr.ParameterError, "batched='no'"),
        ({"standardise": True}, TypeError, "'standardise'.*did you mean"),
        ({"cv": [(range(60), range(60, 90)), (range(90), range(60))]}, gpulr.DataError, "no row"),
    ],
)
def test_what_cannot_be_used_is_told(blobs, settings, error, words):
    with pytest.raises(error, match=words):
        gpulr.cross_val_predict(*blobs, **settings)


def test_an_interrupt_and_a_callbacks_wish_end_it(blobs):
    closed = []

    class Ending:
        def __init__(self, kind):
            self.kind = kind

        def __call__(self, progress):
            assert progress.models.size == 15
            raise self.kind

        def close(self):
            closed.append(self.kind)

    for kind in (KeyboardInterrupt, StopIteration):
        with pytest.raises(gpulr.TrainingInterrupted, match="folds"):
            gpulr.cross_val_predict(*blobs, callbacks=[Ending(kind)])
    assert closed == [KeyboardInterrupt, StopIteration]


def test_models_that_do_not_converge_are_told_once(blobs):
    with pytest.warns(gpulr.ConvergenceWarning, match="of 15 models") as told:
        gpulr.cross_val_predict(*blobs, max_iter=1, tol=1e-9)
    assert len(told) == 1
    assert told[0].filename == __file__
