"""Bursts of iterations: one transfer for each, and the same results as for one at a time."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from operator import attrgetter

import numpy as np
import pytest

import gpulr
from gpulr.backend import Backend, NumPyBackend, backend_of, to_host
from gpulr.core.problem import Problem
from gpulr.solvers import LBFGS, SOLVERS, GradientDescent, gradient_descent, minimize
from gpulr.solvers.curvature import SharedCurvature
from gpulr.solvers.driver import _until_next_look
from gpulr.solvers.stepping import Stepping
from helpers import make_problem

EVERY_SOLVER = pytest.mark.parametrize("solver", SOLVERS)
ON_A_DEVICE = pytest.mark.parametrize("library", ["strict"], indirect=True)


@pytest.fixture
def bursts_of_8(monkeypatch):
    """NumPy looks as seldom as a device."""
    monkeypatch.setattr(NumPyBackend, "check_every", 8)


@pytest.fixture
def looked(monkeypatch):
    """Transfers to the host so far; those of a run are taken by clearing the list."""
    transfers = []
    from_dlpack = np.from_dlpack
    monkeypatch.setattr(np, "from_dlpack", lambda x: transfers.append(1) or from_dlpack(x))
    return transfers


@pytest.fixture
def bursts(monkeypatch, looked):
    """(iterations, transfers before) of each burst; none of them asks the device for anything."""
    recorded = []

    def watched(solver):
        advance = solver.advance

        def run(self, problem, state, n):
            before = len(looked)
            recorded.append((n, before))
            with no_questions(problem.backend):
                result = advance(self, problem, state, n)
            assert len(looked) == before
            return result

        monkeypatch.setattr(solver, "advance", run)

    for make in SOLVERS.values():
        watched(type(make(None)))
    return recorded


@contextmanager
def no_questions(backend):
    """No array of array-api-strict becomes a number, a truth value, or a NumPy array."""
    if backend.name != "array_api_strict":
        yield
        return
    names = ("__bool__", "__float__", "__int__", "__index__", "__complex__", "__array__")
    kind, patch = type(backend.xp.zeros(1)), pytest.MonkeyPatch()

    def refuse(self, *arguments, **settings):
        raise AssertionError("a question to the device in the midst of an iteration")

    with patch.context() as patched:
        for name in names:
            if hasattr(kind, name):
                patched.setattr(kind, name, refuse)
        yield


# ---- transfers ---------------------------------------------------------------------------------


@ON_A_DEVICE
@EVERY_SOLVER
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_transfer_for_each_burst(put, digits, bursts, solver, dtype):
    X, y = digits[0][:300], digits[1][:300]
    settings = {"solver": solver, "dtype": dtype, "standardize": solver == "gd"}
    model = gpulr.train(put(X), y, C=np.geomspace(0.001, 0.1, 10), max_iter=5000, **settings)
    assert model.converged
    assert len(set(model.history.n_iter.tolist())) > 2  # models left on the way
    assert len(bursts) < model.n_iter
    assert max(n for n, _ in bursts) == 8 or solver == "lbfgs"
    between = np.diff([before for _, before in bursts])
    # One more for each iteration in which models end: whether rounding may hide that they have not.
    assert between.min() == 1
    assert np.sum(between - 1) <= len(set(model.history.n_iter.tolist()))


@ON_A_DEVICE
@pytest.mark.parametrize("kind", ["weights", "labels", "centred", "failing"])
def test_no_question_whatever_the_problem(put, rng, bursts, monkeypatch, kind):
    X = rng.normal(size=(120, 5)) + 3
    y = np.arange(120) % 3
    settings = {"solver": "lbfgs", "max_iter": 20, "tol": 0}
    if kind == "weights":
        settings["sample_weight"] = rng.random(120)
    elif kind == "labels":
        y = put((X[:, :2] > 3).astype(np.uint8))
    elif kind == "centred":
        settings["standardize"] = True
    else:
        monkeypatch.setattr(Stepping, "_newton", too_long(Stepping._newton))
    gpulr.train(put(X), y, **settings)
    assert [n for n, _ in bursts] == [2, 4, 8, 6]  # after which curvatures are looked at


@ON_A_DEVICE
def test_a_search_looks_once_for_each_burst(put, digits, bursts):
    X, y = digits[0][:300], digits[1][:300]
    Cs = [0.01, 0.1, 1.0]
    found = gpulr.search(put(X), y, Cs=Cs, cv=3, refit=False)
    assert found.converged.all()
    between = np.diff([before for _, before in bursts]).tolist()
    # From one C to the next: the last look, the parameters, are any far off, and the first look.
    assert min(between) == 1
    assert sum(n >= 4 for n in between) == len(Cs) - 1
    # And one for each iteration in which models end, as above.
    ends = sum(len(np.unique(each)) for each in found.n_iter)
    assert sum(n - 1 for n in between) <= 3 * (len(Cs) - 1) + ends
    assert len(bursts) < found.n_iter.max(axis=(0, 2)).sum()


@ON_A_DEVICE
def test_what_models_share_takes_a_fixed_number_of_transfers(put, digits, looked, monkeypatch):
    problem = make_problem(put, *digits[:2])
    looked.clear()
    SharedCurvature.of(problem)
    assert len(looked) == 2  # are products finite; the ends of the spectrum
    looked.clear()
    largest = gradient_descent.largest_eigenvalue(problem)
    assert len(looked) == 1
    monkeypatch.setattr(Backend, "check_every", 1)
    assert gradient_descent.largest_eigenvalue(problem) == largest
    assert 2 < len(looked) <= 9


@pytest.mark.parametrize("every", [1, 8])
def test_rows_of_zeros_have_no_curvature(put, monkeypatch, every):
    problem = make_problem(put, np.zeros((6, 2)), np.arange(6) % 3)
    monkeypatch.setattr(type(problem.backend), "check_every", every)
    assert gradient_descent.largest_eigenvalue(replace(problem, intercept=False)) == 0.0


# ---- the same as one at a time -----------------------------------------------------------------


@EVERY_SOLVER
@pytest.mark.parametrize("every", [3, 8])
def test_bursts_change_nothing(digits, solver, every, monkeypatch):
    X, y = digits[0][:200], digits[1][:200]
    settings = {"solver": solver, "C": np.geomspace(0.001, 0.01, 10), "dtype": "float64"}
    told = {1: [], every: []}

    def run(length):
        monkeypatch.setattr(NumPyBackend, "check_every", length)
        return gpulr.train(X, y, callbacks=[told[length].append], tol=5e-4, **settings)

    singly, model = run(1), run(every)
    np.testing.assert_array_equal(model.history.n_iter, singly.history.n_iter)
    assert model.converged
    assert model.history.cost.shape == (model.n_iter + 1, 10)
    np.testing.assert_allclose(model.history.cost, singly.history.cost, rtol=1e-9)
    np.testing.assert_allclose(model.weights, singly.weights, rtol=1e-6, atol=1e-9)
    assert [p.iteration for p in told[every]] == [p.iteration for p in told[1]]
    for ours, theirs in zip(told[every], told[1], strict=True):
        np.testing.assert_array_equal(ours.converged, theirs.converged)
        np.testing.assert_allclose(ours.cost, theirs.cost, rtol=1e-9)
    assert np.all(np.diff(model.history.seconds) > 0)


@EVERY_SOLVER
@pytest.mark.parametrize("max_iter", [1, 8, 13])
def test_tol_zero_runs_whole_bursts_and_what_is_left(put, blobs, bursts, solver, max_iter):
    every = backend_of(put(blobs[0])).check_every
    model = gpulr.train(put(blobs[0]), blobs[1], solver=solver, max_iter=max_iter, tol=0)
    assert model.n_iter == max_iter
    # L-BFGS looks whether curvatures are to be found anew.
    ends = {2, 6, 14} if solver == "lbfgs" else {8}
    ends = sorted({end for end in ends if end < max_iter} | {0, max_iter})
    expected = np.diff(ends).tolist() if every > 1 else [1] * max_iter
    assert [n for n, _ in bursts] == expected


@pytest.mark.usefixtures("bursts_of_8")
@EVERY_SOLVER
@pytest.mark.parametrize("error", [StopIteration, KeyboardInterrupt])
@pytest.mark.parametrize("end", [1, 3, 8, 11])
def test_a_callback_ends_training_in_the_midst_of_a_burst(blobs, solver, error, end):
    X, y = blobs
    told = []

    def stop(progress):
        told.append(progress.iteration)
        if progress.iteration == end:
            raise error

    try:
        model = gpulr.train(X, y, solver=solver, tol=0, max_iter=30, callbacks=[stop])
    except gpulr.TrainingInterrupted as interruption:
        model = interruption.model
    assert told == list(range(end + 1))
    assert model.history.n_iter.tolist() == [end] * 3
    assert len(model.history.cost) == end + 1
    expected = gpulr.train(X, y, solver=solver, tol=0, max_iter=end)
    np.testing.assert_array_equal(model.weights, expected.weights)
    np.testing.assert_array_equal(model.history.cost, expected.history.cost)


@pytest.mark.usefixtures("bursts_of_8")
def test_an_interrupt_in_the_midst_of_a_burst(blobs):
    problem, asked = make_problem(np.asarray, *blobs), []
    solution = minimize(
        LBFGS(), problem, max_iter=20, tol=0, interrupted=lambda: asked.append(1) or len(asked) > 5
    )
    assert solution.result == "interrupted"
    assert solution.n_iter.tolist() == [5] * 3
    expected = minimize(LBFGS(), problem, max_iter=5, tol=0)
    np.testing.assert_array_equal(solution.theta, expected.theta)


def test_divergence_names_its_iteration(blobs, monkeypatch):
    told, messages = [], []
    for every in (1, 8):
        monkeypatch.setattr(NumPyBackend, "check_every", every)
        told.append([])
        with pytest.raises(gpulr.DivergenceError) as caught:
            gpulr.train(
                *blobs,
                solver="gd",
                learning_rate=1e20,
                dtype="float64",
                callbacks=[lambda progress, here=told[-1]: here.append(progress.iteration)],
            )
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert told[0] == told[1]
    assert f"after {len(told[0])} iterations" in messages[0]
    assert len(told[0]) % 8 != 2  # not the first of a burst


@pytest.mark.usefixtures("bursts_of_8")
def test_a_model_that_has_converged_may_diverge_later_in_the_burst(blobs, monkeypatch):
    problem = make_problem(np.asarray, *blobs, C=[1e-4, 1.0, 1.0])
    step = GradientDescent.step

    def explode(self, problem, state):
        met = np.abs(state.gradient).max(axis=0) <= 1e-3
        state = step(self, problem, state)
        return replace(state, cost=np.where(met, np.inf, state.cost))

    monkeypatch.setattr(GradientDescent, "step", explode)
    solution = minimize(GradientDescent(), problem, max_iter=5000, tol=1e-3)
    assert solution.converged.all()
    assert np.isfinite(solution.cost).all()


@pytest.mark.usefixtures("bursts_of_8")
def test_a_start_at_the_optimum_takes_no_burst(blobs, bursts):
    model = gpulr.train(*blobs)
    bursts.clear()
    again = gpulr.train(*blobs, start=model, tol=2e-4)
    assert again.n_iter == 0
    assert bursts == []


# ---- when to look ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "now", "n", "tol", "most", "expected"),
    [
        ([1.0], [1e-1], 4, 1e-4, 8, 8),  # a tenth in four: twelve more
        ([1.0], [1e-1], 1, 1e-4, 8, 2),  # three, but twice as many as the last time at most
        ([1.0], [1e-1], 4, 1e-2, 8, 4),
        ([1.0], [1e-1], 4, 0.0, 8, 8),
        ([1.0], [1e-1], 4, 0.0999999999, 8, 1),
        ([1.0], [np.nextafter(1e-2, 1)], 2, 1e-2, 8, 1),
        ([1.0], [2.0], 8, 1e-4, 8, 8),  # rises
        ([0.0], [1.0], 1, 1e-4, 8, 2),  # the start
        ([1.0] * 20, [2.0, 0.9, 2e-2, 2e-2] + [1e-1] * 16, 4, 1e-2, 8, 4),  # the third of twenty
        ([1.0], [1e-1], 4, 1e-4, 3, 3),
    ],
)
def test_when_to_look_next(before, now, n, tol, most, expected):
    assert _until_next_look(np.array(before), np.array(now), n, tol, most) == expected


def test_what_is_known_to_be_true(put):
    flags = put(np.array([True, True]))
    backend = backend_of(flags)
    assert backend.known_true(flags) == (backend.name == "numpy")
    assert not backend.known_true(put(np.array([True, False])))


# ---- steps of L-BFGS that fail -----------------------------------------------------------------


def too_long(newton_step, factor=3.0):
    """Every second model steps too far, but for one that has been told to take shorter steps."""

    def run(stepping, *arguments):
        problem, xp = stepping.problem, stepping.problem.backend.xp
        t, kappa = newton_step(stepping, *arguments)
        far = problem.backend.asarray(np.arange(problem.n_models) % 2 == 1)
        return xp.where(far, factor * t, t), kappa

    return run


def test_a_model_whose_step_fails_stays_and_tries_a_shorter_one(put, blobs, monkeypatch):
    problem, solver = make_problem(put, *blobs, dtype="float64"), LBFGS()
    state = solver.step(problem, solver.init(problem))
    monkeypatch.setattr(Stepping, "_newton", too_long(Stepping._newton, 50.0))
    failed = solver.step(problem, state)
    assert to_host(failed.factor).tolist() == [1.0, 0.25, 1.0]
    for name in ("theta", "cost", "gradient", "reduced", "margins.Z"):
        old, new = (to_host(attrgetter(name)(each)) for each in (state, failed))
        np.testing.assert_array_equal(new[..., 1], old[..., 1])
        assert np.all(np.any(np.atleast_2d(new != old), axis=0)[[0, 2]])
    assert to_host(failed.pairs[-1].rho)[1] > 0.0  # the curvature along it is learnt
    while to_host(failed.factor)[1] < 1.0:
        last, failed = failed, solver.step(problem, failed)
    assert to_host(last.factor)[1] < 1.0
    assert to_host(failed.cost)[1] < to_host(state.cost)[1]


def test_an_infinite_cost_is_a_step_that_fails(put, blobs, monkeypatch):
    problem, solver = make_problem(put, *blobs, dtype="float64"), LBFGS()
    state, evaluate = solver.init(problem), Problem.evaluate_margins

    def broken(self, Z, theta):
        cost, gradient = evaluate(self, Z, theta)
        return cost * np.inf, gradient * np.inf

    with monkeypatch.context() as patch, np.errstate(invalid="ignore"):
        patch.setattr(Problem, "evaluate_margins", broken)
        state = solver.step(problem, state)
    assert not to_host(state.theta).any()
    assert not to_host(state.pairs[-1].rho).any()
    for _ in range(30):
        state = solver.step(problem, state)
    assert np.abs(to_host(state.gradient)).max() < 1e-4


@pytest.mark.parametrize("every", [1, 8])
def test_a_model_has_thirty_failing_steps_before_it_stalls(blobs, monkeypatch, every):
    monkeypatch.setattr(NumPyBackend, "check_every", every)
    problem, evaluate = make_problem(np.asarray, *blobs), Problem.evaluate_margins

    def hopeless(self, Z, theta):
        cost, gradient = evaluate(self, Z, theta)
        return cost + np.any(theta), gradient  # more than at the start, wherever

    monkeypatch.setattr(Problem, "evaluate_margins", hopeless)
    solution = minimize(LBFGS(), problem, max_iter=100, tol=1e-6)
    assert solution.result == "stalled"
    assert solution.stalled.all()
    assert solution.n_iter.tolist() == [30] * 3
    assert not solution.theta.any()
