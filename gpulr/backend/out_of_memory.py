"""What happens when memory runs out: smaller blocks, and then an error that says so."""

from __future__ import annotations

import math
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, Protocol, TypeVar

from gpulr.backend.host_rows import HostRows
from gpulr.backend.memory import Memory
from gpulr.errors import DeviceMemoryError

P = ParamSpec("P")
T = TypeVar("T")
Failure = tuple[str, int | None]  # the library's words, and how many bytes it could not get


class Device(Protocol):
    """What a backend says of its device's memory; see :class:`gpulr.backend.Backend`."""

    block_rows: float

    @property
    def device_name(self) -> str: ...
    @property
    def out_of_memory(self) -> tuple[type[BaseException], ...]: ...
    def memory(self) -> Memory | None: ...
    def free(self) -> None: ...
    def bytes_wanted(self, error: BaseException) -> int | None: ...


@contextmanager
def translate_oom(device: Device) -> Iterator[None]:
    """Raise :class:`DeviceMemoryError` where the backend's library runs out of memory."""
    failure = None
    try:
        yield
    except device.out_of_memory as error:
        failure = _describe(device, error)
    if failure is not None:
        device.free()
        raise _error(device, failure)


def host_memory(function: Callable[P, T]) -> Callable[P, T]:
    """Let a function raise :class:`DeviceMemoryError` where the host runs out of memory in it."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except DeviceMemoryError:
            raise
        except MemoryError as error:
            traceback.clear_frames(error.__traceback__)  # what the failed call had made
            said = str(error).rstrip(".") or "no more can be had"
            needed = None
            if hasattr(error, "shape") and hasattr(error, "dtype"):  # NumPy's
                needed = math.prod(error.shape) * error.dtype.itemsize
        raise DeviceMemoryError(
            f"The memory of the host does not suffice: {said}. Train fewer models at once "
            '(batched=False; memory= of a search), use dtype="float32" and a narrow dtype of X, '
            "predict fewer rows at a time, search with more folds, which hold out fewer rows each, "
            "or end what else takes memory.",
            needed,
        )

    return call


def in_blocks_that_fit(
    device: Device, function: Callable[[slice], T], blocks: list[slice], X: Any
) -> Iterator[T]:
    """Do what :meth:`Backend.map_blocks` says."""
    stream = X if isinstance(X, HostRows) else None
    left = deque(blocks)
    try:
        while left:
            rows = left.popleft()
            part, failure = _attempt(device, function, rows)
            if failure is not None:
                if stream is not None:
                    stream.drop()
                device.free()
                if rows.stop - rows.start < 2:
                    raise _error(device, failure)
                device.block_rows = (rows.stop - rows.start + 1) // 2
                left = deque(half for block in (rows, *left) for half in _halves(block))
                continue
            if stream is not None:
                stream.ahead(left[0] if left else None)
            yield part  # type: ignore[misc]
            del part  # not beside the next one
    finally:
        if stream is not None:
            stream.settle()


def _attempt(
    device: Device, function: Callable[[slice], T], rows: slice
) -> tuple[T, None] | tuple[None, Failure]:
    """Return ``function(rows)``, or how memory ran out in it."""
    try:
        return function(rows), None
    except device.out_of_memory as error:
        return None, _describe(device, error)


def _describe(device: Device, error: BaseException) -> Failure:
    """Return the library's words, and drop what the failed call had made.

    The traceback would keep that, as long as the exception, or one that came of it, lives.
    """
    traceback.clear_frames(error.__traceback__)
    return str(error), device.bytes_wanted(error)


def _error(device: Device, failure: Failure) -> DeviceMemoryError:
    (words, needed), memory = failure, device.memory()
    missing = "more is needed" if needed is None else f"{needed:,} bytes more are needed"
    if memory is not None:
        missing += f", {memory.free:,} of {memory.total:,} are free"
    return DeviceMemoryError(
        f"The memory of {device.device_name} does not suffice: {missing} ({words.rstrip('.')}). "
        'Train fewer models at once (batched=False; memory= of a search), use dtype="float32", end '
        "what else uses the device, set GPULR_DEVICE_MEMORY to what may be used, so that X is "
        'streamed from the host, or use backend="numpy".',
        needed,
        *(memory or ()),
    )


def _halves(rows: slice) -> list[slice]:
    middle = (rows.start + rows.stop + 1) // 2
    halves = slice(rows.start, middle), slice(middle, rows.stop)
    return [half for half in halves if half.start < half.stop]
