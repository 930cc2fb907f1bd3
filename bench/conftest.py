"""pytest-benchmark's records: ours of the machine and the commit, and no host names or paths."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from bench.contestants import Contestant, check, entry, obstacle, prepare
from bench.data import load_workload
from bench.kinds import rounded
from bench.run import Patience, circumstances, commit, wait
from bench.tasks import UNTIMED
from gpulr.backend import probe

# Seconds for each benchmark, to wait for other processes; a GPU has none to wait for.
PATIENCE = float(os.environ.get("GPULR_BENCH_PATIENCE", "30"))
COMMIT = pytest.StashKey[dict[str, Any]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("python_files", "bench_*.py")
    config.stash[COMMIT] = commit()  # before measuring: the code that is loaded is its


@pytest.fixture
def compete(contestant: Contestant, benchmark: Any) -> Callable[[str, int], None]:
    """Check, warm up, time and check again the contestant at a task.

    It is skipped, or fails where the backend was asked for, if it cannot be used.
    """
    if reason := obstacle(contestant):
        pytest.skip(f"{contestant.label}: {reason}")
    if not contestant.is_peer and not (status := probe(contestant.backend)).usable:
        reason = f"{status.name} cannot be used: {status.reason}. To use it: {status.remedy}."
        asked_for = {"GPULR_REQUIRE_GPU": "1", "GPULR_FALLBACK": "error"}
        if any(os.environ.get(name) == value for name, value in asked_for.items()):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)

    def run(task: str, rounds: int) -> None:
        work, patience = load_workload(), Patience(PATIENCE)
        timed = prepare(task, contestant, work)
        benchmark.extra_info.update(entry(task, contestant, timed(), work))

        def warm_up() -> None:
            if PATIENCE > 0:
                wait(patience)
            for _ in range(UNTIMED[task]):
                timed()

        if benchmark.enabled:
            result = benchmark.pedantic(timed, setup=warm_up, rounds=rounds)
        else:
            result = benchmark(timed)
        check(task, contestant, result, work)

    return run


def pytest_benchmark_update_machine_info(config: Any, machine_info: dict[str, Any]) -> None:
    machine_info.clear()  # the node's name among it
    machine_info.update(circumstances())
    del machine_info["commit"]  # that is commit_info


def pytest_benchmark_update_commit_info(config: Any, commit_info: dict[str, Any]) -> None:
    commit_info.clear()  # the folder's name among it
    commit_info.update(config.stash[COMMIT])


def pytest_benchmark_update_json(config: Any, benchmarks: Any, output_json: dict[str, Any]) -> None:
    for benchmark in output_json["benchmarks"]:
        stats = benchmark["stats"]
        stats.pop("data", None)
        for name in ("options", "param", "params"):  # extra_info says what was timed
            benchmark.pop(name, None)
        for name in (name for name, value in stats.items() if isinstance(value, float)):
            stats[name] = rounded(stats[name], 5)
