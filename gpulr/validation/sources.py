"""Rows in files, as users pass them in: whatever has a shape, a dtype and slicing, as a source."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpulr.backend import is_sparse, library_of
from gpulr.errors import DataError
from gpulr.sources import Source
from gpulr.sources.source import raise_for_threads
from gpulr.validation.conversion import as_csr, as_numpy, is_any_sparse, real_numbers
from gpulr.validation.tables import is_labelled
from gpulr.words import first_line

Array = Any

LEAST_BYTES = 2**18  # between two edges; shorter chunks are read together
LONGEST_BYTES = 2**23  # of a chunk that is read again for each block in it
KEPT_BYTES = 2**26  # of a chunk, or a piece of it, that is kept until its last block is asked for


def is_read(x: Any) -> bool:
    """Whether rows of ``x`` are to be read when they are needed, and not all at once.

    It is no array of a known library, and has a shape, a dtype and slicing: zarr's, h5py's and
    AnnData's, and xarray's over what it has not loaded.
    """
    if isinstance(x, np.ndarray | np.generic | Source):
        return False
    if is_labelled(x):
        # xarray's own, whatever is in a file: to ask for the data would load all of it.
        variable = x.variable
        lazy = type(getattr(variable, "_data", None)).__module__.startswith("xarray.")
        return lazy and not getattr(variable, "_in_memory", True) and x.ndim > 1
    own = getattr(x, "__dict__", {})
    named = all(hasattr(type(x), name) or name in own for name in ("shape", "dtype"))
    if not (named and hasattr(type(x), "__getitem__")) or hasattr(type(x), "compute"):
        return False
    if library_of(x) is not None or is_any_sparse(x):
        return False
    return len(_asked(lambda: x.shape, "X")) > 1


def source_of(x: Any, name: str) -> Source | Array:
    """Return what :func:`is_read` as a source of real numbers; it has to stay open.

    Blocks are converted as whole arrays are. Raises DataError, by the ``name`` of x, where it
    cannot be read, or holds no real numbers.
    """
    shape = _asked(lambda: tuple(map(int, x.shape)), name)
    if 0 in shape:
        return np.empty(shape)
    if getattr(x, "format", "") == "csc":
        raise DataError(
            f"{name} is stored by columns (CSC), of which each block of rows needs all. Write it "
            f"by rows, as CSR, or pass {name}.to_memory()."
        )

    def block(start: int, stop: int) -> Array:
        rows = x[start:stop]
        rows = rows.values if is_labelled(rows) else rows
        if is_any_sparse(rows):
            return as_csr(rows, name)
        return real_numbers(as_numpy(rows, name), name)

    read: Callable[[int, int], Array] = block
    first = _asked(lambda: read(0, 1), name)
    nnz = _asked(lambda: _stored(x), name) if is_sparse(first) else None
    n, width = shape[0], math.prod(shape[1:])
    length = min(_chunk(x), n)
    if nnz is not None or length < 1:
        return Source(read, (n, width), first.dtype, nnz=nnz)
    chunk_bytes = length * width * first.dtype.itemsize
    step = length * max(1, LEAST_BYTES // chunk_bytes)
    edges: Sequence[int] = range(step, n, step)
    if chunk_bytes > LONGEST_BYTES:
        piece = math.ceil(length / math.ceil(chunk_bytes / KEPT_BYTES))
        edges = [i for a in range(0, n, length) for i in range(a, min(a + length, n), piece)][1:]
        read = _by_pieces(read, [0, *edges, n])
    return Source(read, (n, width), first.dtype, edges=edges)


def _asked(what: Callable[[], Any], name: str) -> Any:
    """Return what is asked of a file; raise DataError where its library raises anything."""
    try:
        return what()
    except (DataError, MemoryError):
        raise
    except Exception as error:  # of whatever library reads
        raise_for_threads(error)
        raise DataError(
            f"{name} cannot be read: {first_line(error)}. Open the file that it is in, "
            "and leave it open until all is done."
        ) from error


def _stored(x: Any) -> int:
    """Return how many numbers a sparse matrix in a file holds: AnnData's, or one that says so."""
    return int(x.nnz if hasattr(x, "nnz") else x.group["indptr"][-1])


def _chunk(x: Any) -> int:
    """Return how many rows are stored, and read, together; 0 where that is not known."""
    if is_labelled(x):
        preferred = x.encoding.get("preferred_chunks") or {}
        return int(preferred.get(x.dims[0], 0))
    chunks = getattr(x, "chunks", None)
    known = isinstance(chunks, tuple) and chunks and isinstance(chunks[0], int | np.integer)
    return int(chunks[0]) if known and chunks is not None else 0


def _by_pieces(
    read: Callable[[int, int], Array], edges: Sequence[int]
) -> Callable[[int, int], Array]:
    """Return what reads all between two edges: else a chunk would be unpacked for each block."""
    kept: list[Any] = [None, None]  # which piece, and its rows

    def rows(start: int, stop: int) -> Array:
        i = bisect_right(edges, start) - 1
        if stop > edges[i + 1]:
            return read(start, stop)
        if kept[0] != i:
            kept[:] = None, None  # not beside the next one
            kept[:] = i, read(edges[i], edges[i + 1])
        return kept[1][start - edges[i] : stop - edges[i]].copy()

    return rows
