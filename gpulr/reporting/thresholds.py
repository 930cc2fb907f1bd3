"""What each threshold of a model would predict: counts along margins, which add up."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpulr.logistic import sigmoid
from gpulr.model.one_vs_all import OneVsAll
from gpulr.show.predictions import Array

MARGINS = np.round(np.arange(-70, 71) / 10, 1)  # probabilities from 0.001 to 0.999
MOST_MODELS = 60  # of which the page has counts

Edges = npt.NDArray[np.float64]


def edges_of(model: OneVsAll) -> tuple[Edges, npt.NDArray[np.intp]]:
    """Return thresholds to choose from, (n_models, n_edges) sorted, and which one the model has."""
    own = np.zeros(model.n_models) if model.thresholds is None else model.thresholds
    edges = np.broadcast_to(MARGINS, (model.n_models, len(MARGINS)))
    if model.thresholds is not None:
        edges = np.sort(np.hstack([edges, own[:, np.newaxis]]), axis=1)
    return edges, np.argmax(edges == own[:, np.newaxis], axis=1)


def counts_above(
    Z: Array, truth: Array, weight: Array, edges: Edges, own: npt.NDArray[np.intp], inclusive: bool
) -> npt.NDArray[np.int64]:
    """Return how many rows each threshold predicts, (2, n_models, n_edges + 1), last all rows.

    First of those that have the label, or the second class; then of those that do not. Rows above
    an edge are predicted; at the model's own edge, ``inclusive``, those on it too.
    """
    Y = truth if truth.ndim > 1 else truth[:, np.newaxis]
    counts = np.empty((2, Z.shape[1], edges.shape[1] + 1), dtype=np.int64)
    for j in range(Z.shape[1]):
        for side, value in enumerate((1, 0)):
            z = np.sort(Z[Y[:, j] == value, j].astype(np.float64))
            counts[side, j, :-1] = len(z) - np.searchsorted(z, edges[j], side="right")
            if inclusive:
                at = edges[j, own[j]]
                counts[side, j, own[j]] = len(z) - np.searchsorted(z, at, side="left")
            counts[side, j, -1] = len(z)
    return counts


def sliders_of(
    model: OneVsAll, counts: npt.NDArray[np.int64], names: list[str], answers: list[str]
) -> dict[str, Any]:
    """Return what ``thresholds.js`` shows; ``answers`` are no and yes in words."""
    edges, own = edges_of(model)
    shown: list[list[float | None]] = [
        [round(p, 4) if np.isfinite(edge) else None for p, edge in zip(P, each, strict=True)]
        for P, each in zip(sigmoid(edges).tolist(), edges.tolist(), strict=True)
    ]
    return {
        "names": names,
        "answers": answers,
        # Those of all models are mostly the same.
        "thresholds": shown if model.thresholds is not None else shown[:1],
        "own": own.tolist(),
        # By how many each is fewer than the one before, which are shorter numbers.
        "all": counts[..., -1].tolist(),
        "fewer": (-np.diff(counts[..., :-1], prepend=counts[..., -1:])).tolist(),
    }
