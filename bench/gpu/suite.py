"""Part tests: the GPU tests, as far as time allows, with what became of each kind.

The outcome is written after every test, so that a test that hangs or ends the process is named.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import pytest

from bench.gpu.record import Record
from bench.machine import ROOT
from bench.workload import rehearsal

SECONDS = 105.0  # after which no new test begins
NAMED = 50  # failures; all are counted
REHEARSED = ("tests/test_logistic.py", "tests/core/test_problem.py")


class Outcomes:
    """A pytest plugin that counts, keeps the names of what failed, and stops in time."""

    def __init__(self, record: Record, seconds: float) -> None:
        self.record = record
        self.deadline = time.monotonic() + seconds
        self.counts = {"passed": 0, "failed": 0, "skipped": 0}
        self.collected = 0
        self.session: Any = None

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        # What only a card can tell comes first: time may not suffice for all.
        items.sort(key=lambda item: not item.path.name.startswith("test_gpu"))

    def pytest_collection_finish(self, session: Any) -> None:
        self.session, self.collected = session, len(session.items)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self._failed(report)

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        self.write(running=nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self._failed(report)
        elif report.skipped or report.when == "call":
            self.counts[report.outcome] += 1

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        if time.monotonic() > self.deadline:
            self.session.shouldstop = "the time for tests is up"

    def _failed(self, report: Any) -> None:
        self.counts["failed"] += 1
        if self.counts["failed"] <= NAMED:
            crash = getattr(report.longrepr, "reprcrash", None)
            words = (crash.message if crash else str(report.longrepr)).strip()
            self.record.fail(report.nodeid, words.partition("\n")[0])

    def write(self, running: str | None) -> None:
        done = sum(self.counts.values())
        self.record.content["tests"] = {
            **{"collected": self.collected, **self.counts},
            **{"not_run": max(0, self.collected - done), "running": running},
        }
        self.record.save()


def measure(record: Record) -> None:
    """Run the tests of CuPy; in a rehearsal a few of the stand-in's."""
    library = rehearsal()
    os.environ["GPULR_TEST_BACKENDS"] = library or "cupy"
    os.environ["COLUMNS"] = "100"
    paths = REHEARSED if library else ("tests",)
    outcomes = Outcomes(record, SECONDS)
    code = pytest.main(
        ["-q", "-p", "no:cacheprovider", "--continue-on-collection-errors", "--durations=10"]
        + [str(ROOT / path) for path in paths],
        plugins=[outcomes],
    )
    outcomes.write(running=None)
    found = record.content["tests"]
    print(f"  tests: {found}", file=sys.stderr, flush=True)
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        record.fail("pytest", f"it ended with {code!r}")
    if not found["passed"]:
        record.fail("tests", "none has passed")
