"""Groups of columns, one after the other: bounded memory, and the same models as all at once."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import gpulr
from gpulr.backend import NumPyBackend, to_host
from gpulr.core.rows import Rows
from gpulr.solvers import LBFGS, SOLVERS, GradientDescent, groups, groups_of, minimize
from gpulr.solvers.groups import minimize_in_groups
from gpulr.sources.elsewhere import Elsewhere
from helpers import make_problem, stacked

EVERY_SOLVER = pytest.mark.parametrize("solver", SOLVERS)


@pytest.fixture
def many(rng):
    """Nine overlapping classes, X (270, 5) float64 and y."""
    y = np.repeat(np.arange(9), 30)
    return rng.normal(size=(270, 5)) + rng.normal(size=(9, 5))[y], y


@pytest.fixture
def little_memory(monkeypatch):
    """No more than four columns of ``many`` train at once."""
    monkeypatch.setattr(groups, "WORKING_BYTES", 4 * 270 * 60)
    monkeypatch.setattr(LBFGS, "column_bytes", lambda self, rows: 270 * 60)


@pytest.mark.covering(2)
@EVERY_SOLVER
@pytest.mark.parametrize("tol", [0.0, 1e-5])
def test_groups_equal_the_whole(put, many, solver, tol, monkeypatch):
    X, y = many
    settings = {"solver": solver, "tol": tol, "dtype": "float64", "C": np.logspace(-3, -1, 9)}
    settings["max_iter"] = 5000 if tol else 12
    whole = gpulr.train(put(X), y, **settings)
    monkeypatch.setattr(groups, "WORKING_BYTES", 1)
    monkeypatch.setattr(type(SOLVERS[solver](None)), "column_bytes", lambda self, rows: 400)
    seen = []
    parts = gpulr.train(
        put(X), y, callbacks=[lambda progress: seen.append(tuple(progress.models))], **settings
    )
    assert list(dict.fromkeys(seen)) == [(0, 1, 2), (3, 4, 5), (6, 7, 8)]
    np.testing.assert_allclose(stacked(parts), stacked(whole), atol=1e-9 if tol == 0 else 1e-4)
    np.testing.assert_array_equal(parts.history.n_iter, whole.history.n_iter)
    np.testing.assert_allclose(parts.history.cost, whole.history.cost, rtol=1e-9)
    assert parts.history.seconds.shape == (parts.n_iter + 1,)
    assert parts.converged == whole.converged == (tol > 0)


def test_groups_are_few_and_nearly_equal(put, many, little_memory):
    problem = make_problem(put, *many)
    assert [len(group) for group in groups_of(LBFGS(), problem)] == [3, 3, 3]
    assert np.concatenate(groups_of(LBFGS(), problem)).tolist() == list(range(9))


def test_memory_for_columns_grows_with_X(put, many, monkeypatch):
    problem = make_problem(put, *many)
    one = LBFGS().column_bytes(problem.rows)
    factors = 3 * 4 * 6**2  # of models' own curvature
    assert one == 4 * 4 * 270 + (51 + problem.backend.check_every) * 8 * 6 + factors
    assert GradientDescent().column_bytes(problem.rows) < one
    assert len(groups_of(LBFGS(), problem)) == 1
    monkeypatch.setattr(groups, "WORKING_BYTES", 1)
    assert len(groups_of(LBFGS(), problem)) == 9  # 5 bytes a row are less than a column takes
    monkeypatch.setattr(LBFGS, "column_bytes", lambda self, rows: 270 * 100)
    wide = make_problem(put, np.zeros((270, 300)), many[1])
    assert [len(group) for group in groups_of(LBFGS(), wide)] == [3, 3, 3]


def test_what_columns_share_is_prepared_once(put, many, little_memory, monkeypatch):
    prepared = []
    prepare = LBFGS.prepare
    monkeypatch.setattr(
        LBFGS, "prepare", lambda self, problem: prepared.append(1) or prepare(self, problem)
    )
    gpulr.train(put(many[0]), many[1])
    assert prepared == [1]


def test_columns_in_any_order_and_a_start(put, many):
    X, y = many
    problem = make_problem(put, X, y, dtype="float64")
    best = minimize(LBFGS(), problem, max_iter=100, tol=1e-7)
    order = [np.array([8, 0, 3]), np.array([1, 2, 4, 5, 6, 7])]
    parts = minimize_in_groups(LBFGS(), problem, order, max_iter=100, tol=1e-7)
    np.testing.assert_allclose(parts.theta, best.theta, atol=1e-4)
    again = minimize_in_groups(
        LBFGS(), problem, order, max_iter=100, tol=1e-6, start=put(best.theta)
    )
    assert again.n_iter.tolist() == [0] * 9
    np.testing.assert_array_equal(again.theta, best.theta)


@pytest.mark.parametrize("error", [StopIteration, KeyboardInterrupt])
def test_what_ends_training_leaves_later_groups_at_their_start(put, many, little_memory, error):
    X, y = many

    def stop(progress):
        if progress.models[0] == 3 and progress.iteration == 2:
            raise error

    try:
        model = gpulr.train(put(X), y, callbacks=[stop])
    except gpulr.TrainingInterrupted as interruption:
        model = interruption.model
    assert model.history.n_iter[3:].tolist() == [2, 2, 2, 0, 0, 0]
    assert model.history.converged.tolist() == [True] * 3 + [False] * 6
    assert np.isnan(model.history.cost[:, 6:]).all()
    assert not to_host(model.weights)[:, 6:].any()
    assert not model.converged


def test_groups_take_less_memory(rng, monkeypatch):
    X, y = rng.normal(size=(2000, 20)).astype(np.float32), np.arange(2000) % 200

    def peak():
        tracemalloc.start()
        gpulr.train(X, y, max_iter=6, tol=0)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    gpulr.train(X, y, max_iter=1, tol=0)  # imports and compilation are not counted
    whole = peak()
    monkeypatch.setattr(groups, "WORKING_BYTES", 2**20)
    assert peak() < whole / 3


@pytest.mark.parametrize(
    ("n_groups", "how", "limit"),
    [(3, {}, None), (10, {"strict": True}, None), (3, {}, 9 * 10**8), (10, {}, 2**24)],
)
def test_margins_elsewhere_take_as_much_as_the_rows_there(monkeypatch, n_groups, how, limit):
    # Ten classes on five folds of 10⁸ × 100: 40 GB, of which margins of a class and fold take 1.6.
    monkeypatch.setattr(groups, "address_limit", lambda: limit)
    X = Elsewhere((10**8, 100), np.float32)
    rows = Rows(X, 1.0, None, NumPyBackend("numpy", np), np.float32)
    found = groups.in_memory(10, LBFGS(), rows, 2**30, width=5, **how)
    assert len(found) == n_groups
    assert np.concatenate(found).tolist() == list(range(10))
    assert rows.here.n_samples == 24_000
    monkeypatch.setattr(groups, "address_limit", lambda: None)
    few = Rows(X.some(7), 1.0, None, rows.backend, np.float32)
    assert len(groups.in_memory(10, LBFGS(), few, 2**30, width=5)) == 1
