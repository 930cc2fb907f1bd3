"""pytest-benchmark: all classifiers as one matrix beside one after the other, on each backend.

    python -m pytest bench/bench_training.py            # --benchmark-autosave, -compare, …

What these options save, in .benchmarks, names the host, the checkout's folder and the branch: it is
not to be committed.

It times each by itself. Figures to be published come from ``python -m bench interleaved``, which
times them in turn, so that what else runs on the machine disturbs all alike.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from bench import passes
from bench.data import load_workload
from gpulr.backend import probe

ROUNDS = {"pass": 20, "training": 5}
BENCHED = [
    pytest.param(task, contestant, id=f"{task}-{contestant.id}")
    for task in passes.TASKS
    for backend in ("numpy", "cupy")
    for contestant in passes.contestants(task, backend)
    if contestant.way in ("notebook", "loop", "batched")
]


@pytest.mark.parametrize(("task", "contestant"), BENCHED)
def test_task(benchmark: Any, task: str, contestant: passes.Contestant) -> None:
    status = probe(contestant.backend)
    if not status.usable:
        reason = f"{status.name} cannot be used: {status.reason}. To use it: {status.remedy}."
        (pytest.fail if os.environ.get("GPULR_REQUIRE_GPU") == "1" else pytest.skip)(reason)
    work = load_workload()
    run = passes.prepare(task, contestant, work)
    benchmark.group = task
    benchmark.extra_info.update(passes.entry(task, contestant, run(), work))
    benchmark.pedantic(run, rounds=ROUNDS[task], warmup_rounds=1)
