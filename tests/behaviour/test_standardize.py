"""standardize=True: StandardScaler's numbers without its copy, in training and in predicting."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

import gpulr
from gpulr.backend import NumPyBackend, backend_of, to_host
from gpulr.solvers import SOLVERS
from helpers import assert_close, assert_optimal, targets

EXACT = {"standardize": True, "tol": 1e-9, "dtype": "float64"}


def scaled(X):
    return StandardScaler().fit_transform(np.asarray(X, dtype=np.float64))


def of_scaled(model, X):
    """The parameters that apply to the standardised X, (n_features + 1, k) float64."""
    scaler = StandardScaler().fit(np.asarray(X, dtype=np.float64))
    weights = to_host(model.weights).astype(np.float64) * scaler.scale_[:, np.newaxis]
    return np.vstack([weights, to_host(model.intercept_at_center)])


KINDS = ["uint8", "int8", "bool", "int32", "int64", "float32", "float64"]


def rows(rng, kind, n=120):
    codes = np.arange(n) % 3
    X = rng.normal(size=(n, 4)) + np.eye(3, 4)[codes]
    if kind == "bool":
        return X > 0.5, codes
    if kind.startswith("float"):
        return (X * [1, 1e-3, 100, 5] + [0, 1, -50, 3]).astype(kind), codes
    offset, factor = {"uint8": (120, 25), "int8": (0, 25)}.get(kind, (10**5, 300))
    return np.rint(X * factor + offset).astype(kind), codes


@pytest.mark.covering(2)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("C", "block_bytes"), [(0.01, 500), (10.0, 2**23)])
def test_the_optimum_on_standard_scaled_rows(put, rng, monkeypatch, kind, C, block_bytes):
    X, y = rows(rng, kind)
    monkeypatch.setattr(type(backend_of(put(X))), "block_bytes", block_bytes)
    model = gpulr.train(put(X), y, C=C, **EXACT)
    assert model.converged
    assert model.settings["standardize"] is True
    assert_optimal(scaled(X), targets(y), of_scaled(model, X), C, tol=1e-9, rounding=1e-11)
    Z = scaled(X) @ of_scaled(model, X)[:-1] + to_host(model.intercept_at_center)
    np.testing.assert_allclose(to_host(model.decision_function(put(X))), Z, atol=1e-8)
    # weights and intercept apply to X as it was passed
    plain = X.astype(np.float64) @ to_host(model.weights) + to_host(model.intercept)
    np.testing.assert_allclose(plain, Z, atol=1e-8)


@pytest.mark.covering(2)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("kind", ["float32", "float64", "int32", "int64"])
@pytest.mark.parametrize("ratio", [1e2, 1e4])
def test_means_far_from_zero(put, rng, solver, kind, ratio):
    codes = np.arange(300) % 3
    X = (rng.normal(size=(300, 3)) + np.eye(3)[codes]) * 100 + ratio * 100
    X = np.rint(X).astype(kind)
    settings = {"solver": solver, "standardize": True, "C": 10.0, "max_iter": 20, "tol": 0}
    model = gpulr.train(put(X), codes, **settings)
    exact = gpulr.train(scaled(X), codes, **{**settings, "standardize": False}, dtype="float64")
    np.testing.assert_allclose(model.history.cost[-1], exact.history.cost[-1], rtol=1e-5)
    Z = exact.decision_function(scaled(X))
    np.testing.assert_allclose(to_host(model.decision_function(put(X))), Z, atol=2e-4)
    np.testing.assert_array_equal(to_host(model.predict(put(X))), exact.predict(scaled(X)))


def test_bytes_are_absorbed_and_floats_are_centred_to_the_same_margins(put, rng):
    X, y = rows(rng, "uint8")
    models = {kind: gpulr.train(put(X.astype(kind)), y, **EXACT) for kind in ("uint8", "float64")}
    for model in models.values():
        expected = scaled(X) @ of_scaled(model, X)[:-1] + to_host(model.intercept_at_center)
        for kind in ("uint8", "int64", "float32", "float64"):
            Z = to_host(model.decision_function(put(X.astype(kind))))
            np.testing.assert_allclose(Z, expected, atol=1e-8)
    weights = {kind: to_host(model.weights) for kind, model in models.items()}
    np.testing.assert_allclose(weights["uint8"], weights["float64"], rtol=1e-6)
    for trained_on in ("uint8", "float32"):
        model = gpulr.train(put(X.astype(trained_on)), y, standardize=True)
        Z = [to_host(model.decision_function(put(X.astype(k)))) for k in ("uint8", "float32")]
        np.testing.assert_allclose(Z[0], Z[1], atol=1e-4)


@pytest.mark.parametrize("kind", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("C", [1.0, np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_constant_zero_and_duplicate_columns(put, rng, kind, C, dtype):
    X, y = rows(rng, "uint8")
    X = X.astype(kind)
    constant = np.full((120, 1), 7.3 if kind != "uint8" else 255).astype(kind)
    padded = np.hstack([X, constant, np.zeros_like(constant), X[:, :1]])
    model = gpulr.train(put(padded), y, C=C, standardize=True, dtype=dtype, tol=1e-6)
    assert model.converged
    weights = to_host(model.weights)
    assert np.all(weights[4:6] == 0)
    if np.isfinite(C):  # else only their sum is determined
        np.testing.assert_allclose(weights[6], weights[0], rtol=1e-2, atol=1e-6)
    assert np.abs(weights[[0, 6]]).max() < 2 * np.abs(weights[0] + weights[6]).max()
    other = padded.copy()
    other[:, 4:6] = 3  # constant features have no say, whatever they are when predicting
    Z = [to_host(model.decision_function(put(part))) for part in (padded, other)]
    np.testing.assert_allclose(Z[0], Z[1], atol=1e-3 if dtype == "float32" else 1e-9)


@pytest.mark.parametrize("ratio", [1e-30, 1e-8, 1e8, 1e30])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_features_of_any_size(rng, ratio, dtype):
    X, y = rows(rng, "float64")
    X = X * [1.0, ratio, 1.0, ratio]
    model = gpulr.train(X, y, standardize=True, tol=1e-5, dtype=dtype)
    plain = gpulr.train(scaled(X), y, tol=1e-5, dtype="float64")
    assert model.converged
    expected = plain.decision_function(scaled(X))
    np.testing.assert_allclose(model.decision_function(X), expected, atol=1e-2)


def test_the_model_file_keeps_the_centre(put, rng, tmp_path):
    X = (rng.normal(size=(60, 3)) + 1e4).astype(np.float32)
    model = gpulr.train(put(X), np.arange(60) % 3, standardize=True, max_iter=5, tol=0)
    model.save(tmp_path / "model.safetensors")
    loaded = gpulr.load(tmp_path / "model.safetensors")
    for name in ("center", "intercept_at_center", "weights", "intercept"):
        np.testing.assert_array_equal(getattr(loaded, name), to_host(getattr(model, name)))
    Z = to_host(model.decision_function(put(X)))
    np.testing.assert_allclose(loaded.decision_function(X), Z, atol=1e-5)
    plain = gpulr.train(put(X), np.arange(60) % 3, max_iter=5, tol=0)
    plain.save(tmp_path / "model.safetensors")
    assert gpulr.load(tmp_path / "model.safetensors").center is None


def test_device_in_device_out(put, rng):
    X, y = rows(rng, "float32")
    here = put(X)
    model = gpulr.train(here, y, standardize=True)
    wide = X.astype(np.float64)
    close = {"like": here, "dtype": "float32"}
    assert_close(model.center, wide.mean(axis=0), **close)
    Z = wide @ to_host(model.weights).astype(float) + to_host(model.intercept)
    assert_close(model.decision_function(here), Z, atol=1e-4, **close)


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_rows_are_not_modified(rng, monkeypatch, kind):
    monkeypatch.setattr(NumPyBackend, "block_bytes", 10_000)
    X, y = rows(rng, kind)
    before, X.flags.writeable = X.copy(), False
    gpulr.train(X, y, standardize=True, max_iter=5, tol=0).predict(X)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize(
    ("least", "width"),
    [(1.7e9, 600.0), (101325.0, 0.1), (1e8, 40.0), (51.5, 2e-5), (738_000.0, 2.0)],
    ids=["seconds", "pressure", "frequency", "latitude", "days"],
)
def test_a_feature_that_varies_little_beside_its_size_is_not_constant(put, rng, least, width):
    """It is shifted in its own precision, which float32 need not have to begin with."""
    X = rng.uniform(least, least + width, (400, 1))
    y = X[:, 0] > least + width / 2
    model = gpulr.train(put(X), y, standardize=True)
    assert model.converged
    assert np.mean(model.predict(X) == y) > 0.98
