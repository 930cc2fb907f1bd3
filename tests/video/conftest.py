"""What videos are made of, and read with."""

from __future__ import annotations

import pytest

import gpulr


@pytest.fixture
def av():
    return pytest.importorskip("av", reason='PyAV is not installed: pip install ".[video]"')


@pytest.fixture(scope="module")
def data():
    return gpulr.datasets.load_digits()


@pytest.fixture(scope="module")
def model(data):
    return gpulr.train(data, max_iter=30, tol=0)
