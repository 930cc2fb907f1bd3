"""The first parts of :mod:`bench.gpu`: does each kind of rows train, and what does a sanitizer say.

``GPULR_FUSED=require`` makes an error of whatever keeps the kernels from serving. Each kind of rows
has a process of its own: after an illegal access a process can use its GPU no more. The sanitizer
runs the same on fewer rows::

    compute-sanitizer python -m bench.gpu_smoke uint8
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import product
from typing import Any
from unittest import mock

import numpy as np

import gpulr
from bench.data import Data, load_workload
from bench.files import ROOT, rounded
from bench.run import quartiles, rehearsal, worker
from gpulr.backend import select, to_host

KINDS = ("uint8", "float32", "float16", "bool")  # that kernels take
ROWS, FEW = 4000, 256  # the latter under a sanitizer, which takes a hundred times as long
FIRST, LATER = 40.0, 10.0  # seconds; in the first process CuPy's functions are compiled
SOLVERS = ("lbfgs", "gd")  # the one has kernels between its passes, the other is a graph
APART = 1e-4  # of a cost, which is about 1, from NumPy's
PLACES = "/usr/local/cuda/bin"  # beside those of PATH
TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")
TOOL_SECONDS, ALL_SECONDS = 20.0, 55.0  # of each check, and of all
FOUND_FAULTS = 66  # the sanitizer's exit code then


def smoke_part(here: Any, work: Data, record: Any) -> None:
    """A few iterations on every kind of rows, through the kernels, beside NumPy's."""
    limit = FIRST
    for kind in KINDS:
        with record.attempt(kind):
            for solver, found in worker(smoke, {"kind": kind, "n_rows": ROWS}, limit, kind):
                record.add(f"{kind}-{solver}", rows=kind, **found)
        limit = LATER


def smoke(kind: str, n_rows: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """In a process of its own: yield each solver, its seconds, and how far its cost is off."""
    library, work = rehearsal(), load_workload()
    X, y = rows_of(work, kind)[:n_rows], work.y[:n_rows]
    there = X if library else select("cupy").asarray(X)  # of the host's, bits would become bytes
    for solver in SOLVERS:
        options: dict[str, Any] = {"solver": solver, "C": 1.0}
        # Towards the optimum devices take paths of their own; steps of gradient descent are equal.
        options |= {"tol": 1e-4} if solver == "lbfgs" else {"max_iter": 12, "tol": 0.0}
        wanted = {} if library else {"GPULR_FUSED": "require"}
        started = time.perf_counter()
        with mock.patch.dict(os.environ, wanted):
            model = gpulr.train(there, y, **options)
        seconds = time.perf_counter() - started
        assert library or model.backend == "cupy", model.fallback_reason
        expected = gpulr.train(X, y, backend="numpy", **options)
        error = float(np.abs(model.history.cost[-1] - expected.history.cost[-1]).max())
        if not error <= APART:
            raise ArithmeticError(f"{solver} on {kind} rows: the cost is off by {error:.1e}")
        agreed = np.mean(to_host(model.predict(there)) == expected.predict(X))
        if not agreed > 0.98:
            raise ArithmeticError(f"{solver} on {kind} rows: {agreed:.1%} of the predictions agree")
        yield solver, {"seconds": {"first": quartiles([seconds])}, "error": rounded(error, 2)}


def rows_of(work: Data, kind: str) -> Any:
    """Return rows of a dtype, of about the same size."""
    if kind == "bool":
        return work.X > 127
    X, scale = work.rows(kind)
    return X if scale == 1.0 or kind == "uint8" else X * X.dtype.type(scale)


def sanitizer_part(here: Any, work: Data, record: Any) -> None:
    """What compute-sanitizer finds in the kernels: accesses, races, barriers, uninitialised."""
    tool = shutil.which("compute-sanitizer", path=f"{os.environ['PATH']}:{PLACES}")
    if tool is None:
        record.leave_out("compute-sanitizer", "it is not installed")
        return
    deadline = time.monotonic() + ALL_SECONDS
    for kind, check in product(KINDS[:2], TOOLS):
        limit = min(TOOL_SECONDS, deadline - time.monotonic())
        command = [tool, "--tool", check, "--error-exitcode", str(FOUND_FAULTS)]
        command += [sys.executable, "-m", "bench.gpu_smoke", kind]
        with record.attempt(f"{check}-{kind}"):
            sanitize(command, limit, f"{check}-{kind}", record)


def sanitize(command: list[str], limit: float, name: str, record: Any) -> None:
    """Run a command under the sanitizer, and record what that says."""
    started = time.perf_counter()
    try:
        if limit < 1.0:
            raise subprocess.TimeoutExpired(command, limit)
        ended = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        record.leave_out(name, f"there was no time for it ({max(0.0, limit):.0f} s)")
        return
    if ended.returncode:
        sys.stderr.write(ended.stdout[-4000:] + ended.stderr[-2000:])
        found = [line for line in ended.stdout.splitlines() if line.startswith("=========")]
        words = " / ".join(line.strip("= ") for line in found[1:4]) or ended.stderr[-300:]
        raise RuntimeError(f"exit code {ended.returncode}: {words}")
    record.add(name, seconds={"host": quartiles([time.perf_counter() - started])})


def main(kind: str) -> None:
    """Train on few rows, with memory from the driver: in a pool's, accesses beyond are not seen."""
    if not rehearsal():
        select("cupy")
        import cupy

        cupy.cuda.set_allocator(None)
    for solver, found in smoke(kind, FEW):
        print(solver, found)


if __name__ == "__main__":
    main(sys.argv[1])
