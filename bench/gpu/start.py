"""Part start: what the first call costs in a fresh process, and the second.

Twice: with an empty folder of compiled kernels, and with the one that the first process has filled.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from typing import Any

from bench.gpu.card import Card, StandIn
from bench.gpu.peers import lines_of
from bench.gpu.record import Record
from bench.interleaved import quartiles
from bench.workload import Workload, load_workload, rehearsal

LIMITS = {"nothing-compiled": 25.0, "kernels-compiled": 12.0}  # seconds for each process


def measure(card: Card | StandIn, work: Workload, record: Record) -> None:
    before = os.environ.get("CUPY_CACHE_DIR")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CUPY_CACHE_DIR"] = folder
        try:
            for state, limit in LIMITS.items():
                with record.attempt(state):
                    for line in lines_of("bench.gpu.start", state, limit):
                        name, seconds = json.loads(line)
                        times = {"host": quartiles([seconds])}
                        record.add(f"{state}-{name}", **work.sizes, seconds=times)
        finally:
            del os.environ["CUPY_CACHE_DIR"]
            if before is not None:
                os.environ["CUPY_CACHE_DIR"] = before


def main() -> int:
    """Time the steps of a process that trains, and print each."""
    work = load_workload()

    def timed(name: str, run: Any) -> Any:
        started = time.perf_counter()
        found = run()
        print(json.dumps([name, time.perf_counter() - started]), flush=True)
        return found

    import gpulr
    from bench.gpu.card import card

    here = timed("cupy-and-probe", card)
    X = timed("first-upload", lambda: _there(here, work.X))
    y = here.backend.asarray(work.y)
    backend = "auto" if rehearsal() else here.backend.name

    def train() -> None:
        model = gpulr.train(X, y, backend=backend, scale=work.scale, tol=1e-3)
        assert model.backend == here.backend.name, model.fallback_reason
        here.synchronize()

    for name in ("first-training", "second-training", "third-training"):
        timed(name, train)
    return 0


def _there(here: Card | StandIn, array: Any) -> Any:
    found = here.backend.asarray(array)
    here.synchronize()
    return found


if __name__ == "__main__":
    sys.exit(main())
