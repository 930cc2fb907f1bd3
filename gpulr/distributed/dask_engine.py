"""Parts on the workers of a Dask cluster.

A part is a future: Dask makes it again of what it was made of where its worker is lost. A call is
one message to each worker about the parts that lie there, in one of two ways:

- By tasks, one for each worker, pinned loosely: what a lost worker had to answer another one
  answers, and the scheduler sees who is at work.
- Past the scheduler's tasks, straight to the workers, in a third of the time. Where that fails for
  any reason at all, tasks do it. It is for a second at most after the scheduler was asked where
  parts are: so calls that take longer are tasks, and short ones are so once a second.

What is sent grows with features × models × workers. What is received does so at best, and with
features × models × parts at worst: workers add up what they have of parts that follow each other.
"""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import starmap
from typing import Any

import dask
from distributed import Client, Future, KilledWorker
from distributed.protocol import to_serialize
from distributed.protocol.pickle import dumps, loads

from gpulr.distributed import dask_worker
from gpulr.distributed.dask_client import check
from gpulr.distributed.dask_parts import UNANSWERED, DaskParts
from gpulr.distributed.dask_worker import Question
from gpulr.distributed.engine import GONE, Counts
from gpulr.distributed.sums import Sums
from gpulr.errors import WorkersLostError

Message = Callable[[list[int]], bytes]

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
        self.client, self.counts = client, Counts()
        self._parts = DaskParts(client, parts)

    @classmethod
    def make(
        cls, client: Client, function: Callable[..., Any], *columns: Sequence[Any]
    ) -> DaskEngine:
        """Return an engine of the parts that a function makes of each row of the columns.

        These are of ``parts`` of engines, of Dask's Delayed objects, or of what goes to the workers
        with the task that takes it.
        """
        check(client)
        make = dask.delayed(dask_worker.make, pure=False)
        parts = [make(function, *row) for row in zip(*columns, strict=True)]
        with dask.config.set(_QUIET):
            return cls(client, client.compute(parts))

    @property
    def parts(self) -> list[Future]:
        """The parts' futures."""
        return self._parts.futures

    @property
    def n_parts(self) -> int:
        """Number of parts; fails where these are gone, as others were made of them."""
        assert self.parts, GONE
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

    def _answers(self, numbers: list[int], method: str, message: Message) -> list[Any]:
        answers: dict[int, Any] = {}
        for some, found in self._found(numbers, Question(method), message):
            answers |= zip(some, found, strict=True)
        return [answers[i] for i in numbers]

    def sums(self, method: str, *arguments: Any, which: Sequence[int] | None = None) -> Sums:
        """Call a method of all parts, or of some, and add up what they return in float64."""
        message, sums = dumps(arguments), Sums(self.n_parts)
        numbers = list(range(self.n_parts) if which is None else which)
        for _, found in self._found(numbers, Question(method, self.n_parts), lambda some: message):
            sums.take(found)
        return sums

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
        if n_groups == 1:  # a task fewer for each part
            return self.make(self.client, function, *([piece] for piece in given.parts))
        each = [part for part in given.parts for _ in range(n_groups)]
        pieces = self.make(self.client, operator.getitem, each, [*range(n_groups)] * n).parts
        columns = [pieces[i : i + n_groups] for i in range(0, len(pieces), n_groups)]
        return self.make(self.client, function, *columns)

    def _derived(self, method: str, messages: list[bytes]) -> DaskEngine:
        with self._parts.losses(), dask.config.set(_QUIET):
            each = self.parts, [method] * self.n_parts, messages
            return DaskEngine(self.client, self.client.map(dask_worker.derive, *each, pure=False))

    def _found(self, numbers: list[int], question: Question, message: Message) -> list[Any]:
        """Return what is found out about some parts: the numbers of a worker's parts, and what.

        ``message`` is made for some of them.
        """
        self.counts.trips += 1
        with self._parts.losses():
            try:
                return self._asked_of(numbers, question, message)
            except KilledWorker:  # names whatever its last worker had to do
                self._parts.wait(numbers)
            return [found for i in numbers for found in self._asked_alone(i, question, message)]

    def _asked_alone(self, number: int, question: Question, message: Message) -> list[Any]:
        """Return what is found out about one part, while no other one is asked anything."""
        part = self.parts[number]
        try:
            if part.status == "error":
                self.client.retry([part])
            return self._asked_of([number], question, message)
        except KilledWorker as error:
            raise WorkersLostError(
                f"Part {number} of {self.n_parts} ends each worker that computes with it "
                f"({question.method}), as one does that needs more memory than the worker may "
                "take: make smaller parts, or give workers more memory; their logs say more.",
                (number,),
            ) from error

    def _asked_of(self, numbers: list[int], question: Question, message: Message) -> list[Any]:
        """Ask each worker about its parts."""
        groups, known = self._parts.groups(numbers)
        messages = {home: message(some) for home, some in groups.items()}
        self.counts.sent += sum(map(len, messages.values()))
        found = self._directly(groups, question, messages) if known else {}
        if left := {home: some for home, some in groups.items() if home not in found}:
            found |= self._by_tasks(left, question, messages)
        self.counts.received += sum(map(len, found.values()))
        return [(some, loads(found[home])) for home, some in groups.items()]

    def _directly(
        self, groups: dict[str, list[int]], question: Question, messages: dict[str, bytes]
    ) -> dict[str, bytes]:
        """Return what workers answer past the scheduler's tasks: those that do answer."""

        async def ask(home: str, some: list[int]) -> Any:
            called = dumps(([self.parts[i].key for i in some], some, question))
            message = {"called": called, "message": to_serialize(messages[home])}
            return await self.client.scheduler.broadcast(
                msg={"op": dask_worker.CALL, **message}, workers=[home], on_error="return_pickle"
            )

        async def ask_all() -> list[Any]:
            return await asyncio.gather(*starmap(ask, groups.items()), return_exceptions=True)

        def look() -> None:
            if not self._parts.stay(groups):
                raise OSError("Parts were lost, or moved.")

        answers: dict[str, bytes] = {}
        with suppress(*UNANSWERED):
            for found in self._parts.found(ask_all(), look):
                if isinstance(found, dict):
                    answers |= {at: a["answers"] for at, a in found.items() if isinstance(a, dict)}
        if len(answers) < len(groups):
            self._parts.look_again()
        return answers

    def _by_tasks(
        self, groups: dict[str, list[int]], question: Question, messages: dict[str, bytes]
    ) -> dict[str, bytes]:
        """Return what workers answer by tasks, one for the parts at each home."""
        numbers = [i for some in groups.values() for i in some]
        tasks: list[Future] = []
        try:
            with dask.config.set(_QUIET):
                for home, some in groups.items():
                    pin = {"workers": [home], "allow_other_workers": True} if home else {}
                    parts = [self.parts[i] for i in some]
                    asked = parts, some, question, messages[home]
                    tasks.append(self.client.submit(dask_worker.call, *asked, **pin, pure=False))
            found = self._parts.result(self.client.gather(tasks, asynchronous=True), numbers)
        except BaseException as error:
            self._parts.cancel(tasks)
            tasks.clear()  # the error's traceback keeps this frame
            if isinstance(error, Exception):
                self._parts.raise_errors(numbers)  # what a part is made of says more
            raise
        if [address for address, _ in found] != list(groups):
            self._parts.look_again()
        return {home: received for home, (_, received) in zip(groups, found, strict=True)}
