"""Random problems against an optimum that is found otherwise: reached, or said not to be.

Of every dtype, at scales from 1e-6 to 1e6, with C from 1e-6 to ∞, separable or not, weighted,
sparse, standardised, with labels that are not known. See `random_problems`.
"""

from __future__ import annotations

import secrets
import warnings

import numpy as np
import pytest

import gpulr
from random_problems import gaps, gradient_norms, random_problem

# The cost of separable rows without a penalty has no least value but 0.
LEAST = 1e-6
FOUND = (3287839936,)  # a penalty that stops a cost of 1e-10 on its way to 0
OTHERS = secrets.randbits(32)  # the nightly ones are others in each run


def check(seed, solver, max_iter):
    """Train one problem; return which of its models converged."""
    problem = random_problem(seed)
    problem.settings |= {"solver": solver, "max_iter": max_iter}
    told = f"random_problem({seed}), {solver}, {max_iter} iterations: {problem.kind}, "
    told += f"{ {k: v for k, v in problem.settings.items() if k != 'sample_weight'} }"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = gpulr.train(problem.X, problem.y, **problem.settings)
    assert {each.category for each in caught} <= {gpulr.ConvergenceWarning}, told
    converged = model.history.converged
    assert bool(caught) != converged.all(), told
    gap, least = gaps(problem, model)
    assert np.all(gap >= -1e-6 * np.maximum(least, LEAST)), f"{told}: the reference is wrong, {gap}"
    if solver == "lbfgs":  # the others know gradients alone
        beyond = converged & (gap > 1e-4 * np.maximum(least, LEAST))
        assert not beyond.any(), f"{told}: models {beyond.nonzero()[0]} by {gap[beyond]}"
    norm, noise = gradient_norms(problem, model)
    large = converged & (norm > 1.01 * problem.settings["tol"] + 1e-9 + noise)
    if solver != "lbfgs":  # which measures features of extreme size in other units
        assert not large.any(), f"{told}: models {large.nonzero()[0]} have {norm[large]}"
    return converged


def seeds(*solvers):
    """Return parameters: a solver, its problems, and what part of the models has to converge."""
    found = []
    for name, n, max_iter, part in solvers:
        for first, times, mark in (
            (0, 1, ()),
            (n, 3, pytest.mark.slow),
            (OTHERS, 50, pytest.mark.nightly),
        ):
            own, told = range(first, first + times * n), f"{name}-{times * n}"
            found.append(pytest.param(name, own, max_iter, part, marks=mark, id=told))
    return found


@pytest.mark.parametrize(
    ("solver", "seeds", "max_iter", "part"),
    seeds(("lbfgs", 120, 2000, 0.9), ("nesterov", 10, 200, 0.1), ("gd", 10, 200, 0.05)),
)
def test_optima(monkeypatch, solver, seeds, max_iter, part):
    monkeypatch.setenv("GPULR_COMPILE", "never")
    if solver == "lbfgs":
        seeds = [*seeds, *FOUND]
    converged = np.concatenate([check(seed, solver, max_iter) for seed in seeds])
    assert converged.mean() >= part
