"""Clusters of Dask's on this machine, all of them closed again."""

from __future__ import annotations

import contextlib

import pytest

from clusters import cluster


@pytest.fixture(scope="module")
def threads_cluster():
    """A client of two workers that are threads of this process."""
    pytest.importorskip("distributed", reason='not installed: python -m pip install ".[dask]"')
    with cluster() as client:
        yield client


@pytest.fixture
def processes():
    """Start clusters of workers that are processes of their own, and can be killed."""
    pytest.importorskip("distributed", reason='not installed: python -m pip install ".[dask]"')
    with contextlib.ExitStack() as stack:
        yield lambda *args, **kwargs: stack.enter_context(cluster(*args, processes=True, **kwargs))
