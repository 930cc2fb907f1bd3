"""Parts on the workers of a Dask cluster.

A part is a future: Dask makes it again of what it was made of where its worker is lost. A call is
one task for each worker, with the parts that lie there, and pinned loosely: what a lost worker had
to answer another one answers. One task for each part takes Dask five times as long with 64 of them;
calls past the scheduler (``Client.run``) half as long, but what is lost would be ours to find out,
after 30 s. What is sent grows with features × models × workers, what is received with features ×
models × parts: sums are added in the order of the parts, whoever had them.
"""

from __future__ import annotations

import asyncio
import operator
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from copy import copy
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import dask
from distributed import Client, Future, KilledWorker, as_completed
from distributed.protocol.pickle import dumps, loads

from gpulr.backend.environment import seconds
from gpulr.distributed import dask_worker
from gpulr.distributed.engine import Counts
from gpulr.errors import (
    BackendUnavailableError,
    DataError,
    GpulrError,
    ParameterError,
    VersionWarning,
    WorkersLostError,
    warn,
)
from gpulr.words import counted

TIMEOUT = "GPULR_WORKER_TIMEOUT", 300.0  # seconds in which no worker has anything to do
_LOOK = 1.0  # seconds after which it is asked what workers do, and where parts are
# Workers whose versions have been looked at.
_known: WeakKeyDictionary[Client, set[str]] = WeakKeyDictionary()
_QUIET = {"distributed.admin.large-graph-warning-threshold": "1 PB"}  # weights may be large


class DaskEngine:
    """Parts that are futures of a cluster; see :class:`gpulr.distributed.Engine`.

    Raises
    ------
    WorkersLostError
        From any method: no worker has done anything for ``GPULR_WORKER_TIMEOUT`` seconds (300),
        client or cluster are closed, or a part ends every worker that computes with it.
    DataError
        From any method: a part cannot be made; why is its cause.
    """

    def __init__(self, client: Client, parts: Sequence[Future]) -> None:
        self.client, self.parts, self.counts = client, list(parts), Counts()
        self._limit = seconds(*TIMEOUT)
        self._homes: dict[int, str | None] = {}  # the worker of each part
        self._asked = -float("inf")  # when

    @classmethod
    def load(cls, client: Client, loaders: Sequence[Callable[[], Any]]) -> DaskEngine:
        """Return an engine of the parts that loaders return."""
        return cls.make(client, operator.call, loaders)

    @classmethod
    def make(
        cls, client: Client, function: Callable[..., Any], *columns: Sequence[Any]
    ) -> DaskEngine:
        """Return an engine of the parts that a function makes of each row of the columns.

        These are of ``parts`` of engines, of Dask's Delayed objects, or of what goes to the workers
        with the task that takes it.
        """
        _check(client)
        make = dask.delayed(dask_worker.make, pure=False)
        parts = [make(function, *row) for row in zip(*columns, strict=True)]
        with dask.config.set(_QUIET):
            return cls(client, client.compute(parts))

    @property
    def n_parts(self) -> int:
        """Number of parts."""
        return len(self.parts)

    def call(self, method: str, *arguments: Any, which: Sequence[int] | None = None) -> list[Any]:
        """Call a method of all parts, or of some: answers in the order of the parts (``which``)."""
        message = dumps(arguments)
        numbers = list(range(self.n_parts) if which is None else which)
        return self._answers(numbers, method, lambda some: message)

    def call_each(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call a method of each part with arguments of its own."""
        each = dict(zip(range(self.n_parts), arguments, strict=True))
        return self._answers(list(each), method, lambda some: dumps([each[i] for i in some]))

    def map(self, method: str, *arguments: Any) -> DaskEngine:
        """Return an engine of what a method returns for each part, which stays where it is."""
        return self._derived(method, [dumps(arguments)] * self.n_parts)

    def map_each(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> DaskEngine:
        """Do what :meth:`map` does, with arguments of its own for each part."""
        return self._derived(
            method, [dumps(own) for _, own in zip(self.parts, arguments, strict=True)]
        )

    def exchange(
        self, method: str, function: Callable[..., Any], n_groups: int, *arguments: Any
    ) -> DaskEngine:
        """Return an engine of what a function makes, for each group, of a piece from each part."""
        n, message = self.n_parts, dask.delayed(dumps((n_groups, *arguments)))
        give = partial(dask_worker.give, method)
        given = self.make(self.client, give, self.parts, [message] * n)
        each = [part for part in given.parts for _ in range(n_groups)]
        pieces = self.make(self.client, operator.getitem, each, [*range(n_groups)] * n).parts
        columns = [pieces[i : i + n_groups] for i in range(0, len(pieces), n_groups)]
        return self.make(self.client, function, *columns)

    def _derived(self, method: str, messages: list[bytes]) -> DaskEngine:
        with self._losses(), dask.config.set(_QUIET):
            each = self.parts, [method] * self.n_parts, messages
            return DaskEngine(self.client, self.client.map(dask_worker.derive, *each, pure=False))

    def _answers(
        self, numbers: list[int], method: str, message: Callable[[list[int]], bytes]
    ) -> list[Any]:
        """Return what a method answers for some parts; ``message`` is made for some of these."""
        self.counts.trips += 1
        with self._losses():
            try:
                return self._asked_of(self._groups(numbers), method, message, numbers)
            except KilledWorker:  # names whatever its last worker had to do
                self._wait_for_parts(numbers)
            return [answer for i in numbers for answer in self._asked_alone(i, method, message)]

    def _asked_alone(self, number: int, method: str, message: Callable[..., bytes]) -> list[Any]:
        """Return the answer of one part, while no other one is asked anything."""
        part = self.parts[number]
        try:
            if part.status == "error":
                self.client.retry([part])
            return self._asked_of(self._groups([number]), method, message, [number])
        except KilledWorker as error:
            raise WorkersLostError(
                f"Part {number} of {self.n_parts} ends each worker that computes with it "
                f"({method}), as one does that needs more memory than the worker may take: make "
                "smaller parts, or give workers more memory; their logs say more.",
                (number,),
            ) from error

    def _asked_of(
        self,
        groups: dict[str | None, list[int]],
        method: str,
        message: Callable[[list[int]], bytes],
        numbers: list[int],
    ) -> list[Any]:
        """Ask each worker for the answers of its parts."""
        tasks: list[Future] = []
        try:
            with dask.config.set(_QUIET):
                for home, some in groups.items():
                    sent = message(some)
                    self.counts.sent += len(sent)
                    tasks.append(
                        self.client.submit(
                            dask_worker.call,
                            *([self.parts[i] for i in some], some, method, sent),
                            **{"workers": [home], "allow_other_workers": True} if home else {},
                            pure=False,
                        )
                    )
            found = self._finished(self.client.gather(tasks, asynchronous=True), numbers)
        except BaseException as error:
            self._cancel(tasks)
            tasks.clear()  # the error's traceback keeps this frame
            if isinstance(error, Exception):
                self._raise_for_parts(numbers)  # what a part is made of says more
            raise
        answers: dict[int, Any] = {}
        for (home, some), (address, received) in zip(groups.items(), found, strict=True):
            self.counts.received += len(received)
            answers |= zip(some, loads(received), strict=True)
            if address != home:
                self._asked = -float("inf")
        return [answers[i] for i in numbers]

    # Where parts are

    def _groups(self, numbers: list[int]) -> dict[str | None, list[int]]:
        """Return the parts that lie at each worker, once they are made."""
        if any(self.parts[i].status != "finished" for i in numbers):
            self._wait_for_parts(numbers)
            self._raise_for_parts(numbers)
            self._asked = -float("inf")
        lately = time.monotonic() - self._asked < _LOOK
        if not lately or any(self._homes.get(i) is None for i in numbers):
            found = self.client.who_has([self.parts[i] for i in numbers])
            for i in numbers:
                at = found.get(self.parts[i].key) or (None,)
                if self._homes.get(i) not in at:  # of several copies the one that has the margins
                    self._homes[i] = at[0]
            self._asked = time.monotonic()
        groups: dict[str | None, list[int]] = {}
        for i in numbers:
            groups.setdefault(self._homes.get(i), []).append(i)
        return groups

    def _wait_for_parts(self, numbers: list[int]) -> None:
        """Wait until parts are made, or one of them cannot be, or all that kill workers did so."""

        async def made() -> None:
            async for part in as_completed([self.parts[i] for i in numbers], loop=self.client.loop):
                if part.status != "finished" and not isinstance(
                    await part.exception(), KilledWorker
                ):
                    return

        self._finished(made(), numbers)

    def _raise_for_parts(self, numbers: list[int]) -> None:
        """Raise why the first part that could not be made was not."""
        for number in numbers:
            part = self.parts[number]
            if part.status != "error":
                continue
            error = part.exception()
            if isinstance(error, GpulrError | KilledWorker | MemoryError):
                # The client keeps the part's own error, and with the traceback that it would get
                # this engine, for whose parts it keeps it.
                own, cause = copy(error), error.__cause__
                dask_worker.name_part(own, number)
                raise own from cause
            raise DataError(
                f"Part {number} of {self.n_parts} cannot be made: {type(error).__name__}: {error}"
            ) from error

    # What is lost

    def _finished(self, work: Coroutine[Any, Any, Any], numbers: list[int]) -> Any:
        """Return what Dask's loop finds, while workers do something for it."""
        at_work = time.monotonic()
        running = asyncio.run_coroutine_threadsafe(work, self.client.loop.asyncio_loop)
        try:
            while True:
                with suppress(TimeoutError):
                    return running.result(_LOOK)
                if running.done():
                    return running.result()
                if self._workers_do_something():
                    at_work = time.monotonic()
                elif time.monotonic() - at_work > self._limit:
                    why = f"no worker has done anything for {self._limit:g} s"
                    raise self._lost(why, numbers)
        finally:
            running.cancel()

    def _workers_do_something(self) -> bool:
        with suppress(OSError):  # the scheduler does not answer
            return self.client.status == "running" and any(self.client.processing().values())
        return False

    @contextmanager
    def _losses(self) -> Iterator[None]:
        """Turn what Dask raises for a lost cluster into one error; leave nothing at Ctrl-C."""
        numbers = list(range(self.n_parts))
        if self.client.status in ("closing", "closed"):
            raise self._lost("the client is closed", numbers)
        try:
            yield
        except CancelledError as error:
            raise self._lost("its client or cluster was closed or restarted", numbers) from error
        except OSError as error:
            if self.client.status == "running":
                raise
            raise self._lost("its scheduler does not answer", numbers) from error
        except (KeyboardInterrupt, SystemExit):
            self._cancel(self.parts)
            raise

    def _lost(self, why: str, numbers: Sequence[int]) -> WorkersLostError:
        lost = tuple(i for i in numbers if self.parts[i].status != "finished")
        what = f"{counted(len(lost), 'part')} of {self.n_parts} are lost"
        return WorkersLostError(
            f"A cluster of Dask's cannot go on: {why}; {what}. Start workers (it waits for them "
            f"as long as {TIMEOUT[0]} says, in seconds), or a new cluster, and train again.",
            lost,
        )

    def _cancel(self, futures: list[Future]) -> None:
        with suppress(Exception):  # nobody is there to cancel them
            self.client.cancel(futures, force=True)


def _check(client: Any) -> None:
    """Refuse a client that cannot be waited for, and workers that have another gpulr."""
    if not isinstance(client, Client) or client.asynchronous:
        raise ParameterError(
            f"Expected a distributed.Client that is not asynchronous; got {client!r}."
        )
    limit = seconds(*TIMEOUT)
    try:
        client.wait_for_workers(1, timeout=limit)
        known = _known.setdefault(client, set())
        new = [address for address in client.nthreads() if address not in known]
        found = client.run(dask_worker.versions, workers=new, on_error="return") if new else {}
    except Exception as error:
        raise WorkersLostError(
            f"No worker of {client!r} came within {limit:g} s ({TIMEOUT[0]}), or the client is "
            f"closed: {error}"
        ) from error
    ours, other = dask_worker.versions(), {}
    for address, theirs in found.items():
        if isinstance(theirs, ImportError | AttributeError) or (
            isinstance(theirs, dict) and theirs["gpulr"] != ours["gpulr"]
        ):
            raise BackendUnavailableError(
                f"Worker {address} cannot compute with gpulr {ours['gpulr']}: it has {theirs}. "
                "Install the same version of gpulr everywhere."
            ) from (theirs if isinstance(theirs, Exception) else None)
        if isinstance(theirs, dict) and theirs != ours:
            other[address] = theirs
    known.update(found)
    if other:
        address, theirs = next(iter(other.items()))
        warn(
            f"{counted(len(other), 'worker')} of {len(found)} have other versions than the client, "
            f"with which results may have other bits: {address} has {theirs}, the client {ours}.",
            VersionWarning,
        )
