"""A thread that reads blocks ahead of those that compute with them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

Array = Any
Span = tuple[int, int]  # first row, and the one after the last

AHEAD = 2  # blocks that are read and not asked for yet, at most


class Reader:
    """Reads the blocks of one pass in their order, a few ahead of those asked for.

    It starts with the first block that is asked for: a pass over margins alone needs none. Where
    blocks are asked for in another order, it reads on until it has what somebody waits for.
    """

    def __init__(self, read: Callable[[int, int], Array], spans: Sequence[Span]) -> None:
        self._read = read
        self._left = list(reversed(spans))
        self._planned = set(spans)  # neither handed out nor given up
        self._ready: dict[Span, tuple[Array, BaseException | None]] = {}
        self._changed = threading.Condition()
        self._wanted: set[Span] = set()  # somebody waits for these
        self._closed = False
        self._thread: threading.Thread | None = None

    def take(self, span: Span) -> Array | None:
        """Return a block, which is handed out once; None where it is not for this pass to read.

        Raises what reading it did.
        """
        with self._changed:
            if span not in self._planned or self._closed:
                return None
            self._planned.discard(span)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="gpulr-reader", daemon=True)
                with suppress(RuntimeError):  # no memory for a thread: whoever asks reads
                    self._thread.start()
            alive = self._thread.is_alive
            self._wanted.add(span)
            self._changed.notify_all()
            try:
                # A thread that memory failed notifies nobody.
                while not self._changed.wait_for(
                    lambda: span in self._ready or self._closed or not alive(), 1.0
                ):
                    pass
            finally:
                self._wanted.discard(span)
            block, error = self._ready.pop(span, (None, None))
            self._changed.notify_all()
        if error is not None:
            raise error
        return block

    def close(self) -> None:
        """Return when nothing is being read any more; what was read ahead is dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        # Garbage may be collected, and a pass with it, by the reading thread itself.
        if self._thread not in (None, threading.current_thread()) and self._thread.is_alive():
            self._thread.join()
        self._ready.clear()

    def _goes_on(self) -> bool:
        ready = self._ready.keys()
        missed = self._wanted - ready
        return self._closed or bool(missed) or len(ready - self._wanted) < AHEAD

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._goes_on)
                if self._closed or not self._left:
                    return
                span = self._left.pop()
            block, error = None, None
            try:
                block = self._read(*span)
            except BaseException as failure:  # for whoever asks for the block
                error = failure
            with self._changed:
                self._ready[span] = block, error
                self._changed.notify_all()
            del block, error
