"""How many eigenvectors models on a device go by, by the stand-in for CuPy and kernels by g++."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import gpulr
from cuda_host import why_not
from fused_kernels import compiled
from gpulr.backend.cuda_kernels import kernels_of
from gpulr.kernels import dispatch
from gpulr.solvers import exact_curvature, subspace


@pytest.mark.slow
def test_models_on_a_device_say_by_how_many_they_went(install, as_if_large, monkeypatch, rng):
    if reason := why_not():
        pytest.skip(reason)
    install(compiler=compiled)
    kernels_of.cache_clear()
    monkeypatch.setattr(dispatch, "LEAST", 0)
    X = (rng.normal(size=(300, 9)) * np.linspace(0.1, 3, 9)).astype(np.float32)
    y = (X @ rng.normal(size=(9, 3)) + rng.gumbel(size=(300, 3))).argmax(axis=1)
    expected = gpulr.train(X, y, backend="numpy", tol=1e-5)
    assert "eigenvectors" not in expected.versions
    for rank, words in ((3, "3 of 9, by subspace iteration"), (128, "all 9")):
        monkeypatch.setattr(subspace, "RANK", rank)
        sys.modules["cupy"].machine.launched.clear()
        model = gpulr.train(X, y, backend="cupy", tol=1e-5)
        assert model.versions["eigenvectors"] == words
        assert model.converged
        assert "find_direction" in sys.modules["cupy"].machine.launched
        np.testing.assert_allclose(model.weights, expected.weights, atol=1e-3)
    model = gpulr.train(X, y, backend="cupy", solver="gd", tol=0.5)
    assert "eigenvectors" not in model.versions
    monkeypatch.setattr(exact_curvature, "MOST", np.inf)
    model = gpulr.train(X, y, backend="cupy", tol=1e-5)
    assert "eigenvectors" not in model.versions
    kernels_of.cache_clear()
