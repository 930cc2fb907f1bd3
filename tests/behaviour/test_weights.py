"""Sample and class weights: what they mean, and scikit-learn's optimum under them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_sample_weight

import gpulr
from gpulr.backend import to_host
from gpulr.solvers import SOLVERS
from helpers import assert_optimal, stacked, targets

EXACT = {"tol": 1e-9, "dtype": "float64"}
EVERY_SOLVER = pytest.mark.parametrize("solver", SOLVERS)


@pytest.fixture
def uneven(rng):
    """Four overlapping classes of 20 to 160 rows, X (300, 5) float64 and y."""
    y = rng.permutation(np.repeat([0, 1, 2, 3], [20, 40, 80, 160]))
    return rng.normal(size=(300, 5)) + np.eye(4, 5)[y], y


@pytest.fixture
def weights(rng):
    return rng.exponential(size=300) * (rng.random(300) < 0.8)


@pytest.mark.parametrize("C", [0.01, 1.0, 100.0, [0.01, 1.0, 100.0, 1e4]], ids=str)
def test_sample_weights_against_scikit_learn(put, uneven, weights, C):
    X, y = uneven
    weights.flags.writeable = False  # and they are not modified
    for s in (weights, put(weights), weights.tolist()):
        model = gpulr.train(put(X), y, C=C, sample_weight=s, **EXACT)
        assert model.converged
        assert_optimal(X, targets(y), stacked(model), C, tol=1e-9, s=weights)
    assert model.settings["sample_weight"] is True


@pytest.mark.parametrize("class_weight", [{0: 3.0, 2: 0.5}, {1: 0, 3: 10}], ids=str)
@pytest.mark.parametrize("both", [False, True])
def test_class_weights_are_those_of_the_original_classes(uneven, weights, class_weight, both):
    X, y = uneven
    s = weights if both else None
    each = np.array([class_weight.get(j, 1.0) for j in range(4)])
    model = gpulr.train(X, y, class_weight=class_weight, sample_weight=s, **EXACT)
    expected = each[y] * weights if both else each[y]
    assert model.converged
    with_rows = [j for j in range(4) if (expected > 0)[y == j].any()]
    Y, theta = targets(y, 4)[:, with_rows], stacked(model)[:, with_rows]
    assert_optimal(X, Y, theta, 1.0, tol=1e-9, s=expected)


def test_balanced_two_classes(put, uneven):
    X, codes = uneven
    names = np.array(["no", "yes"])[(codes == 0).astype(int)]
    s = compute_sample_weight("balanced", names)
    model = gpulr.train(put(X), names, class_weight="balanced", **EXACT)
    assert model.settings["class_weight"] == "balanced"
    assert_optimal(X, targets(codes == 0, 2), stacked(model), 1.0, tol=1e-9, s=s)
    by_name = gpulr.train(put(X), names, class_weight={"no": s.min(), "yes": s.max()}, **EXACT)
    np.testing.assert_allclose(to_host(by_name.weights), to_host(model.weights), rtol=1e-9)
    assert by_name.settings["class_weight"] == {"no": s.min(), "yes": s.max()}


@pytest.mark.parametrize(
    ("solver", "class_weight"),
    [*((solver, None) for solver in SOLVERS), ("lbfgs", "balanced")],
)
def test_a_weight_of_two_is_the_row_twice_and_of_zero_its_absence(
    put, uneven, rng, solver, class_weight
):
    X, y = uneven
    times = rng.integers(0, 4, 300)
    settings = {"solver": solver, "tol": 1e-7, "dtype": "float64", "max_iter": 20_000}
    settings["class_weight"] = class_weight
    weighted = gpulr.train(put(X), y, sample_weight=times, **settings)
    repeated = gpulr.train(put(np.repeat(X, times, axis=0)), np.repeat(y, times), **settings)
    assert weighted.converged
    assert repeated.converged
    np.testing.assert_allclose(stacked(weighted), stacked(repeated), atol=1e-4)
    np.testing.assert_allclose(weighted.history.cost[-1], repeated.history.cost[-1], atol=1e-9)


@pytest.mark.parametrize("garbage", [1e4, -1e4])
def test_rows_of_weight_zero_have_no_influence(uneven, garbage):
    X, y = uneven
    s = (np.arange(300) < 250).astype(float)
    broken = np.where(s[:, np.newaxis] > 0, X, garbage)
    model = gpulr.train(broken, y, sample_weight=s, **EXACT)
    assert_optimal(X[:250], targets(y[:250]), stacked(model), 1.0, tol=1e-9)


@EVERY_SOLVER
@pytest.mark.parametrize("a", [1e-50, 1e-6, 3.0, 1e50])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_times_a_with_C_over_a_are_the_same(uneven, weights, solver, a, dtype):
    X, y = uneven
    settings = {"solver": solver, "dtype": dtype, "max_iter": 15, "tol": 0}
    plain = gpulr.train(X, y, sample_weight=weights, C=0.5, **settings)
    scaled = gpulr.train(X, y, sample_weight=weights * a, C=0.5 / a, **settings)
    rtol = 1e-7 if dtype == "float64" else 1e-3
    np.testing.assert_allclose(scaled.weights, plain.weights, rtol=rtol, atol=rtol / 10)
    np.testing.assert_allclose(scaled.history.cost, plain.history.cost, rtol=rtol)


def test_weights_of_one_change_nothing(put, uneven):
    X, y = uneven
    plain = gpulr.train(put(X), y)
    for settings in ({"sample_weight": np.ones(300)}, {"class_weight": {}}):
        weighted = gpulr.train(put(X), y, **settings)
        np.testing.assert_allclose(stacked(weighted), stacked(plain), rtol=1e-4, atol=1e-6)


def test_a_class_without_weight_keeps_its_column(uneven):
    X, y = uneven
    model = gpulr.train(X, y, class_weight={1: 0.0})
    assert model.converged
    assert model.n_models == 4
    assert (model.predict(X) == 1).sum() == 0
