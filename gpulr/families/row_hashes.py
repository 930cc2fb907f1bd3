"""Hashes of rows, labels and weights, in whatever blocks they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend import NumPyBackend, backend_of, is_device_array, is_sparse, to_host
from gpulr.core.rows import row_blocks
from gpulr.sources import Source
from gpulr.validation.labels import LabelMatrix, Labels

Array = Any

PIECE_BYTES = 2**22  # of dense rows that are hashed together, each piece apart from the others
SPARSE_ROWS = 4096  # and how many sparse ones
HASH = "sha256 "  # what a hash begins with


def hashes_of(
    X: Array, labels: Labels | LabelMatrix, weight: npt.NDArray[np.float64] | None
) -> tuple[str, str, str]:
    """Return hashes of rows, of what is to be answered for them, and of their weights."""
    y = labels.indicator if isinstance(labels, LabelMatrix) else labels.codes[:, np.newaxis]
    return hash_rows(X), hash_rows(y), "None" if weight is None else hash_rows(weight[:, None])


def hash_rows(X: Array) -> str:
    """Return a hash of the numbers of X (n_rows, n_columns), as they are in its dtype, in order.

    X is an array of any library, a CSR array or a source: the same numbers have the same hash.
    Pieces of rows are hashed by themselves, by several threads where X is in memory: a thread
    hashes some 1.2 GB a second.
    """
    host, n, width = NumPyBackend("numpy", np), int(X.shape[0]), int(X.shape[1])
    size = SPARSE_ROWS
    if not is_sparse(X):
        size = max(1, PIECE_BYTES // max(1, width * _item_bytes(X)))
    if isinstance(X, Source):
        blocks = row_blocks(X, host, host.row_width(X), 1)
        return joined(_in_order(host.map_blocks(lambda rows: X[rows, :], blocks, X), size))
    pieces = [slice(start, min(n, start + size)) for start in range(0, n, size)]

    def hashed(rows: slice) -> bytes:
        piece = _Piece()
        piece.add(host.asarray(X[rows, :]))
        return piece.digest()

    if not is_device_array(X):
        return joined(host.map_blocks(hashed, pieces))
    with backend_of(X).activate():
        return joined(map(hashed, pieces))


def joined(hashes: Iterable[bytes]) -> str:
    """Return one hash of several."""
    whole = hashlib.sha256()
    for each in hashes:
        whole.update(each)
    return HASH + whole.hexdigest()


class _Piece:
    """Rows that are hashed together, as they come."""

    def __init__(self) -> None:
        self.n_rows = 0
        # Of sparse rows lengths, columns and numbers come each by themselves.
        self._parts = [hashlib.sha256() for _ in range(3)]

    def add(self, block: Array) -> None:
        """Add rows that follow those that were added before."""
        self.n_rows += int(block.shape[0])
        arrays = [block]
        if is_sparse(block):
            arrays = [block.data, block.indices.astype("<i8"), np.diff(block.indptr).astype("<i8")]
        for part, array in zip(self._parts, arrays, strict=False):
            array = np.ascontiguousarray(array)
            if array.dtype.byteorder == ">" or (array.dtype.byteorder == "=" and not LITTLE):
                array = array.astype(array.dtype.newbyteorder("<"))
            part.update(array.reshape(-1).view(np.uint8).data)

    def digest(self) -> bytes:
        """Return the hash of what was added."""
        return b"".join(part.digest() for part in self._parts)


LITTLE = np.dtype("<i4").isnative


def _in_order(blocks: Iterable[Array], size: int) -> Iterable[bytes]:
    """Yield the hashes of pieces of so many rows, of rows that come in blocks of any length."""
    piece = _Piece()
    for block in blocks:
        start, n = 0, int(block.shape[0])
        while start < n:
            stop = min(n, start + size - piece.n_rows)
            piece.add(block[start:stop])
            start = stop
            if piece.n_rows == size:
                yield piece.digest()
                piece = _Piece()
    if piece.n_rows:
        yield piece.digest()


def _item_bytes(X: Array) -> int:
    """Return how many bytes a number of X takes."""
    if isinstance(X, np.ndarray | Source):
        return int(X.dtype.itemsize)
    return int(to_host(X[:1, :1]).itemsize)
