"""Intervals: quantiles as NumPy has them, of margins however they are computed."""

from __future__ import annotations

import numpy as np
import pytest

import gpulr
from gpulr.backend import to_host
from gpulr.families import intervals


@pytest.fixture
def result(put, blobs):
    X, y = blobs
    return gpulr.bootstrap(put(X), y, n=39, random_state=0)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99])
def test_ends_are_quantiles(result, level):
    q = [(1 - level) / 2, (1 + level) / 2]
    for found, values in [
        (result.coef_interval(level), result.coef),
        (result.intercept_interval(level), result.intercept),
    ]:
        expected = np.quantile(to_host(values), q, axis=0, method="weibull")
        np.testing.assert_allclose([to_host(end) for end in found], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("block", [1, 10_000, 2**27], ids=["a row", "some rows", "all"])
def test_probabilities(put, result, blobs, block, monkeypatch):
    X, _ = blobs
    monkeypatch.setattr(intervals, "BLOCK_BYTES", block)
    low, high = map(to_host, result.proba_interval(put(X[:21]), 0.9))
    coef, intercept = to_host(result.coef), to_host(result.intercept)
    Z = np.stack([X[:21] @ W + b for W, b in zip(coef, intercept, strict=True)])
    P = 1 / (1 + np.exp(-Z.astype(np.float64)))
    expected = np.quantile(P, [0.05, 0.95], axis=0, method="weibull")
    np.testing.assert_allclose([low, high], expected, rtol=1e-5, atol=1e-6)
    P = to_host(result.model.predict_proba(put(X[:21])))
    assert np.mean((low <= P) & (high >= P)) > 0.9


def test_standardised_models_far_from_zero(put, rng):
    X = rng.normal(size=(100, 3))
    y = rng.random(100) < 1 / (1 + np.exp(-X[:, 0]))
    settings = {"n": 20, "random_state": 0, "standardize": True}
    far = gpulr.bootstrap(put((X + 1e4).astype(np.float32)), y, **settings)
    near = gpulr.bootstrap(
        put(((X + 1e4).astype(np.float32) - 1e4).astype(np.float32)), y, **settings
    )
    new = (X[:30] + 1e4).astype(np.float32)
    low, high = map(to_host, far.proba_interval(put(new)))
    expected = near.proba_interval(put((new - 1e4).astype(np.float32)))
    np.testing.assert_allclose([low, high], [to_host(end) for end in expected], atol=2e-3)
    assert np.all(high - low > 0.01)


def test_errors_name_the_row_and_the_level(result, put, blobs, monkeypatch):
    X = blobs[0].copy()
    X[17, 2] = np.nan
    monkeypatch.setattr(intervals, "BLOCK_BYTES", 1)
    with pytest.raises(gpulr.DataError, match="first in row 17"):
        result.proba_interval(put(X))
    with pytest.raises(gpulr.DataError, match="3 features; this model was trained on 4"):
        result.proba_interval(put(X[:, :3]))
    for level in (0, 1, 95, -0.5, "high", float("nan")):
        with pytest.raises(gpulr.ParameterError, match="level="):
            result.coef_interval(level)


def test_intervals_shrink_with_the_root_of_the_rows(rng):
    """Sixteen times the rows, a quarter of the width."""
    widths = []
    for n_rows in (200, 3200):
        X = rng.normal(size=(n_rows, 4))
        y = rng.random(n_rows) < 1 / (1 + np.exp(-X @ [0.5, -0.5, 0.3, 0.0]))
        low, high = gpulr.bootstrap(X, y, n=300, C=1e3, random_state=0).coef_interval(0.8)
        widths.append(np.mean(high - low))
    # Each width is known to some 5 % (of the four together, 3 %).
    assert widths[0] / widths[1] == pytest.approx(4.0, rel=0.15)
