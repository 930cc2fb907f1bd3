"""Margins kept by the solver, and what is computed from them, against a whole pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from gpulr.backend import backend_of, to_host
from gpulr.core.problem import Margins
from helpers import assert_close, make_problem, reference, targets

EACH_DTYPE = pytest.mark.parametrize("dtype", ["float32", "float64"])
ULPS = {"float32": 64, "float64": 256}


@pytest.fixture(params=["plain", "weighted", "standardized uint8", "standardized float", "blocks"])
def case(request, rng, put, monkeypatch):
    """A function of dtype that makes a problem; the scaled rows and weights it has."""
    X, s = rng.uniform(0, 200, (70, 5)), None
    settings = {"scale": 0.01, "center": None}
    if request.param.startswith("standardized"):
        X = X.astype("uint8" if "uint8" in request.param else "float32")
        settings = {"scale": 1 / X.std(axis=0, dtype=float), "center": X.mean(axis=0, dtype=float)}
    if request.param != "plain":
        s = (rng.exponential(size=70) * (np.arange(70) % 5 > 0)).astype(np.float32)
    if request.param == "blocks":
        monkeypatch.setattr(type(backend_of(put(X))), "block_bytes", 700)
    settings |= {"weights": s, "C": [0.1, 1.0, np.inf]}
    center = 0.0 if settings["center"] is None else settings["center"]
    scaled = (X.astype(np.float64) - center) * settings["scale"]
    codes = np.arange(70) % 3
    return lambda dtype: make_problem(put, X, codes, dtype=dtype, **settings), scaled, s


@EACH_DTYPE
def test_margins(put, rng, case, dtype):
    make, X, _ = case
    problem, theta = make(dtype), rng.normal(size=(6, 3))
    Z = problem.margins(put(theta)).Z
    atol = ULPS[dtype] * np.finfo(dtype).eps * np.abs(X).max() * 5
    assert_close(Z, X @ theta[:-1] + theta[-1], like=problem.C, dtype=dtype, atol=atol)


@EACH_DTYPE
def test_margins_along_a_direction_of_some_models_and_of_others(put, rng, dtype):
    Z, D, t = rng.normal(size=(70, 20)), rng.normal(size=(70, 20)), rng.normal(size=20)
    backend = backend_of(put(Z))
    (Z, D), t = (np.asarray(each, dtype) for each in (Z, D)), np.asarray(t, dtype)

    def margins(values):
        return Margins(put(values.copy()), backend)

    ulps = {"like": put(Z), "dtype": dtype, "ulps": 4}
    before = margins(Z)
    assert_close(before.along(margins(D), put(t)).Z, Z + t * D, **ulps)
    assert_close(before.Z, Z, **ulps)
    for n in (1, 7, 20):  # who stay where they were: few of them, or many
        flags = np.arange(20) >= n
        found = margins(D).where(put(flags), before)
        assert_close(found.Z, np.where(flags, D, Z), **ulps)
        assert_close(before.Z, Z, **ulps)
    for models in ([3], [0, 1, 7, 19], np.arange(20)):
        assert_close(before.take(put(np.array(models))).Z, Z[:, models], **ulps)


@EACH_DTYPE
def test_a_pass_from_margins_equals_a_whole_one(put, rng, case, dtype):
    make, X, s = case
    problem, theta = make(dtype), rng.normal(size=(6, 3))
    whole = problem.evaluate(put(theta))
    half = problem.evaluate_margins(problem.margins(put(theta)), put(theta))
    s = 1.0 if s is None else s[:, np.newaxis]
    expected = reference(X, targets(np.arange(70) % 3), theta, [0.1, 1, np.inf], s)
    atol = ULPS[dtype] * np.finfo(dtype).eps * np.abs(X).max()
    for a, b, c in zip(whole, half, expected, strict=True):
        assert_close(b, to_host(a), like=problem.C, dtype="float64", ulps=0, atol=atol)
        assert_close(b, c, like=problem.C, dtype="float64", ulps=0, atol=atol)


@EACH_DTYPE
def test_the_opposite_question_has_the_same_bits(put, rng, case, dtype):
    """Targets exchanged and parameters negated: no end of σ is less exact than the other."""
    make, *_ = case
    problem, theta = make(dtype), 9.0 * rng.normal(size=(6, 3))
    targets = replace(problem.targets, table=1.0 - problem.targets.table)
    opposite = replace(problem, targets=targets)
    D = put(rng.normal(size=(70, 3)), dtype)
    for one, other in zip(
        figures(problem, put(theta), D), figures(opposite, put(-theta), D), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def figures(problem, theta, D):
    """Everything that is computed of margins; what changes its sign with them, negated by it."""
    sign = np.sign(to_host(theta)[0, 0])
    Z = problem.margins(theta)
    for cost, gradient in (problem.evaluate(theta), problem.evaluate_margins(Z, theta)):
        yield to_host(cost)
        yield sign * to_host(gradient)
    first, second, spread = map(to_host, problem.derivatives_along(Z, Margins(D, Z.backend)))
    yield from (sign * first, second, spread)


def test_derivatives_along_a_direction_by_finite_differences(put, rng, case):
    make, X, s = case
    problem = make("float64")
    theta, D = rng.normal(size=(6, 3)), rng.normal(size=(6, 3))
    Z, dZ = problem.margins(put(theta)), problem.margins(put(D))
    first, second, spread = problem.derivatives_along(Z, dZ)
    Y = targets(np.arange(70) % 3)
    weights = 1.0 if s is None else s[:, np.newaxis]

    def cost(t):
        return reference(X, Y, theta + t * D, np.inf, weights)[0]

    def slope(t):
        gradient = reference(X, Y, theta + t * D, np.inf, weights)[1]
        return (gradient * D).sum(axis=0)

    h = 1e-5
    like = {"like": problem.C, "dtype": "float64", "atol": 1e-8}
    assert_close(first, (cost(h) - cost(-h)) / (2 * h), **like, ulps=1e10)
    assert_close(first, slope(0), **like)
    assert_close(second, (slope(h) - slope(-h)) / (2 * h), **like, ulps=1e10)
    P = 0.5 * (1 + np.tanh((X @ theta[:-1] + theta[-1]) / 2))
    weights = np.ones(70) if s is None else s
    assert_close(spread, np.average(P * (1 - P), axis=0, weights=weights), **like)


@EACH_DTYPE
def test_gram_product_with_weights_and_centre(put, rng, case, dtype):
    make, X, s = case
    problem, V = make(dtype), rng.normal(size=(6, 2))
    X1 = np.hstack([X, np.ones((70, 1))])
    s = np.ones(70) if s is None else s.astype(np.float64)
    expected = (X1.T * s) @ (X1 @ V) / s.sum()
    atol = ULPS[dtype] * np.finfo(dtype).eps * np.abs(X).max() ** 2 * 5
    like = {"like": problem.C, "dtype": "float64", "ulps": 0, "atol": atol}
    assert_close(problem.gram_product(put(V)), expected, **like)


@EACH_DTYPE
def test_a_sample_has_the_penalty_of_all_rows(put, rng, case, dtype):
    make, X, s = case
    problem, theta = make(dtype), rng.normal(size=(6, 3))
    index = np.array([3, 4, 11, 30, 42, 69])
    cost, gradient = problem.sample(put(index)).evaluate(put(theta))
    s = np.ones(70) if s is None else s.astype(np.float64)
    Y, few = targets(np.arange(70) % 3)[index], s[index, np.newaxis]
    loss, slope = reference(X[index], Y, theta, np.inf, few)
    lam = 1 / (np.array([0.1, 1, np.inf]) * s.sum())
    penalty = np.vstack([lam * theta[:-1], np.zeros((1, 3))])
    atol = ULPS[dtype] * np.finfo(dtype).eps * np.abs(X).max()
    like = {"like": problem.C, "dtype": "float64", "ulps": 0, "atol": atol}
    assert_close(cost, loss + lam / 2 * (theta[:-1] ** 2).sum(axis=0), **like)
    assert_close(gradient, slope + penalty, **like)


def test_sparse_rows_give_dense_margins_and_gradients(rng):
    X = sparse.random_array((50, 6), density=0.4, random_state=rng, format="csr")
    codes, theta = np.arange(50) % 3, rng.normal(size=(7, 3))
    for settings in ({}, {"scale": rng.uniform(1, 2, 6), "center": rng.normal(size=6)}):
        problem = make_problem(np.asarray, X, codes, dtype="float64", **settings)
        dense = make_problem(np.asarray, X.toarray(), codes, dtype="float64", **settings)
        Z = problem.margins(theta).Z
        assert isinstance(Z, np.ndarray)
        np.testing.assert_allclose(Z, dense.margins(theta).Z, atol=1e-12)
        for a, b in zip(problem.evaluate(theta), dense.evaluate(theta), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-13)
