"""How things are measured: in quiet moments, by turns or in processes of their own.

Machines are shared, and their speed drifts over minutes, so times that were taken one after the
other do not make a ratio. :func:`race` runs every contestant once in each round, in a moment in
which other processes leave the cores alone; ratios are computed within a round. A busy neighbour
does not slow all contestants alike: one that shares a product among BLAS threads waits for the
slowest of them. More rounds would not mend that, only rounds without the neighbour do.
"""

from __future__ import annotations

import datetime
import gc
import multiprocessing
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from threadpoolctl import threadpool_info

from bench.files import ROOT, rounded
from gpulr import __version__
from gpulr.backend import backends, select
from gpulr.backend.compiler import compiler

ALLOWED = 0.05  # share of the cores that others may use
# OpenBLAS's threads spin for a while after a product; they are not to disturb who comes next.
PAUSE = 0.1  # seconds
TICK = 0.02  # seconds; the system's own counting is as coarse
# What can change a figure: whether products are compiled or fused, BLAS's threads, the kernels and
# block sizes OpenBLAS picks, TF32.
VARIABLES = ("GPULR_COMPILE", "GPULR_FUSED", "CUPY_TF32", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
VARIABLES += ("OPENBLAS_NUM_THREADS", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
# Ways of gpulr that are settings in the environment.
SETTINGS = {
    "uncompiled": {"GPULR_COMPILE": "never"},
    "portable": {"GPULR_FUSED": "never"},
    "fused": {"GPULR_FUSED": "require"},
}

Run = Callable[[], Any]


def setting(way: str) -> Any:
    """Set what a way needs in the environment for a while (a context manager)."""
    return mock.patch.dict(os.environ, SETTINGS.get(way, {}))


def rehearsal() -> str | None:
    """Return the library of a run that only shows that everything works; None if it measures."""
    return os.environ.get("GPULR_BENCH_REHEARSE") or None


# Quiet moments


def cores() -> list[int]:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def busy_seconds() -> float | None:
    """Return how long those cores have been busy since the system started; None if unknown."""
    try:
        lines = Path("/proc/stat").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    names, ticks = {f"cpu{core}" for core in cores()}, 0
    for name, *columns in map(str.split, lines):
        if name in names:
            user, nice, system, _, _, irq, softirq, steal = map(int, columns[:8])
            ticks += user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK")


class Watch:
    """Counts, from its making on, the core seconds that other processes use."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._own, self._busy = time.process_time(), busy_seconds()

    def wall(self) -> float:
        return time.perf_counter() - self._started

    def share(self) -> float | None:
        """Return the share of the cores that others used; None if the system does not tell."""
        busy = busy_seconds()
        if busy is None or self._busy is None:
            return None
        others = busy - self._busy - (time.process_time() - self._own)
        return min(1.0, max(0.0, others) / (self.wall() * len(cores())))

    def disturbed(self) -> bool:
        share, used = self.share(), self.wall() * len(cores())
        return share is not None and share * used > ALLOWED * used + TICK


class Patience:
    """The seconds that may still be spent on waiting for other processes, and on repeating."""

    def __init__(self, left: float) -> None:
        self.left = left

    def spend(self, seconds: float) -> bool:
        """Take seconds off, and return whether any are left."""
        self.left -= seconds
        return self.left > 0


def wait(patience: Patience) -> None:
    """Pause, and go on pausing until others leave the cores alone or patience runs out."""
    while True:
        watch = Watch()
        time.sleep(PAUSE)
        if not watch.disturbed() or not patience.spend(watch.wall()):
            return


# Turns


class Turn(NamedTuple):
    """The seconds of one timed call, and the share of the cores that others used meanwhile."""

    seconds: float
    others: float | None


def take_turn(run: Run, patience: Patience, untimed: int = 0) -> Turn:
    """Time one call in a quiet moment; again if it was disturbed, while patience lasts."""
    while True:
        wait(patience)
        watch = Watch()
        for _ in range(untimed):
            run()
        started = time.perf_counter()
        run()
        seconds = time.perf_counter() - started
        if not (watch.disturbed() and patience.spend(watch.wall())):
            return Turn(seconds, watch.share())


def race(
    entrants: Mapping[Any, Any],
    rounds: int,
    turn: Callable[[Any], Any],
    *,
    seconds: float = float("inf"),
) -> dict[Any, list[Any]]:
    """Let the entrants take turns; return what ``turn`` returned of each, round by round.

    No new round begins after so many ``seconds``.
    """
    turns: dict[Any, list[Any]] = {name: [] for name in entrants}
    deadline = time.monotonic() + seconds
    gc.collect()
    gc.disable()
    try:
        for number in range(rounds):
            for name, entrant in entrants.items():
                turns[name].append(turn(entrant))
            print(f"\r  round {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
            if time.monotonic() > deadline:
                break
    finally:
        gc.enable()
    print(file=sys.stderr)
    return turns


def quartiles(values: Sequence[float]) -> dict[str, float]:
    """Return median and quartiles, to four digits."""
    median, q1, q3 = np.quantile(values, [0.5, 0.25, 0.75])
    return {"median": rounded(median), "q1": rounded(q1), "q3": rounded(q3)}


# Processes of their own


def worker(
    target: Callable[..., Iterator[Any]], job: dict[str, Any], limit: float, what: str
) -> Iterator[Any]:
    """Yield what a generator yields in a process of its own, which is killed after ``limit`` s.

    Raises TimeoutError or RuntimeError after the last item, if it was killed or failed; ``what``
    is its name in these messages.
    """
    limit *= 4.0 if rehearsal() else 1.0
    deadline, spawn = time.monotonic() + limit, multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_work, args=(target, job, sender), daemon=False)
    process.start()
    sender.close()
    try:
        while receiver.poll(max(0.0, deadline - time.monotonic())):
            try:
                failed, found = receiver.recv()
            except EOFError:
                break
            if failed:
                raise RuntimeError(found)
            yield found
        else:
            raise TimeoutError(f"{what} did not end in {limit:.0f} s")
        process.join()
        if process.exitcode:
            raise RuntimeError(f"{what} ended with exit code {process.exitcode}")
    finally:
        process.kill()
        process.join()
        receiver.close()


def _work(target: Callable[..., Iterator[Any]], job: dict[str, Any], sender: Any) -> None:
    sys.stdout = sys.stderr
    try:
        for found in target(**job):
            sender.send((False, found))
    except Exception as error:
        if not isinstance(error, ImportError):  # of a package that is not installed
            traceback.print_exc()
        words = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        sender.send((True, words[:500]))


# What every result records: no names, no paths


def circumstances() -> dict[str, Any]:
    """Return everything about a run but its results."""
    now = datetime.datetime.now(datetime.UTC)
    return {
        **({"rehearsal": True} if rehearsal() else {}),
        "date": now.isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        "blas": blas(),
        "environment": {name: os.environ.get(name) for name in VARIABLES},
    }


def commit() -> dict[str, Any]:
    """Return the commit's hash, and whether what is measured differs from it; None if unknown."""

    def git(*arguments: str) -> str | None:
        command = ["git", *arguments]
        try:
            run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return run.stdout.strip() if run.returncode == 0 else None

    changes = git("status", "--porcelain", "--", "gpulr", "bench/*.py", "pyproject.toml")
    dirty = None if changes is None else bool(changes)
    return {"id": git("rev-parse", "--verify", "HEAD"), "dirty": dirty}


def machine() -> dict[str, Any]:
    """Return the processor, its cores, and the GPU where one is usable."""
    cpu = platform.processor() or platform.machine() or "unknown"
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2] for line in lines if line.startswith("model name")]
    found = {"cpu": " ".join(names[0].split()) if names else cpu, "cores": len(cores())}
    found |= {"architecture": platform.machine(), "system": platform.system()}
    cupy = backends()["cupy"]
    if cupy.usable:
        found |= {"gpu": cupy.device, "driver": dict(cupy.checks)["NVIDIA driver"]}
    return found


def versions() -> dict[str, str]:
    """Return the versions of whatever computes: of what is loaded."""
    found = {"python": platform.python_version(), "gpulr": __version__}
    found |= {"numpy": np.__version__, "scipy": metadata.version("scipy")}
    if (llvmlite := compiler().version) is not None:
        found["llvmlite"] = llvmlite
    if backends()["cupy"].usable:
        found["cupy"] = select("cupy").version
    for name in ("jax", "ml_dtypes", "torch"):
        if (loaded := getattr(sys.modules.get(name), "__version__", None)) is not None:
            found[name] = loaded
    return found


def blas() -> list[dict[str, Any]]:
    """Return the BLAS libraries that are loaded: whose, version, kernels, threads."""
    np.ones((2, 2)) @ np.ones((2, 2))
    found = []
    for library in threadpool_info():
        if library["user_api"] == "blas":
            folder = Path(library["filepath"]).parent.name
            keep = ("internal_api", "version", "architecture", "num_threads", "threading_layer")
            owner = folder.removesuffix(".libs") if folder.endswith(".libs") else "the system"
            found.append({"of": owner, **{key: library.get(key) for key in keep}})
    return sorted(found, key=lambda library: str(library["of"]))
