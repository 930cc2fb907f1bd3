"""How good each model is as a binary classifier: one column of margins at a time.

A model's own problem is to tell rows of its class or label from all others. Entries whose truth is
unknown are left out of it, and what a problem does not define, such as the AUROC where no row has
the label, is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.backend.buffers import buffer
from gpulr.backend.threads import map_blocks
from gpulr.core.targets import UNKNOWN
from gpulr.model.predicted import Thresholds, predicted

Floats = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]
Truth = npt.NDArray[Any]
Each = npt.NDArray[np.float64]
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
    at_once = max(1, min(LINE, 2**22 // max(1, len(Z))))
    blocks = [slice(j, j + at_once) for j in range(0, Z.shape[1], at_once)]

    def measured(block: slice) -> list[tuple[float, ...]]:
        found = []
        for j, (z, y, w) in enumerate(problems(Z, truth, weight, block), block.start):
            at = None if thresholds is None else thresholds[j : j + 1]
            found.append(measure(z, y, w, at))
        return found

    results = [result for block in map_blocks(measured, blocks) for result in block]
    return list(np.array(results, dtype=np.float64).T)


def problems(
    Z: Floats, truth: npt.NDArray[Any], weight: Floats, columns: slice
) -> Iterator[tuple[Floats, Bytes, Floats]]:
    """Yield margins, truth and weights of some of the models, of each one's own problem.

    Arguments as of :func:`of_each_model`.
    """
    first = 1 if Z.shape[1] == 1 and truth.ndim == 1 else 0
    indicator = _as_rows(truth[:, columns]) if truth.ndim > 1 else None
    for j, z in enumerate(_as_rows(Z[:, columns])):
        y = truth == columns.start + j + first if indicator is None else indicator[j]
        y, w = y.astype(np.uint8, copy=False), weight
        if indicator is not None and y.max(initial=0) == UNKNOWN:
            known = y != UNKNOWN
            z, y, w = z[known], y[known], w[known]
        yield z, y, w


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


def together(*measures: Measure) -> Measure:
    """Return the measure that says what all of these say, of columns that are copied once."""

    def measure(z: Floats, y: Bytes, w: Floats, at: Thresholds | None) -> tuple[float, ...]:
        return tuple(value for measure in measures for value in measure(z, y, w, at))

    return measure


def counts(z: Floats, y: Bytes, w: Floats, at: Thresholds | None) -> tuple[float, ...]:
    """Return the weights of true negatives, false positives, false negatives, true positives."""
    said = predicted(z[:, np.newaxis], at)[:, 0]
    if not even(w):
        return tuple(np.bincount(2 * y + said, weights=w, minlength=4))
    yes, positive, true = (np.count_nonzero(rows) for rows in (said & y, said, y))
    cells = (len(z) - positive - true + yes, positive - yes, true - yes, yes)
    return tuple(cell * float(w[0]) for cell in cells)


def losses(z: Floats, y: Bytes, w: Floats, at: Thresholds | None) -> tuple[float, ...]:
    """Return the weighted sums of the log-loss and of (σ(z) − y)², and that of the weights.

    Both are of the margin towards the wrong answer, u: log(1 + e^u) and σ(u)².
    """
    u, e, part = (memory(name, len(z)) for name in ("u", "e", "part"))
    wrong = memory("wrong", len(z), z.dtype)
    wrong[:] = y
    wrong *= -2
    wrong += 1
    u[:] = np.multiply(z, wrong, out=wrong)
    np.exp(np.negative(np.abs(u, out=e), out=e), out=e)  # e^−|u|
    np.log1p(e, out=part)
    e += 1.0
    part += np.maximum(u, 0.0, out=memory("true", len(z)))
    np.exp(np.minimum(u, 0.0, out=u), out=u)  # σ(u) is min(e^u, 1) / (1 + e^−|u|)
    u /= e
    u *= u
    if not even(w) or w[0] != 1.0:
        part *= w
        u *= w
    return float(part.sum()), float(u.sum()), float(w.sum())


def even(w: Floats) -> bool:
    """Return whether all rows weigh the same, so that it is enough to count them."""
    return len(w) > 0 and bool(w[0] == w[-1] and w.min() == w.max())


def memory(name: str, size: int, dtype: npt.DTypeLike = np.float64) -> Floats:
    """Return memory that this thread uses for every column, if it is little enough to be kept.

    Fresh pages take twice as long as all that is computed here.
    """
    return buffer(f"scores {name}", size, dtype) if size <= KEPT else np.empty(size, dtype)
