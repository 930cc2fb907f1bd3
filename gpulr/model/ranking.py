"""How well margins rank a model's positives above its negatives.

Only the positives' places in the order count, and how far runs of equal margins reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from gpulr.model.binary import KEPT, Bytes, Floats, even, memory
from gpulr.model.predicted import Thresholds


def ranking(z: Floats, y: Bytes, w: Floats, at: Thresholds | None) -> tuple[float, float]:
    """Return the area under the ROC curve and the average precision, from one order."""
    places = _Places.of(z, y, w)
    return places.area(), places.precision()


def area(z: Floats, y: Bytes, w: Floats, at: Thresholds | None) -> tuple[float]:
    """Return the area under the ROC curve."""
    return (_Places.of(z, y, w).area(),)


def precision(z: Floats, y: Bytes, w: Floats, at: Thresholds | None) -> tuple[float]:
    """Return the average precision."""
    return (_Places.of(z, y, w).precision(),)


def roc_corners(z: Floats, y: Bytes, w: Floats) -> tuple[Floats, Floats, float]:
    """Return false and true positive rates from (0, 0) to (1, 1), and the area below.

    Two points for each positive: lines between them are the ROC curve of all margins. There have to
    be positives and negatives.
    """
    found = _Places.of(z, y, w)
    false = np.column_stack([found.rows_before - found.true_before, found.rows - found.true])
    true = np.column_stack([found.true_before, found.true])
    x, up = false.ravel() / found.negatives, true.ravel() / found.positives
    return np.concatenate([[0.0], x, [1.0]]), np.concatenate([[0.0], up, [1.0]]), found.area()


def precision_steps(z: Floats, y: Bytes, w: Floats) -> tuple[Floats, Floats, float]:
    """Return recall and precision at the margin of each positive, from the largest, and the AP.

    The area below steps that fall behind each point is the average precision. There have to be
    positives.
    """
    found = _Places.of(z, y, w)
    return found.true / found.positives, found.true / found.rows, found.precision()


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the positives are among all rows, from the largest margin to the smallest.

    For each positive, (n_positives,): its own weight (None: 1), and the weights of the rows before
    the first one whose margin equals its own, and of those up to the last such one; of all these
    rows, and of the positives alone. They stand in memory that the thread's next column takes.
    """

    own: Floats | None
    rows_before: Floats
    rows: Floats
    true_before: Floats
    true: Floats
    positives: float  # their weight
    negatives: float

    @staticmethod
    def of(z: Floats, y: Bytes, w: Floats) -> _Places:
        """Find them; rows that weigh nothing are left out, as in scikit-learn."""
        alike = even(w) and w[0] > 0
        if not alike and not w.all():
            z, y, w = (array[w > 0] for array in (z, y, w))
        hits, tied, order = _descending(z, y, want_order=not alike)
        n = len(hits)
        rows_before, rows = memory("rows before", n, np.int64), memory("rows", n, np.int64)
        true_before, true = memory("true before", n, np.int64), memory("true", n, np.int64)
        rows_before[:], true_before[:] = hits, _numbers(n)
        np.add(rows_before, 1, out=rows)
        np.add(true_before, 1, out=true)
        new = np.ones(len(tied) + 1, np.bool_)  # whether another run of equal margins begins
        np.greater(tied[1:], tied[:-1] + 1, out=new[1:-1])
        begins, ends = tied[new[:-1]], tied[new[1:]] + 2
        first, last = hits.searchsorted(begins), hits.searchsorted(ends)
        counts = last - first
        if counts.any():
            inside = np.repeat(last - np.cumsum(counts), counts) + np.arange(counts.sum())
            rows[inside], rows_before[inside] = np.repeat(ends, counts), np.repeat(begins, counts)
            true[inside], true_before[inside] = np.repeat(last, counts), np.repeat(first, counts)
        if alike or order is None:
            return _Places(None, rows_before, rows, true_before, true, n, len(z) - n)
        down = _taken("weights", w, order)
        own, so_far = _taken("own", down, hits), _so_far("all", down)
        own_so_far = _so_far("own", own)
        rows_before, rows = _taken("rows before", so_far, rows_before), _taken("rows", so_far, rows)
        true_before = _taken("true before", own_so_far, true_before)
        true = _taken("true", own_so_far, true)
        positives = own_so_far[-1]
        return _Places(own, rows_before, rows, true_before, true, positives, so_far[-1] - positives)

    def area(self) -> float:
        """Return the mean of the share of negatives whose margins are smaller than a positive's.

        Half of those with an equal margin count.
        """
        above = memory("above", len(self.rows), self.rows.dtype)
        np.add(self.rows, self.rows_before, out=above)
        above -= self.true
        above -= self.true_before
        if self.own is not None:
            above *= self.own
        pairs = self.positives * self.negatives
        return 1.0 - float(above.sum()) / (2 * pairs) if pairs > 0 else np.nan

    def precision(self) -> float:
        """Return the mean of the share of positives among rows with as large a margin or larger."""
        share = np.divide(self.true, self.rows, out=memory("above", len(self.rows)))
        if self.own is not None:
            share *= self.own
        return float(share.sum() / self.positives) if self.positives > 0 else np.nan


def _descending(
    z: Floats, y: Bytes, *, want_order: bool
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp] | None]:
    """Return places in the order of margins from the largest: of positives, and of equal margins.

    The latter are those whose next margin is equal. The third result is the order itself, of rows.

    NumPy sorts whole numbers by vector instructions, but finds the order of float32 one by one. So
    the bits of a float32, as a whole number of the same order, and the row or truth below them are
    sorted as one number of 64 bits: half as long as ``argsort`` takes, which others go by.
    """
    n = len(z)
    if z.dtype != np.float32 or n > 2**31:
        order = np.argsort(-z)
        ordered, true = z[order], y.take(order).view(np.bool_)
        return np.flatnonzero(true), np.flatnonzero(ordered[1:] == ordered[:-1]), order
    margins, signs = memory("margins", n, np.float32), memory("signs", n, np.int32)
    bits = np.subtract(np.float32(0), z, out=margins).view(np.int32)  # 0 and -0 become 0
    np.right_shift(bits, 31, out=signs)
    signs &= 0x7FFFFFFF
    bits ^= signs
    keys = memory("keys", n, np.int64)
    keys[:] = bits
    keys <<= 32
    keys |= _numbers(n) if want_order else y
    keys.sort()
    ordered = np.right_shift(keys, 32, out=signs, casting="unsafe")
    tied = np.flatnonzero(ordered[1:] == ordered[:-1])
    if want_order:
        keys &= 0xFFFFFFFF
        return np.flatnonzero(y.take(keys).view(np.bool_)), tied, keys
    true = np.bitwise_and(keys, 1, out=memory("truth", n, np.bool_), casting="unsafe")
    return np.flatnonzero(true), tied, None


def _taken(name: str, values: Floats, places: npt.NDArray[np.integer]) -> Floats:
    """Return the values at these places; none lies outside, and "clip" writes without a buffer."""
    return np.take(values, places, out=memory(name, len(places)), mode="clip")


def _so_far(name: str, weights: Floats) -> Floats:
    """Return 0 and the sums of the first, the first two, … of all weights."""
    sums = memory(f"{name} so far", len(weights) + 1)
    sums[0] = 0.0
    np.cumsum(weights, out=sums[1:])
    return sums


def _numbers(n: int) -> npt.NDArray[np.int64]:
    """Return 0, 1, …, n − 1, for reading only."""
    return _kept_numbers(KEPT)[:n] if n <= KEPT else np.arange(n, dtype=np.int64)


@cache
def _kept_numbers(n: int) -> npt.NDArray[np.int64]:
    return np.arange(n, dtype=np.int64)
