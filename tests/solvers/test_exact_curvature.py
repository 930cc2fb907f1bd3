"""Newton's method, where rows and features are few: Hessians, optima, and who takes it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import gpulr
from gpulr.backend import to_host
from gpulr.core import problem as problem_module
from gpulr.solvers import exact_curvature
from gpulr.solvers.exact_curvature import MANY, ExactCurvature
from helpers import assert_optimal, make_problem, reference, targets

MOST = exact_curvature.MOST


@pytest.fixture(autouse=True)
def few_enough(_pairs, monkeypatch):
    """Undo what the other tests of solvers start with."""
    monkeypatch.setattr(exact_curvature, "MOST", MOST)


def hessian(X, Y, theta, C, s):
    """Return the second derivatives of one model's cost, by differences of gradients."""
    columns, h = [], 1e-5
    for i in range(len(theta)):
        step = np.zeros_like(theta)
        step[i] = h
        ends = (reference(X, Y, theta + way * step, C, s)[1] for way in (1, -1))
        columns.append(np.subtract(*ends)[:, 0] / (2 * h))
    return np.array(columns)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("kind", ["float64", "uint8", "sparse"])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_inverts_the_second_derivatives(put, rng, dtype, centred, kind, weighted):
    X = rng.integers(0, 9, (60, 4)).astype("float64" if kind == "sparse" else kind)
    codes, s = np.arange(60) % 3, rng.integers(1, 4, 60).astype(float) if weighted else None
    C, scale = np.array([1.0, 0.1, 1e3]), np.array([0.5, 1.0, 0.25, 2.0])
    center = X.mean(axis=0) if centred else None
    given = X
    if kind == "sparse":
        if to_host(put(X)) is not put(X):
            pytest.skip("SciPy's arrays are NumPy's alone")
        given = sparse.csr_array(X)
    settings = {"weights": s, "scale": scale, "center": center, "dtype": dtype, "C": C}
    problem = make_problem(put, given, codes, **settings)
    theta = 0.3 * rng.normal(size=(5, 3))
    there = put(theta)
    curvature = ExactCurvature.of(problem).at(problem, problem.margins(there))
    q = rng.normal(size=(5, 3))
    solved = curvature.solve(curvature.reduce(put(q)), None, problem.penalty)
    found = to_host(curvature.expand(solved))
    rows = (X - (0 if center is None else center)) * scale
    s = np.ones((60, 1)) if s is None else s[:, np.newaxis]
    for j in range(3):
        H = hessian(rows, targets(codes)[:, [j]], theta[:, [j]], C[j], s)
        expected = np.linalg.solve(H, q[:, j])
        np.testing.assert_allclose(found[:, j], expected, rtol=2e-4 if dtype == "float32" else 1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_many_models_have_the_hessians_of_each(put, rng, weighted, monkeypatch):
    monkeypatch.setattr(problem_module, "MODELS", 4)
    n_models = MANY + 3
    X, Y = rng.normal(size=(70, 5)) + 3.0, rng.integers(0, n_models, 70)
    Y[:n_models] = np.arange(n_models)
    s = rng.uniform(0.0, 2.0, 70) if weighted else None
    problem = make_problem(put, X, Y, dtype="float64", weights=s)
    margins = problem.margins(put(rng.normal(size=(6, n_models))))
    curvature = ExactCurvature.of(problem)
    found = to_host(curvature.at(problem, margins).hessians)
    for j in range(n_models):
        index = put(np.array([j]))
        one = curvature.at(problem.select(index), margins.take(index))
        np.testing.assert_allclose(found[j], to_host(one.hessians)[0], rtol=1e-12, atol=1e-14)


def test_features_that_tell_nothing_have_no_part_in_a_step(put, rng):
    X = rng.normal(size=(50, 4))
    X[:, 1], X[:, 2] = 0.0, X[:, 0]
    problem = make_problem(put, X, np.arange(50) % 2, C=np.inf, dtype="float64")
    theta = problem.start()
    curvature = ExactCurvature.of(problem).at(problem, problem.margins(theta))
    _, gradient = problem.evaluate(theta)
    step = to_host(curvature.expand(curvature.solve(curvature.reduce(gradient), None, None)))
    assert step[1, 0] == 0.0
    np.testing.assert_allclose(step[0], step[2], rtol=1e-4)  # which are one feature
    assert np.all(np.isfinite(step))


@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_the_optimum_is_reached_in_a_few_steps(put, rng, C, fit_intercept):
    X = rng.normal(size=(200, 5)) * np.array([1e-3, 1.0, 30.0, 1e4, 1.0]) + np.array(
        [0, 9, 0, 0, 1e3]
    )
    y = (rng.random(200) < 1 / (1 + np.exp(-X[:, 1] + 9))).astype(int)
    settings = {"C": C, "tol": 1e-9, "dtype": "float64", "fit_intercept": fit_intercept}
    model = gpulr.train(put(X), y, **settings)
    assert model.converged
    assert model.n_iter <= 12
    if fit_intercept:
        theta = np.vstack([to_host(model.weights), to_host(model.intercept)])
        assert_optimal(X, targets(y), theta, C, tol=1e-9, rounding=1e-11)
    else:
        assert to_host(model.intercept) == 0.0


def test_a_model_takes_the_same_steps_alone_and_beside_others(rng):
    X, y = rng.normal(size=(150, 6)), np.arange(150) % 5
    together, alone = (gpulr.train(X, y, batched=batched) for batched in (True, False))
    np.testing.assert_array_equal(together.history.n_iter, alone.history.n_iter)
    np.testing.assert_allclose(together.weights, alone.weights, rtol=1e-4, atol=1e-6)


def test_only_few_rows_of_few_features_are_served(put, rng):
    served = {
        (n, features): ExactCurvature.serves(
            make_problem(put, np.ones((n, features)), [0, 1] * (n // 2)).rows
        )
        for n, features in ((150, 4), (570, 30), (1798, 64), (20, 400), (40_000, 5))
    }
    assert [*served.values()] == [True, True, False, False, False]


@pytest.mark.parametrize(("dtype", "offset"), [("float32", 1e4), ("float64", 1e6)])
def test_a_large_offset_damps_no_step(put, rng, dtype, offset):
    X = rng.normal(size=(40, 3))
    separable, noisy = X[:, 0] > 0, X[:, 0] + rng.logistic(size=40) > 0
    X = np.hstack([X + offset, np.full((40, 1), 7.3)])
    found = gpulr.train(put(X), separable, C=np.inf, dtype=dtype, max_iter=30)
    assert found.history.converged.all()
    if dtype == "float64":  # in float32 rounding is more than the tolerance
        found = gpulr.train(put(X), noisy, dtype=dtype, max_iter=30)
        assert found.history.converged.all()
