"""When checkpoints are written: in the background now and then, and at the end at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from gpulr.errors import CheckpointWarning, warn
from gpulr.families import checkpoint_file
from gpulr.words import first_line

SHARE = 0.01  # of the time that writing takes, at most, unless it is asked for at each iteration


class Dump(NamedTuple):
    """What is to be in a file, as :func:`gpulr.families.checkpoint_file.write` takes it."""

    arrays: dict[str, Any]
    texts: dict[str, Any]


class _Taken(Exception):  # noqa: N818
    """Another run writes to the same path."""


class Writer:
    """Writes what a run may be gone on with.

    Parameters
    ----------
    path : Path
    every : float or None
        Seconds; 0: each progress that is offered; None: none on the way.
    dump : callable
        Of progress, result and whether arrays are copied: what is in the file.
    damaged : bool
        What is at the path is damaged: it is not kept beside what replaces it.
    """

    def __init__(
        self, path: Path, every: float | None, dump: Callable[..., Dump], *, damaged: bool = False
    ) -> None:
        self.path, self._every, self._dump = path, every, dump
        self._keeps = not damaged
        self._last: Any = None  # what was offered last,
        self.written: Any = None  # and what was written
        self._thread: threading.Thread | None = None
        self._fault: BaseException | None = None
        self._warned = False
        self._next = time.monotonic() + (every or 0.0)
        self._mark = checkpoint_file.mark_of(path)  # what is there, as far as this run knows

    def resume(self, progress: Any) -> None:
        """Take what a run goes on with: it may end before it offers anything."""
        self._last = self.written = progress

    def offer(self, progress: Any) -> None:
        """Take what can be gone on with, and write it if that is due, in the background.

        Its arrays are copied at once: the run may write to their memory meanwhile.
        """
        self._last = progress
        self._tell()
        if self._every is None or time.monotonic() < self._next:
            return
        if self._every == 0.0:
            self.wait()
        elif self._thread is not None and self._thread.is_alive():
            return
        self._next = time.monotonic() + self._every
        try:
            began = time.perf_counter()
            dump = self._dump(progress, None, copy=True)
            run = partial(self._run, dump, time.perf_counter() - began)
            self._thread = threading.Thread(target=run, name="gpulr-checkpoint", daemon=True)
            self._thread.start()
            self.written = progress
        except Exception as error:  # no memory for copies, or for a thread
            self._thread, self._fault = None, error

    def _run(self, dump: Dump, seconds: float) -> None:
        """Write, in a thread; it took so many seconds to prepare that."""
        before = time.thread_time()
        try:
            self._write(dump)
        except Exception as error:
            self._fault = error
        if self._every:
            took = seconds + time.thread_time() - before
            self._next = max(self._next, time.monotonic() + took / SHARE)

    def _write(self, dump: Dump) -> None:
        mark = checkpoint_file.mark_of(self.path)
        if mark is not None and mark != self._mark:
            raise _Taken
        checkpoint_file.write(self.path, dump.arrays, **dump.texts, keep=self._keeps)
        self._keeps, self._mark = True, checkpoint_file.mark_of(self.path)

    def wait(self) -> None:
        """Wait until nothing is being written, and tell if it could not be."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._tell()

    def _tell(self, *, at_end: bool = False) -> None:
        """Warn, once, of what could not be written."""
        fault, self._fault = self._fault, None
        if fault is None:
            return
        self.written = None
        if not self._warned:
            self._warned = True
            why = getattr(fault, "strerror", None) or first_line(fault)
            what = f"the checkpoint could not be written ({why}); what was written before is kept."
            if isinstance(fault, _Taken):
                what = (
                    "another run has written its checkpoint there meanwhile, which is left alone: "
                    "this run's is not kept. Pass each run a path of its own."
                )
            then = "" if at_end else " Training goes on."
            warn(f"{self.path}: {what}{then}", CheckpointWarning)

    def keep(self) -> None:
        """Write what was offered last, now."""
        self.wait()
        if self._last is not None and self.written is not self._last:
            self._now(self._last, None)

    def finish(self, result: Any, *, goes_on: bool) -> None:
        """Write the result, now, with what was offered last if that ``goes_on``."""
        self.wait()
        self._now(self._last if goes_on else None, result)

    def _now(self, progress: Any, result: Any) -> None:
        try:
            self._write(self._dump(progress, result, copy=False))
        except Exception as error:  # whatever it is, it must not cost the model
            self._warned, self._fault = False, error
            self._tell(at_end=True)
        else:
            self._last = self.written = progress
