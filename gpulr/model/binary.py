"""How good each model is as a binary classifier: one column of margins at a time.

A model's own problem is to tell rows of its class or label from all others. Entries whose truth is
unknown are left out of it, and what a problem does not define, such as the AUROC where no row has
the label, is NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend.buffers import buffer
from gpulr.backend.threads import map_blocks
from gpulr.core.targets import UNKNOWN
from gpulr.model.predicted import Thresholds, predicted

Floats = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]
# (margins (n,), truth (n,) of 0 and 1, weight (n,), threshold (1,) or None) -> some floats
Measure = Callable[[Floats, Bytes, Floats, Thresholds | None], tuple[float, ...]]

LINE = 16  # columns copied at once: float32 of a cache line
KEPT = 2**18  # numbers of an array that a thread keeps, 2 MiB


def of_each_model(
    measure: Measure,
    Z: Floats,
    truth: npt.NDArray[Any],
    weight: Floats,
    thresholds: Thresholds | None = None,
) -> list[npt.NDArray[np.float64]]:
    """Return what a measure says of each model, each result (n_models,), by all threads.

    The margins are (n_rows, n_models), the weights (n_rows,); the truth is class indices (n_rows,),
    of which model j is of class j (a single one of class 1), or a matrix of 0, 1 and UNKNOWN.
    """
    first = 1 if Z.shape[1] == 1 and truth.ndim == 1 else 0
    at_once = max(1, min(LINE, 2**22 // max(1, len(Z))))
    blocks = [slice(j, j + at_once) for j in range(0, Z.shape[1], at_once)]

    def measured(block: slice) -> list[tuple[float, ...]]:
        margins, found = _as_rows(Z[:, block]), []
        indicator = _as_rows(truth[:, block]) if truth.ndim > 1 else None
        for j, z in enumerate(margins):
            y = truth == block.start + j + first if indicator is None else indicator[j]
            y, w = y.astype(np.uint8, copy=False), weight
            if indicator is not None and (known := y != UNKNOWN).sum() < len(y):
                z, y, w = z[known], y[known], w[known]
            at = None if thresholds is None else thresholds[block.start + j :][:1]
            found.append(measure(z, y, w, at))
        return found

    results = [result for block in map_blocks(measured, blocks) for result in block]
    return list(np.array(results, dtype=np.float64).T)


def _as_rows(columns: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return columns of a matrix as rows of a new one.

    An entry of a column is read with its cache line, which is used before it is forgotten where
    few rows are copied at a time: four times as fast as all of them at once.
    """
    n, k = columns.shape
    copied = np.empty((k, n), columns.dtype)
    for start in range(0, n, 512):
        copied[:, start : start + 512] = columns[start : start + 512].T
    return copied


def counts(z: Floats, y: Bytes, w: Floats, at: Thresholds | None) -> tuple[float, ...]:
    """Return the weights of true negatives, false positives, false negatives, true positives."""
    said = predicted(z[:, np.newaxis], at)[:, 0]
    return tuple(np.bincount(2 * y + said, weights=w, minlength=4))


def losses(z: Floats, y: Bytes, w: Floats, at: Thresholds | None) -> tuple[float, float]:
    """Return the weighted means of the log-loss and of (σ(z) − y)².

    Both are of the margin towards the wrong answer, u: log(1 + e^u) and σ(u)².
    """
    total = w.sum()
    if not total > 0:
        return np.nan, np.nan
    u, e, part = (_memory(name, len(z)) for name in ("u", "e", "part"))
    np.multiply(z, np.subtract(1.0, np.multiply(y, 2.0, out=u), out=u), out=u)
    np.exp(np.negative(np.abs(u, out=e), out=e), out=e)  # e^−|u|
    np.log1p(e, out=part)
    part += np.maximum(u, 0.0, out=_memory("true", len(z)))
    part *= w
    log_loss = float(part.sum() / total)
    np.exp(np.minimum(u, 0.0, out=u), out=u)  # σ(u) is min(e^u, 1) / (1 + e^−|u|)
    e += 1.0
    u /= e
    u *= u
    u *= w
    return log_loss, float(u.sum() / total)


def ranking(z: Floats, y: Bytes, w: Floats, at: Thresholds | None) -> tuple[float, float]:
    """Return the area under the ROC curve and the average precision.

    Both are means over the positives. The area is that of the share of negatives whose margins are
    smaller, where half of those with an equal margin count; the average precision that of the share
    of positives among all rows whose margins are as large or larger. So only the positives' places
    in the order count, and how far runs of equal margins reach.
    """
    if not w.all():  # as in scikit-learn: nothing is divided by rows that weigh nothing
        z, y, w = (array[w > 0] for array in (z, y, w))
    order, tied = _descending(z)
    hits = np.flatnonzero(y.take(order).view(np.bool_))  # where the positives are
    n, positives = len(z), len(hits)
    if positives == 0:
        return np.nan, np.nan
    # Of each positive's run of equal margins, how many rows and positives are before its end, and
    # before its beginning.
    rows, rows_before = hits + 1, hits
    true = np.arange(1, positives + 1)
    true_before = true - 1
    if len(tied):
        new = np.flatnonzero(np.diff(tied) > 1)
        begins, ends = tied[np.append(0, new + 1)], tied[np.append(new, -1)] + 2
        first, last = np.searchsorted(hits, begins), np.searchsorted(hits, ends)
        counts = last - first
        inside = np.repeat(last - np.cumsum(counts), counts) + np.arange(counts.sum())
        rows_before = hits.copy()
        rows[inside], rows_before[inside] = np.repeat(ends, counts), np.repeat(begins, counts)
        true[inside], true_before[inside] = np.repeat(last, counts), np.repeat(first, counts)
    if (w == 1).all():
        below = float((rows + rows_before - true - true_before).sum()) / 2
        all_true, all_false, precision = positives, n - positives, float((true / rows).sum())
    else:
        down = w.take(order)
        own, so_far = down[hits], np.append(0.0, np.cumsum(down))
        true_so_far = np.append(0.0, np.cumsum(own))
        weighed = true_so_far[true]
        false = so_far[rows] - weighed + so_far[rows_before] - true_so_far[true_before]
        below, precision = (own * false).sum() / 2, (own * weighed / so_far[rows]).sum()
        all_true, all_false = true_so_far[-1], so_far[-1] - true_so_far[-1]
    auroc = 1.0 - below / (all_true * all_false) if positives < n else np.nan
    return float(auroc), float(precision / all_true)


def _descending(z: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the order of margins from the largest, and the places where the next one is equal.

    NumPy sorts whole numbers by vector instructions, but finds the order of float32 one by one. So
    the bits of a float32, as a whole number of the same order, and the row below them are sorted
    as one number of 64 bits: half as long as ``argsort`` takes, which others go by.
    """
    n = len(z)
    if z.dtype != np.float32 or n > 2**31:
        order = np.argsort(-z)
        ordered = z[order]
    else:
        margins, signs = _memory("margins", n, np.float32), _memory("signs", n, np.int32)
        bits = np.add(z, np.float32(0), out=margins).view(np.int32)  # -0 becomes 0
        np.right_shift(bits, 31, out=signs)
        signs &= 0x7FFFFFFF
        bits ^= signs
        np.invert(bits, out=bits)
        order = _memory("keys", n, np.int64)
        order[:] = bits
        order <<= 32
        order |= np.arange(n, dtype=np.int32)
        order.sort()
        ordered = np.right_shift(order, 32, out=signs, casting="unsafe")
        order &= 0xFFFFFFFF
    return order, np.flatnonzero(ordered[1:] == ordered[:-1])


def _memory(name: str, size: int, dtype: npt.DTypeLike = np.float64) -> Floats:
    """Return memory that this thread uses for every column, if it is little enough to be kept.

    Fresh pages take twice as long as all that is computed here.
    """
    return buffer(f"scores {name}", size, dtype) if size <= KEPT else np.empty(size, dtype)
