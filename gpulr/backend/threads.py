"""Mapping a function over blocks of rows with threads, one BLAS thread inside each.

NumPy releases the interpreter lock in matrix products and in elementwise functions, so threads over
blocks that fit in cache use all cores for *every* step of a pass, where BLAS's own threads would
only share the matrix products. The two must not multiply, so while blocks are mapped BLAS is
limited to one thread. In OpenBLAS (on its own threads) and MKL that number is the process's, hence
counted and restored by the last user; in OpenBLAS on OpenMP it is each thread's.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import Context, copy_context
from functools import cache
from typing import Any, TypeVar

from gpulr.backend.forks import computing

T = TypeVar("T")
Block = TypeVar("Block")


@cache
def _blas_libraries() -> list[Any]:
    """Return threadpoolctl's handles of the loaded BLAS libraries (the search is slow)."""
    import numpy as np
    from threadpoolctl import ThreadpoolController

    np.zeros((1, 1)) @ np.zeros((1, 1))  # NumPy's BLAS is loaded before it is looked for
    return [lib for lib in ThreadpoolController().lib_controllers if lib.user_api == "blas"]


def _set_threads(library: Any, count: int) -> None:
    """Set how many threads a BLAS library uses, whichever thread asks for it.

    Since threadpoolctl 3.8 OpenBLAS obeys the first thread that set its number, and no other until
    that one is made to give it up; another may take it between our two calls.
    """
    give_up = getattr(library, "clear_controlling_thread", lambda force: None)
    for _ in range(10):
        give_up(force=True)
        library.set_num_threads(count)
        if library.num_threads == count:
            break
    give_up(force=True)


def _counts_by_thread(library: Any) -> bool:
    """Whether each thread has a number of BLAS threads of its own."""
    return bool(getattr(library, "threading_layer", None) == "openmp")


class _OneBlasThread:
    """A counted limit: the first user sets one BLAS thread, the last one restores the number.

    What somebody else sets in between is limited when one of the users looks next, and is then the
    number to restore.
    """

    def __init__(self) -> None:
        # Reentrant: a signal handler may fork while its thread holds it.
        self._lock = threading.RLock()
        self._users: dict[object, int] = {}  # each with its thread
        self._before: list[int] = []

    def thread_count(self) -> int:
        """Return how many threads BLAS uses (would use, without this limit)."""
        libraries = _blas_libraries()
        with self._lock:
            counts = self._before if self._users else [lib.num_threads for lib in libraries]
        if counts:
            return max(counts)
        return (
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count() or 1
        )

    @contextmanager
    def __call__(self) -> Iterator[None]:
        libraries, user = _blas_libraries(), object()
        with self._lock:
            here = [lib.num_threads for lib in libraries]
            if not self._users:
                self._before = list(here)
            self._users[user] = threading.get_ident()
            self._limit(here)
        try:
            yield
        finally:
            with self._lock:
                self._users.pop(user, None)  # a forked child has dropped it
                for lib, own, before in zip(libraries, here, self._before, strict=True):
                    if _counts_by_thread(lib):
                        _set_threads(lib, own)
                    elif not self._users and lib.num_threads == 1:
                        _set_threads(lib, before)

    def renew(self) -> None:
        """Limit this thread, and what somebody else has set since; of use to a user's helpers."""
        with self._lock:
            if self._users:
                self._limit([lib.num_threads for lib in _blas_libraries()])

    def _limit(self, counts: list[int]) -> None:
        """Limit libraries that have so many threads."""
        for i, (lib, count) in enumerate(zip(_blas_libraries(), counts, strict=True)):
            if count != 1:
                if not _counts_by_thread(lib):
                    self._before[i] = count
                _set_threads(lib, 1)

    def before_fork(self) -> None:
        """Wait until no other thread sets numbers, and lift the limit if it is another's.

        The child has none of the threads that would. That it sets no number itself matters:
        OpenBLAS would take a lock, which a thread that is not gpulr's may have held. A pass that
        the fork did not wait for keeps its limit, and so does the child: before a fork OpenBLAS
        ends its threads, and waits for ever for one that is in a product.
        """
        self._lock.acquire()
        own = threading.get_ident() in self._users.values()
        if self._users and not own and computing.quiet:
            for lib, before in zip(_blas_libraries(), self._before, strict=True):
                if not _counts_by_thread(lib):
                    _set_threads(lib, before)

    def after_fork(self) -> None:
        """Limit BLAS again, and let other threads set numbers, in the parent."""
        self.renew()
        self._lock.release()

    def in_child(self) -> None:
        """Forget the passes that run in other threads, which a forked child has not."""
        here = threading.get_ident()
        self._lock = threading.RLock()
        self._users = {user: thread for user, thread in self._users.items() if thread == here}


one_blas_thread = _OneBlasThread()


class _Turn:
    """A context that one thread is in at a time; a thread may enter it again."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def in_child(self) -> None:
        """Let a forked child take the turn of a thread that it has not; its own it goes on with."""
        if self._lock.acquire(blocking=False):
            self._lock.release()
        else:
            self._lock = threading.RLock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            with computing.paused():
                self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


turn = _Turn()


_worker = threading.local()


def thread_count() -> int:
    """Return how many threads a pass uses: as many as BLAS, so that OMP_NUM_THREADS counts."""
    return getattr(_worker, "allowed", 0) or one_blas_thread.thread_count()


@contextmanager
def allowing(n_threads: int) -> Iterator[None]:
    """Let passes of this thread use so many threads, and BLAS one, whatever is set for all."""
    before, _worker.allowed = getattr(_worker, "allowed", 0), n_threads
    try:
        with one_blas_thread():
            yield
    finally:
        _worker.allowed = before


@cache
def _pool(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads, thread_name_prefix="gpulr")


if hasattr(os, "register_at_fork"):
    # A forked child has the pool but none of its threads: it would wait for them for ever.
    os.register_at_fork(after_in_child=_pool.cache_clear)
    os.register_at_fork(after_in_child=turn.in_child)
    for what in (one_blas_thread, computing):  # the last one first before a fork
        os.register_at_fork(
            before=what.before_fork, after_in_parent=what.after_fork, after_in_child=what.in_child
        )


def map_blocks(function: Callable[[Block], T], blocks: Sequence[Block]) -> Iterator[T]:
    """Yield ``function(block)`` in the order of the blocks, by as many threads as BLAS has.

    The order does not depend on the threads, so sums of the results have the same bits every time.
    Where one fails, or no more are asked for, blocks that have begun are waited for. What a block
    maps in its turn is mapped by its own thread: were all threads to wait for others, none would go
    on.
    """
    alone = len(blocks) < 2 or getattr(_worker, "busy", False)
    n_threads = 1 if alone else min(thread_count(), len(blocks))
    if n_threads < 2:
        for block in blocks:
            computing.let_forks_go()
            yield function(block)
        return
    at_work: set[int] = set()

    def work(context: Context, block: Block) -> T:
        at_work.add(threading.get_ident())
        _worker.busy = True
        try:
            with computing():
                one_blas_thread.renew()
                return context.run(function, block)
        finally:
            _worker.busy = False
            at_work.discard(threading.get_ident())

    with one_blas_thread():
        pool = _pool(n_threads)
        try:
            # Context variables, NumPy's errstate among them, reach the workers as a plain loop.
            results = [pool.submit(work, copy_context(), block) for block in blocks]
        except RuntimeError:  # the main thread has ended, and with it all pools: this one goes on
            yield from map(function, blocks)
            return
        results.reverse()
        try:
            while results:
                with computing.paused():
                    value = results[-1].result()
                yield value
                results.pop()
        finally:
            for result in results:
                result.cancel()
            # Garbage may be collected, this generator with it, by one of its own workers.
            if threading.get_ident() not in at_work:
                with computing.paused():
                    wait(results)
