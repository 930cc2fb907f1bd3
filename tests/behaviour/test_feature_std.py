"""Standard deviations of features, which pictures of tables draw weights by: one pass, any rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

import gpulr
from gpulr.backend import NumPyBackend
from gpulr.core.moments import Moments
from sources import Slices

FILES = Path(__file__).parents[1] / "files"
FEW = {"max_iter": 2, "tol": 0}


def deviation(X, weight=None):
    X = np.asarray(X, dtype=np.float64)
    mean = np.average(X, axis=0, weights=weight)
    return np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weight))


@pytest.fixture
def table(rng):
    X = rng.normal(size=(300, 5)) * [1, 100, 1e-3, 1, 0] + [0, 1e5, 3, -50, 7]
    return X, X[:, 0] > 0, rng.uniform(size=300) * (np.arange(300) % 5 > 0)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "bool", "int32"])
@pytest.mark.parametrize("weighted", [False, True])
def test_they_are_those_of_the_rows_by_their_weights(put, table, monkeypatch, dtype, weighted):
    X, y, weight = table
    X = (40 * (X - X.mean(axis=0)) / (X.std(axis=0) + 0.1) + 120).clip(0, 255)
    X = (X > 120) if dtype == "bool" else X.astype(dtype)
    monkeypatch.setattr(NumPyBackend, "block_bytes", 2_000)
    weight = weight if weighted else None
    model = gpulr.train(put(X), y, sample_weight=weight, **FEW)
    expected = deviation(X, weight)
    np.testing.assert_allclose(model.feature_std, expected, rtol=1e-6, atol=1e-12)
    assert model.feature_std[4] == 0


def test_halves(table):
    X, y, _ = table
    X = X.clip(-9, 9).astype(np.float16)
    np.testing.assert_allclose(gpulr.train(X, y, **FEW).feature_std, deviation(X), rtol=1e-6)


def test_far_from_zero_they_do_not_cancel(table):
    X, y, weight = table
    std = gpulr.train(X, y, sample_weight=weight, class_weight="balanced", **FEW).feature_std
    np.testing.assert_allclose(std[:4], deviation(X, weight)[:4], rtol=1e-9)
    assert std[4] == 0


def test_standardized_training_divides_by_them(table):
    X, y, _ = table
    model = gpulr.train(X, y, standardize=True, **FEW)
    np.testing.assert_allclose(model.feature_std, deviation(X), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["sparse", "source", "parts", "weights of parts", "beside parts"])
def test_rows_of_every_kind(table, monkeypatch, kind):
    X, y, weight = table
    monkeypatch.setattr("gpulr.validation.sources.LEAST_BYTES", 1)
    monkeypatch.setattr(NumPyBackend, "block_bytes", 2_000)
    parts = [slice(0, 90), slice(90, 91), slice(91, 300)]
    if kind == "sparse":
        X = X * (X > 0)
        model = gpulr.train(sparse.csr_array(X), y, sample_weight=weight, **FEW)
    elif kind == "source":
        model = gpulr.train(Slices(X, 37), y, sample_weight=weight, **FEW)
    elif kind == "weights of parts":
        blocks = gpulr.Blocks([lambda i=i: (X[i], y[i], weight[i]) for i in parts])
        model = gpulr.train(blocks, **FEW)
    else:
        weight = None if kind == "parts" else weight
        blocks = gpulr.Blocks([lambda i=i: (X[i], y[i]) for i in parts])
        model = gpulr.train(blocks, sample_weight=weight, **FEW)
    if kind == "beside parts":  # a pass over parts that had no weights yet
        assert model.feature_std is None
    else:
        expected = deviation(X, weight)
        np.testing.assert_allclose(model.feature_std, expected, rtol=1e-7, atol=1e-9)


def test_moments_of_parts_add_up(rng):
    X, weight = rng.normal([0, 1e8, 5], size=(50, 3)), rng.random(50)
    backend = NumPyBackend("numpy", np)
    weight[:10] = 0
    parts = [Moments.of(X[i : i + 10], backend, weight[i : i + 10]) for i in range(0, 50, 10)]
    found = sum(parts[1:], parts[0])
    np.testing.assert_allclose(found.deviation, deviation(X, weight), rtol=1e-7)
    np.testing.assert_allclose(found.mean, np.average(X, axis=0, weights=weight), rtol=1e-12)


def test_images_have_none(digits):
    assert gpulr.train(digits[0], digits[1], image_shape=(8, 8), **FEW).feature_std is None


def test_they_go_along(table, tmp_path):
    """Into a file, an estimator, a selection, a stack of models; older files have none."""
    X, y, _ = table
    model = gpulr.train(X, y, **FEW)
    model.save(tmp_path / "a.safetensors")
    assert (gpulr.load(tmp_path / "a.safetensors").feature_std == model.feature_std).all()
    assert gpulr.load(FILES / "class.safetensors").feature_std is None
    assert (model.select(features=[3, 1]).feature_std == model.feature_std[[3, 1]]).all()
    other = replace(model, classes=np.array(["a", "b"]))
    named = replace(model, classes=np.array(["c", "d"]))
    assert (gpulr.stack([named, other]).feature_std == model.feature_std).all()
    assert gpulr.stack([named, replace(other, feature_std=None)]).feature_std is None
    estimator = gpulr.OneVsAllLogisticRegression(max_iter=2, tol=0).fit(X, y)
    assert (estimator.model_.feature_std == model.feature_std).all()


@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf])
def test_a_file_of_others_is_refused(table, tmp_path, wrong):
    model = gpulr.train(*table[:2], **FEW)
    broken = replace(model, feature_std=np.full(5, wrong))
    with pytest.raises(gpulr.ModelFileError, match="feature_std"):
        broken.save(tmp_path / "a.safetensors")
