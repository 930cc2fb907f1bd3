"""From one C to the next: curvature pairs become those of the new problem, exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gpulr.backend import to_host
from gpulr.solvers import LBFGS, minimize
from gpulr.solvers.continuation import Continuation
from gpulr.solvers.curvature import SharedCurvature
from gpulr.solvers.solver import take_models
from helpers import make_problem


@pytest.fixture(params=["all eigenvectors", "a sketch"])
def curvature_kind(request, monkeypatch):
    if request.param == "a sketch":
        monkeypatch.setattr(SharedCurvature, "full_up_to", 4)
        monkeypatch.setattr(SharedCurvature, "sketch_rank", 4)
    return request.param


@pytest.fixture
def problem(put, rng):
    """Three models of eight features, float64."""
    codes = np.arange(120) % 3
    X = rng.normal(size=(120, 8)) * np.geomspace(3, 0.2, 8) + np.eye(3, 8)[codes] + 0.5
    return make_problem(put, X, codes, C=[0.1, 0.2, 0.3], dtype="float64")


def walk(solver, problem, steps):
    """Return what is prepared, and the states from the start on."""
    prepared = solver.prepare(problem)
    states = [solver.init(problem, None, prepared)]
    for _ in range(steps):
        states.append(solver.step(problem, states[-1]))
    return prepared, states


@pytest.mark.parametrize("factor", [10.0, 0.3, np.inf])
def test_pairs_are_differences_of_the_new_problems_gradients(put, problem, curvature_kind, factor):
    solver = LBFGS(memory=4)
    prepared, states = walk(solver, problem, 6)
    assert prepared.curvature.complete == (curvature_kind == "all eigenvectors")
    lengths = {0: 6, 1: 2, 2: 6}  # how many steps each model took; the second left early

    continuation = Continuation(problem.penalty)
    continuation.collect(np.array([1]), take_models(states[2], np.array([1]), problem.backend))
    continuation.collect(
        np.array([0, 2]), take_models(states[6], np.array([0, 2]), problem.backend)
    )
    new = replace(problem, C=problem.C * factor)
    state = continuation.begin(prepared)(new)

    curvature, moved = prepared.curvature, 0
    assert len(state.pairs) == 4
    gradients = [curvature.reduce(new.evaluate(s.theta).gradient) for s in states]
    for model, length in lengths.items():
        np.testing.assert_array_equal(
            to_host(state.theta)[:, model], to_host(states[length].theta)[:, model]
        )
        for age in range(1, 5):
            pair = state.pairs[-age]
            s, y, rho = (to_host(a)[..., model] for a in (pair.s, pair.y, pair.rho))
            if age > length:
                assert rho == 0
                assert not s.any()
                assert not y.any()
                continue
            last, before = length - age + 1, length - age
            step = to_host(states[last].theta - states[before].theta)[:, model]
            np.testing.assert_allclose(to_host(curvature.expand(pair.s))[:, model], step, atol=1e-9)
            expected = to_host(gradients[last] - gradients[before])[:, model]
            np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-11 * np.abs(y).max() + 1e-15)
            old = to_host(states[length].pairs[-age].y)[:, model]
            moved += np.abs(old - y).max() > 1e-3 * np.abs(old).max()
            assert rho == pytest.approx(1 / (s @ y))
    assert moved  # the change of the penalty is no rounding


def test_the_state_is_one_of_the_new_problem(put, problem, curvature_kind):
    solver = LBFGS()
    prepared, states = walk(solver, problem, 3)
    continuation = Continuation(problem.penalty)
    continuation.collect(np.arange(3), states[-1])
    new = replace(problem, C=problem.C * 10)
    state = continuation.begin(prepared)(new)
    cost, gradient = new.evaluate(states[-1].theta)
    np.testing.assert_allclose(to_host(state.cost), to_host(cost), rtol=1e-12)
    np.testing.assert_allclose(to_host(state.gradient), to_host(gradient), atol=1e-12)
    np.testing.assert_allclose(
        to_host(state.margins.Z), to_host(new.margins(states[-1].theta).Z), atol=1e-12
    )
    np.testing.assert_array_equal(to_host(state.gamma), to_host(states[-1].gamma))
    assert not to_host(state.stalled).any()


def test_a_pair_that_the_new_penalty_bends_down_is_not_used(put, problem):
    solver = LBFGS()
    prepared, states = walk(solver, problem, 3)
    last = states[-1]
    flat = replace(last.pairs[-1], y=1e-3 * last.pairs[-1].s)  # less than the penalty had
    continuation = Continuation(problem.penalty)
    continuation.collect(np.arange(3), replace(last, pairs=(*last.pairs[:-1], flat)))
    state = continuation.begin(prepared)(replace(problem, C=problem.C * 1e6))
    assert to_host(state.pairs[-1].rho).tolist() == [0, 0, 0]
    assert (to_host(state.pairs[-2].rho) > 0).all()


def test_models_far_from_the_next_optimum_begin_at_zero(put, problem):
    solver = LBFGS()
    prepared, states = walk(solver, problem, 3)
    far = states[-1].theta * put(np.array([1.0, 1.0, 1e4]))
    continuation = Continuation(problem.penalty)
    continuation.collect(np.arange(3), replace(states[-1], theta=far))
    state = continuation.begin(prepared)(problem)
    assert to_host(state.theta)[:, :2].any()
    assert not to_host(state.theta)[:, 2].any()


@pytest.mark.parametrize("every", [1, 8])
def test_it_saves_iterations(problem, curvature_kind, monkeypatch, every):
    monkeypatch.setattr(type(problem.backend), "check_every", every)
    solver, settings = LBFGS(), {"max_iter": 200, "tol": 1e-6}
    continuation, left = Continuation(problem.penalty), []
    prepared = solver.prepare(problem)

    def leaving(models, state):
        left.extend(models.tolist())
        assert state.theta.shape == (9, len(models))
        continuation.collect(models, state)

    minimize(solver, problem, prepared=prepared, leaving=leaving, **settings)
    assert sorted(left) == [0, 1, 2]  # once each
    new = replace(problem, C=problem.C * 3)
    alone = minimize(solver, new, prepared=prepared, **settings)
    carried = minimize(solver, new, begin=continuation.begin(prepared), **settings)
    assert carried.converged.all()
    assert carried.n_iter.sum() < alone.n_iter.sum()
    np.testing.assert_allclose(carried.theta, alone.theta, atol=1e-3)
