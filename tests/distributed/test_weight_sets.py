"""Parts follow rules of weight sets to what one process makes of all rows."""

from __future__ import annotations

import pickle
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold

from gpulr.distributed import Draws, StratifiedFolds
from gpulr.distributed.weight_sets import AT_ONCE
from gpulr.families.resamples import Resamples
from gpulr.families.seeds import seeds_of
from gpulr.solvers import LBFGS, minimize
from gpulr.solvers.continuation import Continuation, refreshed_together
from gpulr.solvers.lbfgs_start import resume
from parted import Parted

SMALL = LBFGS(sample=300)
EDGES = [1, 300, 310, 900]


def data_of(rng, weighted=False, n=1200):
    X = rng.normal(size=(n, 10)).astype(np.float32)
    y = np.argmax(X[:, :4] + rng.normal(size=(n, 4)) + [0.0, 0.0, 0.0, -1.5], axis=1)
    weight = rng.uniform(0.5, 2.0, n) * (rng.random(n) > 0.3) if weighted else None
    return Parted(X, y, EDGES, weight=weight), y


def sets_of(data, rule):
    return np.concatenate(
        [part.sets(pickle.loads(pickle.dumps(rule))) for part in data.engine.parts]
    )


@pytest.mark.parametrize("n_folds", [2, 3, 7])
@pytest.mark.parametrize("ordered", [False, True])
def test_folds_are_scikit_learns(rng, n_folds, ordered):
    data, y = data_of(rng)
    if ordered:
        y = np.sort(y)[::-1].copy()
        data = Parted(data.rows.X, y, EDGES)
    rule = StratifiedFolds.of(
        n_folds, np.bincount(y), np.array([np.flatnonzero(y == c)[0] for c in range(4)])
    )
    expected = np.ones((len(y), n_folds), np.uint8)
    for number, (_, test) in enumerate(StratifiedKFold(n_folds).split(y, y)):
        expected[test, number] = 0
    assert rule.n_sets == n_folds
    np.testing.assert_array_equal(sets_of(data, rule), expected)


def test_folds_of_labels_are_runs_of_rows(rng):
    data = Parted(rng.normal(size=(100, 3)), np.eye(100, 2, dtype=np.uint8), [7, 50])
    rule = StratifiedFolds.of(3, np.array([100]), np.array([0]))
    folds = np.concatenate([rule.folds(part) for part in data.engine.parts])
    np.testing.assert_array_equal(folds, np.repeat([0, 1, 2], [34, 33, 33]))


class Whole:
    """What Resamples asks for of its data."""

    def __init__(self, weight, n):
        self.inputs, self.rows, self.weight, self.n_samples = self, self, weight, n


@pytest.mark.parametrize("kind", ["poisson", "multinomial"])
@pytest.mark.parametrize("weighted", [False, True])
def test_draws_are_those_of_one_process(rng, kind, weighted, monkeypatch):
    monkeypatch.setattr("gpulr.distributed.weight_sets.AT_ONCE", 250)
    data, y = data_of(rng, weighted)
    weight = None if data.weight is None else data.weight[:, 0]
    seeds, redraws = seeds_of(0, 3), np.array([0, 2, 1])
    whole = Resamples(Whole(weight, len(y)), kind, seeds)
    whole.draw_again(np.array([1, 2]))
    whole.draw_again(np.array([1]))
    rule = Draws(kind, seeds, redraws, data.parts.n_weighted)
    assert rule.n_sets == 3
    np.testing.assert_array_equal(sets_of(data, rule), whole.sets)


def test_draws_of_many_rows_come_in_one_stream():
    n = AT_ONCE + 1000
    rng, other = np.random.default_rng(0), np.random.default_rng(0)
    rule = Draws("multinomial", [], np.zeros(0, int), n)
    drawn = np.concatenate([drawn for _, drawn in rule._draws(rng)])
    np.testing.assert_array_equal(drawn, other.integers(0, n, n))


@pytest.mark.parametrize("kind", ["poisson", "multinomial"])
def test_draws_take_a_byte_for_each_row(kind):
    n = 2_000_000
    tracemalloc.start()
    counts = Resamples(Whole(None, n), kind, seeds_of(0, 2)).sets
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < counts.nbytes + n + 16 * 2**20  # and those of one replicate, and a few draws
    seed = seeds_of(0, 2)[1]
    drawn = np.random.default_rng(seed)
    if kind == "poisson":
        expected = drawn.poisson(1.0, n)
    else:
        expected = np.bincount(drawn.integers(0, n, n), minlength=n)
    np.testing.assert_array_equal(counts[:, 1], expected)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("balanced", [False, True])
def test_models_of_folds_along_C(rng, weighted, balanced):
    data, y = data_of(rng, weighted)
    first = np.array([np.flatnonzero(y == c)[0] for c in range(4)])
    rule = StratifiedFolds.of(3, np.bincount(y), first)
    models, index = np.tile(np.arange(4), 3), np.repeat(np.arange(3), 4)
    how = {"models": models, "set_index": index, "balanced": balanced}
    problems = data.problems(0.01, sets=sets_of(data, rule), rule=rule, **how)
    np.testing.assert_allclose(problems[1].m, problems[0].m, rtol=1e-12)
    found = []
    for problem in problems:
        prepared, begin = SMALL.prepare(problem), None
        for C in (0.01, 1.0, 100.0):
            along = replace(problem, C=problem.C * (C / 0.01))
            continuation = Continuation(along.penalty)
            solution = minimize(
                SMALL,
                along,
                max_iter=200,
                tol=1e-5,
                prepared=prepared,
                begin=begin,
                leaving=continuation.collect,
            )
            begin = continuation.begin(prepared, models)
        assert solution.converged.all()
        found.append(solution)
    np.testing.assert_allclose(found[1].cost[-1], found[0].cost[-1], rtol=1e-5)
    np.testing.assert_allclose(found[1].theta, found[0].theta, rtol=1e-2, atol=1e-2)


def test_replicates_resume_with_shared_curvature(rng):
    data, _ = data_of(rng)
    rule = Draws("poisson", seeds_of(0, 2), np.zeros(2, int), data.parts.n_weighted)
    models, index = np.tile(np.arange(4), 2), np.repeat(np.arange(2), 4)
    _, every = data.problems(1.0)
    prepared = SMALL.prepare(every)
    start = np.tile(minimize(SMALL, every, max_iter=200, tol=1e-5, prepared=prepared).theta, 2)
    how = {"models": models, "set_index": index}
    whole, parts = data.problems(1.0, sets=sets_of(data, rule), rule=rule, **how)

    def begin(problem):
        state = resume(problem, start, prepared.curvature)
        return refreshed_together(problem, state, prepared, models, np.full(8, 1e6))

    a = minimize(SMALL, whole, max_iter=200, tol=1e-5, start=start)
    b = minimize(SMALL, parts, max_iter=200, tol=1e-5, prepared=prepared, begin=begin)
    assert (b.refreshes > 0).all()
    np.testing.assert_allclose(b.theta, a.theta, rtol=1e-2, atol=2e-3)
