"""The smallest type in which rows come out as they are: what is uploaded, and kept on a device."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import threads

# From the smallest on, with the whole numbers that each is sure to hold: the types that kernels and
# tensor cores take (an int16 would hold more than a float16, but has to be converted first). Each
# holds all that those before it do.
_CANDIDATES = {
    "uint8": (0, 2**8 - 1),
    "float16": (-(2**11), 2**11),
    "float32": (-(2**24), 2**24),
}
FIRST_ROWS = 64  # most fractions are found out to be such in the first few rows
CHUNK_BYTES = 8 * 2**20  # what a thread looks at,
PIECE_BYTES = 2**20  # so much at a time, in cache


def storage_type(
    X: npt.NDArray[Any], rounds_to: np.dtype[Any] | None, available: Any
) -> np.dtype[Any]:
    """Return the smallest dtype that holds X exactly, or to which blocks are rounded first.

    Bytes stay bytes, bits become bytes. Whole numbers and fractions of wider types are looked at in
    chunks of rows, until one shows that no smaller type will do: for most fractions the first.

    Parameters
    ----------
    X : (n_samples, n_features)
        Real numbers, on the host, of any layout and byte order.
    rounds_to : dtype or None
        What each block is converted to before anything else is done to it: an X that takes as much
        or more is stored as that, since it is rounded once in either case, to the same bits. None:
        blocks are centred first, and nothing may be rounded before.
    available : namespace
        Types that it lacks (array-api-strict has no float16) are left out.
    """
    if X.dtype.kind == "b":
        return np.dtype(np.uint8)
    if X.dtype.isbuiltin == 2:  # bfloat16, and others of ml_dtypes, which devices are not sent
        return np.dtype(np.float32)
    last = X.dtype.newbyteorder("=")
    if rounds_to is not None and rounds_to.itemsize <= last.itemsize:
        last = rounds_to
    candidates = [
        dtype
        for dtype in map(np.dtype, _CANDIDATES)
        if dtype.itemsize < last.itemsize + (last.name not in _CANDIDATES)
        and hasattr(available, dtype.name)
    ]
    smallest = 0
    for chunks in _batches(X):
        if smallest == len(candidates):
            return last
        smallest = max(threads.map_blocks(partial(_smallest, candidates, smallest, X), chunks))
    return candidates[smallest] if smallest < len(candidates) else last


def _batches(X: npt.NDArray[Any]) -> Iterator[list[slice]]:
    """Yield the chunks of rows to look at: the first rows alone, then one for each thread."""
    n = len(X)
    yield [slice(0, min(FIRST_ROWS, n))]
    length = max(1, CHUNK_BYTES // (X.shape[1] * X.itemsize))
    chunks = [slice(a, min(a + length, n)) for a in range(FIRST_ROWS, n, length)]
    count = threads.thread_count()
    for i in range(0, len(chunks), count):
        yield chunks[i : i + count]


def _smallest(
    candidates: list[np.dtype[Any]], smallest: int, X: npt.NDArray[Any], rows: slice
) -> int:
    """Return the index, from ``smallest`` on, of the first candidate that holds some rows."""
    length = max(1, PIECE_BYTES // (X.shape[1] * X.itemsize))
    for start in range(rows.start, rows.stop, length):
        piece = X[start : min(start + length, rows.stop)]
        while smallest < len(candidates) and not _holds(candidates[smallest], piece):
            smallest += 1
    return smallest


def _holds(dtype: np.dtype[Any], piece: npt.NDArray[Any]) -> bool:
    if piece.dtype.kind in "iu":  # 64 bits would be rounded by the comparison itself
        least, most = _CANDIDATES[dtype.name]
        return least <= int(piece.min()) and int(piece.max()) <= most
    with np.errstate(all="ignore"):  # NaN, infinity and what is too large come back as others
        return np.array_equal(piece.astype(dtype).astype(piece.dtype), piece)
