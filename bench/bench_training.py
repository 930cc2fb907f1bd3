"""One pass and a whole training: gpulr's ways on each backend, the notebook's, other libraries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bench.contestants import TASKS, contestants

ROUNDS = {"pass": 20, "training": 5}
EVERY = [(t, c) for t in TASKS for name in ("numpy", "cupy") for c in contestants(t, name)]


@pytest.mark.benchmark(disable_gc=True)
@pytest.mark.parametrize(("task", "contestant"), EVERY, ids=[f"{task}-{c.id}" for task, c in EVERY])
def test_task(compete: Callable[[str, int], None], benchmark: Any, task: str) -> None:
    benchmark.group = task
    compete(task, ROUNDS[task])
