"""What a worker of a Dask cluster does: it calls methods of parts, and says which versions it has.

Messages and answers are bytes, which are counted, and in which Dask looks for nothing.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise
from typing import Any, NamedTuple

import numpy as np
from dask.sizeof import sizeof
from distributed import Worker, get_worker
from distributed.protocol import to_serialize
from distributed.protocol.pickle import dumps, loads

from gpulr._version import __version__
from gpulr.backend.malloc import keep_freed_memory
from gpulr.backend.threads import allowing, map_blocks
from gpulr.distributed.sums import Sums

SHARES = 8  # of parts, for each thread: to hand over a part takes a tenth of a millisecond
CALL = "gpulr_call"  # the name of the message that asks a worker without a task


class Question(NamedTuple):
    """What parts are asked."""

    method: str
    n_parts: int = 0  # of which theirs are some, where their answers are added up


@dataclass(slots=True)
class Movable:
    """A part that Dask may move.

    It is pickled in one piece: arrays that Dask sends beside a pickle arrive where the network's
    buffer has them, at addresses that are no multiple of their items. NumPy multiplies those
    without BLAS: in a long time, and with other bits.
    """

    part: Any

    def __reduce__(self) -> tuple[Callable[[bytes], Movable], tuple[bytes]]:
        return unpacked, (dumps(self.part),)

    def __sizeof__(self) -> int:
        return int(sizeof(self.part))


def unpacked(pickled: bytes) -> Movable:
    """Return what was moved."""
    return Movable(loads(pickled))


def make(function: Callable[..., Any], *arguments: Any) -> Movable:
    """Return the part that a function makes, of other parts and blocks among its arguments.

    Other parts are made beside it by the worker's other threads.
    """
    with _computing(1):
        return Movable(function(*map(_arrived, arguments)))


def _arrived(x: Any) -> Any:
    if isinstance(x, np.ndarray) and not x.flags.aligned:  # a block that Dask has moved
        return np.require(x, requirements="A")
    return x.part if isinstance(x, Movable) else x


def derive(movable: Movable, method: str, message: bytes) -> Movable:
    """Return the part that a method makes of another one."""
    with _computing(1):
        return Movable(getattr(movable.part, method)(*loads(message)))


def give(method: str, part: Any, message: bytes) -> Any:
    """Return the pieces that a method of a part returns, or the only one."""
    pieces = getattr(part, method)(*loads(message))
    return pieces if len(pieces) > 1 else pieces[0]


def call(
    parts: Sequence[Movable], numbers: Sequence[int], question: Question, message: bytes
) -> tuple[str, bytes]:
    """Call a method of some parts, by as many threads as the worker has.

    Parameters
    ----------
    parts, numbers
        The parts, and their numbers.
    question
        Which method, and whether its answers are to be added up.
    message
        Pickled: the arguments of all of them, or a list of each one's own.

    Returns
    -------
    address
        Of the worker.
    answers
        A list or :class:`gpulr.distributed.sums.Sums`, pickled.
    """
    worker = get_worker()
    worker.handlers.setdefault(CALL, _answering(worker))
    return worker.address, _answers(worker, parts, numbers, question, message)


def _answering(worker: Worker) -> Callable[..., Coroutine[Any, Any, dict[str, Any] | None]]:
    """Return what answers a message with which no task comes."""

    async def answer(called: bytes, message: bytes) -> dict[str, Any] | None:
        keys, numbers, question = loads(called)
        try:
            parts = [worker.data[key] for key in keys]
            work = partial(_answers, worker, parts, numbers, question, message)
            loop = asyncio.get_running_loop()
            answers = await loop.run_in_executor(worker.executors["default"], work)
        except (
            Exception
        ):  # whoever asks does so again, by a task, of which Dask says what it raises
            return None
        return {"answers": to_serialize(answers)}

    return answer


def _answers(
    worker: Worker,
    parts: Sequence[Movable],
    numbers: Sequence[int],
    question: Question,
    message: bytes,
) -> bytes:
    arguments = loads(message)
    each = arguments if isinstance(arguments, list) else [arguments] * len(parts)
    with _computing(worker.state.nthreads):
        calls = list(zip(parts, numbers, each, strict=True))
        edges = np.linspace(0, len(calls), 1 + min(len(calls), SHARES * worker.state.nthreads))
        shares = [calls[int(a) : int(b)] for a, b in pairwise(edges)]
        found = chain.from_iterable(map_blocks(partial(_called, question.method), shares))
        n = question.n_parts
        answers = Sums.of(n, zip(numbers, found, strict=True)) if n else list(found)
    pickled: bytes = dumps(answers)
    return pickled


def _called(method: str, calls: Sequence[tuple[Movable, int, tuple[Any, ...]]]) -> list[Any]:
    answers = []
    for movable, number, arguments in calls:
        try:
            answers.append(getattr(movable.part, method)(*arguments))
        except Exception as error:
            name_part(error, number)
            raise
    return answers


def name_part(error: BaseException, number: int) -> None:
    """Say, below an error, in which part it was."""
    note = f"This was in part {number}."
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)


def versions() -> dict[str, str]:
    """Return the versions on which it depends whether this process can compute with others."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"gpulr": __version__, "Python": python, "NumPy": np.__version__}


def _computing(n_threads: int) -> AbstractContextManager[None]:
    keep_freed_memory()
    return allowing(n_threads)
