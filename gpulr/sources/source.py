"""Rows that are read: what everybody above knows of them."""

from __future__ import annotations

import math
import os
import threading
import weakref
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.errors import DataError, GpulrError
from gpulr.sources.reader import Reader
from gpulr.words import first_line

Array = Any

TAKEN_BYTES = 64 * 2**20  # of rows that were taken last, and are kept
RUN_BYTES = 16 * 2**20  # of rows that are read at once to pick some of them
GAP_BYTES = 64 * 2**10  # to read so much that is not wanted takes as long as to seek


_sources: weakref.WeakSet[Source] = weakref.WeakSet()


class Source:
    """Rows (n_samples, n_features) of which blocks are read when they are asked for.

    It is no array: ``source[a:b, :]`` is one, in ``dtype``, or SciPy's CSR where ``sparse``, and
    ``source[index]`` holds the rows that an int array names, in that order. ``source[:, columns]``
    is a source of columns in the order of a list. One thread reads at a time.

    Parameters
    ----------
    read : callable
        Returns the rows from a first one up to another, (n_rows, …): they are flattened. A
        GpulrError of its own is raised as it is, and any other is the cause of a DataError.
    shape : (n_samples, n_features)
    dtype : NumPy's, of any byte order; blocks are in the machine's
    nnz : int, optional
        How many numbers are stored: blocks are SciPy's CSR.
    edges : sequence of int
        Ascending numbers of rows at which blocks are best cut, since what lies between is read as a
        whole: a file's chunks, or parts.
    """

    ndim = 2
    # NumPy would read row by row.
    __array_ufunc__ = None

    def __init__(
        self,
        read: Callable[[int, int], Array],
        shape: tuple[int, int],
        dtype: npt.DTypeLike,
        *,
        nnz: int | None = None,
        edges: Sequence[int] = (),
    ) -> None:
        self._read_rows = read
        self.shape = (int(shape[0]), int(shape[1]))
        self.dtype = np.dtype(dtype).newbyteorder("=")
        # Those that one array of all rows would have, by which it is chosen how to compute.
        self.itemsize, self.size = self.dtype.itemsize, math.prod(self.shape)
        self.strides = (self.shape[1] * self.itemsize, self.itemsize)
        self.nnz = nnz
        # The least and the largest number of each feature, (n_features, 1) float64, where known.
        self.extremes: tuple[Array, Array] | None = None
        self.moments: Any = None  # and their moments, as core has them
        self.edges = [int(edge) for edge in edges if 0 < edge < self.shape[0]]
        self._reading = threading.Lock()
        self._readers: list[Reader] = []
        self._taken: tuple[Array, Array] = None, None  # some rows by their index
        _sources.add(self)

    def in_child(self) -> None:
        """Forget the threads that read, which a forked child has not."""
        self._reading, self._readers = threading.Lock(), []

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_reading": None, "_readers": [], "_taken": (None, None)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state | {"_reading": threading.Lock()})
        _sources.add(self)

    @property
    def sparse(self) -> bool:
        """Whether blocks are SciPy's CSR arrays."""
        return self.nnz is not None

    @property
    def nbytes(self) -> int:
        """How many bytes all rows would take."""
        if self.nnz is not None:
            return self.nnz * (self.itemsize + 4) + 8 * self.shape[0]
        return self.size * self.itemsize

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise DataError(
            f"X is {self.nbytes:,} bytes that are read block by block, and are not made into one "
            "array. Pass what fits into memory, such as X[:10_000]."
        )

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<Source {self.shape[0]:,}×{self.shape[1]:,} {self.dtype}>"

    def __getitem__(self, key: Any) -> Array:
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        every = slice(None)
        if isinstance(columns, list) and rows == every:
            return self._with_columns(columns)
        if columns != every:
            raise TypeError("a source has rows, as in source[a:b, :] or source[index]")
        if isinstance(rows, slice):
            start, stop, step = rows.indices(self.shape[0])
            if step == 1:
                return self._block(start, max(start, stop))
            return self.take(np.arange(start, stop, step))
        if isinstance(rows, int | np.integer):
            return self.take(np.array([rows]))[0]
        return self.take(np.asarray(rows))

    def _with_columns(self, columns: list[int]) -> Source:
        def read(start: int, stop: int) -> Array:
            return self.read(start, stop)[:, columns]

        shape = self.shape[0], len(columns)
        return Source(read, shape, self.dtype, nnz=self.nnz, edges=self.edges)

    def _block(self, start: int, stop: int) -> Array:
        for reader in tuple(self._readers):
            if (block := reader.take((start, stop))) is not None:
                return block
        return self.read(start, stop)

    def read(self, start: int, stop: int) -> Array:
        """Return the rows from ``start`` to before ``stop``, checked.

        Raises DataError, which names the rows, where they cannot be read or are not what the first
        look said.
        """
        n_features = self.shape[1]
        try:
            with self._reading:
                block = self._read_rows(start, stop)
            if not self.sparse:
                block = np.asarray(block)
                block = block.reshape(len(block), math.prod(block.shape[1:]))
        except (GpulrError, MemoryError):
            raise
        except Exception as error:  # of whatever library reads
            raise_for_threads(error)
            raise DataError(
                f"Rows {start:,} to {stop - 1:,} of X cannot be read: {first_line(error)}. Open "
                "what they are in again, and see whether it is whole and not being written to."
            ) from error
        found, expected = (block.shape, block.dtype), ((stop - start, n_features), self.dtype)
        if found[0] != expected[0] or not np.can_cast(block.dtype, self.dtype, "safe"):
            raise DataError(
                f"Rows {start:,} to {stop - 1:,} of X are of shape {found[0]} and dtype "
                f"{found[1]}; expected {expected[0]} and {expected[1]}. Leave what X is read from "
                "as it is until training has ended."
            )
        if block.dtype != self.dtype:
            block = block.astype(self.dtype)
        return block

    def take(self, index: npt.NDArray[Any]) -> Array:
        """Return the rows that ``index`` (n_rows,) names, in its order.

        They are read in runs: neighbours, those with few others between, and those of one chunk
        with one reading, of :data:`RUN_BYTES` at most. Those that were taken last are kept, up to
        :data:`TAKEN_BYTES`: training takes one sample several times, which nobody writes to.
        """
        last, rows = self._taken
        if last is None or last.dtype != index.dtype or not np.array_equal(last, index):
            rows = self.gathered(index)
            small = len(index) * self.nbytes <= TAKEN_BYTES * self.shape[0]
            self._taken = (index.copy(), rows) if small else (None, None)
        return rows

    def gathered(self, index: npt.NDArray[Any]) -> Array:
        """Do what :meth:`take` does, and keep nothing."""
        n = self.shape[0]
        if index.dtype == np.bool_:
            if index.shape != (n,):
                raise IndexError(f"a mask of shape {index.shape} for {n} rows")
            index = np.flatnonzero(index)
        # n may be beyond what a narrow index holds.
        index = index.astype(np.int64, casting="same_kind", copy=False)
        if len(index) and (index.min() < -n or index.max() >= n):
            raise IndexError(f"rows {index.min()} to {index.max()} of {n}")
        index = np.where(index < 0, index + n, index)
        order = np.argsort(index, kind="stable")
        runs, wanted = self._runs(index[order]), index[order]
        if self.sparse:
            from scipy.sparse import vstack

            parts = [self._picked(wanted[run]) for run in runs] or [self.read(0, 1)[:0]]
            rows = parts[0] if len(parts) == 1 else vstack(parts, format="csr")
            return rows if np.array_equal(index, wanted) else rows[np.argsort(order)]
        whole = np.empty((len(index), self.shape[1]), self.dtype)
        for run in runs:
            whole[order[run]] = self._picked(wanted[run])
        return whole

    def _picked(self, wanted: npt.NDArray[Any]) -> Array:
        first = int(wanted[0])
        return self.read(first, int(wanted[-1]) + 1)[wanted - first]

    def _runs(self, wanted: npt.NDArray[Any]) -> list[slice]:
        """Cut ascending rows into those that are read together."""
        if not len(wanted):
            return []
        row_bytes = max(1, self.nbytes // self.shape[0])
        longest, gap = RUN_BYTES // row_bytes, GAP_BYTES // row_bytes
        near = np.diff(wanted) <= gap + 1
        if self.edges:
            near |= np.diff(np.searchsorted(self.edges, wanted, side="right")) == 0
        cuts, first = [0], int(wanted[0])
        for i, joined in enumerate(near.tolist(), 1):
            if not joined or wanted[i] - first >= longest:
                cuts.append(i)
                first = int(wanted[i])
        return [slice(a, b) for a, b in pairwise([*cuts, len(wanted)])]

    def cut(self, blocks: list[slice]) -> list[slice]:
        """Return blocks like these, none longer, with their ends at the edges where that is so.

        What lies between two edges and is longer than a block is cut evenly.
        """
        if not self.edges or not blocks:
            return blocks
        longest = max(rows.stop - rows.start for rows in blocks)
        edges, n = [*self.edges, self.shape[0]], self.shape[0]
        found, start = [0], 0
        while start < n:
            last = bisect_right(edges, start + longest) - 1
            if last >= 0 and edges[last] > start:
                found.append(edges[last])
            else:
                length = edges[last + 1] - start
                pieces = math.ceil(length / longest)
                found += [start + length * i // pieces for i in range(1, pieces + 1)]
            start = found[-1]
        return [slice(a, b) for a, b in pairwise(found)]

    @contextmanager
    def ahead(self, blocks: Sequence[slice]) -> Iterator[None]:
        """Return a context in which a thread reads these blocks ahead of those asked for."""
        reader = Reader(self.read, [(rows.start, rows.stop) for rows in blocks])
        self._readers.append(reader)
        try:
            yield
        finally:
            self._readers.remove(reader)
            reader.close()


def raise_for_threads(error: BaseException) -> None:
    """Raise MemoryError for what a library raises where there are no addresses for a thread."""
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        raise MemoryError(str(error)) from error


def _in_child() -> None:
    for source in _sources:
        source.in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
