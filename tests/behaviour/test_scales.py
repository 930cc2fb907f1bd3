"""Features of extreme sizes: other units change neither the optimum nor when training ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

import gpulr
from gpulr import OneVsAllLogisticRegression
from gpulr.backend import backend_of, to_host
from gpulr.core.rows import Rows
from gpulr.kernels.plan import obstacle
from gpulr.solvers import LBFGS
from gpulr.solvers.continuation import Continuation
from gpulr.solvers.curvature import SharedCurvature
from helpers import make_problem, reference, stacked, targets

SIZES = {
    "of all orders": 10.0 ** np.linspace(-6, 6, 7)[[3, 6, 0, 5, 1, 4, 2]],
    "one tiny": np.array([1.0, 1.0, 1e-6, 1.0, 1.0, 1.0, 1.0]),
    "one huge": np.array([1.0, 1.0, 1e6, 1.0, 1.0, 1.0, 1.0]),
    "all tiny": np.full(7, 1e-4),
    "squares beyond float32": np.array([1.0, 1e-7, 1.0, 1e30, 1.0, 1e-6, 1e25]),
}
EACH_SIZE = pytest.mark.parametrize("name", SIZES)


@pytest.fixture
def table(rng):
    """Correlated features of size 1, and balanced classes that overlap."""
    y = np.arange(300) % 2
    Z = rng.normal(size=(300, 7)) + np.outer(y, rng.normal(size=7)) / 4
    return Z @ (np.eye(7) + rng.normal(size=(7, 7)) / 2), y


def optimum(Z, Y, C, sizes, s=None, *, intercept=True):
    """The least cost of models of Z ∘ sizes, (k,), by Newton's method on Z in float64."""
    s = np.ones(len(Z)) if s is None else s
    m, Z1 = s.sum(), np.hstack([Z, np.full((len(Z), 1), float(intercept))])
    ridge = np.append(1.0 / (C * m) / sizes**2, 0.0 if intercept else 1.0)
    costs = []
    for y in Y.T:

        def cost(w, y=y):
            z = Z1 @ w
            return (s @ np.logaddexp(0, np.where(y > 0, -z, z))) / m + (ridge * w) @ w / 2

        w = np.zeros(Z1.shape[1])
        for _ in range(100):
            p = 0.5 * (1 + np.tanh(Z1 @ w / 2))
            gradient = Z1.T @ (s * (p - y)) / m + ridge * w
            hessian = (Z1.T * (s * p * (1 - p))) @ Z1 / m + np.diag(ridge)
            step = -np.linalg.solve(hessian, gradient)
            t = 1.0
            while cost(w + t * step) > cost(w) + 1e-15 and t > 1e-6:
                t /= 2
            w = w + t * step
        costs.append(cost(w))
    return np.array(costs)


def cost_of(model, X, Y, C, s=1.0):
    """The exact cost of a model of X as it was passed."""
    return reference(X, Y, stacked(model), C, s)[0]


@EACH_SIZE
@pytest.mark.parametrize("C", [1.0, np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_optimum_is_reached(put, table, name, C, dtype):
    Z, y = table
    X = Z * SIZES[name]
    model = gpulr.train(put(X), y, C=C, dtype=dtype)
    assert model.converged
    assert model.n_iter < 40
    best = optimum(Z, targets(y), C, SIZES[name])
    np.testing.assert_allclose(cost_of(model, X, targets(y), C), best, rtol=1e-4)


@EACH_SIZE
def test_other_units_change_nothing_but_the_weights(put, table, name):
    Z, y = table
    powers = 2.0 ** np.round(np.log2(SIZES[name]))
    powers = np.where(np.abs(np.log2(powers)) > 12, powers, 1.0)  # beyond the bounds, both ways
    plain = gpulr.train(put(Z), y, C=np.inf, dtype="float64")
    model = gpulr.train(put(Z * powers), y, C=np.inf, dtype="float64")
    assert model.n_iter == plain.n_iter
    np.testing.assert_allclose(model.history.cost, plain.history.cost, rtol=1e-6)
    weights = to_host(model.weights) * powers[:, np.newaxis]
    np.testing.assert_allclose(weights, to_host(plain.weights), rtol=1e-3, atol=1e-6)


def test_features_within_bounds_are_left_alone(put, rng):
    X = rng.normal(size=(50, 4)) * [1e-2, 1, 100, 0.01] + [0, 0, 0, 900]
    for kind in (np.float32, np.float64):
        here = put(X.astype(kind))
        backend = backend_of(here)
        rows = Rows(here, 1.0, None, backend, backend.xp.float32)
        assert rows.equilibrated(centered=True) is rows
    pixels = put(rng.integers(0, 2, (50, 4)).astype(np.uint8))
    rows = Rows(pixels, 1.0 / 255.0, None, backend_of(pixels), backend_of(pixels).xp.float32)
    assert rows.equilibrated(centered=True) is rows


def test_what_features_are_multiplied_by(put):
    X = np.array(
        [[0.0, 1e-6, 5.0, 1e6, 1e5 + 1e-6, 7e6, 3e-5], [2e3, -1e-6, 5.0, 3.0, 1e5, 7e6, 0]]
    )
    here = put(X)
    backend = backend_of(here)
    rows = Rows(here, 1.0, None, backend, backend.xp.float64)
    factor = to_host(rows.equilibrated(centered=True).factor)[:, 0]
    # constant features (the third and the sixth) stay, as does the first, half of which is 1,000
    np.testing.assert_array_equal(np.log2(factor), [0, 19, 0, -19, 20, 0, 16])
    factor = to_host(rows.equilibrated(centered=False).factor)[:, 0]
    np.testing.assert_array_equal(np.log2(factor), [-11, 19, 0, -20, -17, -23, 15])
    # the penalty is nearly all of the curvature of tiny ones, of the second or of both
    for largest_C, expected in ((1e10, [0, 0, 0, -19, 0, 0, 16]), (1e8, [0, 0, 0, -19, 0, 0, 0])):
        factor = to_host(rows.equilibrated(centered=True, largest_C=largest_C).factor)[:, 0]
        np.testing.assert_array_equal(np.log2(factor), expected)


@pytest.mark.parametrize("C", [1.0, 100.0])
@pytest.mark.parametrize("sizes", [np.full(64, 1 / 60), 10.0 ** np.linspace(-6, 1, 64)])
def test_features_on_both_sides_of_the_bound(digits, as_if_large, C, sizes):
    X, y = digits[0] * sizes.astype(np.float32), digits[1]
    model = gpulr.train(X, y, C=C)
    assert model.converged
    assert model.n_iter <= 40
    exact = gpulr.train(X, y, C=C, dtype="float64", tol=1e-8)
    assert exact.converged
    np.testing.assert_allclose(model.history.cost[-1], exact.history.cost[-1], rtol=1e-3)


@pytest.mark.parametrize("solver", ["gd", "nesterov"])
def test_solvers_of_a_fixed_step_see_the_callers_scale(table, solver):
    Z, y = table
    X = Z * 2.0**-14
    settings = {"solver": solver, "learning_rate": 0.1, "max_iter": 3, "tol": 0, "C": np.inf}
    model = gpulr.train(X, y, dtype="float64", **settings)
    _, gradient = reference(X, targets(y), np.zeros((8, 1)), np.inf)
    assert model.history.gradient_norm[0] == pytest.approx(np.abs(gradient).max(axis=0))


@EACH_SIZE
@pytest.mark.parametrize("kind", ["sparse", "labels", "weights", "no intercept", "a sketch"])
def test_whatever_the_problem(rng, monkeypatch, table, name, kind):
    Z, y = table
    sizes, C, s, settings = SIZES[name], 1.0, None, {}
    Y, labels = targets(y), y
    if kind == "sparse":
        Z = Z * (rng.random(Z.shape) < 0.5)
    elif kind == "labels":
        Y = np.stack([y, rng.random(300) < 0.1, Z[:, 1] + rng.normal(size=300) > 0], axis=1)
        labels, Y = Y.astype(np.uint8), Y.astype(float)
    elif kind == "weights":
        s = rng.integers(0, 4, 300).astype(float)
        settings = {"sample_weight": s}
    elif kind == "no intercept":
        settings = {"fit_intercept": False}
    else:
        monkeypatch.setattr(SharedCurvature, "full_up_to", 4)
        monkeypatch.setattr(SharedCurvature, "sketch_rank", 4)
    X = Z * sizes
    rows = sparse.csr_array(X) if kind == "sparse" else X
    model = gpulr.train(rows, labels, C=C, **settings)
    assert model.converged
    best = optimum(Z, Y, C, sizes, s, intercept=kind != "no intercept")
    cost = cost_of(model, X, Y, C, 1.0 if s is None else s[:, np.newaxis])
    np.testing.assert_allclose(cost, best, rtol=1e-4)


@pytest.mark.parametrize("name", ["of all orders", "all tiny"])
def test_batched_or_not_and_from_a_start(put, table, name):
    Z, y = table
    X, y = put(Z * SIZES[name]), (y + (Z[:, 0] > 1)) % 3
    model = gpulr.train(X, y, dtype="float64", tol=1e-6)
    alone = gpulr.train(X, y, dtype="float64", tol=1e-6, batched=False)
    np.testing.assert_allclose(to_host(alone.weights), to_host(model.weights), rtol=1e-4)
    again = gpulr.train(X, y, dtype="float64", tol=1e-6, start=model)
    assert again.n_iter == 0
    np.testing.assert_allclose(to_host(again.weights), to_host(model.weights), rtol=1e-12)


@pytest.mark.parametrize("name", ["of all orders", "all tiny"])
def test_search_and_estimators(table, name):
    Z, y = table
    X, best = Z * SIZES[name], None
    found = gpulr.search(X, y, Cs=[1e-2, 1.0, 1e4], cv=3)
    assert found.converged.all()
    assert found.model.converged
    best = optimum(Z, targets(y), found.best_C, SIZES[name])
    np.testing.assert_allclose(cost_of(found.model, X, targets(y), found.best_C), best, rtol=1e-4)
    one = OneVsAllLogisticRegression(dtype="float64").fit(X, y)
    theta = np.append(one.coef_, one.intercept_)[:, np.newaxis]
    cost, _ = reference(X, targets(y), theta, 1.0)
    np.testing.assert_allclose(cost, optimum(Z, targets(y), 1.0, SIZES[name]), rtol=1e-4)


def test_bootstrap(table):
    Z, y = table
    sizes = 2.0 ** np.array([0, 20, -20, 0, 13, 0, -13])
    settings = {"n": 5, "random_state": 0, "C": np.inf, "dtype": "float64"}
    plain, scaled = (gpulr.bootstrap(X, y, **settings) for X in (Z, Z * sizes))
    assert scaled.converged.all()
    coef = scaled.coef * sizes[:, np.newaxis]
    np.testing.assert_allclose(coef, plain.coef, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("sketch", [False, True])
def test_pairs_of_the_next_penalty(put, monkeypatch, table, as_if_large, sketch):
    """The change of the penalty goes through the same coordinates as gradients do."""
    if sketch:
        monkeypatch.setattr(SharedCurvature, "full_up_to", 4)
        monkeypatch.setattr(SharedCurvature, "sketch_rank", 4)
    Z, y = table
    problem = make_problem(put, Z * SIZES["one tiny"], y, C=[0.1], dtype="float64", n_classes=2)
    rows = problem.rows.equilibrated(centered=True)
    assert not isinstance(rows.factor, float)
    both = np.array([[0.1], [5]])
    first, second = (type(problem).of(rows, problem.targets, put(C)) for C in both)
    solver = LBFGS()
    prepared = solver.prepare(first)
    states = [solver.init(first, None, prepared)]
    for _ in range(3):
        states.append(solver.step(first, states[-1]))
    continuation = Continuation(first.penalty)
    continuation.collect(np.arange(1), states[-1])
    pairs = continuation.begin(prepared)(second).pairs
    reduced = [prepared.curvature.reduce(second.evaluate(s.theta).gradient) for s in states]
    for pair, before, after in zip(pairs, reduced[:-1], reduced[1:], strict=True):
        y = to_host(after - before)
        np.testing.assert_allclose(to_host(pair.y), y, rtol=1e-6, atol=1e-9 * np.abs(y).max())


def test_kernels_of_one_penalty_do_not_serve(table):
    Z, y = table
    problem = make_problem(lambda x: x, (Z * 1e-5).astype(np.float32), y, n_classes=2)
    assert obstacle(problem) is None
    rows = problem.rows.equilibrated(centered=True)
    assert "penalties of their own" in obstacle(replace(problem, rows=rows))
