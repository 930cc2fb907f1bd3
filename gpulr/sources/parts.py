"""Rows in parts that are loaded when a pass comes to them."""

from __future__ import annotations

import threading
import weakref
from bisect import bisect_right
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = Any


@dataclass(eq=False)
class Part:
    """What has been loaded: rows, NumPy's or SciPy's CSR, and what came with them."""

    X: Array
    y: Any = None
    sample_weight: Any = None

    @property
    def nbytes(self) -> int:
        """Bytes of the rows."""
        X = self.X
        arrays = [X] if isinstance(X, np.ndarray) else [X.data, X.indices, X.indptr]
        return sum(array.nbytes for array in arrays)


class Parts:
    """Parts that are loaded one after the other, and read as one array of rows.

    One thread loads. Beside the part in use it loads the next one, and the last parts stay, as many
    as fit into ``memory``: passes go from the first part to the last, so of those used most
    recently none would still be there when it is needed again.

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

    def __init__(self, load: Callable[[int], Part], n_parts: int, memory: int) -> None:
        self._load, self._n_parts, self._memory = load, n_parts, memory
        self.edges: list[int] = []
        self._kept: dict[int, Part] = {}
        self._current: tuple[int, Part] | None = None
        self._ahead: tuple[int, Future[Part], threading.Event] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gpulr-parts")

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

    def part(self, i: int) -> Part:
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
            before = weakref.ref(_owner(self._current[1].X))
        self._current = i, part
        if self._ahead is None and i + 1 < self._n_parts and i + 1 not in self._kept:
            wanted = threading.Event()
            future = self._thread.submit(self._load_after, i + 1, before, wanted)
            self._ahead = i + 1, future, wanted
        return part

    def _loaded(self, i: int) -> Part:
        """Return a part that is not here, once the thread has loaded it."""
        if self._ahead is not None:
            (number, future, wanted), self._ahead = self._ahead, None
            wanted.set()
            if number == i:
                return future.result()
            future.cancel()  # or it ends before the other load begins, and is dropped
            del future
        self._current = None  # not beside the one that is loaded now
        return self._thread.submit(self._load, i).result()

    def _load_after(
        self, i: int, before: weakref.ref[Array] | None, wanted: threading.Event
    ) -> Part:
        """Load a part once nobody uses the last but one, or somebody waits for this one."""
        while before is not None and before() is not None and not wanted.wait(0.001):
            pass
        return self._load(i)


def _owner(rows: Array) -> Array:
    """Return the array whose memory views of rows keep."""
    while isinstance(getattr(rows, "base", None), np.ndarray):
        rows = rows.base
    return rows
