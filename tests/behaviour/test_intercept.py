"""Without an intercept: it stays 0 in every solver, and the optimum is scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import gpulr
from gpulr.backend import to_host
from gpulr.core.problem import Problem
from gpulr.solvers import LBFGS, SOLVERS
from gpulr.solvers.curvature import SharedCurvature
from gpulr.solvers.gradient_descent import largest_eigenvalue
from helpers import make_problem, stacked, targets

EXACT = {"tol": 1e-9, "dtype": "float64", "fit_intercept": False}


@pytest.fixture
def shifted(rng):
    """Three classes far from the origin, X (120, 4) float64 and y."""
    y = np.repeat([0, 1, 2], 40)
    return rng.normal(size=(120, 4)) + np.eye(3, 4)[y] + np.array([5.0, -2.0, 0.0, 1.0]), y


@pytest.fixture(params=["full", "sketch"])
def curvature(request, monkeypatch):
    """All eigenvectors, or the leading ones only."""
    if request.param == "sketch":
        monkeypatch.setattr(SharedCurvature, "full_up_to", 1)
    return request.param


def scikit_learns(X, y, *, C=1.0, s=None):
    """Weights of the optimum without an intercept, (n_features, n_models) float64."""
    settings = {"solver": "newton-cholesky", "tol": 1e-13, "max_iter": 1000}
    one = LogisticRegression(C=C, fit_intercept=False, **settings)
    Y = targets(y)
    return np.transpose([one.fit(X, column, sample_weight=s).coef_[0] for column in Y.T])


def assert_same_weights(model, X, y, **settings):
    """Check the weights of a gradient of 1e-9 against the optimum's."""
    assert model.converged
    np.testing.assert_allclose(stacked(model)[:-1], scikit_learns(X, y, **settings), atol=1e-6)


def test_lbfgs_finds_scikit_learns_optimum(put, shifted, curvature):
    X, y = shifted
    s = np.linspace(0.1, 3, 120)
    for C, weight in ((1.0, None), (100.0, s)):
        model = gpulr.train(put(X), y, C=C, sample_weight=weight, **EXACT)
        assert model.n_iter < 60
        assert not to_host(model.intercept).any()
        assert_same_weights(model, X, y, C=C, s=weight)
    assert model.settings["fit_intercept"] is False
    assert gpulr.train(put(X), y, max_iter=1, tol=0).settings["fit_intercept"] is True


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(("two", "batched"), [(False, True), (False, False), (True, True)])
def test_every_solver(put, shifted, solver, two, batched):
    X, y = shifted
    X, y = 0.3 * X, (y > 0).astype(int) if two else y
    settings = EXACT | {"solver": solver, "C": 0.1, "max_iter": 20_000, "batched": batched}
    model = gpulr.train(put(X), y > 0 if two else y, **settings)
    assert not to_host(model.intercept).any()
    assert_same_weights(model, X, y, C=0.1)


@pytest.mark.parametrize("kind", ["uint8", "int32", "float32", "sparse"])
def test_every_kind_of_rows(put, rng, curvature, kind):
    X, y = rng.integers(0, 200, (150, 5)).astype(np.uint8), np.arange(150) % 3
    X[:, :3] += 20 * np.eye(3, dtype=np.uint8)[y]
    rows = sparse.csr_array(X.astype(float)) if kind == "sparse" else put(X.astype(kind))
    model = gpulr.train(rows, y, scale=1 / 255, **EXACT)
    assert_same_weights(model, X / 255, y)


@pytest.mark.parametrize("kind", ["uint8", "float64"])
@pytest.mark.parametrize("weighted", [False, True])
def test_standardized_rows(put, rng, curvature, kind, weighted):
    X, y = rng.integers(0, 200, (150, 5)).astype(kind), np.arange(150) % 3
    X[:, :3] += (20 * np.eye(3)[y]).astype(kind)
    s = np.linspace(0.1, 3, 150) if weighted else None  # the mean is that without weights
    model = gpulr.train(put(X), y, standardize=True, sample_weight=s, **EXACT)
    scaler = StandardScaler().fit(X)
    best = scikit_learns(scaler.transform(X), y, s=s)
    weights = to_host(model.weights)
    np.testing.assert_allclose(weights * scaler.scale_[:, np.newaxis], best, atol=1e-6)
    assert not to_host(model.intercept_at_center).any()
    np.testing.assert_allclose(to_host(model.intercept), -scaler.mean_ @ weights, atol=1e-9)


def test_first_iterations_on_a_sample(put, rng, monkeypatch):
    monkeypatch.setitem(SOLVERS, "lbfgs", lambda rate: LBFGS(sample=500))
    y = np.arange(1600) % 3
    X = rng.normal(size=(1600, 5)) + np.eye(3, 5)[y] + 2.0
    model = gpulr.train(put(X), y, **EXACT)
    assert not to_host(model.intercept).any()
    assert_same_weights(model, X, y)


def test_the_bound_on_the_curvature_is_that_of_the_features(put, shifted):
    X, y = shifted
    problem = make_problem(put, X, y, dtype="float64")
    without = Problem.of(problem.rows, problem.targets, problem.C, intercept=False)
    second = X.T @ X / len(X)
    assert 1.0 <= largest_eigenvalue(without) / np.linalg.eigvalsh(second)[-1] <= 1.021
    curvature = SharedCurvature.of(without)
    basis, values = to_host(curvature.basis), to_host(curvature.values)
    np.testing.assert_allclose(basis * values[:, 0] @ basis.T, second, rtol=1e-9, atol=1e-9)
    gradient = to_host(without.evaluate(put(np.ones((5, 3)))).gradient)
    assert not gradient[-1].any()


def test_a_value_that_is_no_switch(shifted):
    with pytest.raises(gpulr.ParameterError, match="fit_intercept='no'; expected True or False"):
        gpulr.train(*shifted, fit_intercept="no")
