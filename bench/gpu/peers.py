"""Part peers: the same pass by torch, torch.compile and jax.jit on the card.

Each library has a process of its own (:mod:`bench.gpu.peer_worker`), gpulr too: they bring their
own CUDA libraries. All multiply in float32 proper, without TF32, and are checked against the
float64 gradient before they are timed. Of each library the formulas are tried with the models on
either axis, and the faster counts.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import IO, Any

from bench.gpu.card import Card, StandIn
from bench.gpu.record import Record
from bench.machine import ROOT
from bench.workload import Workload, rehearsal

# Seconds until a process is ended; what it has printed by then counts.
LIBRARIES = {"gpulr": 15.0, "jax": 25.0, "torch": 40.0}


def measure(card: Card | StandIn, work: Workload, record: Record) -> None:
    for library, limit in LIBRARIES.items():
        with record.attempt(library):
            for line in lines_of("bench.gpu.peer_worker", library, limit):
                found = json.loads(line)
                name = found.pop("name")
                if "reason" in found:
                    record.leave_out(name, found["reason"])
                elif "failure" in found:
                    with record.attempt(name):
                        raise RuntimeError(found["failure"])
                else:
                    record.add(name, **work.sizes, **found)
    ratios(record)


def lines_of(module: str, argument: str, limit: float) -> Iterator[str]:
    """Yield what a worker prints, line by line; it is killed when its time is up.

    Raises
    ------
    RuntimeError
        After the last line, if it was killed or failed.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module, argument], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    killed = threading.Event()

    def kill() -> None:
        killed.set()
        process.kill()

    alarm = threading.Timer(4.0 * limit if rehearsal() else limit, kill)
    output: IO[str] = process.stdout  # type: ignore[assignment]
    alarm.start()
    try:
        yield from output
        code = process.wait()
    finally:
        alarm.cancel()
        process.kill()
        process.wait()
        output.close()
    if killed.is_set():
        raise RuntimeError(f"{argument} did not end in {limit:.0f} s")
    if code:
        raise RuntimeError(f"{argument} ended with exit code {code}")


def ratios(record: Record) -> None:
    """Record how many times faster gpulr is than the faster writing of each library."""
    best: dict[tuple[str, str], dict[str, float]] = {}
    for result in record.content["results"]:
        times = best.setdefault((result["library"], result["rows"]), {})
        for kind, found in result["seconds"].items():
            if kind in ("host", "queued"):
                times[kind] = min(found["median"], times.get(kind, float("inf")))
    speedup: dict[str, Any] = {}
    for (library, rows), times in best.items():
        own = best.get(("gpulr", rows))
        if library != "gpulr" and own:
            speedup[f"{library}-on-{rows}"] = {k: float(f"{times[k] / own[k]:.4g}") for k in own}
    record.content["speedup"] = speedup
    for name, found in speedup.items():
        words = ", ".join(f"{ratio:.3g} ({kind})" for kind, ratio in found.items())
        print(f"  gpulr is as fast as {name} times {words}", file=sys.stderr)
