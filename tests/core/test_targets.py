"""Columns with targets and row weights of their own, against problems of those rows alone."""

from __future__ import annotations

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
