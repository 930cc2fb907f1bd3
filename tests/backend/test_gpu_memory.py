"""Uploading, streaming and running out of memory on a GPU; see the simulated device's tests too."""

from __future__ import annotations

import numpy as np
import pytest

import gpulr
from gpulr.backend import CuPyBackend, HostRows, to_host

pytestmark = [pytest.mark.gpu, pytest.mark.parametrize("library", ["cupy"], indirect=True)]

MIB = 2**20


@pytest.fixture
def images(rng):
    """Ten classes of overlapping images, X (40,007, 784) uint8: 30 MiB; and y."""
    y = rng.integers(0, 10, 40_007)
    X = rng.integers(0, 200, (40_007, 784), dtype=np.uint8)
    X[np.arange(len(y)), 7 * y] += 55
    return X, y


@pytest.fixture
def pool(library):
    import cupy

    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    yield pool
    pool.set_limit(size=0)
    pool.free_all_blocks()


def backend():
    import array_api_compat.cupy as xp

    return CuPyBackend("cupy", xp)


def assert_same(model, expected, tolerance):
    """Columns that train in other groups, and in other blocks, are rounded otherwise."""
    np.testing.assert_allclose(
        model.history.cost[-1], expected.history.cost[-1], rtol=tolerance, atol=0
    )
    np.testing.assert_allclose(model.weights, expected.weights, atol=1e3 * tolerance)


@pytest.mark.parametrize("layout", ["C", "F", "strided"])
@pytest.mark.parametrize("dtype", ["uint8", "float64", "float32"])
def test_rows_arrive_as_they_are(pool, images, dtype, layout):
    X = images[0][:20_001].astype(dtype)
    X = X if dtype == "uint8" else X / np.dtype(dtype).type(255)
    X = np.repeat(X, 2, axis=1)[::-1, ::2] if layout == "strided" else np.asarray(X, order=layout)
    here = backend()
    with here.activate():
        placed = here.place(X)
        assert placed.flags.c_contiguous
        assert placed.dtype == dtype
        np.testing.assert_array_equal(to_host(placed), X)


@pytest.mark.parametrize("n_rows", [1, 999, 5000, 40_007])
def test_streamed_blocks_are_whole(pool, images, n_rows):
    X, _ = images
    here = backend()
    blocks = [slice(a, min(a + n_rows, len(X))) for a in range(0, len(X), n_rows)][:300]
    with here.activate():
        xp = here.xp
        rows = here.host_rows(X, X.dtype)
        heavy = xp.ones((784, 784), dtype=xp.float32)

        def function(block):
            # Long enough that the next copy would overwrite what is still being read.
            part = here.as_compute(rows[block, :], xp.float32)
            for _ in range(5):
                heavy @ heavy
            numbers = xp.arange(784, dtype=xp.float32)
            return xp.sum(part * numbers, axis=1, dtype=xp.float64, keepdims=True)

        for _ in range(2):
            sums = to_host(here.collect_blocks(function, blocks, 1, xp.float64, rows))[:, 0]
            expected = X[: blocks[-1].stop].astype(np.float64) @ np.arange(784.0)
            np.testing.assert_array_equal(sums, expected)


@pytest.mark.parametrize("settings", [{}, {"standardize": True}, {"dtype": "float64"}])
def test_streamed_training_finds_what_resident_training_finds(pool, images, monkeypatch, settings):
    X, y = images
    settings = {"backend": "cupy", "max_iter": 10, "tol": 0, **settings}
    resident = gpulr.train(X, y, **settings)
    pool.free_all_blocks()
    started, copy = [], HostRows._copy

    def counted(self, rows):
        started.append(rows)
        return copy(self, rows)

    monkeypatch.setattr(HostRows, "_copy", counted)
    monkeypatch.setenv("GPULR_DEVICE_MEMORY", str(pool.used_bytes() + 28 * MIB))
    streamed = gpulr.train(X, y, **settings)
    assert len(started) > 100
    assert_same(streamed, resident, 1e-9 if "dtype" in settings else 1e-6)


def test_blocks_are_halved_when_memory_runs_out(pool, images):
    X, y = images
    settings = {"backend": "cupy", "max_iter": 10, "tol": 0}
    expected = gpulr.train(X, y, **settings)
    pool.free_all_blocks()
    pool.set_limit(size=pool.used_bytes() + 120 * MIB)  # which the driver's figures do not tell
    model = gpulr.train(X, y, **settings)
    assert_same(model, expected, 1e-6)
    pool.free_all_blocks()
    pool.set_limit(size=pool.used_bytes() + MIB)
    with pytest.raises(gpulr.DeviceMemoryError, match="bytes more are needed") as caught:
        gpulr.train(X, y, **settings)
    assert caught.value.needed > 0
