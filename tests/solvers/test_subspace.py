"""The leading eigenvectors, in a whole basis; where they serve, and what models they lead to."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from gpulr.backend import NumPyBackend, backend_of, to_host
from gpulr.solvers import subspace
from gpulr.solvers.curvature import SharedCurvature
from gpulr.solvers.subspace import leading, rank_for
from helpers import make_problem


def rows(n_samples, n_features, kernels=True):
    backend = SimpleNamespace(kernels=kernels or None)
    return SimpleNamespace(n_samples=n_samples, n_features=n_features, backend=backend)


@pytest.mark.parametrize(
    ("about", "rank"),
    [
        (rows(56_000, 784), 128),
        (rows(10**7, 784), 784),  # passes are what takes time
        (rows(100_000, 156), 156),
        (rows(56_000, 784, kernels=False), 784),
    ],
)
def test_what_serves(about, rank):
    assert rank_for(about) == rank


@pytest.mark.parametrize("size", [1.0, 1e-100, 1e100])
@pytest.mark.parametrize("rank", [1, 5, 19])
def test_leading(put, rng, size, rank):
    turn, _ = np.linalg.qr(rng.normal(size=(20, 20)))
    matrix = size * (turn * 4.0 ** -np.arange(20)) @ turn.T
    there = put(matrix)
    values, basis = map(to_host, leading(there, rank, backend_of(there)))
    np.testing.assert_allclose(basis.T @ basis, np.eye(20), atol=1e-13)
    expected = size * 4.0 ** -np.arange(rank)[::-1]
    np.testing.assert_allclose(values[-rank:], expected, rtol=0.05, atol=1e-11 * size)
    np.testing.assert_allclose(values[: 20 - rank], values[-rank] / 2.0)
    apart = matrix @ basis[:, -1] - values[-1] * basis[:, -1]
    assert np.linalg.norm(apart) <= 1e-2 * size
    again = leading(there, rank, backend_of(there))
    np.testing.assert_array_equal(to_host(again[1]), basis)


@pytest.mark.parametrize("n_alive", [0, 2])
def test_fewer_directions_than_are_sought(put, rng, n_alive):
    half = rng.normal(size=(9, n_alive))
    there = put(half @ half.T)
    values, basis = map(to_host, leading(there, 4, backend_of(there)))
    np.testing.assert_allclose(basis.T @ basis, np.eye(9), atol=1e-13)
    expected = np.zeros(4) if not n_alive else np.linalg.eigvalsh(half @ half.T)[-4:]
    np.testing.assert_allclose(values[-4:], expected, atol=1e-12)


@pytest.fixture
def few(monkeypatch):
    """Three eigenvectors for everything, on every backend: as where launches count."""
    monkeypatch.setattr(subspace, "RANK", 3)
    monkeypatch.setattr(subspace, "COLUMNS", 0)
    monkeypatch.setattr(NumPyBackend, "kernels", SimpleNamespace())


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_inverse_is_that_of_the_leading_directions(rng, dtype):
    X = rng.normal(size=(300, 8)) * [9, 7, 5, 0, 1e-3, 1e-3, 1e-3, 1e-3] + np.arange(8)
    X[:, 3] = 0.0  # has no place among the three
    problem = make_problem(np.asarray, X, np.arange(300) % 3, dtype=dtype, n_classes=3)
    curvature = SharedCurvature.of(problem)
    assert curvature.complete
    values = to_host(curvature.values)[:, 0]
    expected = np.linalg.eigvalsh(np.cov(X.T, bias=True))[-3:]
    np.testing.assert_allclose(values[-3:], expected, rtol=1e-3)
    g = rng.normal(size=(9, 3))
    kappa, lam = np.array([0.25, 0.03, 1e-3]), np.array([1e-2, 1.0, 1e-4])
    V, mean = curvature.basis, curvature.mean
    got = curvature.expand(curvature.solve(curvature.reduce(g), kappa, lam))
    for j in range(3):
        covariance = (V * values) @ V.T
        H = np.zeros((9, 9))
        H[:8, :8] = kappa[j] * (covariance + mean @ mean.T) + lam[j] * np.eye(8)
        H[:8, 8:] = kappa[j] * mean
        H[8:, :8], H[8, 8] = kappa[j] * mean.T, kappa[j]
        np.testing.assert_allclose(H @ got[:, j], g[:, j], atol=1e-6)
