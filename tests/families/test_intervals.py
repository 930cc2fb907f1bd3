"""Intervals: quantiles as NumPy has them, of margins however they are computed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import gpulr
from gpulr.backend import backend_of, to_host
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


@pytest.mark.parametrize("settings", [{}, {"standardize": True, "dtype": "float64"}], ids=str)
def test_a_file_holds_all_replicates_and_is_one_of_the_model(put, blobs, tmp_path, settings):
    X, y = blobs
    there, path = put(X), tmp_path / "b.safetensors"
    if (
        settings.get("dtype") == "float64"
        and backend_of(there).widest != backend_of(there).xp.float64
    ):
        pytest.skip("no float64 there")
    before = gpulr.bootstrap(there, y, n=5, random_state=0, **settings)
    before.save(path)
    after = gpulr.Bootstrap.load(path)
    for field in ("coef", "intercept", "converged", "intercept_at_center", "feature_std"):
        expected, found = getattr(before, field), getattr(after, field)
        assert (expected is None) == (found is None)
        if expected is not None:
            np.testing.assert_array_equal(found, to_host(expected))
            assert found.dtype == to_host(expected).dtype
    for model in (after.model, gpulr.load(path)):
        np.testing.assert_array_equal(model.weights, to_host(before.model.weights))
        assert model.settings == before.model.settings
    low, high = before.proba_interval(there)
    np.testing.assert_allclose(
        after.proba_interval(X), [to_host(low), to_host(high)], rtol=1e-4, atol=1e-6
    )


def test_what_holds_no_replicates_that_fit(blobs, tmp_path):
    path = tmp_path / "b.safetensors"
    found = gpulr.bootstrap(*blobs, n=3, random_state=0)
    found.model.save(path)
    with pytest.raises(gpulr.ModelFileError, match=r"without replicates.*Bootstrap\.save wrote"):
        gpulr.Bootstrap.load(path)
    wrong = {
        "coef": found.coef[:, :2],
        "intercept": found.intercept.astype(np.float64),
        "converged": None,
        "intercept_at_center": found.intercept,
        "feature_std": np.ones(4),
    }
    for name, array in wrong.items():
        replace(found, **{name: array}).save(path)
        with pytest.raises(gpulr.ModelFileError, match=f"replicates' {name} does not fit"):
            gpulr.Bootstrap.load(path)
    replace(found, coef=np.nan * found.coef).save(path)
    with pytest.raises(gpulr.ModelFileError, match="coef holds what is no finite number"):
        gpulr.Bootstrap.load(path)
    with pytest.raises(gpulr.ModelFileError, match="there is no such file"):
        gpulr.Bootstrap.load(tmp_path / "other.safetensors")
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(gpulr.ModelFileError, match="sha256"):
        gpulr.Bootstrap.load(path)


def test_strength_does_not_depend_on_units_after_standardised_training(put, blobs):
    X, y = blobs
    units = np.array([1.0, 100.0, 0.01, 1.0], X.dtype)
    X = X.copy()
    X[:, 3] = 7.0  # constant
    how = {"n": 20, "random_state": 0, "standardize": True, "tol": 1e-6}
    one, other = (gpulr.bootstrap(put(x), y, **how) for x in (X, X * units))
    np.testing.assert_allclose(one.strength(), other.strength(), atol=2e-3)
    np.testing.assert_allclose(other.feature_std, (X * units).std(axis=0), rtol=1e-4)
    low, high = map(to_host, other.coef_interval())
    sure = other.strength() > 0
    np.testing.assert_array_equal(sure, ((low > 0) | (high < 0)) & (other.feature_std > 0)[:, None])
    assert sure.any()
    assert not sure.all()
    assert (other.strength()[3] == 0).all()


def test_strength_is_of_standard_deviations_or_of_the_scaled_rows(blobs):
    X, y = blobs
    found = gpulr.bootstrap(X, y, n=20, random_state=0, scale=0.25)
    low, high = found.coef_interval(0.9)
    per_deviation = X.std(axis=0)[:, np.newaxis] * np.maximum(low, -high)
    np.testing.assert_allclose(found.strength(0.9), per_deviation, rtol=1e-5)
    before = replace(found, model=replace(found.model, feature_std=None))
    np.testing.assert_allclose(before.strength(0.9), 4 * np.maximum(low, -high), rtol=1e-6)
    assert (found.step_words, before.step_words) == ("weight per standard deviation", "weight × 4")
