"""When rows are gone for good, the error brings what there was before."""

from __future__ import annotations

import numpy as np
import pytest

from gpulr.errors import WorkersLostError
from gpulr.solvers import LBFGS, GradientDescent, minimize, minimize_in_groups
from parted import Parted

SMALL = LBFGS(sample=300)


def problem_of(rng, lost_at):
    X = rng.normal(size=(1000, 6)).astype(np.float32)
    y = np.argmax(X[:, :3] + rng.normal(size=(1000, 3)), axis=1)

    def lose(trip, part):
        if trip >= lost_at():
            raise WorkersLostError("No worker is left.", (part,))
        return False

    return Parted(X, y, [100, 700], loses=lose).problems(10.0)[1]


@pytest.mark.parametrize("solver", [SMALL, GradientDescent(1.0)], ids=["lbfgs", "gd"])
def test_the_error_has_the_last_finished_iteration(rng, solver):
    seen, lost_at = [], [np.inf]
    problem = problem_of(rng, lambda: lost_at[0])

    def count(now):
        seen.append((now.iteration, now.cost))
        if now.iteration == 3:
            lost_at[0] = problem.parts.engine.counts.trips + (1 if solver is SMALL else 0)

    with pytest.raises(WorkersLostError) as raised:
        minimize(solver, problem, max_iter=30, tol=0.0, callbacks=[count])
    found = raised.value.solution
    assert found.result == "interrupted"
    assert found.n_iter.tolist() == [3, 3, 3]
    assert len(found.cost) == 4
    lost_at[0] = np.inf
    np.testing.assert_allclose(problem.evaluate(found.theta).cost, seen[-1][1], rtol=1e-6)


def test_of_groups_it_has_those_that_were_done(rng):
    lost_at, progress = [np.inf], []
    problem = problem_of(rng, lambda: lost_at[0])

    def count(now):
        progress.append(now)
        if now.models.tolist() == [1] and now.iteration == 2:
            lost_at[0] = 0

    groups = [np.array([0]), np.array([1]), np.array([2])]
    with pytest.raises(WorkersLostError) as raised:
        minimize_in_groups(SMALL, problem, groups, max_iter=30, tol=1e-5, callbacks=[count])
    found = raised.value.solution
    assert found.converged.tolist() == [True, False, False]
    assert found.n_iter[1] == 2
    assert np.isnan(found.cost[:, 2]).all()


def test_before_the_first_iteration_there_is_nothing(rng):
    lost_at = [np.inf]
    problem = problem_of(rng, lambda: lost_at[0])
    lost_at[0] = 0
    with pytest.raises(WorkersLostError) as raised:
        minimize_in_groups(SMALL, problem, [np.arange(2), np.arange(2, 3)], max_iter=9, tol=0.0)
    assert raised.value.solution is None
