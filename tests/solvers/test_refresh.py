"""Each model's curvature, found anew at where it has come to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse

from gpulr.backend import to_host
from gpulr.solvers import LBFGS, minimize, refresh
from gpulr.solvers.curvature import SharedCurvature
from gpulr.solvers.lbfgs_state import LBFGSState
from gpulr.solvers.model_curvature import ModelCurvature
from gpulr.solvers.refresh import (
    PART,
    Pool,
    _draw,
    is_due,
    passes,
    refreshed,
    until_due,
    worthwhile,
)
from helpers import make_problem

ALWAYS = -1.0  # a margin that leaves each refresh worth while


@pytest.fixture
def rows(digits):
    """Digits that differ from constant somewhere, X (500, 61) and y."""
    X, y = digits[0][:500].astype(np.float64), digits[1][:500]
    return X[:, X.std(axis=0) > 0], y


def solved(problem, curvature, X, s, theta, lam, q):
    """Apply each model's inverse Hessian, by the textbook's formula and NumPy's solver."""
    X1 = np.hstack([X, np.full((len(X), 1), float(problem.intercept))])
    A = to_host(curvature.expand(problem.backend.asarray(np.eye(X1.shape[1]))))
    values = np.append(to_host(curvature.values), 1.0)
    found = []
    for j in range(theta.shape[1]):
        P = 0.5 * (1 + np.tanh(X1 @ theta[:, j] / 2))
        weights = s * P * (1 - P) / s.sum()
        H = A.T @ (X1.T * weights) @ X1 @ A
        own = np.maximum(np.diag(H), weights.sum() * values)
        penalty = lam[j] * np.append(np.ones(len(values) - 1), 0.0)
        found.append(np.linalg.solve((1 - PART) * H + np.diag(PART * own + penalty), q[:, j]))
    return np.stack(found, axis=1)


@pytest.mark.parametrize("kind", ["plain", "weighted", "no intercept", "centred", "sparse"])
@pytest.mark.parametrize(("dtype", "close"), [("float32", 2e-3), ("float64", 1e-8)])
def test_equals_the_hessian_of_all_rows(put, rng, rows, kind, dtype, close):
    X, y = rows
    s, more, given = np.ones(len(X)), {}, X
    if kind == "weighted":
        s = rng.uniform(0.0, 2.0, len(X)) * (rng.random(len(X)) < 0.8)
        more = {"weights": s}
    if kind == "centred":
        given = X * 3.0 + 1.0
        more = {"center": np.full(X.shape[1], 1.0), "scale": 1.0 / 3.0}
    if kind == "sparse":
        if put is not np.asarray:
            pytest.skip("sparse rows are NumPy's")
        given = scipy.sparse.csr_array(X)
    given = given.astype(dtype)
    problem = make_problem(put, given, y, dtype=dtype, **more)
    problem = replace(problem, intercept=kind != "no intercept")
    shared = SharedCurvature.of(problem)
    theta, q = rng.standard_normal((2, X.shape[1] + 1, 10))
    theta[-1], q[-1] = theta[-1] * problem.intercept, q[-1] * problem.intercept
    lam, asarray = to_host(problem.penalty), problem.backend.asarray
    pool = Pool.of(problem, None, shared)
    new = refreshed(pool, problem, problem.margins(asarray(theta)))
    assert new.which.tolist() == list(range(10))
    found = to_host(new.solve(asarray(q), asarray(lam), asarray(lam)))
    expected = solved(problem, shared, X, s, theta, lam, q)
    largest = np.abs(expected).max(axis=0)
    np.testing.assert_allclose(found / largest, expected / largest, atol=close)


def test_drawn_rows_and_a_diagonal_come_close(put, rng, rows, monkeypatch):
    X, y = rows
    monkeypatch.setattr(refresh, "LEADING", 40)
    monkeypatch.setattr(refresh, "DRAWN", 300)
    problem = make_problem(put, X, y, dtype="float64", C=0.1)
    shared, asarray = SharedCurvature.of(problem), problem.backend.asarray
    theta = rng.standard_normal((X.shape[1] + 1, 10))
    gradient = to_host(problem.evaluate(asarray(theta)).gradient)
    q, lam = to_host(shared.reduce(asarray(gradient))), to_host(problem.penalty)
    new = refreshed(Pool.of(problem, None, shared), problem, problem.margins(asarray(theta)))
    kappa = np.full(10, 0.1)
    exact = solved(problem, shared, X, np.ones(len(X)), theta, lam, q)

    def apart(curvature):
        found = to_host(curvature.solve(*map(asarray, (q, kappa, lam))))
        return np.linalg.norm(found - exact, axis=0) / np.linalg.norm(exact, axis=0)

    assert np.all(apart(new) < 0.7 * apart(shared))


def test_models_of_a_group_share_what_is_found_with_their_means(put, rng, rows):
    X, y = rows
    problem = make_problem(put, X, y, dtype="float64")
    shared, asarray = SharedCurvature.of(problem), problem.backend.asarray
    pool = Pool.of(problem, None, shared)
    theta = rng.standard_normal((X.shape[1] + 1, 10))
    margins = problem.margins(asarray(np.tile(theta[:, :5], 2)))
    order = rng.permutation(5)
    new = refreshed(pool, problem, margins, np.tile(order, 2))
    assert new.which.tolist() == order.tolist() * 2
    each = refreshed(pool, problem, margins)
    np.testing.assert_allclose(
        to_host(new.inverses)[order], to_host(each.inverses)[:5], rtol=1e-9, atol=1e-12
    )


def test_the_order_of_numbers_is_free(put, rng, rows):
    X, y = rows
    problem = make_problem(put, X, y, dtype="float64")
    pool = Pool.of(problem, None, SharedCurvature.of(problem))
    margins = problem.margins(problem.backend.asarray(rng.standard_normal((X.shape[1] + 1, 10))))
    order = rng.permutation(10)
    new, each = (refreshed(pool, problem, margins, groups) for groups in (order, None))
    assert new.which.tolist() == order.tolist()
    np.testing.assert_allclose(
        to_host(new.inverses)[order], to_host(each.inverses), rtol=1e-9, atol=1e-12
    )


def test_few_rows_of_a_sample_tell_nothing(put, rng, rows):
    X, y = rows
    problem = make_problem(put, X, y)
    shared, asarray = SharedCurvature.of(problem), problem.backend.asarray
    theta = np.zeros((X.shape[1] + 1, 10))
    theta[:-1, 4] = 40.0 * rng.standard_normal(X.shape[1])  # its slopes lie on few rows
    pool = Pool.of(problem, asarray(np.arange(len(X) - 1)), shared)
    new = refreshed(pool, problem, problem.margins(asarray(theta)))
    assert np.flatnonzero(new.which < 0).tolist() == [4]


def test_a_model_without_slopes_keeps_the_shared_curvature(put, rng, rows):
    X, y = rows
    problem = make_problem(put, X, y)
    shared, asarray = SharedCurvature.of(problem), problem.backend.asarray
    theta = rng.standard_normal((X.shape[1] + 1, 10))
    theta[-1, 3], theta[-1, 5] = 1e4, np.nan
    margins = problem.margins(asarray(theta))
    new = refreshed(Pool.of(problem, None, shared), problem, margins)
    assert new.which.tolist() == [0, 1, 2, -1, 3, -1, 4, 5, 6, 7]
    assert np.all(np.isfinite(to_host(new.inverses)))


def test_columns_take_the_same_path_alone_and_together(rows, monkeypatch):
    monkeypatch.setattr(refresh, "MARGIN", ALWAYS)
    monkeypatch.setattr(refresh, "LEADING", 30)
    X, y = rows
    problem = make_problem(np.asarray, X.astype(np.float32), y, C=10.0)
    solver, settings = LBFGS(sample=200), {"max_iter": 12, "tol": 1e-6}
    together = minimize(solver, problem, **settings)
    for j in (0, 7):
        alone = minimize(solver, problem.select(np.array([j])), **settings)
        np.testing.assert_allclose(alone.theta[:, 0], together.theta[:, j], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("fitted", [True, False])
@pytest.mark.parametrize("C", [1.0, 100.0])
def test_fewer_iterations_to_the_same_optimum(rows, monkeypatch, C, fitted):
    X, y = rows
    problem = replace(
        make_problem(np.asarray, X[:200], y[:200], dtype="float64", C=C), intercept=fitted
    )
    found = []
    for margin in (ALWAYS, np.inf):
        monkeypatch.setattr(refresh, "MARGIN", margin)
        found.append(minimize(LBFGS(), problem, max_iter=200, tol=1e-8))
        assert found[-1].converged.all()
    assert found[0].n_iter.sum() < 0.8 * found[1].n_iter.sum()
    looks = np.array([sum(map(is_due, range(n))) for n in found[0].n_iter])
    assert np.all((found[0].refreshes > 0) & (found[0].refreshes <= looks))
    assert not found[1].refreshes.any()
    np.testing.assert_allclose(found[0].theta, found[1].theta, atol=1e-3)


def test_nothing_is_refreshed_where_it_does_not_pay(rows):
    X, y = rows
    problem = make_problem(np.asarray, X.astype(np.float32), y)
    state = last_state(problem, tol=1e-4)
    assert not isinstance(state.curvature, ModelCurvature)
    assert "leading" not in vars(state.pool)


def test_models_that_go_on_for_long_are_refreshed(rows):
    X, y = rows
    X = np.tile(X, (30, 1))  # a refresh takes less beside longer passes
    problem = make_problem(np.asarray, X.astype(np.float32), np.tile(y, 30), C=100.0)
    assert isinstance(last_state(problem, tol=0.0).curvature, ModelCurvature)


def last_state(problem, tol):
    states = []
    minimize(
        LBFGS(),
        problem,
        max_iter=30,
        tol=tol,
        leaving=lambda models, state: states.append(state),
    )
    assert isinstance(states[-1], LBFGSState)
    return states[-1]


def test_constant_columns_without_a_penalty(put, rng):
    X = rng.standard_normal((300, 6))
    X[:, 2], X[:, 4] = 0.0, 3.0
    y = (X[:, 0] + rng.logistic(size=300) > 0).astype(int)
    problem = make_problem(put, X, y, dtype="float64", C=np.inf)
    shared = SharedCurvature.of(problem)
    pool = Pool.of(problem, None, shared)
    new = refreshed(pool, problem, problem.margins(problem.start()))
    gradient = problem.evaluate(problem.start()).gradient
    u = new.solve(shared.reduce(gradient), 0.25 + problem.penalty, problem.penalty)
    step = to_host(shared.expand(u))
    assert np.all(np.isfinite(step))
    assert np.abs(step).max() < 10.0


@pytest.fixture
def hard(rows, monkeypatch):
    """Rows and labels whose models are refreshed at each look, and the solver: it has a sample."""
    monkeypatch.setattr(refresh, "MARGIN", ALWAYS)
    monkeypatch.setattr(refresh, "LEADING", 30)
    return rows[0].astype(np.float32), rows[1], LBFGS(sample=150)


SETTINGS = {"max_iter": 40, "tol": 1e-5}


@pytest.mark.parametrize("every", [3, 5, 8])
def test_bursts_change_nothing(hard, monkeypatch, every):
    X, y, solver = hard
    problem, found = make_problem(np.asarray, X, y, C=10.0, dtype="float64"), []
    for length in (1, every):
        monkeypatch.setattr(type(problem.backend), "check_every", length)
        found.append(minimize(solver, problem, **SETTINGS))
    singly, bursts = found
    assert len(set(singly.n_iter.tolist())) > 2
    np.testing.assert_array_equal(bursts.n_iter, singly.n_iter)
    np.testing.assert_allclose(bursts.theta, singly.theta, rtol=1e-7, atol=1e-9)


def test_any_library_takes_the_path_of_numpy(put, hard):
    X, y, solver = hard
    found = [
        minimize(solver, make_problem(where, X, y, C=10.0, dtype="float64"), **SETTINGS)
        for where in (np.asarray, put)
    ]
    assert found[0].converged.all()
    assert found[0].refreshes.max() > 1
    np.testing.assert_array_equal(found[1].n_iter, found[0].n_iter)
    n = found[0].n_iter.min() + 1
    np.testing.assert_allclose(found[1].cost[:n], found[0].cost[:n], rtol=1e-9)
    np.testing.assert_allclose(found[1].theta, found[0].theta, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n", [1, 7, 300])
def test_draws(put, rng, n):
    slopes = rng.uniform(0.0, 1.0, (4, 50)) ** 4
    slopes[:, [0, 3, 49]] = 0.0
    slopes[3] = np.arange(50) == 7
    drawn = to_host(_draw(put(slopes), n))
    assert drawn.shape == (4, n)
    for mine, s in zip(drawn, slopes, strict=True):
        counts = np.bincount(mine, minlength=50)
        assert counts.sum() == n
        assert np.abs(counts - n * s / s.sum()).max() <= 1.0
        assert not counts[s == 0.0].any()
        assert np.all(np.diff(mine) >= 0)
    alone = to_host(_draw(put(slopes[2:3]), n))
    np.testing.assert_array_equal(alone[0], drawn[2])


@pytest.mark.parametrize("some", [1, 3, 100])
@pytest.mark.parametrize("drawn", [100, 10**6])
def test_factors_of_many_models_at_once(put, rng, rows, monkeypatch, some, drawn):
    X, y = rows
    monkeypatch.setattr(refresh, "LEADING", 20)
    monkeypatch.setattr(refresh, "DRAWN", drawn)
    problem = make_problem(put, X, y, dtype="float64")
    pool = Pool.of(problem, None, SharedCurvature.of(problem))
    margins = problem.margins(problem.backend.asarray(rng.standard_normal((X.shape[1] + 1, 10))))
    each = refreshed(pool, problem, margins)
    monkeypatch.setattr(type(problem.backend), "check_every", 8)
    monkeypatch.setattr(refresh, "AT_ONCE", some * 21 * (min(drawn, 500) + 84))
    together = refreshed(pool, problem, margins)
    for name in ("inverses", "rest"):
        got, expected = (to_host(getattr(c, name)) for c in (together, each))
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


def test_when_it_is_looked_at():
    due = [2, 6, 14, 30, 62, 126]
    assert [i for i in range(127) if is_due(i)] == due
    assert [i + until_due(i) for i in range(126)] == [
        min(d for d in due if d > i) for i in range(126)
    ]


def test_what_pays(rows):
    problem = make_problem(np.asarray, np.tile(rows[0], (30, 1)), np.tile(rows[1], 30))
    pool = Pool.of(problem, None, SharedCurvature.of(problem))
    before, norm = np.array([1.0, 1.0, 1.0, np.nan, 1e-3]), np.array([1e-2, 0.9, 2.0, 1e-2, 1e-9])
    # At once, not for long, never, unknown, done.
    flags, groups = worthwhile(pool, before, norm, 2, 1e-4)
    assert flags.tolist() == [False, True, True, False, False]
    assert groups.tolist() == [0, 1]
    assert not worthwhile(pool, before, norm, 0, 1e-4)[0].any()
    assert worthwhile(pool, before, norm, 2, 0.0)[0].tolist() == [True, True, True, False, True]


def test_what_pays_for_models_that_share(put, rows):
    X, y = rows
    problem = make_problem(put, X, y)
    pool = Pool.of(problem, None, SharedCurvature.of(problem))
    margins = problem.margins(problem.start())
    known = refreshed(pool, problem, margins, np.array([0, 0, 0, 0, 0, 0, 0, 0, 1, 2]))
    each = passes(pool, first=False)
    before, tol = np.full(10, 10.0), 1e-4
    falls = np.log(10.0 / tol) / (0.5 * each)  # to go on for half as long as a refresh takes
    norm = 10.0 * np.exp(-2.0 * falls) + np.zeros(10)
    flags, groups = worthwhile(pool, before, norm, 2, tol, known)
    assert flags.tolist() == [True] * 8 + [False] * 2
    assert groups.tolist() == [0] * 8
