"""Training that begins at a trained model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

import gpulr
from gpulr.backend import to_host
from gpulr.solvers import SOLVERS
from helpers import reference, stacked, targets

EXACT = {"tol": 1e-8, "dtype": "float64", "max_iter": 20_000}


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("batched", [True, False])
def test_a_converged_model_stays_as_it_is(put, blobs, solver, batched):
    X, y = blobs
    settings = EXACT | {"solver": solver, "batched": batched}
    first = gpulr.train(put(X), y, **settings)
    again = gpulr.train(put(X), y, start=first, **settings)
    assert first.n_iter > 0
    assert again.n_iter == 0
    np.testing.assert_allclose(to_host(again.weights), to_host(first.weights), rtol=1e-12)


@pytest.mark.parametrize("kind", ["uint8", "int16", "float64", "sparse"])
@pytest.mark.parametrize("how", ["scale", "standardize"])
def test_the_scaling_of_weights_is_undone(put, rng, kind, how):
    X, y = rng.integers(0, 99, (90, 4)).astype(np.uint8), np.arange(90) % 3
    X[:, 3] = 7  # constant: standardizing scales it by 0
    rows = sparse.csr_array(X.astype(float)) if kind == "sparse" else put(X.astype(kind))
    settings = {"scale": 0.01} if how == "scale" else {"standardize": True}
    first = gpulr.train(rows, y, **EXACT, **settings)
    again = gpulr.train(rows, y, start=first, max_iter=0, tol=0, dtype="float64", **settings)
    np.testing.assert_allclose(again.history.cost[0], first.history.cost[-1], rtol=1e-12)
    np.testing.assert_allclose(to_host(again.weights), to_host(first.weights), rtol=1e-9)
    np.testing.assert_allclose(to_host(again.intercept), to_host(first.intercept), rtol=1e-9)
    # From other settings, where the constant feature weighs something: the same margins.
    other = gpulr.train(rows, y, dtype="float64", tol=1e-3, scale=0.005)
    begun = gpulr.train(rows, y, start=other, max_iter=0, tol=0, dtype="float64", **settings)
    np.testing.assert_allclose(
        to_host(begun.decision_function(rows)), to_host(other.decision_function(rows)), atol=1e-9
    )


def test_between_centres_far_from_zero_nothing_cancels(put, rng):
    X, y = (rng.normal(size=(90, 3)) + 1e5).astype(np.float64), np.arange(90) % 3
    X[:, 0] += y
    first = gpulr.train(put(X[:60]), y[:60], standardize=True, tol=1e-6)
    again = gpulr.train(put(X), y, standardize=True, start=first, max_iter=0, tol=0)
    Z = to_host(first.decision_function(put(X)))
    np.testing.assert_allclose(to_host(again.decision_function(put(X))), Z, atol=1e-4)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_similar_problem_takes_fewer_iterations(put, blobs, solver):
    X, y = blobs
    first = gpulr.train(put(X), y, C=1.0, solver=solver, **EXACT)
    cold = gpulr.train(put(X), y, C=1.05, solver=solver, **EXACT)
    warm = gpulr.train(put(X), y, C=1.05, solver=solver, start=first, **EXACT)
    assert warm.converged
    assert warm.n_iter < cold.n_iter
    np.testing.assert_allclose(to_host(warm.weights), to_host(cold.weights), atol=1e-5)


def test_the_start_is_the_first_of_the_history(blobs):
    X, y = blobs
    first = gpulr.train(X, y, max_iter=3, tol=0, dtype="float64")
    model = gpulr.train(X, y, start=first, max_iter=3, tol=0, dtype="float64")
    cost, _ = reference(X, targets(y), stacked(first), 1.0)
    np.testing.assert_allclose(model.history.cost[0], cost, rtol=1e-12)


def test_without_an_intercept_that_of_the_start_is_left_out(blobs):
    X, y = blobs
    first = gpulr.train(X, y)
    model = gpulr.train(X, y, start=first, fit_intercept=False, max_iter=0, tol=0)
    assert not model.intercept.any()
    np.testing.assert_allclose(model.weights, first.weights, rtol=1e-6)


def test_rows_with_any_number_of_labels(put, blobs):
    X, y = blobs
    Y = np.stack([y > 0, y == 1], axis=1).astype(np.uint8)
    first = gpulr.train(put(X), Y, **EXACT)
    again = gpulr.train(put(X), Y, start=first, **EXACT)
    assert again.n_iter == 0


def test_a_model_from_elsewhere(put, blobs, tmp_path):
    X, y = blobs
    gpulr.train(X, y, **EXACT).save(tmp_path / "model.safetensors")
    start = gpulr.load(tmp_path / "model.safetensors")
    assert gpulr.train(put(X), y, start=start, **EXACT).n_iter == 0


def test_what_does_not_fit_is_refused(blobs):
    X, y = blobs
    model = gpulr.train(X, y)
    broken = replace(model, weights=np.full_like(model.weights, np.nan))
    for rows, labels, start, message in (
        (X[:, :3], y, model, "a model of 4 features, and X has 3"),
        (X, y + 1, model, r"of the classes \[0, 1, 2\], and y holds \[1, 2, 3\]"),
        (X, y > 0, model, "of the classes"),
        (X, np.eye(3, dtype=int)[y], model, "one class for each row, and y holds any number"),
        (X, y.astype(str), model, "of the classes"),
        (X, y, model.weights, "start is a ndarray; expected a model"),
        (X, y, broken, "not finite"),
    ):
        with pytest.raises(gpulr.ParameterError, match=message):
            gpulr.train(rows, labels, start=start)
