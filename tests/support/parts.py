"""Parts for tests of engines, which workers in processes of their own can import too."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpulr.backend.threads import thread_count


def kill_this_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def once(flag: Path) -> bool:
    """Whether this is the first time that it is asked with a file that is there, now gone."""
    try:
        flag.unlink()
    except FileNotFoundError:
        return False
    return True


@dataclass
class Numbers:
    """A part of rows that are random numbers, made anew wherever it is loaded."""

    number: int
    n_samples: int = 50
    X: Any = None

    def __call__(self) -> Numbers:
        rng = np.random.default_rng(self.number)
        return Numbers(self.number, self.n_samples, rng.normal(size=(self.n_samples, 4)))

    def product(self, W: Any) -> Any:
        return self.X.T @ (self.X @ W)

    def result(self, W: Any) -> tuple[Any, None]:
        return self.product(W), None

    def scaled(self, by: float, flag: Path | None = None) -> Numbers:
        if flag is not None and once(flag):
            kill_this_process()
        return Numbers(self.number, self.n_samples, self.X * by)

    def pieces(self, n_groups: int, by: float, flag: Path | None = None) -> list[Any]:
        """Return a share of the rows for each group."""
        if flag is not None and self.number == 1 and once(flag):
            kill_this_process()
        return [by * self.X[group::n_groups] for group in range(n_groups)]

    @staticmethod
    def joined(*pieces: Any) -> Numbers:
        return Numbers(len(pieces), len(pieces), np.concatenate(pieces))

    def add_up(self, *numbers: float) -> float:
        return float(self.number + sum(numbers))

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def page_faults(self) -> int:
        """Return how many there are when an array of 8 MB is made for the tenth time."""
        import resource

        for _ in range(10):
            before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
            np.ones(1_000_000)
        return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before

    def threads(self) -> int:
        return thread_count()

    def thread(self) -> int:
        time.sleep(0.05)
        return threading.get_ident()

    def counted(self) -> Numbers:
        return Numbers(thread_count())

    def process(self) -> int:
        return os.getpid()

    def fail(self, number: int) -> int:
        if self.number == number:
            raise KeyError("nothing of that name")
        return number

    def kill(self, number: int, flag: Path | None = None) -> int:
        """End the process of one of the parts; with a file only once."""
        if self.number == number and (flag is None or once(flag)):
            kill_this_process()
        return self.number


@dataclass
class Loader:
    """A loader that raises, or kills its process, or does so once where a file is."""

    number: int
    error: Exception | None = None
    kills: bool = False
    flag: Path | None = None

    def __call__(self) -> Numbers:
        if self.error is not None:
            raise self.error
        if self.kills and (self.flag is None or once(self.flag)):
            kill_this_process()
        return Numbers(self.number)()
