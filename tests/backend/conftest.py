"""Devices that are none, for tests of memory and of copies."""

from __future__ import annotations

import pytest


@pytest.fixture
def make_device(monkeypatch):
    """Return a device of so many bytes, which training takes whatever it is asked for.

    It believes to have ``believed`` bytes: too many, as where others use it too.
    """
    from fake_device import FakeDevice  # which skips without array-api-strict

    # Nor does NumPy find curvatures anew here, so that both take the same path.
    monkeypatch.setattr("gpulr.solvers.refresh.MARGIN", float("inf"))

    def make(budget, *, believed=None, block_bytes=FakeDevice.block_bytes):
        device = FakeDevice(budget, monkeypatch)
        device.believed, device.block_bytes = believed, block_bytes
        monkeypatch.setattr("gpulr.families.prepare.select", lambda *args, **kwargs: device)
        return device

    return make
