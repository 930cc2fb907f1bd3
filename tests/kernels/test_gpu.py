"""The fused pass on a card: what no test without one can tell. Skips where there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import gpulr
from fused_kernels import CASES, assert_right, make
from gpulr.backend import select, to_host
from gpulr.kernels.dispatch import trials
from gpulr.kernels.fused import FusedPass
from gpulr.kernels.plan import obstacle, plan_for
from gpulr.kernels.recursion import disagreement
from gpulr.kernels.tensor_plan import layouts_for
from gpulr.solvers import LBFGS
from gpulr.solvers.pairs import direction

pytestmark = [pytest.mark.gpu, pytest.mark.parametrize("library", ["cupy"], indirect=True)]


@pytest.fixture
def backend(library, monkeypatch):
    """CuPy on a card, in its context."""
    monkeypatch.setenv("GPULR_FUSED", "require")
    backend = select("cupy")
    with backend.activate():
        yield backend


def fused(problem):
    assert obstacle(problem) is None
    kernels = problem.backend.kernels
    return FusedPass(problem, plan_for(problem, kernels.card), kernels)


def each_fused(problem):
    """Yield the passes of all kernels that can take a problem: by tensor cores first, if any."""
    assert obstacle(problem) is None
    kernels = problem.backend.kernels
    for layout in layouts_for(problem, kernels.card):
        yield FusedPass(problem, layout, kernels)


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request, backend):
    n, features, models, options = request.param
    return make(n, features, models, backend=backend, **options)


def test_a_pass_and_its_halves(case):
    problem, theta, *expected = case
    for one in each_fused(problem):
        assert_right(problem, one.evaluate(theta), theta, *expected)
        assert_right(problem, one.evaluate_margins(one.margins(theta), theta), theta, *expected)


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])
def test_a_full_card(backend, dtype):
    problem, theta, *expected = make(
        200_000, 784, 10, dtype=dtype, sets=5, base=True, backend=backend
    )
    for one in each_fused(problem):
        assert_right(problem, one.evaluate(theta), theta, *expected)
        first = [to_host(x).tobytes() for x in one.evaluate(theta)]
        for _ in range(5):
            assert [to_host(x).tobytes() for x in one.evaluate(theta)] == first


def test_more_models_than_a_group(backend):
    problem, theta, *expected = make(20_000, 300, 237, sets=5, dtype="float16", backend=backend)
    for one in each_fused(problem):
        assert_right(problem, one.evaluate(theta), theta, *expected)


def test_a_graph_is_what_its_kernels_are(backend):
    problem, theta, *_ = make(5000, 200, 10, sets=3, backend=backend)
    one, rate = fused(problem), 0.0 * problem.m + 0.3
    gradient = one.evaluate(theta)[1]
    thetas, measured, cost, down = one.descend(theta, gradient, rate, 9)
    for i in range(9):
        theta = theta - rate * gradient
        expected, gradient = one.evaluate(theta)
        np.testing.assert_allclose(to_host(measured[i, 0, :]), to_host(expected), rtol=1e-6)
    np.testing.assert_allclose(to_host(thetas[-1, ...]), to_host(theta), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(to_host(cost), to_host(expected), rtol=1e-7)
    np.testing.assert_allclose(to_host(down), to_host(gradient), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("features", "models"), [(784, 10), (37, 33), (1024, 237)])
def test_what_lbfgs_does_between_passes(backend, features, models):
    assert disagreement(backend, backend.kernels) is None
    problem, theta, *_ = make(3000, features, models, backend=backend)
    assert problem.recursion is not None
    portable = replace(problem)
    # Where it is kept.
    portable.__dict__["dispatch"] = replace(problem.dispatch, recursion=None)
    solver = LBFGS()
    state = solver.init(problem, 0.0 * theta)
    for _ in range(12):
        state = solver.step(problem, state)
        found, again, expected = (
            [*map(to_host, direction(p, state, state.curvature))]
            for p in (problem, problem, portable)
        )
        assert found[0].tobytes() == again[0].tobytes()
        for ours, theirs in zip(found, expected, strict=True):
            apart, largest = (np.atleast_2d(np.abs(x)).max(axis=0) for x in (ours - theirs, theirs))
            np.testing.assert_array_less(apart, 1e-9 * largest + 1e-300)
    assert len(state.pairs) == solver.memory


def test_kernels_hold_what_they_need_in_registers(backend):
    problem, theta, *_ = make(300, 784, 10, dtype="uint8", backend=backend)
    for one in each_fused(problem):
        one.evaluate(theta)
    kernels = one.kernels
    assert disagreement(backend, kernels) is None
    for module in kernels._modules.values():
        for name in ("propagate", "absorb_scaling", "find_direction", "learn_pair"):
            try:
                function = module.get_function(name)
            except Exception:  # another source's
                continue
            assert function.local_size_bytes == 0
            assert function.max_threads_per_block >= 128


@pytest.mark.parametrize("solver", ["gd", "nesterov", "lbfgs"])
def test_training_is_that_of_a_cpu(backend, digits, solver):
    X, y, X_test, _ = digits
    options = {"solver": solver, "tol": 1e-6 if solver == "lbfgs" else 0, "max_iter": 200}
    model = gpulr.train(X, y, backend="cupy", **options)
    assert model.backend == "cupy"
    reference = gpulr.train(X, y, backend="numpy", **options)
    np.testing.assert_allclose(model.history.cost[-1], reference.history.cost[-1], rtol=1e-4)
    agree = model.predict(X_test) == reference.predict(X_test)
    assert agree.mean() > 0.99


def test_a_search_is_that_of_a_cpu(backend, digits):
    X, y, *_ = digits
    options = {"Cs": [0.01, 0.1, 1.0], "cv": 3}
    search = gpulr.search(X, y, backend="cupy", **options)
    reference = gpulr.search(X, y, backend="numpy", **options)
    np.testing.assert_allclose(search.scores, reference.scores, atol=0.005)


def test_the_report_says_that_it_works(backend):
    assert all(words.startswith("works") for _, words in trials(backend))
