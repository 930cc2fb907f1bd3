"""The shared preconditioner against a dense inverse, in full and as a sketch."""

from __future__ import annotations

import tracemalloc
from functools import partialmethod
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse

import gpulr
from gpulr.backend import backend_of, to_host
from gpulr.solvers import LBFGS
from gpulr.solvers.curvature import SharedCurvature, _eigh
from helpers import make_problem, targets

KAPPA = np.array([0.25, 0.03, 1e-3])
LAM = np.array([1e-2, 1.0, 1e-4])


def dense(X, kappa, lam, s=None):
    """κ [X, 1]ᵀ diag(s) [X, 1] / m + diag(λ, …, λ, 0) in float64."""
    s = np.ones(len(X)) if s is None else s
    X1 = np.hstack([X, np.ones((len(X), 1))])
    ridge = np.append(np.full(X.shape[1], lam), 0.0)
    return kappa * (X1.T * s) @ X1 / s.sum() + np.diag(ridge)


def inverse(curvature, q, kappa, lam):
    """Apply the inverse to a gradient in the parameters' own coordinates."""
    return to_host(curvature.expand(curvature.solve(curvature.reduce(q), kappa, lam)))


def check(put, X, scaled, *, tolerance, s=None, lam=LAM, **settings):
    """Compare each column with the inverse of what ``solve`` is to invert."""
    rng = np.random.default_rng(1)
    codes = np.arange(X.shape[0]) % 3
    problem = make_problem(put, X, codes, weights=s, n_classes=3, **settings)
    curvature = SharedCurvature.of(problem)
    q = rng.normal(size=(X.shape[1] + 1, 3))
    solved = inverse(curvature, put(q), put(KAPPA), put(lam))
    # Inner products of steps and gradients are the same in both coordinates.
    u = put(rng.normal(size=q.shape))
    inner = to_host(curvature.expand(u)) * q
    reduced = to_host(u) * to_host(curvature.reduce(put(q)))
    rounded = curvature.operand is not None and settings["dtype"] == "float32"
    eps = 1e-6 if rounded else 1e-9
    atol = eps * np.abs(reduced).sum()
    np.testing.assert_allclose(inner.sum(axis=0), reduced.sum(axis=0), atol=atol)
    for j in range(3):
        expected = np.linalg.solve(dense(scaled, KAPPA[j], lam[j], s), q[:, j])
        error = np.linalg.norm(solved[:, j] - expected)
        assert error <= tolerance * np.linalg.norm(expected)
    return curvature


TOLERANCE = {"float32": 1e-3, "float64": 1e-9}
EACH_DTYPE = pytest.mark.parametrize("dtype", TOLERANCE)


@EACH_DTYPE
@pytest.mark.parametrize("scale", [1.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
def test_floats(put, rng, dtype, scale, weighted):
    X = rng.normal(size=(200, 7)) * np.linspace(0.3, 3, 7) + np.arange(7)
    s = rng.exponential(size=200).astype(np.float32).astype(float) if weighted else None
    check(put, X, X * scale, s=s, scale=scale, dtype=dtype, tolerance=TOLERANCE[dtype])


@EACH_DTYPE
@pytest.mark.parametrize("n", [1, 7, 150])
@pytest.mark.parametrize("size", [1.0, 1e-60, 1e60])
def test_products_with_all_eigenvectors_in_the_compute_dtype(put, rng, monkeypatch, dtype, n, size):
    """They are right to its rounding, of columns of any size, and each column's are its own."""
    monkeypatch.setattr(SharedCurvature, "quick_from", 1)
    X = rng.normal(size=(300, n)) * np.linspace(0.3, 3, n) + np.arange(n)
    curvature = check(put, X, X, dtype=dtype, tolerance=TOLERANCE[dtype])
    assert curvature.operand is not None
    V, mean = to_host(curvature.basis), to_host(curvature.mean)
    g = rng.normal(size=(n + 1, 4)) * size
    g[:, 1], g[0, 2] = 0.0, np.nan
    found = to_host(curvature.reduce(put(g)))
    expected = np.vstack([V.T @ (g[:-1] - mean * g[-1]), g[-1:]])
    eps = 1e-6 if dtype == "float32" else 1e-14
    scale = np.linalg.norm(expected, axis=0)
    for j in (0, 1, 3):
        assert np.linalg.norm(found[:, j] - expected[:, j]) <= eps * scale[j]
    assert np.isnan(found[:-1, 2]).all()
    back = to_host(curvature.expand(put(expected)))
    W = V @ expected[:-1]
    for j in (0, 1, 3):
        assert np.linalg.norm(back[:-1, j] - W[:, j]) <= eps * np.linalg.norm(W[:, j])


@pytest.mark.parametrize("alone", [[], [3], [0, 2, 8], range(9)])
def test_features_without_covariance_are_eigenvectors(put, rng, alone):
    half = rng.normal(size=(9, 9))
    matrix = half @ half.T
    own, alone = rng.random(9), list(alone)
    matrix[alone], matrix[:, alone] = 0.0, 0.0
    matrix[alone, alone] = own[alone]
    values, basis = map(to_host, _eigh(put(matrix), backend_of(put(matrix))))
    np.testing.assert_allclose(values, np.linalg.eigvalsh(matrix), atol=1e-13)
    np.testing.assert_allclose(basis @ np.diag(values) @ basis.T, matrix, atol=1e-13)
    np.testing.assert_allclose(basis.T @ basis, np.eye(9), atol=1e-13)


@EACH_DTYPE
@pytest.mark.parametrize("kind", ["uint8", "int64", "float64", "float32"])
def test_standardized_rows(put, rng, dtype, kind):
    X = rng.integers(0, 200, (150, 5)).astype(kind)
    center, scale = X.mean(axis=0, dtype=np.float64), 1 / X.std(axis=0, dtype=np.float64)
    settings = {"scale": scale, "center": center, "dtype": dtype}
    check(put, X, (X - center) * scale, tolerance=TOLERANCE[dtype], **settings)


@EACH_DTYPE
@pytest.mark.parametrize("centred", [False, True])
def test_sparse(rng, dtype, centred):
    X = sparse.random_array((200, 9), density=0.3, random_state=rng, format="csr") * 4.0
    scaled = X.toarray()
    center, scale = scaled.mean(axis=0), 1 / scaled.std(axis=0)
    settings = {"scale": scale, "center": center} if centred else {}
    scaled = (scaled - center) * scale if centred else scaled
    check(np.asarray, X, scaled, dtype=dtype, tolerance=TOLERANCE[dtype], **settings)


def test_a_large_mean_costs_no_accuracy(put, rng):
    X = rng.normal(size=(400, 4)) + np.array([0, 10, 1e3, -3e3])
    X = X.astype(np.float32)
    # The system itself is ill-conditioned: compare where it is not, without the intercept.
    problem = make_problem(put, X, np.arange(400) % 3, dtype="float32")
    curvature = SharedCurvature.of(problem)
    basis, values = to_host(curvature.basis), to_host(curvature.values)
    covariance = np.cov(X.T.astype(np.float64), bias=True)
    np.testing.assert_allclose(basis * values[:, 0] @ basis.T, covariance, atol=1e-3)
    np.testing.assert_allclose(
        to_host(curvature.mean)[:, 0], X.mean(axis=0, dtype=float), rtol=1e-6
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["zero", "constant", "twins", "wide", "one row"])
def test_null_directions_without_a_penalty(put, rng, dtype, name):
    twins = rng.normal(size=(50, 3))
    X = {
        "zero": np.zeros((20, 3)),
        "constant": np.full((20, 3), 7.3),
        "twins": np.hstack([twins, twins, np.zeros((50, 2))]),
        "wide": rng.normal(size=(10, 40)),
        "one row": rng.normal(size=(1, 5)),
    }[name]
    problem = make_problem(put, X, np.arange(len(X)) % 3, C=np.inf, n_classes=3, dtype=dtype)
    curvature = SharedCurvature.of(problem)
    gradient = problem.evaluate(put(rng.normal(size=(X.shape[1] + 1, 3)))).gradient
    step = inverse(curvature, gradient, put(KAPPA), put(np.zeros(3)))
    assert np.all(np.isfinite(step))
    # Down the gradient, and no longer than the curvature allows.
    slope = (step * to_host(gradient)).sum(axis=0)
    assert np.all(slope > 0)
    Z = np.hstack([X, np.ones((len(X), 1))]) @ step
    assert np.all(np.abs(Z) <= 100 / KAPPA)


# ---- sketch ---------------------------------------------------------------------------------


@pytest.fixture
def sketched(monkeypatch):
    """Sketches of 25 vectors for more than 40 features."""
    monkeypatch.setattr(SharedCurvature, "full_up_to", 40)
    monkeypatch.setattr(SharedCurvature, "sketch_rank", 25)


@pytest.mark.usefixtures("sketched")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_sketch_of_a_fast_decaying_spectrum(put, rng, dtype, weighted):
    turn, _ = np.linalg.qr(rng.normal(size=(60, 60)))
    X = rng.normal(size=(300, 60)) * 10.0 ** -np.linspace(0, 8, 60) @ turn + 0.5
    s = rng.uniform(0.5, 2, 300).astype(np.float32).astype(float) if weighted else None
    tolerance = 1e-2 if dtype == "float32" else 1e-3
    lam = np.array([1e-2, 1.0, 1e-3])
    curvature = check(put, X, X, s=s, lam=lam, dtype=dtype, tolerance=tolerance)
    assert tuple(curvature.basis.shape) == (60, 25)
    basis = to_host(curvature.basis)
    np.testing.assert_allclose(basis.T @ basis, np.eye(25), atol=1e-12)


@pytest.mark.usefixtures("sketched")
@pytest.mark.parametrize("C", [0.01, 1.0, pytest.param(np.inf, marks=pytest.mark.slow)])
def test_training_with_a_sketch_converges(put, digits, C):
    X, y = digits[0][:400], digits[1][:400]
    model = gpulr.train(put(X), y, C=C)
    assert model.converged
    assert model.n_iter < 60
    exact = gpulr.train(X, y, solver="nesterov", C=C, max_iter=20_000)
    assert np.all(model.history.cost[-1] < exact.history.cost[-1] + 5e-3)


@pytest.mark.parametrize("kind", ["dense", pytest.param("sparse", marks=pytest.mark.slow)])
def test_many_features_build_no_square_matrix(rng, monkeypatch, kind):
    n, p = (300, 3000) if kind == "dense" else (300, 40_000)
    if kind == "dense":
        monkeypatch.setattr(SharedCurvature, "sketch_bytes", 2**21)
    y = np.arange(n) % 3
    X = sparse.random_array((n, p), density=0.002, random_state=rng, format="csr", dtype=np.float32)
    X = X + sparse.csr_array(targets(y) @ rng.normal(size=(3, p)) * (rng.random((n, p)) < 0.001))
    X = X.astype(np.float32)
    X = X.toarray() if kind == "dense" else X
    gpulr.train(X[:, :50], y, max_iter=1, tol=0)  # lazy imports are not counted
    tracemalloc.start()
    try:
        model = gpulr.train(X, y, C=1.0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert model.converged
    assert peak < 8 * SharedCurvature.sketch_bytes + 20 * (p * 3 * 8 * 2) < 8 * p * p


@pytest.mark.usefixtures("sketched")
@pytest.mark.parametrize("C", [1.0, 100.0])
def test_very_sparse_rows_need_no_eigenvectors(rng, monkeypatch, C):
    y = np.arange(600) % 3
    likely = rng.random((3, 800)) * 0.01 + 0.05 * (rng.random((3, 800)) < 0.1)
    X = sparse.csr_array((rng.random((600, 800)) < likely[y]).astype(np.float32))
    problem = make_problem(np.asarray, X, y, n_classes=3)
    curvature = SharedCurvature.of(problem)
    assert curvature.basis is None
    assert curvature.complete
    q = rng.normal(size=(801, 3))
    u = curvature.reduce(q)
    np.testing.assert_allclose(curvature.expand(u)[:-1], q[:-1] - curvature.mean * q[-1])
    solved = curvature.solve(u, KAPPA, LAM)
    np.testing.assert_allclose(solved[:-1], u[:-1] / (KAPPA * curvature.values + LAM))
    np.testing.assert_allclose(solved[-1], u[-1] / KAPPA)

    model = gpulr.train(X, y, C=C, tol=2e-6)
    monkeypatch.setattr(SharedCurvature, "full_up_to", 1000)
    exact = gpulr.train(X, y, C=C, dtype="float64", tol=1e-8)
    assert model.converged
    assert model.n_iter <= 30
    np.testing.assert_allclose(model.history.cost[-1], exact.history.cost[-1], rtol=2e-4)


# ---- features of different sizes, and rare ones -----------------------------------------------


def table(rng, n):
    """Rows as of a table: hours, distances, and indicators of which some are rare."""
    share = 0.8 ** np.arange(30)
    kind = rng.choice(30, n, p=share / share.sum())
    columns = [rng.integers(0, 2400, n), rng.gamma(2, 400, n), rng.normal(size=n)]
    X = np.column_stack([*columns, kind[:, np.newaxis] == np.arange(30)]).astype(np.float32)
    margins = (X - X.mean(axis=0)) / (X.std(axis=0) + 1e-6) @ rng.normal(size=33) / 4
    return X, (rng.random(n) < 1 / (1 + np.exp(-margins))).astype(int)


@pytest.mark.parametrize("C", [1.0, 100.0])
def test_small_features_beside_large_ones(put, rng, C):
    X, y = table(rng, 2000)
    model = gpulr.train(put(X), y, C=C)
    exact = gpulr.train(put(X), y, C=C, dtype="float64", tol=1e-9)
    assert model.converged
    assert exact.converged
    assert model.n_iter <= 40
    np.testing.assert_allclose(model.history.cost[-1], exact.history.cost[-1], rtol=1e-4)


@pytest.mark.parametrize("C", [1.0, np.inf])
def test_features_that_the_sample_does_not_show(rng, monkeypatch, C):
    X, y = table(rng, 6000)
    X = np.hstack([X, np.zeros((6000, 2), np.float32)])
    X[::600, -2] = 1e-2  # ten rows, of which the sample has none; and one that is 0 in all
    shown = np.flatnonzero(np.arange(6000) % 600)[::6]
    monkeypatch.setattr(
        np.random, "default_rng", lambda seed: SimpleNamespace(choice=lambda *_, **__: shown)
    )
    monkeypatch.setattr(LBFGS, "__init__", partialmethod(LBFGS.__init__, sample=len(shown)))
    model = gpulr.train(X, y, C=C)
    assert model.converged
    assert model.n_iter <= 50
    assert np.abs(model.weights[-1]).max() < 1e-12


@pytest.mark.parametrize("each", [False, True])  # whether features have figures of their own
def test_without_a_basis_some_rows_do(put, rng, each):
    def of_features(number):
        return put(rng.uniform(0.5, 2.0, (8, 1))) if each else number

    one = put(rng.uniform(0.5, 2.0, (8 if each else 1, 1)))
    settings = of_features(0.3), of_features(1.0), of_features(1.0), of_features(1.0)
    curvature = SharedCurvature(put(rng.normal(size=(8, 1))), None, one, *settings)
    g, kappa, lam = (put(rng.uniform(0.5, 2.0, shape)) for shape in ((9, 3), 3, 3))
    assert curvature.by_rows
    reduced, parts = curvature.reduce(g), (slice(0, 5), slice(5, 8), slice(8, 9))
    solved = curvature.solve(reduced, kappa, lam)
    mean, tilt, values, share = (
        to_host(part) if hasattr(part, "shape") else part
        for part in (curvature.mean, curvature.tilt, curvature.values, curvature.share)
    )
    expected = np.vstack([tilt * (to_host(g)[:-1] - mean * to_host(g)[-1]), to_host(g)[-1:]])
    np.testing.assert_allclose(to_host(reduced), expected, rtol=1e-14)
    damped = to_host(kappa) * values + to_host(lam) * share
    damped = np.vstack([np.broadcast_to(damped, (8, 3)), to_host(kappa)])
    np.testing.assert_allclose(to_host(solved), expected / damped, rtol=1e-14)
    for rows in parts:
        np.testing.assert_array_equal(to_host(curvature.reduce(g, rows)), to_host(reduced)[rows])
        found = curvature.solve(reduced[rows, :], kappa, lam, rows)
        np.testing.assert_array_equal(to_host(found), to_host(solved)[rows])
