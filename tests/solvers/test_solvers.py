"""The solvers against independent ones, scikit-learn's optimum, and the bound on the curvature."""

from __future__ import annotations

import numpy as np
import pytest

import gpulr
from gpulr.backend import to_host
from gpulr.solvers import GradientDescent, minimize
from gpulr.solvers.gradient_descent import largest_eigenvalue
from helpers import make_problem, reference, scikit_learns, stacked, targets

FIXED_STEP = pytest.mark.parametrize("solver", ["nesterov", "gd"])


def gradient_descent(X, Y, *, rate, C, n_iter):
    """The textbook's, in float64."""
    theta = np.zeros((X.shape[1] + 1, Y.shape[1]))
    for _ in range(n_iter):
        theta -= rate * reference(X, Y, theta, C)[1]
    return theta


def nesterov(X, Y, *, rate, C, n_iter):
    """FISTA with gradient restart, one model after the other, in float64."""
    columns = []
    for j in range(Y.shape[1]):
        x = y = np.zeros((X.shape[1] + 1, 1))
        t = 1.0
        for _ in range(n_iter):
            gradient = reference(X, Y[:, [j]], y, C)[1]
            x_next = y - rate * gradient
            if np.vdot(gradient, x_next - x) > 0:
                t = 1.0
            t_next = (1 + np.sqrt(1 + 4 * t**2)) / 2
            y = x_next + (t - 1) / t_next * (x_next - x)
            x, t = x_next, t_next
        columns.append(y)
    return np.hstack(columns)


INDEPENDENT = {"gd": gradient_descent, "nesterov": nesterov}


# ---- curvature --------------------------------------------------------------------------------


def matrices(rng):
    images = rng.random((200, 30)) * (rng.random(30) < 0.7)  # some pixels are always 0
    twins = rng.normal(size=(150, 4))
    orthogonal, _ = np.linalg.qr(rng.normal(size=(120, 8)))
    return {
        "random": rng.normal(size=(300, 20)),
        "nonnegative": images,
        "twins": np.hstack([twins, twins + 1e-6 * rng.normal(size=twins.shape)]),
        "all eigenvalues equal": orthogonal * np.sqrt(120),
        "one column": rng.normal(size=(50, 1)) * 100,
        "zero": np.zeros((10, 3)),
        "one row": rng.normal(size=(1, 7)),
        "badly scaled": rng.normal(size=(100, 5)) * [1e-6, 1, 1e3, 1e-3, 1e2],
    }


@pytest.mark.parametrize("name", matrices(np.random.default_rng(0)))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_largest_eigenvalue_is_bounded_from_above(put, rng, name, dtype):
    X = matrices(rng)[name]
    X1 = np.hstack([X, np.ones((len(X), 1))])
    exact = np.linalg.eigvalsh(X1.T @ X1 / len(X))[-1]
    problem = make_problem(put, X, np.zeros(len(X), dtype=int), n_classes=2, dtype=dtype)
    estimate = largest_eigenvalue(problem)
    assert exact <= estimate <= 1.05 * exact


def test_the_bound_holds_for_digits(put, digits):
    X = digits[0]
    X1 = np.hstack([X, np.ones((len(X), 1))]).astype(np.float64)
    exact = np.linalg.eigvalsh(X1.T @ X1 / len(X))[-1]
    C = [0.01, 1.0, np.inf]
    problem = make_problem(put, X, np.arange(len(X)) % 3, C=C)
    bound = 1.0 / to_host(GradientDescent().init(problem).rate)
    least = exact / 4 + np.array([100, 1, 0]) / len(X)
    assert np.all(bound >= least)
    assert np.all(bound <= 1.05 * least)


@pytest.mark.parametrize("C", [0.01, 1.0, np.inf])
def test_the_cost_never_rises_in_gradient_descent(put, digits, C):
    X, y, *_ = digits
    problem = make_problem(put, X[:300], y[:300], C=C, dtype="float64")
    solution = minimize(GradientDescent(None), problem, max_iter=60, tol=0)
    assert np.all(np.diff(solution.cost, axis=0) < 0)


# ---- independent references --------------------------------------------------------------------


@FIXED_STEP
@pytest.mark.parametrize("C", [0.1, 10.0, np.inf])
def test_equals_an_independent_implementation_step_by_step(put, digits, solver, C):
    X, y = digits[0][:500], digits[1][:500]
    model = gpulr.train(
        put(X), y, solver=solver, C=C, learning_rate=0.3, max_iter=40, tol=0, dtype="float64"
    )
    theta = INDEPENDENT[solver](X, targets(y), rate=0.3, C=C, n_iter=40)
    np.testing.assert_allclose(stacked(model), theta, rtol=1e-8, atol=1e-10)
    cost, gradient = reference(X, targets(y), theta, C)
    np.testing.assert_allclose(model.history.cost[-1], cost, rtol=1e-10)
    norm = np.abs(gradient).max(axis=0)
    np.testing.assert_allclose(model.history.gradient_norm[-1], norm, rtol=1e-6)


@FIXED_STEP
def test_float32_gives_the_same_accuracies(put, digits, solver):
    X, y, X_test, y_test = digits
    model = gpulr.train(put(X), y, solver=solver, learning_rate=0.3, max_iter=60, tol=0)
    theta = INDEPENDENT[solver](X, targets(y), rate=0.3, C=1.0, n_iter=60)
    np.testing.assert_allclose(stacked(model), theta, atol=60 * np.finfo(np.float32).eps)
    Z = X_test @ theta[:-1] + theta[-1]
    result = model.evaluate(put(X_test), y_test)
    assert result.accuracy == np.mean(Z.argmax(axis=1) == y_test)
    np.testing.assert_array_equal(result.binary_accuracy, ((Z > 0) == targets(y_test)).mean(axis=0))


def half_newton_decrement(X, theta, C, gradient):
    """gᵀ H⁻¹ g / 2 per model: how far the cost is above its minimum, close to it."""
    X1 = np.hstack([X, np.ones((len(X), 1))])
    P = 0.5 * (1 + np.tanh(X1 @ theta / 2))
    ridge = np.append(np.full(X.shape[1], 1 / (C * len(X))), 0)
    gaps = []
    for p, g in zip(P.T, gradient.T, strict=True):
        H = X1.T * (p * (1 - p)) @ X1 / len(X) + np.diag(ridge)
        gaps.append(g @ np.linalg.solve(H, g) / 2)
    return np.array(gaps)


@pytest.mark.parametrize(
    ("solver", "C"),
    [
        *(("lbfgs", C) for C in (0.003, 1.0)),
        *(("nesterov", C) for C in (0.003, 1.0)),
        *(
            pytest.param(solver, C, marks=pytest.mark.slow)
            for solver, C in (
                *(("gd", 0.003), ("gd", 0.1), ("nesterov", 100.0)),
                *(("lbfgs", 1e-4), ("lbfgs", 100.0), ("lbfgs", 1e4)),
            )
        ),
    ],
)
def test_approaches_scikit_learns_optimum(digits, solver, C):
    X, y = digits[0][:400].astype(np.float64), digits[1][:400] % 5
    tol = 1e-9 if solver == "lbfgs" else 1e-6
    model = gpulr.train(X, y, solver=solver, C=C, tol=tol, max_iter=20_000, dtype="float64")
    assert model.converged
    best = scikit_learns(X, targets(y), C)
    optimum, gradient = reference(X, targets(y), best, C)
    assert np.abs(gradient).max() < 1e-8
    cost, gradient = reference(X, targets(y), stacked(model), C)
    assert np.abs(gradient).max() <= 1.001 * tol
    assert np.all(cost - optimum >= -1e-14)
    assert np.all(cost - optimum <= 1.1 * half_newton_decrement(X, best, C, gradient) + 1e-14)
    Z = X @ best[:-1] + best[-1]
    np.testing.assert_array_equal(model.predict(X), Z.argmax(axis=1))


@pytest.mark.mnist
def test_mnist_by_the_notebooks_method(real_mnist):
    data, rows = real_mnist, slice(0, 3000)
    X, y = data.X[rows], data.y[rows]
    model = gpulr.train(X, y, solver="gd", C=np.inf, learning_rate=0.2, max_iter=20, tol=0)
    theta = gradient_descent(X / 255.0, targets(y), rate=0.2, C=np.inf, n_iter=20)
    np.testing.assert_allclose(stacked(model), theta, atol=1e-5)
    predicted = (data.X_test / 255.0 @ theta[:-1] + theta[-1]).argmax(axis=1)
    assert abs(model.score(data.X_test, data.y_test) - np.mean(predicted == data.y_test)) <= 1e-4
