"""Mapping a function over blocks of rows with threads, one BLAS thread inside each.

NumPy releases the interpreter lock in matrix products and in elementwise functions, so threads over
blocks that fit in cache use all cores for *every* step of a pass, where BLAS's own threads would
only share the matrix products. The two must not multiply, so while blocks are mapped BLAS is
limited to one thread; the limit is process-wide in OpenBLAS and MKL, hence counted and restored by
the last user.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")
Block = TypeVar("Block")


@cache
def _blas_libraries() -> list[Any]:
    """Return threadpoolctl's handles of the loaded BLAS libraries (the search is slow)."""
    import numpy as np
    from threadpoolctl import ThreadpoolController

    np.zeros((1, 1)) @ np.zeros((1, 1))  # NumPy's BLAS is loaded before it is looked for
    return [lib for lib in ThreadpoolController().lib_controllers if lib.user_api == "blas"]


class _OneBlasThread:
    """A counted limit: the first user sets one BLAS thread, the last one restores the number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._before: list[int] = []

    def thread_count(self) -> int:
        """Return how many threads BLAS uses (would use, without this limit)."""
        with self._lock:
            counts = self._before if self._users else [lib.num_threads for lib in _blas_libraries()]
        if counts:
            return max(counts)
        return (
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count() or 1
        )

    @contextmanager
    def __call__(self) -> Iterator[None]:
        libraries = _blas_libraries()
        with self._lock:
            if not self._users:
                self._before = [lib.num_threads for lib in libraries]
                for lib in libraries:
                    lib.set_num_threads(1)
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    for lib, count in zip(libraries, self._before, strict=True):
                        lib.set_num_threads(count)

    def after_fork(self) -> None:
        """Lift the limit of passes that run in other threads, which a forked child has not."""
        self._lock = threading.Lock()
        if self._users:
            self._users = 0
            for lib, count in zip(_blas_libraries(), self._before, strict=True):
                lib.set_num_threads(count)


one_blas_thread = _OneBlasThread()


def thread_count() -> int:
    """Return how many threads a pass uses: as many as BLAS, so that OMP_NUM_THREADS counts."""
    return one_blas_thread.thread_count()


@cache
def _pool(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads, thread_name_prefix="gpulr")


if hasattr(os, "register_at_fork"):
    # A forked child has the pool but none of its threads: it would wait for them for ever.
    os.register_at_fork(after_in_child=_pool.cache_clear)
    os.register_at_fork(after_in_child=one_blas_thread.after_fork)


def map_blocks(function: Callable[[Block], T], blocks: Sequence[Block]) -> Iterator[T]:
    """Yield ``function(block)`` in the order of the blocks, by as many threads as BLAS has.

    The order does not depend on the threads, so sums of the results have the same bits every time.
    """
    n_threads = min(thread_count(), len(blocks))
    if n_threads < 2:
        yield from map(function, blocks)
        return
    # Context variables, NumPy's errstate among them, reach the workers as they would a plain loop.
    contexts = [copy_context() for _ in blocks]
    with one_blas_thread():
        yield from _pool(n_threads).map(
            lambda context, block: context.run(function, block), contexts, blocks
        )
