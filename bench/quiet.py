"""Waiting for a quiet moment: how busy other processes keep the cores that this one may use.

A busy neighbour does not slow all contestants alike. One that shares a product among BLAS threads
waits for the slowest of them, so on a crowded machine the notebook's way looks worse than it is:
more rounds would not mend that, only rounds without the neighbour do.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

ALLOWED = 0.05  # share of the cores that others may use
# OpenBLAS's threads spin for a while after a product; they are not to disturb who comes next.
PAUSE = 0.1  # seconds
TICK = 0.02  # seconds; the system's own counting is as coarse


class Watch:
    """Counts, from its making on, the core seconds that other processes use."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._own = time.process_time()
        self._busy = busy_seconds()

    def wall(self) -> float:
        """Return the seconds since the watch was made."""
        return time.perf_counter() - self._started

    def others(self) -> float | None:
        """Return the core seconds that others used since then; None if the system does not tell."""
        busy = busy_seconds()
        if busy is None or self._busy is None:
            return None
        return max(0.0, (busy - self._busy) - (time.process_time() - self._own))

    def share(self) -> float | None:
        """Return the share of the cores that others used since then."""
        others = self.others()
        return None if others is None else min(1.0, others / (self.wall() * len(cores())))

    def disturbed(self) -> bool:
        """Whether others used more than is allowed."""
        others = self.others()
        return others is not None and others > ALLOWED * self.wall() * len(cores()) + TICK


@dataclass(slots=True)
class Patience:
    """The seconds that may still be spent on waiting for other processes, and on repeating."""

    left: float

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


def cores() -> set[int]:
    """Return the cores that this process may use; empty where the system does not tell."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def busy_seconds() -> float | None:
    """Return how long those cores have been busy since the system started; None if unknown."""
    try:
        lines = Path("/proc/stat").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    names = {f"cpu{core}" for core in cores()}
    ticks = 0
    for name, *columns in map(str.split, lines):
        if name in names:
            user, nice, system, _, _, irq, softirq, steal = map(int, columns[:8])
            ticks += user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK")
