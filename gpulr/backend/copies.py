"""Copies from the host to a device, and what waits for what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import threads

Array = Any
Event = Any

STAGING_BYTES = 32 * 2**20  # of each of the two buffers
PIECE_BYTES = 4 * 2**20  # what one thread fills of a buffer at a time


class Copies:
    """How copies to a device are requested; here each is done before the next line runs.

    A device that works beside the host has two queues, one of copies and one of all else. Each runs
    in order; events, marks in one queue, are what the other queue, or the host, waits for. None is
    an event that has passed.

    Parameters
    ----------
    xp : module
        The namespace of the library whose arrays are copied to.
    device : object
        Where they are.
    """

    def __init__(self, xp: Any, device: Any) -> None:
        self.xp = xp
        self.device = device

    def staging(self, n_bytes: int) -> npt.NDArray[np.uint8]:
        """Return memory of the host's that a device copies from fastest."""
        return np.empty(n_bytes, dtype=np.uint8)

    def upload(self, source: npt.NDArray[Any], target: Array, after: Event) -> Event:
        """Queue a copy of ``source`` to ``target``, once ``after`` has passed; returns its end.

        Both are C-contiguous, of one shape and dtype. ``source`` must not change before that.
        """
        target[...] = self.xp.asarray(source, device=self.device)

    def computed(self) -> Event:
        """Return an event that passes when all is computed that has been queued so far."""

    def compute_waits(self, event: Event) -> None:
        """Let what is queued for computing from now on wait for ``event``."""

    def host_waits(self, event: Event) -> None:
        """Return when ``event`` has passed."""


class CudaCopies(Copies):
    """Copies to a CUDA GPU: their queue is a stream, that of computing whichever is current."""

    def __init__(self, xp: Any, device: Any) -> None:
        import cupy

        super().__init__(xp, device)
        # Non-blocking: it does not wait for what is on the default stream.
        self._stream = cupy.cuda.Stream(non_blocking=True)

    def staging(self, n_bytes: int) -> npt.NDArray[np.uint8]:
        import cupy
        import cupyx

        try:
            # Copies from memory that may be paged out block the host, at half the speed.
            pinned: npt.NDArray[np.uint8] = cupyx.empty_pinned(n_bytes, dtype=np.uint8)
            return pinned
        except cupy.cuda.runtime.CUDARuntimeError:  # the system allows no (more) pinned memory
            return super().staging(n_bytes)

    def upload(self, source: npt.NDArray[Any], target: Array, after: Event) -> Event:
        if after is not None:
            self._stream.wait_event(after)
        target.set(source, stream=self._stream)
        return self._stream.record(_event())

    def computed(self) -> Event:
        import cupy

        return cupy.cuda.get_current_stream().record(_event())

    def compute_waits(self, event: Event) -> None:
        import cupy

        if event is not None:
            cupy.cuda.get_current_stream().wait_event(event)

    def host_waits(self, event: Event) -> None:
        if event is not None:
            event.synchronize()


def _event() -> Any:
    import cupy

    return cupy.cuda.Event(disable_timing=True)


class Uploader:
    """Copies rows through two staging buffers: one is filled while the other is in flight.

    Filling one converts rows to the dtype of the target, makes them contiguous, and reads those of
    a memory map from the disk.
    """

    def __init__(self, copies: Copies) -> None:
        self.copies = copies
        self._buffers: list[npt.NDArray[np.uint8]] = []
        self._copied: list[Event] = [None, None]  # when each buffer may be filled again
        self._turn = 0

    def copy(
        self,
        read: Callable[[slice], npt.NDArray[Any]],
        rows: slice,
        target: Array,
        dtype: np.dtype[Any],
        after: Event,
    ) -> Event:
        """Queue copies of some rows to ``target``; returns the event of the last one's end.

        Parameters
        ----------
        read : callable
            Returns rows of a range, on the host.
        target : (n_rows, n_features) of ``dtype``, C-contiguous, on the device
        after : event
            When ``target`` may be written to.
        """
        width = int(target.shape[1])
        length = max(1, STAGING_BYTES // (width * dtype.itemsize))
        n, end = rows.stop - rows.start, None
        for first in range(0, n, length):
            last = min(first + length, n)
            self._turn = 1 - self._turn
            self.copies.host_waits(self._copied[self._turn])
            n_bytes = (last - first) * width * dtype.itemsize
            stage = self._buffer(n_bytes).view(dtype).reshape(last - first, width)
            _fill(stage, read, rows.start + first)
            end = self.copies.upload(stage, target[first:last, :], after)
            self._copied[self._turn] = end
            after = None
        return end

    def finish(self) -> None:
        """Return when all copies are done: only then may the staging buffers be reused."""
        for event in self._copied:
            self.copies.host_waits(event)
        self._copied = [None, None]

    def _buffer(self, n_bytes: int) -> npt.NDArray[np.uint8]:
        if len(self._buffers) <= self._turn or self._buffers[self._turn].size < n_bytes:
            # Rounded up: blocks differ in length by a row.
            size = -(-n_bytes // 2**20) * 2**20
            fresh = [self.copies.staging(size) for _ in range(2)]
            self.finish()
            self._buffers = fresh
        return self._buffers[self._turn][:n_bytes]


def _fill(stage: npt.NDArray[Any], read: Callable[[slice], npt.NDArray[Any]], start: int) -> None:
    """Read the rows from ``start`` on into ``stage``, a piece for each thread at a time."""
    n = len(stage)
    length = max(1, PIECE_BYTES // max(1, stage.nbytes // n))

    def piece(rows: slice) -> None:
        source = read(slice(start + rows.start, start + rows.stop))
        # Values that the dtype cannot hold are found later, and raise an error.
        with np.errstate(over="ignore", invalid="ignore"):
            np.copyto(stage[rows], source, casting="unsafe")

    pieces = [slice(a, min(a + length, n)) for a in range(0, n, length)]
    for _ in threads.map_blocks(piece, pieces):
        pass
