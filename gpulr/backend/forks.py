"""Forks beside threads that compute.

A forked child has the forking thread alone, and finds every lock as the others held it: OpenBLAS
holds one for a moment in each product. The child would wait for it for ever at its own first
product, so a fork waits until the threads that train or predict are between two products, for a
second at most.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

# What takes longer (one block of rows takes milliseconds) is not worth a pause of the process.
LONGEST_WAIT = 1.0


class _Computing:
    """Which threads may be inside BLAS; forks wait for all but their own."""

    def __init__(self) -> None:
        # Its lock is reentrant: a signal handler may fork while its thread holds it.
        self._changed = threading.Condition()
        self._inside: dict[int, int] = {}  # threads, each with how often it has entered
        self._forks = 0
        self.quiet = True  # whether the last fork found no other thread inside

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Return a context that computes; a thread may enter it again."""
        self._enter(1)
        try:
            yield
        finally:
            self._leave(1)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Return a context in which this thread does not compute: it waits for something else."""
        depth = self._inside.get(threading.get_ident(), 0)
        if not depth:
            yield
            return
        self._leave(depth)
        try:
            yield
        finally:
            self._enter(depth)

    def let_forks_go(self) -> None:
        """Wait, between two steps, for forks that wait for this thread."""
        if self._forks:
            with self.paused():
                pass

    def _enter(self, times: int) -> None:
        here = threading.get_ident()
        with self._changed:
            if here not in self._inside:
                self._changed.wait_for(lambda: not self._forks)
            self._inside[here] = self._inside.get(here, 0) + times

    def _leave(self, times: int) -> None:
        here = threading.get_ident()
        with self._changed:
            depth = self._inside.pop(here, 0) - times
            if depth > 0:
                self._inside[here] = depth
            self._changed.notify_all()

    def before_fork(self) -> None:
        here = threading.get_ident()
        with self._changed:
            self._forks += 1
            self.quiet = False  # should a KeyboardInterrupt end the wait
            self.quiet = self._changed.wait_for(
                lambda: not self._inside.keys() - {here}, LONGEST_WAIT
            )

    def after_fork(self) -> None:
        with self._changed:
            self._forks -= 1
            self._changed.notify_all()

    def in_child(self) -> None:
        here = threading.get_ident()
        self._changed, self._forks = threading.Condition(), 0
        self._inside = {here: self._inside[here]} if here in self._inside else {}


computing = _Computing()
