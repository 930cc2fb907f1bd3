"""The default solver reaches scikit-learn's optimum of the same problem, whatever the problem."""

from __future__ import annotations

import numpy as np
import pytest

import gpulr
from gpulr.backend import to_host
from gpulr.solvers import LBFGS, SOLVERS
from gpulr.solvers.curvature import SharedCurvature
from helpers import assert_optimal, reference, stacked, targets

EXACT = {"tol": 1e-9, "dtype": "float64"}


@pytest.fixture
def some(digits):
    """200 of the digits 0 to 3: X float32 and y."""
    few = np.flatnonzero(digits[1] < 4)[:200]
    return digits[0][few], digits[1][few]


EVERY_C = [1e-4, 1e-2, 1.0, 1e2, 1e4]


@pytest.mark.parametrize("C", [*EVERY_C, "each"])
def test_any_C(some, C):
    X, y = some
    C = np.logspace(-4, 4, 4) if C == "each" else C
    model = gpulr.train(X, y, C=C, **EXACT)
    assert model.converged
    assert model.n_iter < 200
    assert_optimal(X, targets(y), stacked(model), C, tol=1e-9)


@pytest.mark.parametrize("C", EVERY_C)
def test_float32(put, some, C):
    X, y = some
    model = gpulr.train(put(X), y, C=C, tol=1e-5)
    assert model.converged
    assert_optimal(X, targets(y), stacked(model), C, tol=1.1e-5, rounding=1e-6)


@pytest.mark.parametrize("positives", [1, 3, 100])
@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
def test_two_classes_of_very_different_sizes(rng, positives, C):
    y = (np.arange(1500) < positives).astype(int)
    X = rng.normal(size=(1500, 6)) + 0.5 * y[:, np.newaxis]
    model = gpulr.train(X, y, C=C, **EXACT)
    assert model.converged
    assert_optimal(X, targets(y), stacked(model), C, tol=1e-9)


@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("sketch", [False, True])  # all eigenvectors, or the leading ones only
def test_more_features_than_rows(rng, monkeypatch, sketch, C):
    if sketch:
        monkeypatch.setattr(SharedCurvature, "full_up_to", 50)
        monkeypatch.setattr(SharedCurvature, "sketch_rank", 15)
    X, y = rng.normal(size=(30, 90)), np.arange(30) % 3
    model = gpulr.train(X, y, C=C, **EXACT)
    assert model.converged
    assert_optimal(X, targets(y), stacked(model), C, tol=1e-9)


def test_few_iterations_suffice(digits):
    model = gpulr.train(*digits[:2])
    assert model.converged
    assert model.n_iter <= 15
    assert gpulr.train(*digits[:2], tol=1e-6).n_iter <= 25


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_history_ends_with_what_the_weights_give(put, blobs, solver):
    X, y = blobs
    model = gpulr.train(put(X), y, solver=solver, max_iter=20, tol=0, dtype="float64")
    cost, gradient = reference(X, targets(y), stacked(model), 1.0)
    np.testing.assert_allclose(model.history.cost[-1], cost, rtol=1e-12)
    norms = np.abs(gradient).max(axis=0)
    np.testing.assert_allclose(model.history.gradient_norm[-1], norms, rtol=1e-6, atol=1e-14)


# ---- first iterations on a sample of the rows ----------------------------------------------------


@pytest.fixture
def sampled(as_if_large, monkeypatch):
    """Training that samples 500 rows of more than 1,000."""
    calls = []

    class Small(LBFGS):
        def init(self, problem, theta=None, prepared=None):
            prepared = prepared or self.prepare(problem)
            state = super().init(problem, theta, prepared)
            if prepared.index is not None:
                calls.append((len(state.pairs), state))
            return state

    monkeypatch.setitem(SOLVERS, "lbfgs", lambda rate: Small(sample=500))
    return calls


def overlapping(rng, sizes):
    y = np.repeat(np.arange(len(sizes)), sizes)
    return rng.normal(size=(len(y), 5)) + np.eye(len(sizes), 5)[y], y


def test_no_iteration_trains_nothing(sampled, rng):
    X, y = overlapping(rng, (700, 800))
    model = gpulr.train(X, y, max_iter=0, tol=0)
    assert not model.weights.any()
    assert not sampled
    np.testing.assert_allclose(model.history.cost, np.log(2), rtol=1e-6)


@pytest.mark.parametrize("shuffled", [True, False])
@pytest.mark.parametrize("C", [1e-3, 1.0, np.inf])
def test_the_sample_changes_nothing_but_the_start(put, rng, sampled, shuffled, C):
    X, y = overlapping(rng, (400, 700, 500))
    if shuffled:
        order = rng.permutation(len(y))
        X, y = X[order], y[order]
    model = gpulr.train(put(X), y, C=C, **EXACT)
    ((pairs, start),) = sampled
    assert pairs > 0
    assert np.all(model.history.cost[0] < 0.66)  # below log 2
    np.testing.assert_array_equal(model.history.cost[0], to_host(start.cost))
    assert model.converged
    finite = min(C, 1e9)
    assert_optimal(X, targets(y), stacked(model), finite, tol=1e-9, rounding=1e-9)


@pytest.mark.parametrize("few", [1, 5, 20])
@pytest.mark.parametrize("binary", [True, False])
def test_a_rare_class_is_not_learnt_from_the_sample(rng, sampled, few, binary):
    X, y = overlapping(rng, (1500, few) if binary else (800, 800, few))
    for labels in (y, y.max() - y):  # rare positives, or rare negatives
        model = gpulr.train(X, labels, C=1.0, **EXACT)
        assert model.converged
        ((pairs, start),) = sampled
        rare = -1 if binary or labels is y else 0
        assert not to_host(start.theta)[:-1, rare].any()
        assert not any(to_host(pair.rho)[rare] for pair in start.pairs)
        assert (pairs == 0) == binary  # others are
        assert_optimal(X, targets(labels), stacked(model), 1.0, tol=1e-9)
        sampled.clear()


def test_a_start_that_got_worse_is_dropped(rng, sampled, monkeypatch):
    X, y = overlapping(rng, (700, 700))
    X[::7] *= -1e3  # a sample without these rows is misleading
    monkeypatch.setattr(np.random, "default_rng", lambda seed: Without(len(y), 7))
    model = gpulr.train(X, y, C=1.0, **EXACT)
    assert model.history.cost[0, 0] == pytest.approx(np.log(2))
    assert model.converged
    assert_optimal(X, targets(y), stacked(model), 1.0, tol=1e-9)


class Without:
    """Draws no multiples of a number."""

    def __init__(self, n, multiple):
        self.rows = np.flatnonzero(np.arange(n) % multiple)

    def choice(self, n, size, replace):
        return self.rows[:: len(self.rows) // size][:size]


def test_rows_of_weight_zero_are_not_sampled(rng, sampled):
    X, y = overlapping(rng, (3000, 3000))
    weights = (np.arange(6000) % 4 == 0).astype(float)
    model = gpulr.train(X, y, sample_weight=weights, **EXACT)
    assert sampled.pop()[0] > 0
    assert_optimal(X, targets(y), stacked(model), 1.0, tol=1e-9, s=weights)
    weights[400:-400] = 0.0  # 200 rows are left
    model = gpulr.train(X, y, sample_weight=weights, **EXACT)
    assert not sampled
    assert_optimal(X, targets(y), stacked(model), 1.0, tol=1e-9, s=weights)


def test_a_gradient_that_is_small_as_features_are_does_not_end_training(rng):
    """By the gradient alone one iteration would do here, to a cost that is 18 % too high."""
    X = rng.normal(size=(40, 1)) * 2e-3
    how = {"C": 1e6, "fit_intercept": False, "dtype": "float64"}
    model = gpulr.train(X, X[:, 0] > 0, **how)
    exact = gpulr.train(X, X[:, 0] > 0, tol=1e-12, **how)
    assert model.converged
    assert model.history.cost[-1] < 1.0001 * exact.history.cost[-1]
    assert (model.history.gradient_norm[:-2] < 1e-4).any()
