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

from gpulr.backend.threads import map_blocks
from gpulr.core.targets import UNKNOWN
from gpulr.model.predicted import Thresholds, predicted

Floats = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]
# (margins (n,), truth (n,) of 0 and 1, weight (n,), threshold (1,) or None) -> some floats
Measure = Callable[[Floats, Bytes, Floats, Thresholds | None], tuple[float, ...]]

_LINE = 16  # columns copied at once: float32 of a cache line


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
    at_once = max(1, min(_LINE, 2**22 // max(1, len(Z))))
    blocks = [slice(j, j + at_once) for j in range(0, Z.shape[1], at_once)]

    def measured(block: slice) -> list[tuple[float, ...]]:
        # Copied as rows, for a column of a matrix in C order is read a cache line an entry.
        margins, found = np.ascontiguousarray(Z[:, block].T), []
        indicator = np.ascontiguousarray(truth[:, block].T) if truth.ndim > 1 else None
        for j, z in enumerate(margins):
            y = truth == block.start + j + first if indicator is None else indicator[j]
            y, w = y.view(np.uint8), weight
            if indicator is not None and (known := y != UNKNOWN).sum() < len(y):
                z, y, w = z[known], y[known], w[known]
            at = None if thresholds is None else thresholds[block.start + j :][:1]
            found.append(measure(z, y, w, at))
        return found

    results = [result for block in map_blocks(measured, blocks) for result in block]
    return list(np.array(results, dtype=np.float64).T)


def counts(z: Floats, y: Bytes, w: Floats, at: Thresholds | None) -> tuple[float, ...]:
    """Return the weights of true negatives, false positives, false negatives, true positives."""
    said = predicted(z[:, np.newaxis], at)[:, 0]
    return tuple(np.bincount(2 * y + said, weights=w, minlength=4))


def losses(z: Floats, y: Bytes, w: Floats, at: Thresholds | None) -> tuple[float, float]:
    """Return the weighted means of the log-loss and of (σ(z) − y)².

    Both are of the margin towards the wrong answer, u: log(1 + e^u) and σ(u)².
    """
    if not w.any():
        return np.nan, np.nan
    u = np.where(y, -z, z).astype(np.float64)
    e = np.exp(-np.abs(u))
    log_loss = np.maximum(u, 0.0) + np.log1p(e)
    wrong = np.where(u > 0, 1.0, e) / (1.0 + e)
    total = w.sum()
    return float((w * log_loss).sum() / total), float((w * wrong * wrong).sum() / total)


def ranking(z: Floats, y: Bytes, w: Floats, at: Thresholds | None) -> tuple[float, float]:
    """Return the area under the ROC curve and the average precision.

    Down the margins, after each run of equal ones, the curves have a point: the weight of positives
    so far, and of all rows. The area is that of the trapezoids, the average precision the sum of
    precisions, each times the positives of its run, as scikit-learn's functions have them.
    """
    if not w.all():  # as in scikit-learn, so that no weight before a point is 0
        z, y, w = (array[w > 0] for array in (z, y, w))
    positives = np.count_nonzero(y)
    if positives == 0:
        return np.nan, np.nan
    order, ends = _descending(z)
    hits = y.take(order)
    true: Floats
    rows: Floats
    if (w == 1).all():
        true, rows = np.cumsum(hits, dtype=np.float64).take(ends), ends + 1.0
    else:
        down = w.take(order)
        true, rows = np.cumsum(down * hits).take(ends), np.cumsum(down).take(ends)
    more = np.diff(true, prepend=0.0)
    average_precision = float((more * (true / rows)).sum() / true[-1])
    if positives == len(y):
        return np.nan, average_precision
    false = rows - true
    area = (np.diff(false, prepend=0.0) * (true - more / 2.0)).sum()
    return float(area / (true[-1] * false[-1])), average_precision


def _descending(z: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the order of margins from the largest, and where each run of equal ones ends.

    NumPy sorts whole numbers by vector instructions, but finds the order of float32 one by one. So
    the bits of a float32, as a whole number of the same order, and the row below them are sorted
    as one number of 64 bits: half as long as ``argsort`` takes, which others go by.
    """
    if z.dtype != np.float32 or len(z) > 2**32:
        order = np.argsort(-z)
        ordered = z[order]
    else:
        bits = (z + np.float32(0)).view(np.int32)  # -0 becomes 0
        keys = (~(bits ^ ((bits >> 31) & 0x7FFFFFFF))).astype(np.int64) << 32
        keys |= np.arange(len(z))
        keys.sort()
        order = keys & 0xFFFFFFFF
        ordered = keys >> 32
    ends = np.flatnonzero(ordered[1:] != ordered[:-1])
    return order, np.append(ends, len(z) - 1) if len(z) else ends
