"""The bench folder is no part of what is installed: its tests run where it is beside them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
if not (ROOT / "bench" / "run.py").exists():
    collect_ignore_glob = ["test_*.py"]
sys.path.append(str(ROOT))  # last, so that an installed gpulr stays the one that is tested


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    """Settings of a benchmark do not reach other tests, nor do data sets made under them."""
    from bench.data import load_workload

    for name in ("GPULR_BENCH_REHEARSE", "GPULR_BENCH_DATA", "GPULR_TEST_BACKENDS", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    load_workload.cache_clear()
    yield
    load_workload.cache_clear()


@pytest.fixture
def data():
    """Some of the bundled digits, as bytes."""
    from bench.data import digits

    found = digits()
    X, y = (16 * found.X[:400]).round().astype(np.uint8), found.y[:400]
    return replace(found, X=X, y=y, scale=1 / 16)


@pytest.fixture
def in_process(monkeypatch):
    """What would have a process of its own runs in this one, without pauses."""
    from bench import arrays, contestants, goals, peers

    for module in (peers, goals, arrays):
        monkeypatch.setattr(module, "worker", lambda target, job, *_: target(**job))
    monkeypatch.setattr("bench.run.PAUSE", 0.0)
    monkeypatch.setattr(contestants, "SHORT", 0.0)  # so every run is made once
