"""search(): the models of each class, C and fold are those of its rows alone, and so are scores."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import KFold, ShuffleSplit, StratifiedKFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import StandardScaler

import gpulr
from gpulr.families import cross_validation as crossval
from gpulr.families import search_run as searching
from gpulr.solvers import LBFGS
from helpers import assert_optimal, reference, targets

CS = [10.0, 0.01, 1.0]
TIGHT = {"tol": 1e-7, "dtype": "float64", "refit": False}


@pytest.fixture
def small_sample(monkeypatch):
    """Searches begin on a sample of the rows, few as they are."""
    monkeypatch.setattr(crossval, "LBFGS", lambda: LBFGS(sample=400, sample_iterations=4))


def pairs_of(cv, y):
    return list(StratifiedKFold(cv).split(np.zeros(len(y)), y))


def overlapping(rng, n=2000):
    y = np.arange(n) % 3
    return rng.normal(size=(n, 4)) + np.eye(3, 4)[y], y


def assert_each_is_optimal(path, X, y, pairs, *, tol=1.01e-7, s=None, rounding=1e-13):
    """Check each column against the optimum on its fold's rows, found without gpulr."""
    Y = targets(y)
    for c, C in enumerate(path.task.Cs):
        for f, (train, _) in enumerate(pairs):
            theta = path.theta[c, f].astype(np.float64)
            own = None if s is None else s[train]
            if np.isinf(C):
                _, gradient = reference(X[train], Y[train], theta, C)
                assert np.abs(gradient).max() <= 1.001 * tol
            else:
                assert_optimal(X[train], Y[train], theta, C, tol=tol, s=own, rounding=rounding)


# ---- every column is the optimum of its own class, C and fold ----------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_every_column_is_the_optimum_of_its_folds_rows(put, made, blobs, n_classes, dtype):
    X, y = blobs
    y = np.minimum(y, n_classes - 1)
    tol, rounding = (1e-7, 1e-13) if dtype == "float64" else (1e-4, 1e-6)
    found = gpulr.search(put(X), y, Cs=CS, cv=3, dtype=dtype, tol=tol, refit=False)
    assert made[0].theta.dtype == dtype
    assert made[0].theta.shape == (3, 3, 5, 1 if n_classes == 2 else 3)
    assert found.converged.all()
    pairs = pairs_of(3, y)
    assert_each_is_optimal(made[0], X, y, pairs, tol=1.01 * tol, rounding=rounding)
    cost, _ = reference(X[pairs[2][0]], targets(y[pairs[2][0]]), made[0].theta[1, 2], 0.01)
    np.testing.assert_allclose(found.cost[2, 1], cost, rtol=1e-6)


@pytest.mark.parametrize("weights", ["sample", "class", "both"])
def test_weights(put, made, rng, blobs, weights):
    X, y = blobs
    extra, s = {}, np.ones(90)
    if weights in ("sample", "both"):
        extra["sample_weight"] = rng.integers(0, 4, 90) * 100.0
        s = s * extra["sample_weight"]
    if weights in ("class", "both"):
        extra["class_weight"] = {0: 3.0, 2: 0.5}
        s = s * np.array([3, 1, 0.5])[y]
    gpulr.search(put(X), y, Cs=CS, cv=3, **extra, **TIGHT)
    assert_each_is_optimal(made[0], X, y, pairs_of(3, y), s=s, rounding=1e-12)


@pytest.mark.parametrize("kind", ["bytes", "standardized bytes", "standardized floats", "sparse"])
def test_rows_of_every_kind(put, made, rng, kind):
    y = np.arange(120) % 3
    X = np.clip(rng.normal(100, 40, (120, 5)) + 50 * np.eye(3, 5)[y], 0, 255)
    X = X.astype(np.float32 if "floats" in kind else np.uint8)
    settings = TIGHT | {"standardize": "standardized" in kind}
    if kind == "sparse":
        X = (rng.random((120, 6)) < 0.3) * (1.0 + np.eye(3, 6)[y])
    seen = X / 255 if kind == "bytes" else X
    if settings["standardize"]:  # by mean and deviation of all rows
        seen = StandardScaler().fit_transform(X.astype(np.float64))
    rows = csr_array(X) if kind == "sparse" else put(X)
    found = gpulr.search(rows, y, Cs=CS, cv=4, **settings)
    assert_each_is_optimal(made[0], seen, y, pairs_of(4, y), rounding=1e-11)
    if kind == "sparse":
        dense = gpulr.search(X, y, Cs=CS, cv=4, **settings)
        np.testing.assert_array_equal(found.scores, dense.scores)


def test_without_penalty(put, made, blobs):
    X, y = blobs
    assert gpulr.search(put(X), y, Cs=[np.inf, 1.0], cv=3, **TIGHT).converged.all()
    assert_each_is_optimal(made[0], X, y, pairs_of(3, y), tol=1e-7)


@pytest.mark.parametrize("missed", [False, True])
def test_first_iterations_on_a_sample_lead_to_the_same(
    made, rng, small_sample, as_if_large, missed
):
    X, y = overlapping(rng)
    pairs = pairs_of(3, y)
    if missed:  # a fold has no row of the sample
        others = np.setdiff1d(np.arange(2000), np.random.default_rng(0).choice(2000, 400, False))
        pairs = [(others[:30], np.arange(500)), (np.arange(1000), np.arange(1000, 2000))]
    found = gpulr.search(X, y, Cs=CS, cv=pairs, **TIGHT)
    assert made[0].prepared.index is not None
    assert found.converged.all()
    assert_each_is_optimal(made[0], X, y, pairs)


def test_repeated_rows_count_as_often_and_left_out_ones_do_not(put, made, rng, blobs):
    X, y = blobs
    y = np.minimum(y, 1)
    pairs = [(rng.integers(0, 60, 70), np.arange(60, 90)), (np.arange(0, 90, 2), np.arange(1, 9))]
    gpulr.search(put(X), y, Cs=CS, cv=pairs, **TIGHT)
    assert_each_is_optimal(made[0], X, y, pairs)


def test_overlapping_folds_that_leave_rows_out(made, blobs):
    X, y = blobs
    cv = ShuffleSplit(4, test_size=0.3, train_size=0.5, random_state=3)
    found = gpulr.search(X, y, Cs=CS, cv=cv, **TIGHT)
    pairs = list(cv.split(X))
    assert_each_is_optimal(made[0], X, y, pairs)
    for f, (_, test) in enumerate(pairs):
        Z = X[test] @ made[0].theta[0, f, :-1] + made[0].theta[0, f, -1]
        assert found.scores[f, 0] == np.mean(Z.argmax(axis=1) == y[test])


# ---- a fold's models know nothing of its held-out rows -----------------------------------------


@pytest.mark.parametrize("sampled", [False, True])
def test_labels_of_held_out_rows_change_no_parameter(request, put, made, rng, sampled):
    if sampled:
        request.getfixturevalue("small_sample")
    X, y = overlapping(rng, 1500)
    order, X = rng.permutation(1500), put(X.astype(np.float32))
    train, test = order[:1000], order[1000:]
    others = y.copy()
    others[test] = rng.permutation(y[test])
    one, two = (
        gpulr.search(X, labels, Cs=CS, cv=[(train, test)], refit=False) for labels in (y, others)
    )
    assert (one.scores != two.scores).all()
    assert made[0].theta.any(axis=2).all()
    np.testing.assert_array_equal(made[0].theta, made[1].theta)  # bit for bit


def test_labels_of_other_folds_rows_change_no_parameter_beyond_the_tolerance(made, blobs):
    X, y = blobs
    pairs, others = pairs_of(3, y), y.copy()
    others[pairs[0][1]] = 2 - y[pairs[0][1]]
    for labels in (y, others):
        gpulr.search(X, labels, Cs=CS, cv=pairs, **TIGHT)
    one, two = (models.theta for models in made)
    np.testing.assert_allclose(two[:, 0], one[:, 0], atol=1e-4)
    assert np.abs(two[:, 1] - one[:, 1]).max() > 0.1


def test_held_out_rows_reach_the_parameters_through_the_preconditioner_alone(put, made, rng, blobs):
    X, y = blobs
    pairs, other = pairs_of(3, y), X.copy()
    other[pairs[0][1]] = 3 * rng.normal(size=(30, 4))
    for rows in (X, other):
        gpulr.search(put(rows), y, Cs=CS, cv=pairs[:1], **TIGHT)
        assert_each_is_optimal(made[-1], X, y, pairs[:1])


def test_the_refit_begins_where_the_folds_ended_and_no_fold_begins_there(monkeypatch, made, blobs):
    starts = []

    def spy(minimize):
        def run(*arguments, start=None, **settings):
            starts.append(start)
            return minimize(*arguments, start=start, **settings)

        return run

    for module in (crossval, searching):
        monkeypatch.setattr(module, "minimize", spy(module.minimize))
    found = gpulr.search(*blobs, Cs=CS, cv=3)
    assert [start is None for start in starts] == [True, True, True, False]
    best = CS.index(found.best_C)
    np.testing.assert_array_equal(starts[-1], made[0].theta[best].mean(axis=0, dtype=np.float64))


# ---- scores ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scoring", ["accuracy", "balanced_accuracy", "neg_log_loss"])
def test_scores_are_those_of_the_parameters_on_held_out_rows(put, made, rng, blobs, scoring):
    X, y = blobs
    weight, names = rng.random(90), np.array(["x", "y", "z"])
    found = gpulr.search(
        put(X), names[y], Cs=CS, cv=3, scoring=scoring, sample_weight=weight, refit=False
    )
    assert (found.scoring, found.scores.shape) == (scoring, (3, 3))
    assert found.Cs.tolist() == CS
    for f, (_, test) in enumerate(pairs_of(3, y)):
        of_class = [y[test] == k for k in range(3)]
        for c in range(3):
            theta, s = made[-1].theta[c, f].astype(np.float64), weight[test]
            Z = X[test] @ theta[:-1] + theta[-1]
            P = 1 / (1 + np.exp(-Z))
            own = (P / P.sum(axis=1, keepdims=True))[np.arange(30), y[test]]
            right = Z.argmax(axis=1) == y[test]
            expected = {
                "accuracy": np.average(right, weights=s),
                "balanced_accuracy": np.mean(
                    [np.average(right[k], weights=s[k]) for k in of_class]
                ),
                "neg_log_loss": np.average(np.log(own), weights=s),
            }[scoring]
            assert found.scores[f, c] == pytest.approx(expected, abs=1e-5)


def test_scores_are_those_of_scikit_learn_s_one_vs_rest(digits):
    some = np.flatnonzero(digits[1] < 3)[:240]
    X, y = digits[0][some], digits[1][some]
    found = gpulr.search(X, y, Cs=[0.01, 1.0], cv=3, refit=False, tol=1e-6, dtype="float64")
    for c, C in enumerate((0.01, 1.0)):
        for f, (train, test) in enumerate(pairs_of(3, y)):
            one = LogisticRegression(C=C, tol=1e-8, solver="newton-cholesky")
            theirs = OneVsRestClassifier(one).fit(X[train].astype(np.float64), y[train])
            assert found.scores[f, c] == pytest.approx(theirs.score(X[test], y[test]), abs=0.0021)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_scores_are_those_of_scikit_learn_s_own_search(digits):
    X, y = digits[0][:400], (digits[1][:400] > 4).astype(int)
    pairs, Cs = pairs_of(3, y), [1e-3, 0.1, 1.0]
    found = gpulr.search(X, y, Cs=Cs, cv=pairs, tol=1e-6, dtype="float64")
    how = {"solver": "newton-cholesky", "tol": 1e-8, "scoring": "accuracy"}
    theirs = LogisticRegressionCV(Cs=Cs, cv=pairs, **how).fit(X.astype(np.float64), y)
    scores = theirs.scores_[1] if isinstance(theirs.scores_, dict) else theirs.scores_
    np.testing.assert_allclose(found.scores, np.reshape(scores, (3, 3)), atol=1e-9)
    assert found.best_C == np.ravel(theirs.C_)[0]
    np.testing.assert_allclose(found.model.weights[:, 0], theirs.coef_[0], atol=1e-3)


def test_a_function_can_score(blobs):
    found = gpulr.search(*blobs, Cs=CS, cv=3, scoring=lambda y, P: -float(P.std()), refit=False)
    assert found.scoring == "<lambda>"
    assert found.best_C == 0.01  # the flattest


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_a_matrix_of_labels(made, rng, kind):
    X = rng.normal(size=(90, 4))
    Y = (X @ rng.normal(size=(4, 3)) + rng.normal(size=(90, 3)) > 0).astype(np.uint8)
    found = gpulr.search(X, csr_array(Y) if kind == "sparse" else Y, Cs=CS, cv=3, **TIGHT)
    for c, C in enumerate(CS):
        for f, (train, test) in enumerate(KFold(3).split(X)):
            theta = made[0].theta[c, f]
            assert_optimal(X[train], Y[train].astype(float), theta, C, tol=1.01e-7)
            right = ((X[test] @ theta[:-1] + theta[-1] > 0) == Y[test]).all(axis=1)
            assert found.scores[f, c] == pytest.approx(right.mean())
    refitted = gpulr.search(X, Y, Cs=CS, cv=3).model
    assert refitted.multilabel
    assert refitted.predict(X).shape == Y.shape
