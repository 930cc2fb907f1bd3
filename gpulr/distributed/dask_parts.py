"""Futures of parts on a Dask cluster: where they are, why they are not made, and what is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from copy import copy
from typing import Any

from distributed import Client, Future, KilledWorker, as_completed

from gpulr.backend.environment import seconds
from gpulr.distributed import dask_worker
from gpulr.distributed.dask_client import TIMEOUT
from gpulr.errors import DataError, GpulrError, WorkersLostError
from gpulr.words import counted

UNANSWERED = OSError, RuntimeError  # what Dask raises where nobody answers, or it has been closed
_LOOK = 1.0  # seconds after which it is asked what workers do
_KNOWN = 1.0  # seconds for which it is known where parts are


class DaskParts:
    """Futures of a cluster that are parts, in their order."""

    def __init__(self, client: Client, futures: Sequence[Future]) -> None:
        self.client, self.futures = client, list(futures)
        self._limit = seconds(*TIMEOUT)
        self._homes: dict[int, str] = {}  # the worker of each part, "" where none has it
        self._looked = -float("inf")  # when it was asked where they are

    # Where they are

    def groups(self, numbers: list[int]) -> tuple[dict[str, list[int]], bool]:
        """Return the parts that lie at each worker, once they are made; whether it was known."""
        if any(self.futures[i].status != "finished" for i in numbers):
            self.wait(numbers)
            self.raise_errors(numbers)
            self.look_again()
        lately = time.monotonic() - self._looked < _KNOWN
        known = lately and all(self._homes.get(i) for i in numbers)
        if not known:
            for i, at in self._holders(numbers).items():
                if self._homes.get(i) not in at:  # of several copies the one that has the margins
                    self._homes[i] = at[0] if at else ""
            self._looked = time.monotonic()
        groups: dict[str, list[int]] = {}
        for i in numbers:
            groups.setdefault(self._homes[i], []).append(i)
        return groups, known

    def look_again(self) -> None:
        """Ask next time where parts are."""
        self._looked = -float("inf")

    def stay(self, groups: dict[str, list[int]]) -> bool:
        """Whether the scheduler finds the parts of each worker there."""
        return all(
            home in at for home, some in groups.items() for at in self._holders(some).values()
        )

    def _holders(self, numbers: list[int]) -> dict[int, Sequence[str]]:
        found = self._scheduler("who_has", keys=[self.futures[i].key for i in numbers])
        return {i: found.get(self.futures[i].key, ()) for i in numbers}

    def _scheduler(self, method: str, **arguments: Any) -> Any:
        """Return what the scheduler answers, if it does in time."""
        ask = getattr(self.client.scheduler, method)
        try:
            return self.client.sync(ask, callback_timeout=self._limit, **arguments)
        except TimeoutError as error:
            why = f"its scheduler has not answered for {self._limit:g} s"
            raise self._lost(why, range(len(self.futures))) from error

    # Whether they are made

    def wait(self, numbers: list[int]) -> None:
        """Wait until parts are made, or one of them cannot be, or all that kill workers did so."""

        async def made() -> None:
            futures = [self.futures[i] for i in numbers]
            async for part in as_completed(futures, loop=self.client.loop):
                if part.status != "finished" and not isinstance(
                    await part.exception(), KilledWorker
                ):
                    return

        self.result(made(), numbers)

    def raise_errors(self, numbers: list[int]) -> None:
        """Raise why the first part that could not be made was not."""
        for number in numbers:
            part = self.futures[number]
            if part.status != "error":
                continue
            error = part.exception()
            if isinstance(error, GpulrError | KilledWorker | MemoryError):
                # The client keeps the part's own error, and with the traceback that it would get
                # its engine, for whose parts it keeps it.
                own, cause = copy(error), error.__cause__
                dask_worker.name_part(own, number)
                raise own from cause
            raise DataError(
                f"Part {number} of {len(self.futures)} cannot be made: "
                f"{type(error).__name__}: {error}"
            ) from error

    # What is lost

    def result(self, work: Coroutine[Any, Any, Any], numbers: list[int]) -> Any:
        """Return what Dask's loop finds, while workers do something for it."""
        at_work = time.monotonic()

        def look() -> None:
            nonlocal at_work
            if self._workers_do_something():
                at_work = time.monotonic()
            elif time.monotonic() - at_work > self._limit:
                raise self._lost(f"no worker has done anything for {self._limit:g} s", numbers)

        return self.found(work, look)

    def found(self, work: Coroutine[Any, Any, Any], look: Callable[[], None]) -> Any:
        """Return what Dask's loop finds; meanwhile somebody looks, each second, and may raise."""
        running = asyncio.run_coroutine_threadsafe(work, self.client.loop.asyncio_loop)
        try:
            while True:
                with suppress(TimeoutError):
                    return running.result(_LOOK)
                if running.done():
                    return running.result()
                look()
        finally:
            running.cancel()

    def _workers_do_something(self) -> bool:
        with suppress(*UNANSWERED):
            return self.client.status == "running" and any(self._scheduler("processing").values())
        return False

    @contextmanager
    def losses(self) -> Iterator[None]:
        """Turn what Dask raises for a lost cluster into one error; leave nothing at Ctrl-C."""
        numbers = list(range(len(self.futures)))
        if self.client.status in ("closing", "closed"):
            raise self._lost("the client is closed", numbers)
        try:
            yield
        except CancelledError as error:
            raise self._lost("its client or cluster was closed or restarted", numbers) from error
        except GpulrError:
            raise
        except Exception as error:
            if self.client.status == "running":
                raise
            raise self._lost("its scheduler does not answer", numbers) from error
        except (KeyboardInterrupt, SystemExit):
            self.cancel(self.futures)
            raise

    def _lost(self, why: str, numbers: Sequence[int]) -> WorkersLostError:
        lost = tuple(i for i in numbers if self.futures[i].status != "finished")
        what = f"{counted(len(lost), 'part')} of {len(self.futures)} are lost"
        return WorkersLostError(
            f"A cluster of Dask's cannot go on: {why}; {what}. Start workers (it waits for them "
            f"as long as {TIMEOUT[0]} says, in seconds), or a new cluster, and train again.",
            lost,
        )

    def cancel(self, futures: Sequence[Future]) -> None:
        """Let workers drop what they have not begun."""
        with suppress(Exception):  # nobody is there to cancel them
            self.client.cancel(futures, force=True)
