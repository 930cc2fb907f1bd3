"""Margins are made again where they were lost, to the last bit, and dropped with their handles."""

from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np
import pytest

from gpulr.distributed import StratifiedFolds
from gpulr.solvers import LBFGS, GradientDescent, minimize
from gpulr.solvers.continuation import Continuation
from parted import Parted

SMALL = LBFGS(sample=400, memory=2)  # which takes more iterations
EDGES = [200, 210, 900]
N_PARTS = len(EDGES) + 1


def data_of(rng_seed=0, loses=lambda trip, part: False, n=1500, edges=EDGES, n_features=8):
    rng = np.random.default_rng(rng_seed)
    X = rng.normal(size=(n, n_features)).astype(np.float32)
    X[:, 0] *= 30  # so that it takes more than a few iterations
    logits = np.column_stack([X[:, j + 1] + 0.05 * X[:, 0] for j in range(3)])
    y = np.argmax(logits + 0.1 * rng.normal(size=(n, 3)), axis=1)
    return Parted(X, y, edges, loses=loses), y


def train(data, **how):
    settings = {"max_iter": 60, "tol": 1e-8, **how}
    _, problem = data.problems(100.0)
    return minimize(SMALL, problem, **settings)


@pytest.fixture(scope="module")
def undisturbed():
    return train(data_of()[0])


def same(found, expected):
    np.testing.assert_array_equal(found.theta, expected.theta)
    np.testing.assert_array_equal(found.cost, expected.cost)
    np.testing.assert_array_equal(found.n_iter, expected.n_iter)


LOSSES = {
    "one part at every trip": lambda trip, part: part == trip % N_PARTS,
    "all parts at every trip": lambda trip, part: True,
    "all parts at every third trip": lambda trip, part: trip % 3 == 0,
    "the second part at each trip with an answer": lambda trip, part: part == 1 and trip % 2 == 1,
    "some, by chance": lambda trip, part: hash((trip, part)) % 5 == 0,
}


@pytest.mark.parametrize("which", LOSSES)
def test_lost_margins_change_no_bit(undisturbed, which):
    data, _ = data_of(loses=LOSSES[which])
    same(train(data), undisturbed)
    assert data.engine.lost > 10


def test_long_paths_begin_anew_and_models_leave_on_the_way(undisturbed):
    # What is lost is made again from at most 16 iterations, and with the columns of then.
    assert len(undisturbed.cost) > 18
    assert len(set(undisturbed.n_iter.tolist())) > 1


@pytest.mark.parametrize("phase", range(0, 60, 7))
def test_whenever_all_is_lost_once(undisturbed, phase):
    data, _ = data_of(loses=lambda trip, part: trip == phase)
    same(train(data), undisturbed)


def test_steps_that_fail_are_made_again_too():
    # Steps four times as long as they should be: of some models each second one fails.
    class Bold(LBFGS):
        def step(self, problem, state):
            state = replace(state, factor=4.0 * state.factor)
            return super().step(problem, state)

    def run(loses):
        data, _ = data_of(loses=loses)
        solver = Bold(sample=400)
        return minimize(solver, data.problems(100.0)[1], max_iter=25, tol=1e-7)

    one = run(lambda trip, part: False)
    assert (np.diff(one.cost, axis=0) == 0.0).any()
    same(run(lambda trip, part: part == trip % N_PARTS), one)


def test_a_path_of_C_over_folds():
    def run(loses):
        data, y = data_of(loses=loses)
        first = np.array([np.flatnonzero(y == c)[0] for c in range(3)])
        rule = StratifiedFolds.of(2, np.bincount(y), first)
        models, index = np.tile(np.arange(3), 2), np.repeat(np.arange(2), 3)
        sets = np.concatenate([part.sets(rule) for part in data.engine.parts])
        how = {"models": models, "set_index": index}
        _, problem = data.problems(0.01, rule=rule, sets=sets, **how)
        prepared, begin, found = SMALL.prepare(problem), None, []
        for C in (1.0, 100.0):
            along = replace(problem, C=problem.C * C)
            end = Continuation(along.penalty)
            found.append(
                minimize(
                    SMALL,
                    along,
                    max_iter=30,
                    tol=1e-6,
                    prepared=prepared,
                    begin=begin,
                    leaving=end.collect,
                )
            )
            begin = end.begin(prepared, models)
        return found

    for found, expected in zip(
        run(lambda trip, part: part == trip % N_PARTS), run(lambda *_: False), strict=True
    ):
        same(found, expected)


def test_gradient_descent_keeps_nothing():
    def run(loses):
        data, _ = data_of(loses=loses)
        problem = data.problems(1.0)[1]
        return minimize(GradientDescent(), problem, max_iter=10, tol=0.0)

    same(run(lambda trip, part: part == trip % N_PARTS), run(lambda *_: False))


def test_an_iteration_takes_two_trips():
    data, _ = data_of()
    trips = []
    train(
        data, callbacks=[lambda now: trips.append(data.engine.counts.trips)], max_iter=20, tol=0.0
    )
    assert set(np.diff(trips).tolist()) == {2}
    assert trips[0] <= 6  # rows and weights of the parts, the sample, and the start


def test_what_is_sent_does_not_grow_with_the_rows():
    def traffic(n):
        data, _ = data_of(n=n, edges=[n // 3, n // 2, n - 1])
        start = replace(data.engine.counts)
        before = []

        def count(now):
            before.append((data.engine.counts.sent, data.engine.counts.received))

        train(data, callbacks=[count], max_iter=10, tol=0.0)
        sent, received = np.diff(before, axis=0).T
        return sent, received, before[0][1] - start.received

    few, many = traffic(2000), traffic(8000)
    for a, b in zip(few[:2], many[:2], strict=True):
        np.testing.assert_allclose(b, a, rtol=0.05)
    theta_bytes = 8 * 9 * 3
    assert many[0].max() < N_PARTS * (2 * theta_bytes + 4000)
    assert many[1].max() < N_PARTS * (theta_bytes + 1500)
    # The sample of 400 rows came once.
    assert abs(many[2] - few[2]) < 3000
    assert many[2] < 400 * (8 * 4 + 4) + 8000


def test_margins_are_dropped_with_their_handles():
    data, _ = data_of()
    _, problem = data.problems(1.0)
    theta = np.zeros((9, 3))
    first = problem.margins(theta)
    step = first.along(problem.margins(theta + 1.0), np.ones(3))
    problem.evaluate_margins(step, theta)
    part = data.engine.parts[0]
    # The direction was used up, and lives on in the lineage alone.
    assert len(part._held) == 2
    number = first.lineage.number
    del first
    gc.collect()
    problem.evaluate_margins(step, theta)
    assert set(part._held) == {step.lineage.number}
    assert number not in data.parts.live
    # It can be made again all the same.
    expected = problem.evaluate_margins(step, theta)
    part.__setstate__(part.__getstate__())
    for a, b in zip(problem.evaluate_margins(step, theta), expected, strict=True):
        np.testing.assert_array_equal(a, b)
    assert set(part._held) == {step.lineage.number}


def test_messages_that_come_twice_change_no_bit(undisturbed):
    data, _ = data_of()
    send = data.engine.call

    def twice(*message, which=None):
        send(*message, which=which)
        return send(*message, which=which)  # LOST, where the first had used margins up

    data.engine.call = twice
    same(train(data), undisturbed)
