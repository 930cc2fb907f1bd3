"""Inverse Hessians of single models, in the coordinates of the curvature that they share."""

from __future__ import annotations

import numpy as np
import pytest

from gpulr.backend import to_host
from gpulr.solvers.curvature import SharedCurvature
from gpulr.solvers.model_curvature import ModelCurvature, inverses_of
from helpers import make_problem

R, N = 3, 5  # directions with factors, and features


def positive(rng, *shape):
    F = rng.standard_normal((*shape[:-1], 3 * shape[-1]))
    return F @ np.swapaxes(F, -1, -2) / shape[-1]


@pytest.mark.parametrize("n", [1, 2, 31, 33, 70])
def test_inverses_of_factors(put, rng, n):
    H = positive(rng, 2, n, n)
    inverses = to_host(inverses_of(put(H)))
    np.testing.assert_allclose(inverses, np.linalg.inv(np.linalg.cholesky(H)), atol=1e-9)
    assert np.abs(np.triu(inverses[0], 1)).max(initial=0.0) < 1e-14


@pytest.fixture
def made(put, rng):
    """A curvature of six models, of which two share a factor and one has none; and its parts."""
    X, y = rng.standard_normal((40, N)), np.arange(40) % 6
    problem = make_problem(put, X, y, dtype="float64")
    shared = SharedCurvature.of(problem)
    H, rest = positive(rng, 5, R + 1, R + 1), rng.uniform(0.5, 1.0, (5, N - R))
    which = np.array([3, 1, -1, 3, 0, 4])
    inverses = inverses_of(put(H))
    return ModelCurvature(shared, inverses, put(rest), which, problem.backend), H, rest


def solved(curvature, H, rest, q, kappa, lam):
    """The same by NumPy's solver, one model after the other."""
    u = to_host(curvature.shared.solve(*map(curvature.backend.asarray, (q, kappa, lam))))
    for j, number in enumerate(curvature.which):
        if number >= 0:
            u[: N - R, j] = q[: N - R, j] / (rest[number] + lam[j])
            u[N - R :, j] = np.linalg.solve(H[number], q[N - R :, j])
    return u


def arguments(rng, k):
    return rng.standard_normal((N + 1, k)), rng.uniform(0.1, 0.2, k), rng.uniform(0.01, 0.1, k)


def test_equals_a_dense_solver(put, rng, made):
    curvature, H, rest = made
    q, kappa, lam = arguments(rng, 6)
    found = to_host(curvature.solve(put(q), put(kappa), put(lam)))
    np.testing.assert_allclose(found, solved(curvature, H, rest, q, kappa, lam), rtol=1e-9)


@pytest.mark.parametrize("kept", [[0, 1, 2, 3, 4], [5, 0], [2], [3, 2, 0], [4, 4]])
def test_some_of_the_models(put, rng, made, kept):
    curvature, H, rest = made
    q, kappa, lam = arguments(rng, 6)
    expected = solved(curvature, H, rest, q, kappa, lam)[:, kept]
    few = curvature.take(np.array(kept))
    found = to_host(few.solve(*(put(part[..., kept]) for part in (q, kappa, lam))))
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    used = len({int(n) for n in few.which if n >= 0})
    assert used == 0 or few.inverses.shape[0] < 2 * used or few.inverses.shape[0] == used


def test_new_factors_of_some_models(put, rng, made):
    curvature, H, rest = made
    q, kappa, lam = arguments(rng, 6)
    flags = np.array([True, False, True, False, False, False])
    H_new, rest_new = positive(rng, 1, R + 1, R + 1), rng.uniform(0.5, 1.0, (1, N - R))
    new = ModelCurvature(
        curvature.shared, inverses_of(put(H_new)), put(rest_new), np.array([-1, 0]), made[0].backend
    )
    both = curvature.changed(flags, new)
    assert both.which.tolist() == [3, 1, 5, 3, 0, 4]  # the first keeps its own
    H, rest = np.concatenate([H, H_new]), np.concatenate([rest, rest_new])
    found = to_host(both.solve(put(q), put(kappa), put(lam)))
    np.testing.assert_allclose(found, solved(both, H, rest, q, kappa, lam), rtol=1e-9)
    q, kappa, lam = (put(part) for part in (q, kappa, lam))
    found = to_host(curvature.none(6).solve(q, kappa, lam))
    np.testing.assert_array_equal(found, to_host(curvature.shared.solve(q, kappa, lam)))
    none = curvature.none(6).changed(flags, new)
    assert none.which.tolist() == [-1, -1, 0, -1, -1, -1]
