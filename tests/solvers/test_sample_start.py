"""Where L-BFGS begins: at where iterations on a sample of the rows lead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gpulr.backend import to_host
from gpulr.solvers import LBFGS, lbfgs, minimize, refresh
from helpers import make_problem

SOLVER = LBFGS(sample=1000)


@pytest.fixture
def rare(put, rng):
    """Three models of 3,000 rows, of which the last has 12 positives: too few in the sample."""
    codes = rng.integers(0, 2, 3000)
    codes[rng.choice(3000, 12, replace=False)] = 2
    X = rng.standard_normal((3000, 5)) + np.eye(3, 5)[codes]
    return make_problem(put, X, codes, dtype="float64")


def test_a_rare_class_keeps_no_other_model_from_the_sample(put, rare):
    start = SOLVER.init(rare)
    both = put(np.array([0, 1]))
    others = SOLVER.init(rare.select(both))
    np.testing.assert_allclose(to_host(start.theta)[:, :2], to_host(others.theta), rtol=1e-12)
    assert to_host(start.pairs[-1].rho)[:2].all()
    assert np.all(to_host(start.cost)[:2] < to_host(rare.evaluate(rare.start()).cost)[:2] - 0.05)


def test_a_rare_class_begins_at_its_log_odds(rare):
    start, share = SOLVER.init(rare), 12 / 3000
    theta = to_host(start.theta)[:, 2]
    assert not theta[:-1].any()
    np.testing.assert_allclose(theta[-1], np.log(share / (1 - share)), rtol=1e-12)
    np.testing.assert_allclose(to_host(start.kappa)[2], share * (1 - share), rtol=1e-12)
    assert abs(to_host(start.gradient)[-1, 2]) < 1e-15
    assert not to_host(start.pairs[-1].rho)[2]


def test_without_an_intercept_it_begins_at_zero(rare):
    start = SOLVER.init(replace(rare, intercept=False))
    assert not to_host(start.theta)[:, 2].any()
    assert to_host(start.kappa)[2] == 0.25


def test_all_models_of_rare_classes(put, rare, monkeypatch):
    asked = []
    worthwhile = lbfgs.worthwhile
    monkeypatch.setattr(lbfgs, "worthwhile", lambda *a: asked.append(a[1:4]) or worthwhile(*a))
    start, _ = SOLVER.init(rare.select(put(np.array([2])))), SOLVER.init(rare)
    assert not start.pairs
    # By these it is judged whether a curvature of its own pays, whatever its neighbours.
    (before, norm, n), beside = asked
    assert n == beside[2] == SOLVER.sample_iterations
    np.testing.assert_array_equal(before, beside[0][2:])
    assert np.isnan(before).all()
    np.testing.assert_allclose(norm, beside[1][2:], rtol=1e-12)


def test_a_rare_class_takes_the_same_path_alone(rng, monkeypatch):
    X = rng.standard_normal((5000, 30)) * np.logspace(0, -1.5, 30)
    Z = X @ rng.standard_normal((30, 2)) * 4.0 + rng.logistic(size=(5000, 2))
    codes = np.where(Z[:, 1] >= np.sort(Z[:, 1])[-15], 2, Z[:, 0] > 0)
    monkeypatch.setattr(refresh, "MARGIN", 0.3)
    problem = make_problem(np.asarray, X.astype(np.float32), codes, C=100.0)
    together = minimize(SOLVER, problem, max_iter=100, tol=1e-4)
    alone = minimize(SOLVER, problem.select(np.array([2])), max_iter=100, tol=1e-4)
    n = alone.n_iter[0]
    assert n == together.n_iter[2]
    norms = together.gradient_norm[: n + 1, 2]
    np.testing.assert_allclose(alone.gradient_norm[:, 0], norms, rtol=1e-2)


def test_the_optimum_is_the_same(rare):
    found = minimize(SOLVER, rare, max_iter=100, tol=1e-9)
    assert found.converged.all()
    gradient = to_host(rare.evaluate(rare.backend.asarray(found.theta)).gradient)
    assert np.abs(gradient).max() <= 1e-9


@pytest.mark.parametrize(
    ("limit", "n_rows"), [(None, 12_000), (2**40, 12_000), (9 * 10**8, 7031), (2**20, 1000)]
)
def test_fewer_rows_are_sampled_where_addresses_are_limited(monkeypatch, put, limit, n_rows):
    monkeypatch.setattr(lbfgs, "address_limit", lambda: limit)
    problem = make_problem(put, np.zeros((30_000, 1000), np.uint8), np.arange(30_000) % 2)
    solver, rows = LBFGS(), problem.rows
    assert solver.sample_size(rows, lbfgs.sample_bytes()) == n_rows
    note = solver.notes(rows).get("sample")
    few = n_rows < 12_000
    assert note == (f"{n_rows:,} rows, of {limit:,} bytes of addresses" if few else None)
