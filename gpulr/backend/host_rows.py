"""Rows that stay on the host because the device cannot hold them, and how blocks get there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import threads
from gpulr.backend.widening import convert
from gpulr.sources import Source

Array = Any
Event = Any
Piece = Callable[[slice], npt.NDArray[Any]]  # returns some of the rows that were asked for

STAGING_BYTES = 32 * 2**20  # of each of the two buffers
PIECE_BYTES = 4 * 2**20  # what one thread fills of a buffer at a time


class Copies:
    """How copies to a device are requested; here each is done before the next line runs.

    A device that works beside the host has two queues, one of copies and one of all else. Each runs
    in order; events, marks in one queue, are what the other queue, or the host, waits for. None is
    an event that has passed.
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


class Uploader:
    """Copies rows through two staging buffers: one is filled while the other is in flight.

    Filling one converts rows to the dtype of the target, makes them contiguous, and reads those of
    a memory map from the disk.
    """

    def __init__(self, copies: Copies) -> None:
        self.copies = copies
        self._buffers: list[npt.NDArray[np.uint8]] = []
        self._copied: list[Event] = [None, None]  # when each buffer may be filled again
        self._current = 0

    def copy(
        self,
        read: Callable[[slice], Piece],
        rows: slice,
        target: Array,
        dtype: np.dtype[Any],
        after: Event,
    ) -> Event:
        """Queue copies of rows that ``read`` finds on the host; the event of the last one's end.

        The target is (n_rows, n_features) of ``dtype``, C-contiguous, on the device, and may be
        written to once ``after`` has passed.
        """
        width, end = int(target.shape[1]), None
        for part in staged(rows, width * dtype.itemsize):
            first, last = part.start - rows.start, part.stop - rows.start
            self._current = 1 - self._current
            self.copies.host_waits(self._copied[self._current])
            n_bytes = (last - first) * width * dtype.itemsize
            stage = self._buffer(n_bytes).view(dtype).reshape(last - first, width)
            _fill(stage, read(part))
            end = self.copies.upload(stage, target[first:last, :], after)
            self._copied[self._current] = end
            after = None
        return end

    def finish(self) -> None:
        """Return when all copies are done: only then may the staging buffers be reused."""
        for event in self._copied:
            self.copies.host_waits(event)
        self._copied = [None, None]

    def _buffer(self, n_bytes: int) -> npt.NDArray[np.uint8]:
        if not self._buffers or self._buffers[0].size < n_bytes:
            size = -(-n_bytes // 2**20) * 2**20  # rounded up: blocks differ in length by a row
            fresh = [self.copies.staging(size) for _ in range(2)]
            self.finish()
            self._buffers = fresh
        return self._buffers[self._current][:n_bytes]


def staged(rows: slice, row_bytes: int) -> list[slice]:
    """Cut a block into what fits into a staging buffer."""
    length = max(1, STAGING_BYTES // row_bytes)
    starts = range(rows.start, rows.stop, length)
    return [slice(a, min(a + length, rows.stop)) for a in starts]


def _fill(stage: npt.NDArray[Any], read: Piece) -> None:
    """Read rows into ``stage``, a piece for each thread at a time."""
    n = len(stage)
    length = max(1, PIECE_BYTES // max(1, stage.nbytes // n))

    def piece(rows: slice) -> None:
        source = read(rows)
        # Values that the dtype cannot hold are found later, and raise an error.
        with np.errstate(over="ignore", invalid="ignore"):
            convert(source, stage[rows])

    for _ in threads.map_blocks(piece, [slice(a, min(a + length, n)) for a in range(0, n, length)]):
        pass


@dataclass(eq=False)
class _Buffer:
    """Memory for a block on the device, and what has to pass before it is read or written."""

    array: Array | None = None
    rows: slice | None = None  # the block that is in it, once copied has passed
    copied: Event = None
    awaited: bool = True  # what is computed from now on waits for copied already
    read: bool = False  # something has been computed from it since released
    released: Event = None  # the next copy into it waits for this


class HostRows:
    """Rows on the host, or in a file, of which blocks are copied to the device.

    ``rows[block, :]`` is a block on the device: C-contiguous, in the storage dtype, and valid until
    the block after the next is requested. The first rows are kept there (:meth:`keep`); two buffers
    serve the others. While a block is computed, :meth:`ahead` copies the following one into the
    other buffer, once what was computed from that buffer is done; computing waits for the copy.

    X is (n_samples, n_features), an array or a source, of which an ``index`` (n_rows,) may name
    some rows. Of a source, a thread reads ahead of what is copied (:meth:`begin`). Blocks are of
    ``dtype`` on the device and between (as an attribute it is the library's own dtype).
    """

    ndim = 2

    def __init__(
        self,
        X: npt.NDArray[Any] | Source,
        dtype: np.dtype[Any],
        uploader: Uploader,
        out_of_memory: tuple[type[BaseException], ...] = (),
        index: npt.NDArray[Any] | None = None,
    ) -> None:
        self._X, self._index, self._dtype = X, index, dtype
        self._uploader, self._out_of_memory = uploader, out_of_memory
        self._buffers = (_Buffer(), _Buffer())
        self._latest = self._buffers[0]
        self._kept: Array | None = None
        self._asked = False  # for a block, since the last time that one was computed
        self._reading = ExitStack()  # ahead, until all is settled
        self.shape = (len(X) if index is None else len(index), int(X.shape[1]))
        self.nbytes = self.shape[0] * self.shape[1] * dtype.itemsize  # on the device
        self.dtype = self._new(0).dtype

    def __getitem__(self, key: tuple[slice, slice]) -> Array:
        rows = slice(*key[0].indices(self.shape[0])[:2])
        self._asked = True
        if self._keeps(rows):
            return self._kept[rows, :]  # type: ignore[index]
        buffer = next((b for b in self._buffers if b.rows == rows), None) or self._copy(rows)
        self._await(buffer)
        buffer.read, self._latest = True, buffer
        assert buffer.array is not None
        return buffer.array[: rows.stop - rows.start, :]

    def cut(self, blocks: list[slice]) -> list[slice]:
        """Return blocks like these, as they are best read; see :meth:`Source.cut`."""
        return self._X.cut(blocks) if isinstance(self._X, Source) else blocks

    def begin(self, blocks: list[slice]) -> None:
        """Note which blocks will be asked for, until :meth:`settle`."""
        if isinstance(self._X, Source):
            width = self.shape[1] * self._dtype.itemsize
            left = [rows for rows in blocks if not self._keeps(rows)]
            parts = [part for rows in left for part in staged(rows, width)]
            self._reading.enter_context(self._X.ahead(parts))

    def ahead(self, rows: slice | None) -> None:
        """Note that all that uses the latest block is queued, and copy ``rows``, the next block.

        Nothing is copied where no block was requested since the last time, since a pass over
        margins needs none, nor where memory runs out: requesting the block will raise that.
        """
        self._release(*self._buffers)
        asked, self._asked = self._asked, False
        if rows is None or not asked or self._keeps(rows):
            return
        if all(buffer.rows != rows for buffer in self._buffers):
            with suppress(*self._out_of_memory):
                self._copy(rows)

    def settle(self) -> None:
        """Return when no copy is under way."""
        self._release(*self._buffers)
        for buffer in self._buffers:
            self._await(buffer)
        self._uploader.finish()
        self._reading.close()

    def drop(self) -> None:
        """Give back memory on the device: the buffers, and half of what is kept."""
        self.settle()
        n_bytes = 0 if self._kept is None else self._kept.shape[0] * self.nbytes // self.shape[0]
        self._kept = None
        self._buffers = (_Buffer(), _Buffer())
        self._latest = self._buffers[0]
        self.keep(n_bytes // 2)

    def take(self, index: npt.NDArray[Any]) -> HostRows:
        """Return some of the rows, gathered when they are used; of a source, at once."""
        if isinstance(self._X, Source):
            return HostRows(self._X[index], self._dtype, self._uploader, self._out_of_memory)
        index = index if self._index is None else self._index[index]
        return HostRows(self._X, self._dtype, self._uploader, self._out_of_memory, index)

    def uploaded(self) -> Array:
        """Return all rows, on the device."""
        return self._first(self.shape[0])

    def keep(self, n_bytes: int) -> None:
        """Keep the first rows on the device, up to ``n_bytes`` of them."""
        n_rows = min(n_bytes * self.shape[0] // self.nbytes, self.shape[0])
        if n_rows > 0:
            with suppress(*self._out_of_memory):
                self._kept = self._first(n_rows)

    def _keeps(self, rows: slice) -> bool:
        return self._kept is not None and rows.stop <= self._kept.shape[0]

    def _first(self, n_rows: int) -> Array:
        """Return the first rows, on the device."""
        rows = self._new(n_rows)
        # The memory may have been another array's, of which something is still being computed.
        free = self._uploader.copies.computed()
        try:
            self._uploader.copy(self._read, slice(0, n_rows), rows, self._dtype, free)
        finally:  # until then the memory must not be reused
            self._uploader.finish()
        return rows

    def _read(self, rows: slice) -> Piece:
        if self._index is None:
            block = self._X[rows, :]
            return lambda some: block[some]
        index = self._index[rows]
        return lambda some: self._X[index[some]]

    def _new(self, n_rows: int) -> Array:
        copies = self._uploader.copies
        dtype = getattr(copies.xp, self._dtype.name)
        return copies.xp.empty((n_rows, self.shape[1]), dtype=dtype, device=copies.device)

    def _copy(self, rows: slice) -> _Buffer:
        """Queue the copy of a block into the buffer that was not used last."""
        buffer = next(b for b in self._buffers if b is not self._latest)
        n = rows.stop - rows.start
        self._release(buffer)
        self._await(buffer)  # a block that was copied ahead, and not asked for
        buffer.rows = None
        if buffer.array is None or buffer.array.shape[0] < n:
            buffer.array = None  # before the new one is made
            buffer.array = self._new(min(n + 1, self.shape[0]))  # blocks differ by a row
            buffer.released = self._uploader.copies.computed()  # as in _first
        target = buffer.array[:n, :]
        buffer.copied = self._uploader.copy(self._read, rows, target, self._dtype, buffer.released)
        buffer.rows, buffer.awaited = rows, False
        return buffer

    def _await(self, buffer: _Buffer) -> None:
        if not buffer.awaited:
            self._uploader.copies.compute_waits(buffer.copied)
            buffer.awaited = True

    def _release(self, *buffers: _Buffer) -> None:
        """Note that all that uses these buffers has been queued."""
        read = [buffer for buffer in buffers if buffer.read]
        if read:
            event = self._uploader.copies.computed()
            for buffer in read:
                buffer.released, buffer.read = event, False
