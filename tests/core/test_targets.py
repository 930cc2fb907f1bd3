"""Columns with targets and row weights of their own, against problems of those rows alone."""

from __future__ import annotations

from dataclasses import replace

import array_api_compat
import numpy as np
import pytest
from scipy import sparse

from gpulr.backend import backend_of, to_host
from gpulr.core.problem import Problem
from gpulr.core.rows import Rows
from gpulr.core.targets import ClassTargets, LabelTargets
from gpulr.solvers import LBFGS, minimize
from helpers import assert_close, make_problem, reference

K = 6  # three classes, each in two folds


@pytest.fixture(params=[False, True], ids=["plain", "weighted"])
def folds(request, rng, put):
    """X, Y of each column, weights of each column, C, and the problem of all columns."""
    n = 120
    X, codes = rng.normal(size=(n, 5)), np.arange(n) % 3
    sets = rng.integers(0, 3, (n, 2)).astype(np.uint8)  # as of a bootstrap, zeros among them
    base = rng.uniform(0.5, 2, n) if request.param else np.ones(n)
    C = np.array([0.1, 1, 10, 0.1, 1, 10])
    of = np.repeat([0, 1], 3)
    Y = (codes[:, np.newaxis] == np.tile(np.arange(3), 2)).astype(float)
    there = put(X)
    backend = backend_of(there)
    problem = Problem.of(
        Rows(there, 1.0, None, backend, backend.xp.float64),
        ClassTargets(put(codes.astype(np.int32)), put(np.tile(np.eye(3), 2)), backend),
        put(C),
        sample_weight=put(base[:, np.newaxis]) if request.param else None,
        weight_sets=put(sets),
        set_index=put(of.astype(np.int32)),
    )
    return X, Y, base[:, np.newaxis] * sets[:, of], C, problem


def test_cost_and_gradient(put, rng, folds):
    X, Y, s, C, problem = folds
    theta = rng.normal(size=(6, K))
    found = problem.evaluate(put(theta))
    cost, gradient = reference(X, Y, theta, C, s)
    assert_close(found.cost, cost, like=problem.C, dtype="float64", ulps=64)
    assert_close(found.gradient, gradient, like=problem.C, dtype="float64", ulps=64, atol=1e-14)


def test_sums_of_weights_and_class_counts(folds):
    _, Y, s, _, problem = folds
    np.testing.assert_allclose(to_host(problem.m), s.sum(axis=0), rtol=1e-12)
    positive, negative = problem.class_counts()
    np.testing.assert_array_equal(to_host(positive), ((s > 0) * Y).sum(axis=0))
    np.testing.assert_array_equal(to_host(negative), ((s > 0) * (1 - Y)).sum(axis=0))


def test_some_of_the_models(put, rng, folds):
    X, Y, s, C, problem = folds
    some = np.array([4, 0, 3])
    theta = rng.normal(size=(6, 3))
    found = problem.select(put(some.astype(np.int32))).evaluate(put(theta))
    cost, _ = reference(X, Y[:, some], theta, C[some], s[:, some])
    np.testing.assert_allclose(to_host(found.cost), cost, rtol=1e-12)


def test_a_sample_keeps_each_models_penalty(put, rng, folds):
    X, Y, s, C, problem = folds
    index = np.arange(0, 120, 2)
    theta = rng.normal(size=(6, K))
    found = problem.sample(put(index.astype(np.int32))).evaluate(put(theta))
    of_all = C * s.sum(axis=0) / s[index].sum(axis=0)
    cost, _ = reference(X[index], Y[index], theta, of_all, s[index])
    np.testing.assert_allclose(to_host(found.cost), cost, rtol=1e-12)


def test_each_column_reaches_the_optimum_of_its_own_rows(put, folds):
    X, Y, s, C, problem = folds
    solution = minimize(LBFGS(), problem, max_iter=200, tol=1e-9)
    assert solution.converged.all()
    _, gradient = reference(X, Y, solution.theta, C, s)
    assert np.abs(gradient).max() <= 2e-9


def test_a_start_is_used_and_dropped_where_zero_is_better(put, folds):
    *_, problem = folds
    best = minimize(LBFGS(), problem, max_iter=200, tol=1e-8).theta
    again = minimize(LBFGS(), problem, max_iter=200, tol=1e-6, start=put(best))
    assert np.all(again.n_iter == 0)
    far = best.copy()
    far[:, 0] += 100.0
    from_far = minimize(LBFGS(), problem, max_iter=200, tol=1e-6, start=put(far))
    assert from_far.converged.all()
    assert from_far.cost[0, 0] == pytest.approx(np.log(2))
    assert np.all(from_far.n_iter[1:] == 0)


@pytest.mark.parametrize("kind", ["uint8", "bool", "float64"])
def test_label_targets(put, rng, kind):
    indicator = rng.integers(0, 2, (40, 7)).astype(kind)
    there = put(indicator)
    backend = backend_of(there)
    label = np.array([6, 0, 0, 3], dtype=np.int32)
    targets = LabelTargets(there, put(label), backend, backend.xp.float32)
    assert targets.n_models == 4
    block = targets.sample(put(np.arange(10, 40, dtype=np.int32))).block(slice(5, 20))
    assert_close(block, indicator[15:30, label], like=there, dtype="float32", ulps=0)
    fewer = targets.select(put(np.array([3, 1], dtype=np.int32))).block(slice(0, 40))
    assert_close(fewer, indicator[:, [3, 0]], like=there, dtype="float32", ulps=0)


def test_sparse_label_targets(rng):
    indicator = rng.integers(0, 2, (40, 7))
    backend = backend_of(indicator)
    there = sparse.csr_array(indicator)
    targets = LabelTargets(there, np.array([6, 0]), backend, np.dtype(np.float32))
    np.testing.assert_array_equal(targets.block(slice(3, 9)), indicator[3:9, [6, 0]])
    sample = targets.sample(np.array([1, 5]))
    np.testing.assert_array_equal(sample.block(slice(0, 2)), indicator[[1, 5]][:, [6, 0]])


def test_shared_weights_alone_need_one_column(put, rng):
    X, codes = rng.normal(size=(30, 2)), np.arange(30) % 3
    problem = make_problem(put, X, codes, weights=np.arange(30) % 2, dtype="float64")
    block = problem.weights.block(slice(0, 4))
    assert tuple(block.shape) == (4, 1)
    assert array_api_compat.device(block) == array_api_compat.device(problem.C)
    np.testing.assert_array_equal(to_host(problem.m), np.full(3, 15.0))


@pytest.mark.parametrize("matrix", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_what_positives_weigh_and_what_is_not_known(put, rng, matrix, weighted):
    """Everything that a problem computes, against weights of each entry."""
    n, k = 120, 4
    X, p = rng.normal(size=(n, 5)), np.array([1e-3, 1.0, 2.5, 40.0])
    there = put(X)
    backend = backend_of(there)
    if matrix:
        codes = rng.choice(3, size=(n, k), p=[0.6, 0.3, 0.1]).astype(np.uint8)
        Y, known = (codes == 1).astype(float), codes < 2
        label = put(np.arange(k, dtype=np.int32))
        targets = LabelTargets(put(codes), label, backend, backend.xp.float64)
    else:
        codes = rng.integers(0, k, n).astype(np.int32)
        Y, known = np.eye(k)[codes], np.ones((n, k))
        targets = ClassTargets(put(codes), put(np.eye(k)), backend)
    base = rng.uniform(0.5, 2, (n, 1)) if weighted else np.ones((n, 1))
    sets = rng.integers(0, 3, (n, 2)).astype(np.uint8)
    of = np.array([0, 1, 1, 0], np.int32)
    s = base * (sets[:, of] if weighted else 1.0) * known * np.where(Y > 0, p, 1.0)
    problem = Problem.of(
        Rows(there, 1.0, None, backend, backend.xp.float64),
        targets,
        put(np.ones(k)),
        sample_weight=put(base) if weighted else None,
        weight_sets=put(sets) if weighted else None,
        set_index=put(of) if weighted else None,
        pos_weight=put(p),
        unknown=matrix,
    )
    theta = rng.normal(size=(6, k))
    cost, gradient = reference(X, Y, theta, 1.0, s)
    margins = problem.margins(put(theta))
    for found in (problem.evaluate(put(theta)), problem.evaluate_margins(margins, put(theta))):
        np.testing.assert_allclose(to_host(found.cost), cost, rtol=1e-12)
        np.testing.assert_allclose(to_host(found.gradient), gradient, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(to_host(problem.m), s.sum(axis=0), rtol=1e-12)

    Z, D = to_host(margins.Z), rng.normal(size=(n, k))
    P = 1 / (1 + np.exp(-Z))
    slopes = s * P * (1 - P)
    along = problem.derivatives_along(margins, replace(margins, Z=put(D)))
    terms = s * (P - Y) * D, slopes * D**2, slopes
    for found, expected in zip(along, terms, strict=True):
        np.testing.assert_allclose(to_host(found), expected.sum(axis=0) / s.sum(axis=0), rtol=1e-10)
    moments = np.einsum("nk,ni,nj->kij", slopes, X, X) / s.sum(axis=0)[:, None, None]
    np.testing.assert_allclose(to_host(problem.second_moments(margins, there)), moments, atol=1e-13)
    sums = problem.slope_sums(margins, there)
    np.testing.assert_allclose(to_host(sums), slopes.T @ X / s.sum(axis=0)[:, None], atol=1e-13)

    some, rows = np.array([3, 1]), np.arange(0, n, 3)
    part = problem.select(put(some)).sample(put(rows))
    cost, _ = reference(X[rows], Y[rows][:, some], theta[:, some], 1.0, s[rows][:, some])
    penalty = (theta[:-1, some] ** 2).sum(axis=0) / 2
    cost += penalty / s[:, some].sum(axis=0) - penalty / s[rows][:, some].sum(axis=0)
    np.testing.assert_allclose(to_host(part.evaluate(put(theta[:, some])).cost), cost, rtol=1e-11)


def test_balance_is_exact_and_of_the_rows_that_count(put, rng):
    n, k = 90, 3
    there = put(rng.normal(size=(n, 2)))
    backend = backend_of(there)
    codes = np.repeat([0, 1, 2], [50, 30, 10]).astype(np.int32)
    sets = (rng.random((n, 2)) < 0.7).astype(np.uint8)
    problem = Problem.of(
        Rows(there, 1.0, None, backend, backend.xp.float64),
        ClassTargets(put(codes), put(np.tile(np.eye(k), 2)), backend),
        put(np.full(2 * k, 3.0)),
        weight_sets=put(sets),
        set_index=put(np.repeat(np.arange(2, dtype=np.int32), k)),
        balanced=True,
    )
    ones = np.concatenate([[(sets[codes == c, f]).sum() for c in range(k)] for f in range(2)])
    every = np.repeat(sets.sum(axis=0), k)
    np.testing.assert_allclose(to_host(problem.targets.positive), (every - ones) / ones, rtol=1e-12)
    np.testing.assert_allclose(to_host(problem.C * problem.m), 3.0 * every, rtol=1e-12)
