"""What the one loop around every solver promises, of each solver."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

import gpulr
from gpulr.backend import NumPyBackend, to_host
from gpulr.solvers import SOLVERS, driver, minimize
from helpers import make_problem, reference, stacked, targets

EVERY_SOLVER = pytest.mark.parametrize("solver", SOLVERS)
FIXED_STEP = pytest.mark.parametrize("solver", ["nesterov", "gd"])


@EVERY_SOLVER
@pytest.mark.parametrize("max_iter", [0, 1, 7])
@pytest.mark.parametrize("batched", [True, False])
def test_tol_zero_runs_exactly_max_iter_iterations(put, blobs, solver, max_iter, batched):
    X, y = blobs
    seen = []
    model = gpulr.train(
        put(X),
        y,
        solver=solver,
        max_iter=max_iter,
        tol=0,
        batched=batched,
        callbacks=[lambda progress: seen.append((progress.models.tolist(), progress.iteration))],
    )
    history = model.history
    assert history.n_iter.tolist() == [max_iter] * 3
    assert history.cost.shape == history.gradient_norm.shape == (max_iter + 1, 3)
    assert history.seconds.shape == (max_iter + 1,)
    assert np.all(np.diff(history.seconds) > 0)
    assert history.seconds[0] >= 0
    np.testing.assert_allclose(history.cost[0], np.log(2), rtol=1e-6)
    assert not model.converged
    each = [[0, 1, 2]] if batched else [[0], [1], [2]]
    assert seen == [(models, i) for models in each for i in range(max_iter + 1)]
    if max_iter == 0:
        assert not np.any(to_host(model.weights))


def test_tol_zero_goes_on_at_a_gradient_of_zero():
    X, y = np.zeros((4, 2)), np.array([0, 1, 0, 1])
    model = gpulr.train(X, y, max_iter=5, tol=0)
    assert model.n_iter == 5
    assert not model.converged
    assert gpulr.train(X, y, max_iter=5).n_iter == 0


@EVERY_SOLVER
def test_converged_models_leave_and_keep_their_parameters(put, blobs, solver):
    X, y = blobs
    C = [1e-3, 0.1, 10.0]  # converge one after the other
    model = gpulr.train(put(X), y, solver=solver, C=C, tol=1e-3, max_iter=5000, dtype="float64")
    n_iter = model.history.n_iter
    assert model.converged
    assert len(set(n_iter.tolist())) == 3
    assert model.n_iter == n_iter.max()
    assert len(model.history.cost) == model.n_iter + 1
    for j in range(3):
        ended = model.history.cost[n_iter[j] :, j]
        assert np.all(ended == ended[0])
        assert np.all(model.history.gradient_norm[n_iter[j] :, j] <= 1e-3)
        assert np.all(model.history.gradient_norm[: n_iter[j], j] > 1e-3)
    cost, gradient = reference(X, targets(y), stacked(model), C)
    np.testing.assert_allclose(model.history.cost[-1], cost, rtol=1e-12)
    norm = np.abs(gradient).max(axis=0)
    np.testing.assert_allclose(model.history.gradient_norm[-1], norm, rtol=1e-8)


@pytest.mark.covering(2)
@EVERY_SOLVER
@pytest.mark.parametrize("tol", [0.0, 1e-3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_by_one_gives_the_same_weights(put, digits, solver, tol, dtype):
    X, y = digits[0][:60], digits[1][:60] % 3
    settings = {"solver": solver, "C": 0.01, "tol": tol, "dtype": dtype}
    settings["max_iter"] = 2000 if tol else 12
    together = gpulr.train(put(X), y, **settings)
    alone = gpulr.train(put(X), y, **settings, batched=False)
    if dtype == "float64":
        np.testing.assert_array_equal(together.history.n_iter, alone.history.n_iter)
        np.testing.assert_allclose(together.history.cost, alone.history.cost, rtol=1e-9)
    # Rounding may move the iteration at which tol is met, and the weights with it.
    atol = 1e-9 if dtype == "float64" else 1e-5 if not tol else 5e-3
    np.testing.assert_allclose(to_host(together.weights), to_host(alone.weights), atol=atol)
    np.testing.assert_allclose(to_host(together.intercept), to_host(alone.intercept), atol=atol)
    assert together.converged == alone.converged == bool(tol)
    assert alone.settings["batched"] is False


@pytest.mark.covering(2)
@EVERY_SOLVER
@pytest.mark.parametrize("tol", [0.0, 1e-3])
def test_a_column_does_not_depend_on_the_others(put, blobs, solver, tol):
    X, y = blobs
    settings = {"solver": solver, "tol": tol, "max_iter": 3000 if tol else 15, "dtype": "float64"}
    alone = gpulr.train(put(X), y == 2, C=1.0, **settings)
    for neighbours in ([1e-3, 1e-3], [50.0, 1e-2]):
        model = gpulr.train(put(X), y, C=[*neighbours, 1.0], **settings)
        assert model.history.n_iter[2] == alone.n_iter
        np.testing.assert_allclose(
            to_host(model.weights)[:, 2], to_host(alone.weights)[:, 0], rtol=1e-9
        )


@FIXED_STEP
def test_divergence_is_an_error_that_names_models_and_the_cure(put, blobs, solver):
    X, y = blobs
    with pytest.raises(gpulr.DivergenceError, match=r"3 models \(0, 1, 2\).*smaller learning_rate"):
        gpulr.train(put(X), y, solver=solver, learning_rate=1e25, max_iter=100)
    settings = {"C": [1, 1e-12, 1], "learning_rate": 0.1, "batched": False, "max_iter": 200}
    with pytest.raises(gpulr.DivergenceError, match=r"1 model \(1\)"):
        gpulr.train(X, y, solver="gd", **settings)


def test_values_beyond_the_compute_dtype_are_a_typed_error(blobs):
    X, y = blobs
    with pytest.raises(gpulr.DataError, match=r"too large to compute with.*float64"):
        gpulr.train(X.astype(np.float64) * 1e39, y)
    gpulr.train(X.astype(np.float64) * 1e39, y, scale=1e-39, max_iter=3, tol=0, dtype="float64")


def test_callbacks_are_told_of_each_iteration_and_closed(blobs):
    X, y = blobs
    records = []

    class Callback:
        closed = 0

        def __call__(self, progress):
            records.append(progress)
            if self.closed:
                raise ZeroDivisionError
            progress.cost[:] = -1  # what it does with its record does not reach training

        def close(self):
            self.closed += 1

    callback = Callback()
    model = gpulr.train(X, y, callbacks=[callback], max_iter=5, tol=0)
    assert callback.closed == 1
    with pytest.raises(ZeroDivisionError):
        gpulr.train(X, y, callbacks=[callback])
    assert callback.closed == 2
    records.pop()
    assert [r.iteration for r in records] == list(range(6))
    assert {r.max_iter for r in records} == {5}
    assert model.history.cost.min() > 0
    for i, record in enumerate(records):
        np.testing.assert_array_equal(record.gradient_norm, model.history.gradient_norm[i])
        assert record.seconds == model.history.seconds[i]
        assert record.converged.tolist() == [False] * 3
    with pytest.raises(AttributeError):
        records[0].iteration = 3


@EVERY_SOLVER
def test_the_same_bits_from_run_to_run(digits, solver, monkeypatch):
    monkeypatch.setattr(NumPyBackend, "block_bytes", 50_000)
    X, y = digits[0][:500], digits[1][:500]
    runs = [gpulr.train(X, y, solver=solver, max_iter=20, tol=0) for _ in range(3)]
    for run in runs[1:]:
        np.testing.assert_array_equal(run.weights, runs[0].weights)
        np.testing.assert_array_equal(run.history.cost, runs[0].history.cost)


def test_a_run_goes_on_from_what_it_holds(blobs):
    problem, solver = make_problem(np.asarray, *blobs), SOLVERS["lbfgs"](None)
    calls = ((), None, lambda: False, nullcontext())
    task = driver.Task(
        solver.aiming(1e-5), 50, 1e-5, np.arange(3), *calls, started=time.perf_counter()
    )
    run = driver._begin(task, problem, None, None, None)
    for _ in range(3):
        run = driver._advance(task, driver._let_go(task, run))
    solutions = []
    for held in (replace(run, history=list(run.history)), run):
        while not (held := driver._let_go(task, held)).result:
            held = driver._advance(task, held)
        solutions.append(driver._solution(held))
    whole = minimize(solver, problem, max_iter=50, tol=1e-5)
    for solution in solutions:
        np.testing.assert_array_equal(solution.theta, whole.theta)
        np.testing.assert_array_equal(solution.cost, whole.cost)
        np.testing.assert_array_equal(solution.n_iter, whole.n_iter)
