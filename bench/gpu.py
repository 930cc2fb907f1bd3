"""Measurements of one CUDA GPU: what gpulr costs there, apart and beside others.

``bash bench/on_gpu.sh OUTDIR`` runs all of it, in less than ten minutes and without a network: a
smoke run of each kind of rows, compute-sanitizer, the GPU tests, then what is to be measured. It
says which modules are missing. Each part is also run by itself::

    GPULR_FALLBACK=error python -m bench.gpu pass --output pass.json

Times of a pass are of four kinds. ``device``: from CUDA events, while a kernel that only waits
holds the stream until everything has been queued, so that no launch is in it. ``device_cold``: the
same after a buffer that is larger than the L2 cache has been written. ``host``: from the call until
the device is idle, launches and all. ``queued``: many calls and one wait, divided by their number.
``first`` is the first call in its process, in which kernels are compiled or loaded. A pass that
waits for the device by itself shows that in every kind.

``GPULR_BENCH_REHEARSE=numpy`` (or ``strict``, for array-api-strict) runs the same parts on few rows
and without a GPU, to see that they work. Such a result says ``"rehearsal": true``; its figures mean
nothing. What the figures on an H100 should be, and how a result compares: :mod:`bench.predict`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import gpu_parts, gpu_peers, gpu_smoke
from bench.data import load_workload
from bench.files import RESULTS, ROOT, write
from bench.gpu_parts import card
from bench.run import circumstances, rehearsal
from bench.table import seconds as in_seconds
from gpulr.errors import BackendUnavailableError

TESTS_SECONDS = 80.0  # after which no new test begins
NAMED = 50  # failed tests; all are counted
REHEARSED = ("tests/test_logistic.py", "tests/core/test_problem.py")


class Record:
    """What a part has found so far: written after every measurement, that it outlives a kill.

    ``about`` is what the JSON says besides the circumstances: the card, the data.
    """

    def __init__(self, part: str, output: Path | None, **about: Any) -> None:
        self.output = output
        self.content: dict[str, Any] = {
            **{"kind": "gpulr-on-gpu-part", "schema": 1, "part": part, "complete": False},
            **{**circumstances(), **about},
            **{"results": [], "absent": [], "failed": []},
        }
        self.save()

    def add(self, name: str, **found: Any) -> None:
        """Add a result, and print it."""
        words = [f"{kind} {in_seconds(q['median'])}" for kind, q in found["seconds"].items()]
        if "bytes_per_second" in found:
            words.append(f"{1e-9 * found['bytes_per_second']:,.0f} GB/s")
        words += [f"{k} {found[k]:.3g}" for k in ("gap", "error", "fraction_of_copy") if k in found]
        self._keep("results", name, found, "  ".join(words))

    def leave_out(self, name: str, reason: str) -> None:
        """Say that something optional was not measured, and why."""
        self._keep("absent", name, {"reason": reason}, f"not measured: {reason}")

    def fail(self, name: str, words: str) -> None:
        """Say what failed, and how; no path of this machine is kept."""
        self._keep("failed", name, {"error": words.replace(f"{ROOT}/", "")[:500]}, "FAILED")

    def _keep(self, kind: str, name: str, found: dict[str, Any], words: str) -> None:
        self.content[kind].append({"name": name, **found})
        print(f"  {name:42} {words}", file=sys.stderr, flush=True)
        self.save()

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """Go on after whatever fails inside, and record it."""
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            self.fail(name, f"{type(error).__name__}: {error}")

    def close(self) -> int:
        """Write the whole, and return the exit code: 1 if something failed."""
        self.content["complete"] = True
        write(self.content, self.output)
        return int(bool(self.content["failed"]))

    def save(self) -> None:
        if self.output is not None:
            write(self.content, self.output)


class Outcomes:
    """A pytest plugin that counts, keeps the names of what failed, and stops in time.

    The outcome is written after every test, so that one that hangs or ends the process is named.
    """

    def __init__(self, record: Record, seconds: float) -> None:
        self.record, self.deadline = record, time.monotonic() + seconds
        self.counts = {"passed": 0, "failed": 0, "skipped": 0}
        self.session: Any = None

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        # What only a card can tell comes first: time may not suffice for all.
        items.sort(key=lambda item: not item.path.name.startswith("test_gpu"))

    def pytest_collection_finish(self, session: Any) -> None:
        self.session = session

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        self.write(running=nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if not report.failed:
            if report.skipped or report.when == "call":
                self.counts[report.outcome] += 1
            return
        self.counts["failed"] += 1
        if self.counts["failed"] <= NAMED:
            crash = getattr(report.longrepr, "reprcrash", None)
            words = (crash.message if crash else str(report.longrepr)).strip()
            self.record.fail(report.nodeid, words.partition("\n")[0])

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.pytest_runtest_logreport(report)

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        if time.monotonic() > self.deadline:
            self.session.shouldstop = "the time for tests is up"

    def write(self, running: str | None) -> None:
        collected = len(self.session.items) if self.session else 0
        left = {"not_run": max(0, collected - sum(self.counts.values())), "running": running}
        self.record.content["tests"] = {"collected": collected, **self.counts, **left}
        self.record.save()


def tests_part(record: Record) -> None:
    """The tests of CuPy, as far as time allows; in a rehearsal a few of the stand-in's."""
    try:
        import pytest
    except ModuleNotFoundError as error:
        record.leave_out("tests", str(error))
        return
    library = rehearsal()
    os.environ |= {"GPULR_TEST_BACKENDS": library or "cupy", "COLUMNS": "100"}
    outcomes = Outcomes(record, TESTS_SECONDS)
    options = ["-q", "-p", "no:cacheprovider", "--continue-on-collection-errors", "--durations=10"]
    paths = [str(ROOT / path) for path in (REHEARSED if library else ("tests",))]
    code = pytest.main([*options, *paths], plugins=[outcomes])
    outcomes.write(running=None)
    found = record.content["tests"]
    print(f"  tests: {found}", file=sys.stderr, flush=True)
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        record.fail("pytest", f"it ended with {code!r}")
    if not found["passed"]:
        record.fail("tests", "none has passed")


PARTS: dict[str, Callable[..., None]] = {
    **{"smoke": gpu_smoke.smoke_part, "sanitizer": gpu_smoke.sanitizer_part, "tests": tests_part},
    **{"pass": gpu_parts.pass_part, "training": gpu_parts.training_part},
    **{"search": gpu_parts.search_part, "peers": gpu_peers.peers_part},
    **{"eigenvectors": gpu_parts.eigenvectors_part},
    **{"transfer": gpu_parts.transfer_part, "start": gpu_parts.start_part},
}


def main(command: Sequence[str] | None = None) -> int:
    """Measure one part and write its JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("part", choices=tuple(PARTS))
    parser.add_argument("--output", type=Path, help="the JSON file to write (default: stdout)")
    options = parser.parse_args(command)
    if rehearsal() and options.output and RESULTS in options.output.resolve().parents:
        parser.error(f"a rehearsal's figures mean nothing; they do not belong in {RESULTS}")
    # `timeout` sends it: workers are ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    about, arguments = {}, []
    if options.part != "tests":  # which find out for themselves what the card cannot do
        try:
            arguments = [card(), load_workload()]
        except BackendUnavailableError as error:
            parser.exit(1, f"{error}\n")
        about = {"card": arguments[0].about(), "data": arguments[1].sizes}
    record = Record(options.part, options.output, **about)
    with record.attempt(options.part):
        PARTS[options.part](*arguments, record)
    return record.close()


if __name__ == "__main__":
    sys.exit(main())
