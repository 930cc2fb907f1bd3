"""Positives that weigh more, each model's by its own counts: scikit-learn's optima, every route."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.utils.class_weight import compute_class_weight

import gpulr
from gpulr import OneVsAllLogisticRegression, OneVsAllLogisticRegressionCV
from gpulr.backend import to_host
from gpulr.solvers import SOLVERS
from helpers import assert_optimal, stacked, targets

EXACT = {"tol": 1e-9, "dtype": "float64"}
TIGHT = {"tol": 1e-10, "max_iter": 10_000, "solver": "newton-cholesky"}


@pytest.fixture
def uneven(rng):
    """Four overlapping classes of 20 to 160 rows, X (300, 5) float64, y, and weights of rows."""
    y = rng.permutation(np.repeat([0, 1, 2, 3], [20, 40, 80, 160]))
    s = rng.exponential(size=300) * (rng.random(300) < 0.8)
    return rng.normal(size=(300, 5)) + np.eye(4, 5)[y], y, s


@pytest.fixture
def tagged(rng):
    """X (240, 6) float64 and five labels, one of them rare, one frequent, and one that all have."""
    X = rng.normal(size=(240, 6))
    Z = X @ rng.normal(size=(6, 5)) + rng.normal(size=(240, 5))
    Y = (Z > [0.0, 1.0, -3.0, 3.5, -99.0]).astype(np.uint8)
    return X, Y


def balanced(Y, s=1.0, p=1.0):
    """The weight of each entry of Y (n, k): as many for its zeros as for its ones, times p."""
    s = np.broadcast_to(np.reshape(s, (-1, 1)), Y.shape)
    ones, zeros = (s * Y).sum(axis=0), (s * (1 - Y)).sum(axis=0)
    both = (ones > 0) & (zeros > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        each = (ones + zeros) / 2 / np.where(Y > 0, ones, zeros)
    return s * np.where(both, each, 1.0) * np.where(Y > 0, p, 1.0)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("pos_weight", [None, 0.3, [0.1, 1.0, 2.0, 30.0]], ids=str)
@pytest.mark.parametrize("balance", [None, "balanced"])
def test_classes_reach_scikit_learns_optima(put, uneven, weighted, pos_weight, balance):
    X, y, s = uneven
    s = s if weighted else None
    model = gpulr.train(
        put(X), y, sample_weight=s, class_weight=balance, pos_weight=pos_weight, C=0.5, **EXACT
    )
    Y, p = targets(y), 1.0 if pos_weight is None else pos_weight
    entries = np.reshape(1.0 if s is None else s, (-1, 1)) * np.where(Y > 0, p, 1.0)
    if balance:
        entries = balanced(Y, 1.0 if s is None else s, p)
    assert model.converged
    assert_optimal(X, Y, stacked(model), 0.5, tol=1e-9, s=entries)
    assert model.settings.get("pos_weight") == pos_weight


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_coefficients_are_those_of_scikit_learns_one_vs_rest(uneven, weighted, sparse):
    X, y, s = uneven
    s = s if weighted else None
    X = np.where(X > 0, X, 0) if sparse else X
    one = LogisticRegression(class_weight="balanced", **TIGHT)
    if weighted and "sample_weight" not in inspect.signature(compute_class_weight).parameters:
        pytest.skip("scikit-learn before 1.7 balances without the weights of rows")
    if weighted:  # which OneVsRestClassifier passes on to its models with metadata routing only
        theirs = [clone(one).fit(X, y == j, sample_weight=s) for j in range(4)]
    else:
        theirs = OneVsRestClassifier(one).fit(X, y).estimators_
    coef, intercept = (
        np.vstack([t.coef_ for t in theirs]),
        np.hstack([t.intercept_ for t in theirs]),
    )
    for dtype, tol, rtol in (("float64", 1e-9, 1e-6), ("float32", 1e-6, 1e-3)):
        model = OneVsAllLogisticRegression(class_weight="balanced", tol=tol, dtype=dtype)
        model.fit(csr_array(X) if sparse else X, y, sample_weight=s)
        np.testing.assert_allclose(model.coef_, coef, rtol=rtol, atol=rtol / 10)
        np.testing.assert_allclose(model.intercept_, intercept, rtol=rtol)


def test_coefficients_are_those_of_liblinear_and_of_the_old_ovr(uneven):
    X, y, _ = uneven
    model = OneVsAllLogisticRegression(class_weight="balanced", tol=1e-9).fit(X, y)
    # What it adds to the intercept's penalty is one of (b / 1e4)².
    one = LogisticRegression(
        class_weight="balanced", intercept_scaling=1e4, **TIGHT | {"solver": "liblinear"}
    )
    theirs = OneVsRestClassifier(one).fit(X, y)
    coef = np.vstack([each.coef_ for each in theirs.estimators_])
    np.testing.assert_allclose(model.coef_, coef, rtol=1e-3, atol=1e-5)
    if "multi_class" in inspect.signature(LogisticRegression).parameters:
        with pytest.warns(FutureWarning):
            old = LogisticRegression(multi_class="ovr", class_weight="balanced", **TIGHT).fit(X, y)
        np.testing.assert_allclose(model.coef_, old.coef_, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("solver", "batched"), [*((s, True) for s in SOLVERS), ("lbfgs", False)])
def test_every_solver(put, tagged, solver, batched):
    X, Y = tagged[0], tagged[1][:, :3]
    settings = {"solver": solver, "batched": batched, "max_iter": 5000, "dtype": "float64"}
    model = gpulr.train(put(X), put(Y), class_weight="balanced", C=0.1, tol=1e-5, **settings)
    assert model.converged
    assert_optimal(X, Y, stacked(model), 0.1, tol=1e-5, s=balanced(Y))


def test_a_label_that_all_rows_have_is_learnt_as_that_constant(put, tagged):
    X, Y = tagged
    model = gpulr.train(put(X), put(Y), class_weight="balanced", tol=1e-6)
    alone = gpulr.train(put(X), put(Y), tol=1e-6)
    for name in ("weights", "intercept"):
        balanced, plain = (to_host(getattr(m, name))[..., 4] for m in (model, alone))
        np.testing.assert_allclose(balanced, plain, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("solver", ["gd", "nesterov"])
def test_the_fixed_step_is_safe_for_the_largest_factor(uneven, solver):
    X, y, _ = uneven
    one = {"solver": solver, "max_iter": 200, "tol": 0, "dtype": "float64", "C": np.inf}
    model = gpulr.train(X, y, pos_weight=[1e-3, 1.0, 100.0, 1e4], **one)
    cost = model.history.cost
    assert np.all(np.isfinite(cost))
    if solver == "gd":
        assert np.all(np.diff(cost, axis=0) <= 1e-12)
    assert np.all(cost[-1] < cost[0])


def test_a_weight_of_one_changes_no_bit_and_makes_nothing(uneven, monkeypatch):
    X, y, _ = uneven
    plain = gpulr.train(X, y, **EXACT)
    for pos_weight in (1, [1.0] * 4):
        model = gpulr.train(X, y, pos_weight=pos_weight, **EXACT)
        np.testing.assert_array_equal(model.weights, plain.weights)
        np.testing.assert_array_equal(model.history.cost, plain.history.cost)


def test_many_rows_with_a_sample_of_them_and_refreshes(put, rng):
    n = 25_000
    X = rng.normal(size=(n, 12)).astype(np.float32)
    Z = X @ rng.normal(size=(12, 3)) + rng.logistic(size=(n, 3))
    Y = (Z > [0.0, 6.0, -7.0]).astype(np.uint8)
    model = gpulr.train(put(X), put(Y), class_weight="balanced", C=10.0, tol=1e-7, dtype="float64")
    assert model.converged
    assert_optimal(X, Y, stacked(model), 10.0, tol=1e-7, s=balanced(Y), rounding=1e-10)


@pytest.mark.parametrize("matrix", [False, True])
def test_each_fold_is_balanced_by_the_rows_that_it_trains_on(put, uneven, tagged, matrix):
    X, y, s = uneven
    if matrix:
        X, Y = tagged
        y, s = Y[:, :4], s[:240]
    train = [np.arange(0, 170), np.arange(100, len(X))]
    cv = [(rows, np.setdiff1d(np.arange(len(X)), rows)) for rows in train]
    est = gpulr.search(
        put(X),
        put(y) if matrix else y,
        Cs=[0.1, 1.0],
        cv=cv,
        class_weight="balanced",
        sample_weight=s,
        pos_weight=2.0,
        refit="mean",
        **EXACT,
    )
    Y = y if matrix else targets(y)
    assert est.converged.all()
    best = [
        gpulr.train(
            X[rows],
            Y[rows],
            sample_weight=s[rows],
            class_weight="balanced",
            pos_weight=2.0,
            C=C,
            **EXACT,
        )
        for rows, C in zip(train, est.Cs[est.scores.argmax(axis=1)], strict=True)
    ]
    expected = np.mean([stacked(model) for model in best], axis=0)
    np.testing.assert_allclose(stacked(est.model), expected, rtol=1e-5, atol=1e-6)


def test_the_estimator_that_chooses_C(uneven):
    X, y, _ = uneven
    cv = StratifiedKFold(3)
    ours = OneVsAllLogisticRegressionCV(
        Cs=[0.1, 1.0], cv=cv, class_weight="balanced", pos_weight=3.0, tol=1e-8
    ).fit(X, y)
    again = OneVsAllLogisticRegression(
        C=ours.C_, class_weight="balanced", pos_weight=3.0, tol=1e-9
    ).fit(X, y)
    np.testing.assert_allclose(ours.coef_, again.coef_, rtol=1e-5, atol=1e-6)
    assert ours.model_.settings["pos_weight"] == 3.0
    for f, (train, _) in enumerate(cv.split(X, y)):
        path = OneVsAllLogisticRegression(
            C=0.1, class_weight="balanced", pos_weight=3.0, tol=1e-9
        ).fit(X[train], y[train])
        np.testing.assert_allclose(
            ours.coefs_paths_[f, 0, :, :-1], path.coef_, rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("matrix", [False, True])
def test_each_replicate_is_balanced_by_its_draws(put, uneven, tagged, matrix):
    X, y = tagged if matrix else uneven[:2]
    y = y[:, :4] if matrix else y
    result = gpulr.bootstrap(
        put(X),
        put(y) if matrix else y,
        n=4,
        class_weight="balanced",
        pos_weight=[1, 2, 3, 4],
        random_state=3,
        **EXACT,
    )
    seeds = np.random.default_rng(3).bit_generator.seed_seq.spawn(4)
    for r, seed in enumerate(seeds):
        counts = np.random.default_rng(seed).poisson(1.0, len(X))
        model = gpulr.train(
            X, y, sample_weight=counts, class_weight="balanced", pos_weight=[1, 2, 3, 4], **EXACT
        )
        np.testing.assert_allclose(
            to_host(result.coef)[r], to_host(model.weights), rtol=1e-5, atol=1e-6
        )


def test_scikit_learns_classifier_says_what_its_models_weigh(uneven):
    X, y, _ = uneven
    for classes in (y, y == 3):
        for weight in ({"class_weight": "balanced"}, {"pos_weight": 3.0}):
            model = gpulr.train(X, classes, **weight, tol=1e-8, dtype="float64")
            theirs = model.to_sklearn()
            again = clone(theirs).fit(X, classes)
            np.testing.assert_allclose(
                again.decision_function(X), theirs.decision_function(X), atol=1e-3
            )


@pytest.mark.parametrize(
    ("pos_weight", "message"),
    [
        (0, "pos_weight=0; expected a number > 0"),
        (-1.0, "pos_weight=-1.0"),
        (np.nan, "pos_weight=nan"),
        (np.inf, "pos_weight=inf"),
        ("2", "pos_weight='2'"),
        ([1.0, 2.0], r"pos_weight has shape \(2,\); expected a number > 0 or \(4,\)"),
        ([1.0, 2.0, 0.0, 1.0], "pos_weight=0.0"),
        (np.ones((4, 1)), r"shape \(4, 1\)"),
    ],
)
def test_weights_that_are_none(uneven, pos_weight, message):
    X, y, _ = uneven
    for call in (gpulr.train, gpulr.search, gpulr.bootstrap):
        with pytest.raises(gpulr.ParameterError, match=message):
            call(X, y, pos_weight=pos_weight)
    with pytest.raises(
        gpulr.ParameterError, match=r"\[0, 1\], which y does not have. Use pos_w.*2.5"
    ):
        gpulr.train(X, y + 5, class_weight={0: 2.0, 1: 5.0})
