"""Parts compute where they are, on a device too; what they are sent and answer is NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

from gpulr.backend import Backend, TorchBackend, backend_of
from gpulr.solvers import LBFGS, minimize
from parted import Parted

SMALL = LBFGS(sample=300)


@pytest.fixture(params=["strict", "torch"])
def device(request, monkeypatch):
    """Another device of a worker's, that parts ask for."""
    if request.param == "torch":
        torch = pytest.importorskip("torch", reason="PyTorch is not installed")
        monkeypatch.setattr(TorchBackend, "same_memory", None)
        yield lambda array: isinstance(array, torch.Tensor)
        return
    strict = pytest.importorskip("array_api_strict", reason="array-api-strict is not installed")
    there = Backend("array_api_strict", strict, strict.Device("device1"))
    choose = lambda requested, X: there if requested == "torch" else backend_of(X)  # noqa: E731
    monkeypatch.setattr("gpulr.distributed.part.select", choose)
    with strict.ArrayAPIStrictFlags(boolean_indexing=False, data_dependent_shapes=False):
        yield lambda array: str(array.device).endswith("device1')")


def train(rng, requested, labels, **how):
    X = rng.normal(size=(1000, 6)).astype(np.float32)
    scores = X[:, :3] + rng.normal(size=(1000, 3))
    y = (scores > [0.0, 0.5, 1.0]).astype(np.uint8) if labels else np.argmax(scores, axis=1)
    weight = rng.uniform(0.0, 2.0, 1000)
    data = Parted(X, y, [100, 700], weight=weight, standardize=True)
    for part in data.engine.parts:
        part.requested = requested
    solution = minimize(SMALL, data.problems(10.0, **how)[1], max_iter=100, tol=1e-5)
    return data.engine.parts, solution


@pytest.mark.parametrize("labels", [False, True], ids=["classes", "labels"])
@pytest.mark.parametrize("balanced", [False, True])
def test_parts_compute_on_their_device(rng, device, labels, balanced):
    state = rng.bit_generator.state
    parts, there = train(rng, "torch", labels, balanced=balanced)
    for part in parts:
        assert device(part.rows_here.X)
        assert isinstance(part.rows.X, np.ndarray)
    rng.bit_generator.state = state
    _, here = train(rng, "numpy", labels, balanced=balanced)
    np.testing.assert_allclose(there.theta, here.theta, rtol=1e-3, atol=1e-4)
