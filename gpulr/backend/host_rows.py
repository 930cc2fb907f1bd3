"""Rows that stay on the host because the device cannot hold them, and blocks of them there."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend.copies import Event, Uploader

Array = Any


@dataclass(eq=False)
class _Buffer:
    """Memory for a block on the device, and what has to pass before it is read or written.

    Attributes
    ----------
    array : (n_rows, n_features), or None before it is used
    rows : slice or None
        The block that is in it, once ``copied`` has passed.
    copied : event
    awaited : bool
        What is computed from now on waits for ``copied`` already.
    read : bool
        Something has been computed from it since ``released``.
    released : event
        The next copy into it waits for this.
    """

    array: Array | None = None
    rows: slice | None = None
    copied: Event = None
    awaited: bool = True
    read: bool = False
    released: Event = None


class HostRows:
    """Rows on the host, or in a memory map, of which blocks are copied to the device.

    ``rows[block, :]`` is a block on the device: C-contiguous, in the storage dtype, and valid until
    the block after the next is requested. The first rows are kept there (:meth:`keep`); two buffers
    serve the others. While a block is computed, :meth:`ahead` copies the following one into the
    other buffer, once what was computed from that buffer is done; computing waits for the copy.

    Parameters
    ----------
    X : (n_samples, n_features), on the host
    dtype : NumPy dtype
        What blocks are on the device, and between.
    uploader : Uploader
        How rows get there.
    out_of_memory : tuple of exception types
        What the device's library raises where memory does not suffice.
    index : (n_rows,) int, optional
        Which rows of X these are; all of them without.

    Attributes
    ----------
    shape : (int, int)
    ndim : int
    dtype : dtype of the backend's library
    nbytes : int
        What all rows would take on the device.
    """

    ndim = 2

    def __init__(
        self,
        X: npt.NDArray[Any],
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
        self.shape = (len(X) if index is None else len(index), int(X.shape[1]))
        self.nbytes = self.shape[0] * self.shape[1] * dtype.itemsize
        self.dtype = self._new(0).dtype

    def __getitem__(self, key: tuple[slice, slice]) -> Array:
        rows = slice(*key[0].indices(self.shape[0])[:2])
        self._asked = True
        if self._keeps(rows):
            return self._kept[rows, :]  # type: ignore[index]
        buffer = next((b for b in self._buffers if b.rows == rows), None)
        if buffer is None:
            buffer = self._copy(rows)
        self._await(buffer)
        buffer.read, self._latest = True, buffer
        assert buffer.array is not None
        return buffer.array[: rows.stop - rows.start, :]

    def ahead(self, rows: slice | None) -> None:
        """Note that all that uses the latest block is queued, and copy ``rows``, the next block.

        Nothing is copied where no block was requested since the last time, since a pass over
        margins needs none, nor where memory runs out: requesting the block will raise that.
        """
        self._release([buffer for buffer in self._buffers if buffer.read])
        asked, self._asked = self._asked, False
        if rows is None or not asked or self._keeps(rows):
            return
        if all(buffer.rows != rows for buffer in self._buffers):
            with suppress(*self._out_of_memory):
                self._copy(rows)

    def settle(self) -> None:
        """Return when no copy is under way."""
        self._release([buffer for buffer in self._buffers if buffer.read])
        for buffer in self._buffers:
            self._await(buffer)
        self._uploader.finish()

    def drop(self) -> None:
        """Give back memory on the device: the buffers, and half of what is kept."""
        self.settle()
        n_bytes = 0 if self._kept is None else self._kept.shape[0] * self.nbytes // self.shape[0]
        self._kept = None
        self._buffers = (_Buffer(), _Buffer())
        self._latest = self._buffers[0]
        self.keep(n_bytes // 2)

    def take(self, index: npt.NDArray[Any]) -> HostRows:
        """Return some of the rows, gathered when they are used."""
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

    def _read(self, rows: slice) -> npt.NDArray[Any]:
        return self._X[rows] if self._index is None else self._X[self._index[rows]]

    def _new(self, n_rows: int) -> Array:
        copies = self._uploader.copies
        dtype = getattr(copies.xp, self._dtype.name)
        return copies.xp.empty((n_rows, self.shape[1]), dtype=dtype, device=copies.device)

    def _copy(self, rows: slice) -> _Buffer:
        """Queue the copy of a block into the buffer that was not used last."""
        buffer = next(b for b in self._buffers if b is not self._latest)
        n = rows.stop - rows.start
        self._release([buffer] if buffer.read else [])
        self._await(buffer)  # a block that was copied ahead, and not asked for
        buffer.rows = None
        if buffer.array is None or buffer.array.shape[0] < n:
            buffer.array = None
            # Blocks differ in length by a row.
            buffer.array = self._new(min(n + 1, self.shape[0]))
            # The memory may have been another array's, of which something is still being computed.
            buffer.released = self._uploader.copies.computed()
        target = buffer.array[:n, :]
        buffer.copied = self._uploader.copy(self._read, rows, target, self._dtype, buffer.released)
        buffer.rows, buffer.awaited = rows, False
        return buffer

    def _await(self, buffer: _Buffer) -> None:
        if not buffer.awaited:
            self._uploader.copies.compute_waits(buffer.copied)
            buffer.awaited = True

    def _release(self, buffers: list[_Buffer]) -> None:
        """Note that all that uses these buffers has been queued."""
        if buffers:
            event = self._uploader.copies.computed()
            for buffer in buffers:
                buffer.released, buffer.read = event, False
