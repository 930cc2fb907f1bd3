"""Rows in parts that are loaded when a pass comes to them."""

from __future__ import annotations

import threading
import weakref
from bisect import bisect_right
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import numpy as np

Array = Any


@dataclass(eq=False)
class PartData:
    """What has been loaded of a part: rows, NumPy's or SciPy's CSR, and what came with them."""

    X: Array
    y: Any = None
    sample_weight: Any = None

    @property
    def nbytes(self) -> int:
        """Bytes of the rows."""
        X = self.X
        arrays = [X] if isinstance(X, np.ndarray) else [X.data, X.indices, X.indptr]
        return sum(array.nbytes for array in arrays)


class PartReader:
    """Parts that are loaded one after the other, and read as one array of rows.

    One thread loads. Beside the part in use it loads the next one, once nobody uses the last but
    one, or somebody waits for it. The last parts stay, as many as fit into ``memory``: passes go
    from the first part to the last, so of those used most recently none would still be there when
    it is needed again.

    Parameters
    ----------
    load : callable
        Returns part i, of as many rows each time.
    n_parts : int
    memory : int
        Bytes that parts may take beside the one in use and the next.

    Attributes
    ----------
    edges : list of int
        Where parts begin, and the last one ends; needed to be called, as by a
        :class:`~gpulr.sources.Source`.
    """

    def __init__(self, load: Callable[[int], PartData], n_parts: int, memory: int) -> None:
        self._load, self._n_parts, self._memory = load, n_parts, memory
        self.edges: list[int] = []
        self._kept: dict[int, PartData] = {}
        self._current: tuple[int, PartData] | None = None
        self._ahead: _Load | None = None
        self._before: weakref.ref[Array] | None = None  # on its end, what is ahead is loaded
        self._thread: threading.Thread | None = None
        self._tasks: SimpleQueue[_Load | None] = SimpleQueue()

    def __call__(self, start: int, stop: int) -> Array:
        """Return the rows from ``start`` to before ``stop``; a part's own where they are of one."""
        pieces, i = [], bisect_right(self.edges, start) - 1
        while start < stop:
            first, end = self.edges[i], min(stop, self.edges[i + 1])
            pieces.append(self.part(i).X[start - first : end - first])
            start, i = end, i + 1
        if len(pieces) == 1:
            return pieces[0]
        if isinstance(pieces[0], np.ndarray):
            return np.concatenate(pieces)
        from scipy.sparse import vstack

        return vstack(pieces, format="csr")

    def part(self, i: int) -> PartData:
        """Return a part, loaded now if it is not here, and begin to load the next one."""
        if self._current is not None and self._current[0] == i:
            return self._current[1]
        part, before = self._kept.get(i), None
        if part is None:
            part = self._loaded(i)
            self._kept[i] = part
            while sum(kept.nbytes for kept in self._kept.values()) > self._memory:
                del self._kept[min(self._kept)]
        if self._current is not None and self._current[0] not in self._kept:
            before = _owner(self._current[1].X)
        self._current = i, part
        if self._ahead is None and i + 1 < self._n_parts and i + 1 not in self._kept:
            self._ahead = load = _Load(self._load, i + 1)
            tasks = self._tasks
            if before is None:
                tasks.put(load)
            else:
                self._before = weakref.ref(before, lambda _: tasks.put(load))
        return part

    def _loaded(self, i: int) -> PartData:
        """Return a part that is not here, once the thread has loaded it."""
        self._start()
        load, self._ahead, self._before = self._ahead, None, None
        if load is None or load.number != i:
            if load is not None:
                load.future.cancel()  # or it ends before the other load begins, and is dropped
            self._current = None  # not beside the one that is loaded now
            load = _Load(self._load, i)
        self._tasks.put(load)
        # A thread that memory failed says nothing.
        while not load.future.done() and self._thread is not None and self._thread.is_alive():
            wait([load.future], timeout=1.0)
        if not load.future.done():  # whoever asks for it loads it
            load = _Load(self._load, i)
            load()
        return load.future.result()

    def _start(self) -> None:
        """Start the thread, which ends with this object; anew in a forked child, which has none."""
        if self._thread is None or not self._thread.is_alive():
            self._ahead, self._tasks = None, SimpleQueue()
            # No pool's, which would be waited for at the end of the process, whatever it waits for.
            self._thread = threading.Thread(
                target=_work, args=(self._tasks,), name="gpulr-parts", daemon=True
            )
            with suppress(RuntimeError):  # no memory for a thread
                self._thread.start()
            weakref.finalize(self, self._tasks.put, None)


class _Load:
    """The load of a part, which is done once, however often it is asked for."""

    def __init__(self, load: Callable[[int], PartData], number: int) -> None:
        self._load, self.number = load, number
        self.future: Future[PartData] = Future()

    def __call__(self) -> None:
        if self.future.done() or not self.future.set_running_or_notify_cancel():
            return
        try:
            part = self._load(self.number)
        except BaseException as error:  # for whoever asks for the part
            self.future.set_exception(error)
        else:
            self.future.set_result(part)


def _work(tasks: SimpleQueue[_Load | None]) -> None:
    """Do what is asked for. The queue, unlike locks, may be written to by what collects garbage."""
    while (load := tasks.get()) is not None:
        load()
        del load  # and with it the part


def _owner(rows: Array) -> Array:
    """Return the array whose memory views of rows keep."""
    while isinstance(getattr(rows, "base", None), np.ndarray):
        rows = rows.base
    return rows
