"""The default solver on data that is hard to train on: it ends, sensibly, and says how."""

from __future__ import annotations

import re

import numpy as np
import pytest

import gpulr
from gpulr.backend import NumPyBackend, threads, to_host
from gpulr.solvers import LBFGS, SOLVERS
from gpulr.solvers.curvature import SharedCurvature
from helpers import assert_optimal, reference, stacked, targets

EACH_DTYPE = pytest.mark.parametrize("dtype", ["float32", "float64"])


def separable(rng, n=60):
    y = np.arange(n) % 3
    return rng.normal(size=(n, 4)) + 20 * np.eye(3, 4)[y], y


def check(model, X, y, C=1.0, *, tol=1e-4):
    """Finite, and as good as its status says: measured in float64, by other code."""
    assert model.converged
    theta = stacked(model)
    assert np.all(np.isfinite(theta))
    cost, gradient = reference(X, targets(y, len(model.classes)), theta, C)
    np.testing.assert_allclose(model.history.cost[-1], cost, rtol=1e-4, atol=1e-7)
    assert np.abs(gradient).max() <= 1.1 * tol
    assert np.all(cost <= np.log(2))


@pytest.mark.parametrize(
    ("dtype", "tol"), [("float32", 1e-4), ("float32", 1e-6), ("float64", 1e-4), ("float64", 1e-10)]
)
def test_separable_data_without_a_penalty(put, rng, dtype, tol):
    X, y = separable(rng)
    model = gpulr.train(put(X), y, C=np.inf, tol=tol, dtype=dtype)
    assert model.n_iter < 60
    check(model, X, y, np.inf, tol=tol)
    assert model.score(put(X), y) == 1.0


@EACH_DTYPE
@pytest.mark.parametrize("C", [1.0, np.inf])
@pytest.mark.parametrize("name", ["constant", "constant, uneven", "zero", "twins", "one feature"])
def test_poor_columns(put, rng, dtype, C, name):
    y = (rng.random(80) < 0.3).astype(int)
    good = rng.normal(size=(80, 2)) + y[:, np.newaxis]
    X = {
        "constant": np.full((80, 3), 7.3),
        "constant, uneven": np.hstack([good, np.full((80, 2), [1e3, -7.3])]),
        "zero": np.zeros((80, 3)),
        "twins": np.hstack([good, good, np.zeros((80, 1)), good]),
        "one feature": good[:, :1],
    }[name]
    tol, stop = (2e-4 if dtype == "float32" else 1e-4), 1e-4
    if name == "constant, uneven" and dtype == "float32":
        tol, stop = 1e-2, 1e-3  # sums of 1e3 round
    model = gpulr.train(put(X), y, C=C, dtype=dtype, tol=stop)
    assert model.n_iter < 40
    check(model, X, y, C, tol=tol)


@EACH_DTYPE
@pytest.mark.parametrize("C", [1.0, np.inf])
@pytest.mark.parametrize("shape", [(2, 1), (2, 3), (5, 3), (3, 50)], ids=str)
def test_one_row_for_each_class(put, rng, dtype, C, shape):
    X = rng.normal(size=shape)
    y = np.arange(shape[0])
    model = gpulr.train(put(X), y, C=C, dtype=dtype)
    assert model.n_models == (1 if shape[0] == 2 else shape[0])
    assert model.n_iter < 60
    check(model, X, y, C)


@EACH_DTYPE
@pytest.mark.parametrize("C", [1e-10, 1e-6, 1e6, 1e10])
def test_extreme_penalties(put, digits, dtype, C):
    X, y = digits[0][:200], digits[1][:200]
    model = gpulr.train(put(X), y, C=C, dtype=dtype)
    assert model.n_iter < 100
    check(model, X.astype(np.float64), y, C)


@pytest.mark.covering(2)
@EACH_DTYPE
@pytest.mark.parametrize("C", [0.01, 1.0, np.inf])
def test_a_single_positive(put, rng, dtype, C):
    y = (np.arange(3000) == 1234).astype(int)
    X = rng.normal(size=(3000, 10))
    for labels in (y, 1 - y):
        for class_weight in (None, "balanced"):
            model = gpulr.train(put(X), labels, C=C, class_weight=class_weight, dtype=dtype)
            assert model.converged
            assert model.n_iter < 60
            assert np.all(np.isfinite(to_host(model.weights)))


@EACH_DTYPE
def test_many_classes(put, rng, dtype):
    y = np.repeat(np.arange(300), 8)
    X = 0.5 * rng.normal(size=(2400, 20)) + rng.normal(size=(300, 20))[y]
    model = gpulr.train(put(X), y, dtype=dtype)
    assert model.n_models == 300
    check(model, X, y)
    assert model.score(put(X), y) > 0.5


@pytest.mark.parametrize("batched", [True, False])
def test_float32_that_cannot_come_closer_says_so_once(rng, batched):
    y = np.arange(500) % 3
    X = rng.normal(size=(500, 9)) + np.eye(3, 9)[y] + 1e4 * (np.arange(9) % 2)
    with pytest.warns(gpulr.ConvergenceWarning) as caught:
        model = gpulr.train(X, np.array(["ant", "bee", "cat"])[y], batched=batched)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert caught[0].filename == __file__
    history = model.history
    assert history.stalled.all()
    assert not history.converged.any()
    assert model.n_iter < 300
    assert np.all(np.isfinite(model.weights))
    assert "3 of 3 models did not reach tol=0.0001 (features of such different sizes and" in message
    for name, norm in zip(("ant", "bee", "cat"), history.gradient_norm[-1], strict=True):
        assert f"{name} ({norm:.1e})" in message
    assert re.search(r'standardize=True\), train with dtype="float64", or raise tol', message)
    assert gpulr.train(X, y, batched=batched, standardize=True).converged
    with pytest.warns(gpulr.ConvergenceWarning, match="no closer approach") as caught:
        gpulr.train(X, y, batched=batched, standardize=True, tol=1e-12)
    assert "standardize" not in str(caught[0].message)


@pytest.mark.parametrize("tol", [1e-10, 1e-15])
def test_a_tolerance_beyond_the_dtype(put, digits, tol):
    X, y = digits[0][:150], digits[1][:150] % 3
    with pytest.warns(gpulr.ConvergenceWarning, match="no closer approach|as far as float32"):
        model = gpulr.train(put(X), y, tol=tol)
    assert model.history.stalled.any()
    assert np.all(model.history.stalled != model.history.converged)
    assert model.n_iter < 150
    assert_optimal(X, targets(y), stacked(model), 1.0, tol=1e-6, rounding=1e-8)
    limited = gpulr.train(put(X), y, tol=1e-10, dtype="float64")
    assert limited.converged


def test_stalled_models_leave_and_others_go_on(digits, blobs):
    X, y = digits[0][:300], digits[1][:300]
    C = [1e-8] + [1.0] * 9
    with pytest.warns(gpulr.ConvergenceWarning):
        model = gpulr.train(X, y, C=C, tol=1e-12)
    for j in np.flatnonzero(model.history.stalled):
        ended = model.history.cost[model.history.n_iter[j] :, j]
        assert np.all(ended == ended[0])
    with pytest.warns(gpulr.ConvergenceWarning, match=r"\(in 2 iterations\).*raise max_iter"):
        model = gpulr.train(*blobs, max_iter=2, tol=1e-7)
    assert not model.history.stalled.any()


@pytest.mark.parametrize("sketch", [False, True])
def test_products_beyond_the_compute_dtype_are_computed_at_another_size(
    put, rng, monkeypatch, sketch
):
    monkeypatch.setattr(SharedCurvature, "full_up_to", 10 if sketch else 100)
    monkeypatch.setattr(SharedCurvature, "sketch_rank", 8)
    X = rng.normal(size=(40, 30)) * 1e25
    assert gpulr.train(put(X), np.arange(40) % 2).converged
    assert gpulr.train(put(X), np.arange(40) % 2, standardize=True).converged
    assert gpulr.train(put(X), np.arange(40) % 2, scale=1e-25).converged


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_the_same_bits_twice_and_for_any_number_of_threads(rng, monkeypatch, kind):
    monkeypatch.setattr(NumPyBackend, "block_bytes", 100_000)
    monkeypatch.setitem(SOLVERS, "lbfgs", lambda rate: LBFGS(sample=1000))
    y = np.sort(rng.integers(0, 3, 4000))
    X = (rng.integers(0, 200, (4000, 20)) + 20 * np.eye(3, 20)[y]).astype(kind)
    models = []
    with threads.one_blas_thread():
        for n_threads in (1, 2, 2, 3):
            monkeypatch.setattr(threads, "thread_count", lambda n=n_threads: n)
            models.append(gpulr.train(X, y, standardize=True))
    for model in models[1:]:
        np.testing.assert_array_equal(model.weights, models[0].weights)
        np.testing.assert_array_equal(model.intercept, models[0].intercept)
        np.testing.assert_array_equal(model.history.cost, models[0].history.cost)
