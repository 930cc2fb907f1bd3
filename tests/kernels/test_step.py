"""L-BFGS's step by kernels against array functions and a reference, compiled by g++."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from fused_kernels import fused, make
from gpulr.core.problem import Margins
from gpulr.kernels.step import Step
from gpulr.solvers.lbfgs import FAILED, LEAP, MOVED, STALLED
from gpulr.solvers.solver import measure
from gpulr.solvers.stepping import Stepping

LIMITS = 1e-6, LEAP, MOVED, FAILED, STALLED
CASES = {
    "classes": (123, 30, 3, {}),
    "one model": (40, 5, 1, {"base": True}),
    "more than a group": (70, 9, 13, {"sets": 3, "base": True}),
    "labels": (133, 20, 10, {"dtype": "uint8", "labels": True}),
    "one row": (1, 4, 2, {}),
    "positives": (90, 9, 5, {"positives": True, "labels": True}),
    "large margins": (64, 30, 7, {"size": 1e3}),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def along(request, rng):
    """A step's kernels, and what they are given."""
    n, features, models, options = request.param
    problem, theta, *_ = make(n, features, models, **options)
    D = rng.normal(size=theta.shape) / 10
    margins = [problem.margins(theta), problem.margins(D)]
    return Step(fused(problem)), theta, margins, D, rng.choice([1.0, 0.25], models)


def test_the_step_along_a_direction(along):
    step, theta, (margins, dZ), D, factor = along
    t, kappa, moved, stepped = step.choose(theta, margins, D, dZ, factor)
    expected = Stepping(step.one.problem).choose(theta, margins, D, dZ, factor)
    np.testing.assert_allclose(t, expected[0], rtol=1e-4)
    np.testing.assert_allclose(kappa, expected[1], rtol=1e-4)
    np.testing.assert_allclose(moved, theta + t * D, rtol=1e-14, atol=1e-300)
    np.testing.assert_allclose(stepped.Z, expected[3].Z, rtol=1e-3, atol=1e-3)


def test_many_launches_are_one_step(along, monkeypatch):
    from gpulr.kernels import fused as module

    step, theta, (margins, dZ), D, factor = along
    whole = step.choose(theta, margins, D, dZ, factor)
    monkeypatch.setattr(module, "CHUNK_ROWS", 32)
    parts = Step(fused(step.one.problem)).choose(theta, margins, D, dZ, factor)
    np.testing.assert_allclose(parts[0], whole[0], rtol=1e-6)
    np.testing.assert_array_equal(parts[3].Z.shape, whole[3].Z.shape)


def test_no_number_stays_none(along):
    step, theta, (margins, dZ), D, factor = along
    margins.Z[0, 0] = np.nan
    t, kappa, moved, stepped = step.choose(theta, margins, D, dZ, factor)
    assert np.isnan([t[0], kappa[0]]).all()
    assert np.isnan(moved[:, 0]).all()
    assert np.isnan(stepped.Z[0, 0])
    assert np.isfinite(t[1:]).all()


def judged(before, after, slope, t, known):
    """Return what array functions make of one model: a reference, number by number."""
    (theta, J0, gradient, reduced), (theta1, J, gradient1, reduced1) = before, after
    best, least, idle, factor = known
    norm, noise = np.abs(gradient1).max(), LIMITS[0] * abs(J0)
    equal = J0 + noise >= J
    good = J0 + 1e-4 * t * slope >= J or (equal and norm <= LEAP * best)
    if not good:
        theta1, J, gradient1, reduced1 = theta, J0, gradient, reduced
        norm = np.abs(gradient).max()
    better = norm < 0.9 * best or least - noise / 8 > J
    idle = 0.0 if better else idle + (MOVED if good or equal else FAILED)
    new = min(norm, best), min(J, least), idle, 1.0 if good else factor / 4
    return good, (theta1, J, gradient1, reduced1), new, (J, norm, float(idle >= STALLED))


WAYS = {
    "kernels": lambda problem: Step(fused(problem)),
    "kernels in another order": lambda problem: Step(fused(problem, seed=3)),
    "array functions": Stepping,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a_step_is_judged(way, rng):
    """Models that fall, rise, stay, leap, have no cost, or have stalled."""
    models, features = 7, 30
    problem, theta, *_ = make(50, features, models)
    step = way(problem)
    cost = np.full(models, 0.5)
    change = np.array([-0.1, 0.1, 1e-8, 1e-8, np.nan, np.inf, 0.0])
    before = [theta, cost, *rng.normal(size=(2, *theta.shape))]
    after = [theta + 1.0, cost + change, *(0.99 * rng.normal(size=(2, *theta.shape)))]
    after[2][:, 3] *= 100.0
    after[2][4, 4] = np.nan
    slope, t = -rng.uniform(0.1, 1.0, models), np.ones(models)
    best = np.abs(before[2]).max(axis=0)
    idle = np.array([5.0, 29.0, 5.0, 0.0, 1.0, 2.0, 28.0])
    known = [best, cost.copy(), idle, np.full(models, 0.25)]
    Z = rng.normal(size=(2, 50, models)).astype(np.float32)
    margins = [Margins(each, problem.backend) for each in Z]
    expected = [
        judged(
            [x[..., j] for x in before],
            [x[..., j].copy() for x in after],
            slope[j],
            t[j],
            [x[j] for x in known],
        )
        for j in range(models)
    ]
    old, new = margins[0].Z.copy(), margins[1].Z.copy()
    after, stepped, made, stalled, measured = step.judge(
        before, after, slope, t, known, margins, LIMITS
    )
    if measured is None:
        measured = measure(SimpleNamespace(cost=after[1], gradient=after[2], stalled=stalled))
    goods = [each[0] for each in expected]
    assert goods == [True, False, True, False, False, False, True]
    for j, (good, kept, counted, figures) in enumerate(expected):
        for got, wanted in zip(after, kept, strict=True):
            np.testing.assert_array_equal(got[..., j], wanted)
        np.testing.assert_array_equal([x[j] for x in made], counted)
        np.testing.assert_array_equal(measured[:, j], figures)
        assert stalled[j] == figures[2]
        np.testing.assert_array_equal(stepped.Z[:, j], (new if good else old)[:, j])
    assert stalled.any()
    assert not stalled.all()


@pytest.mark.slow
@pytest.mark.parametrize("sanitize", ["thread", "address,undefined"])
def test_sanitizers_find_nothing(sanitize, rng):
    problem, theta, *_ = make(41, 9, 3, sets=2, base=True)
    step = Step(fused(problem, sanitize=sanitize))
    D, one = rng.normal(size=theta.shape), np.ones(3)
    margins, dZ = problem.margins(theta), problem.margins(D)
    t, _, moved, stepped = step.choose(theta, margins, D, dZ, one)
    before = [theta, one, D, D]
    after = [moved, one + 1.0, D.copy(), D.copy()]
    step.judge(before, after, -one, t, [one, one, one, one], [margins, stepped], LIMITS)
    np.testing.assert_array_equal(moved, theta)
