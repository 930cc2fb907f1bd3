"""What calls the methods of parts, wherever these are; and that for parts in this process."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gpulr.distributed.sums import Sums


@dataclass(slots=True)
class Counts:
    """What went to and fro so far."""

    trips: int = 0  # messages to all parts, or to some of them, at once
    sent: int = 0  # bytes of arguments, once for each part
    received: int = 0  # bytes of answers


class Engine(Protocol):
    """Parts in an order that is theirs for good, and a way to call their methods.

    A part is any object that can be pickled; ``call(method)`` is ``getattr(part, method)(…)`` where
    the part is. What an engine has lost it makes again by itself, by the same calls of ``map`` that
    made it: a part is then what it was at first, without what later calls have put into it. What a
    method raises is raised here.
    """

    counts: Counts

    @property
    def n_parts(self) -> int:
        """Number of parts."""

    def call(self, method: str, *arguments: Any, which: Sequence[int] | None = None) -> list[Any]:
        """Call a method of all parts, or of some: answers in the order of the parts (``which``)."""

    def call_each(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call a method of each part with arguments of its own."""

    def sums(self, method: str, *arguments: Any, which: Sequence[int] | None = None) -> Sums:
        """Call a method of all parts, or of some, and add up what they return in float64.

        That are arrays, None, or LOST.
        """

    def map(self, method: str, *arguments: Any) -> Engine:
        """Return an engine of what a method returns for each part, which stays where it is."""

    def map_each(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> Engine:
        """Do what :meth:`map` does, with arguments of its own for each part."""

    def exchange(
        self, method: str, function: Callable[..., Any], n_groups: int, *arguments: Any
    ) -> Engine:
        """Return an engine of what a function makes, for each group, of a piece from each part.

        ``method(n_groups, …)`` of a part returns its pieces, one for each group. They go from part
        to part, and do not come here.
        """


def added(answers: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Add up parts' answers, each of several sums, in the order of the parts."""
    totals = answers[0]
    for answer in answers[1:]:
        totals = tuple(a + b for a, b in zip(totals, answer, strict=True))
    return totals


GONE = "the parts are gone: others were made of them"


class Here:
    """Parts in this process, one after the other.

    Arguments and answers are pickled on their way: so that what is counted is what would be sent to
    other machines, and nothing is shared that could not be with these.
    """

    def __init__(self, parts: Iterable[Any]) -> None:
        self.parts = list(parts)
        self.counts = Counts()

    @property
    def n_parts(self) -> int:
        """Number of parts; fails where these are gone, as others were made of them."""
        assert self.parts, GONE
        return len(self.parts)

    def call(self, method: str, *arguments: Any, which: Sequence[int] | None = None) -> list[Any]:
        """Call a method of all parts, or of some: answers in the order of the parts (``which``)."""
        which = range(self.n_parts) if which is None else which
        return self._answers(method, [(part, arguments) for part in which])

    def call_each(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call a method of each part with arguments of its own."""
        return self._answers(method, list(enumerate(arguments)))

    def sums(self, method: str, *arguments: Any, which: Sequence[int] | None = None) -> Sums:
        """Call a method of all parts, or of some, and add up what they return in float64."""
        which = range(self.n_parts) if which is None else which
        answers = self.call(method, *arguments, which=which)
        return Sums.of(self.n_parts, zip(which, answers, strict=True))

    def map(self, method: str, *arguments: Any) -> Here:
        """Return an engine of what a method returns for each part, which stays where it is."""
        return self.map_each(method, [arguments] * self.n_parts)

    def map_each(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> Here:
        """Do what :meth:`map` does, with arguments of its own for each part."""
        each = zip(self.parts, map(self._sent, arguments), strict=True)
        return Here(getattr(part, method)(*some) for part, some in each)

    def exchange(
        self, method: str, function: Callable[..., Any], n_groups: int, *arguments: Any
    ) -> Here:
        """Return an engine of what a function makes, for each group, of a piece from each part."""
        message = n_groups, *arguments
        given = [getattr(part, method)(*self._sent(message)) for part in self.parts]
        return Here(
            function(*(pickle.loads(pickle.dumps(pieces[group])) for pieces in given))
            for group in range(n_groups)
        )

    def _answers(self, method: str, calls: Sequence[tuple[int, tuple[Any, ...]]]) -> list[Any]:
        self.counts.trips += 1
        answers = []
        for number, arguments in calls:
            answer = getattr(self.parts[number], method)(*self._sent(arguments))
            message = pickle.dumps(answer, protocol=5)
            self.counts.received += len(message)
            answers.append(pickle.loads(message))
        return answers

    def _sent(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        message = pickle.dumps(arguments, protocol=5)
        self.counts.sent += len(message)
        received: tuple[Any, ...] = pickle.loads(message)
        return received
