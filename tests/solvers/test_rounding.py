"""That a model has converged is said of its exact gradient, not of what rounding makes of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import gpulr
from gpulr.backend import to_host
from gpulr.families.reading import read_inputs
from gpulr.families.settings import Settings
from gpulr.families.training import train_on
from gpulr.solvers import LBFGS, minimize
from gpulr.solvers.rounding import last_look
from helpers import make_problem, reference, stacked, targets


def of_extremes(X, *, centered, largest_C):
    """What features are multiplied by where ``tol`` looks at their gradient."""
    middle = (X.max(axis=0) + X.min(axis=0)) / 2 if centered else 0.0
    size = np.abs(X - middle).max(axis=0)
    tiny = (size < 2.0**-10) & (size > 0.5 / np.sqrt(largest_C))
    extreme = (tiny | (size > 2.0**10)) & (size > 1e-5 * np.abs(X).max(axis=0))
    return np.where(extreme, 2.0 ** -np.frexp(np.where(size > 0, size, 1))[1], 1.0)


def hostile(seed):
    """Return rows, classes and settings of a problem that rounding makes difficult."""
    rng = np.random.default_rng(seed)
    m, n, k = rng.integers(20, 400), rng.integers(1, 40), rng.integers(2, 6)
    Z = rng.normal(size=(m, n))
    y = np.argmax(
        Z @ rng.normal(size=(n, k)) * rng.choice([0.3, 3]) + rng.gumbel(size=(m, k)), axis=1
    )
    if rng.random() < 0.2:
        y[:] = 0
    y[rng.permutation(m)[:k]] = np.arange(k)
    some = rng.random(n) < rng.choice([0.3, 1.0])
    X = Z + some * rng.normal(size=n) * 10.0 ** rng.uniform(0, 5)
    X = X * np.where(rng.random(n) < 0.5, 10.0 ** rng.uniform(-6, 6, n), 1.0)
    settings = {
        "C": rng.choice([np.inf, 1.0, 10.0 ** rng.uniform(-6, 6)]),
        "fit_intercept": bool(rng.random() < 0.8),
        "sample_weight": 10.0 ** rng.uniform(-3, 3, m) if rng.random() < 0.3 else np.ones(m),
        "tol": rng.choice([1e-4, 1e-6]),
    }
    return X.astype(rng.choice(["float32", "float64"])), y, settings


@pytest.mark.filterwarnings("ignore::gpulr.ConvergenceWarning")
@pytest.mark.parametrize("part", [0, *(pytest.param(i, marks=pytest.mark.slow) for i in (1, 2, 3))])
def test_converged_means_that_the_exact_gradient_is_within_the_tolerance(part):
    converged, models = 0, 0
    for seed in range(10 * part, 10 * part + 10):
        X, y, settings = hostile(seed)
        model = gpulr.train(X, y, max_iter=150, **settings)
        wide, s = X.astype(np.float64), settings["sample_weight"][:, np.newaxis]
        _, gradient = reference(wide, targets(y), stacked(model), settings["C"], s)
        if not settings["fit_intercept"]:
            gradient[-1] = 0.0
        largest_C = settings["C"] * s.sum()
        factor = of_extremes(wide, centered=settings["fit_intercept"], largest_C=largest_C)
        norm = np.abs(gradient * np.append(factor, 1.0)[:, np.newaxis]).max(axis=0)
        said = model.history.converged
        assert np.all(norm[said] <= 2 * settings["tol"]), seed
        converged, models = converged + said.sum(), models + len(said)
    assert converged > models / 5


@pytest.mark.filterwarnings("ignore::gpulr.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["lbfgs", "nesterov", "gd"])
def test_an_offset_that_rounding_hides(put, rng, solver):
    y = np.arange(400) % 2
    X = (rng.normal(size=(400, 1)) + y[:, np.newaxis] + 1000).astype(np.float32)
    model = gpulr.train(put(X), y, C=np.inf, solver=solver, max_iter=100)
    _, gradient = reference(X, targets(y), stacked(model), np.inf)
    norm = np.abs(gradient).max(axis=0)
    assert np.all(norm[model.history.converged] <= 1e-4)
    if solver == "lbfgs":  # what is said of a model that stalled is exact, too
        np.testing.assert_allclose(model.history.gradient_norm[-1], norm, rtol=1e-3)


def test_models_whose_rounding_is_small_cost_no_pass(put, digits, monkeypatch):
    def no_look(problem, theta, **settings):
        pytest.fail("a pass over the rows")

    monkeypatch.setattr("gpulr.core.problem.Problem.exact_gradient", no_look)
    assert gpulr.train(put(digits[0]), digits[1]).converged


def test_rows_of_few_entries_cost_no_pass_either(rng, monkeypatch):
    def no_look(problem, theta, **settings):
        pytest.fail("a pass over the rows")

    monkeypatch.setattr("gpulr.core.problem.Problem.exact_gradient", no_look)
    X = sparse.random_array((400, 3000), density=4e-3, random_state=rng, format="csr")
    X, y = X.astype(np.float32), np.arange(400) % 2
    model = gpulr.train(X, y, C=100.0, tol=1e-5, max_iter=1000)
    assert model.converged
    _, gradient = reference(X.toarray(), targets(y), stacked(model), 100.0)
    assert np.abs(gradient).max() <= 1e-5
    # By all features' sizes it could have been rounding.
    assert np.finfo(np.float32).eps * np.abs(model.weights).sum() > 1e-5


@pytest.mark.parametrize("kind", ["float32", "uint8", "standardized uint8", "labels", "weights"])
def test_what_the_last_look_sees(put, rng, kind):
    codes = np.arange(90) % 3
    X = rng.integers(0, 99, (90, 4)).astype("uint8" if "uint8" in kind else "float32")
    settings = {"weights": rng.uniform(0.5, 2, 90).astype(np.float32)} if kind == "weights" else {}
    problem = make_problem(put, X, codes, C=[0.1, 1.0, 10.0], n_classes=3, **settings)
    theta = put(rng.normal(size=(5, 3)) / 50)
    expected = problem.evaluate(theta)
    norm = np.abs(to_host(expected.gradient)).max(axis=0)
    stalled = np.array([True, False, True])
    cost = to_host(expected.cost)
    norms, rounding = last_look(problem, theta, cost, 0.0 * norm, stalled, 1e9)
    np.testing.assert_allclose(norms[stalled], norm[stalled], rtol=1e-4)
    assert norms[1] == 0.0  # neither stalled nor in doubt
    assert not rounding.any()
    norms, rounding = last_look(problem, theta, cost, 0.0 * norm, ~stalled, 0.0)
    np.testing.assert_allclose(norms, norm, rtol=1e-4)


@pytest.mark.filterwarnings("ignore::gpulr.ConvergenceWarning")
@pytest.mark.parametrize("standardize", [False, True])
def test_what_is_left_is_rounding(rng, standardize):
    y = np.arange(300) % 3
    X = rng.normal(size=(300, 5)) + np.eye(3, 5)[y]
    advice = {}
    for name, tol, max_iter in (("rounding", 1e-18, 500), ("few", 1e-6, 2), ("met", 1e-4, 500)):
        settings = Settings(max_iter=max_iter, tol=tol, dtype="float64", standardize=standardize)
        model, advice[name] = train_on(read_inputs(X, y, None), settings)
        assert model.converged == (name == "met")
    assert advice["met"] is None
    assert not advice["rounding"].attainable
    assert advice["few"].attainable
    far = X + 1e7
    settings = Settings(max_iter=500, tol=1e-4, dtype="float32")
    _, told = train_on(read_inputs(far, y, None), settings)
    assert told.attainable


def test_models_that_fail_the_last_look_go_on(put, rng, monkeypatch):
    looks = []

    def look(problem, theta, cost, norm, stalled, tol):
        looks.append(norm.copy())
        return (norm if len(looks) > 2 else norm + 1.0), np.zeros(len(norm), dtype=bool)

    monkeypatch.setattr("gpulr.solvers.driver.last_look", look)
    codes = np.arange(90) % 2
    X = rng.normal(size=(90, 3)) + codes[:, np.newaxis]
    problem = make_problem(put, X, codes, C=[1.0], dtype="float64", n_classes=2)
    solution = minimize(LBFGS(), problem, max_iter=50, tol=1e-4)
    assert solution.converged.all()
    assert len(looks) == 3
    assert looks[2] <= looks[1] / 4 <= looks[0] / 16
