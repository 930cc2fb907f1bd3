"""How good the models of two searches are, in float64 and without any of gpulr's code."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bench.objectives import Objective
from bench.peer_data import PeerData

EQUAL = 1e-9  # a difference of mean log-losses that is none

Floats = npt.NDArray[Any]


def compare(
    data: PeerData,
    Cs: Floats,
    pairs: list[tuple[Any, Any]],
    classes: list[int],
    ours: dict[str, Floats],
    theirs: dict[str, Floats],
) -> dict[str, Any]:
    """Compare the objectives of the models that both have trained, and the scores made of them.

    Parameters
    ----------
    classes : list of int
        Those that both have trained.
    ours, theirs : dict
        theta (n_folds, n_Cs, n_features + 1, n_models) of the scaled rows, the intercept last; and
        classes (n_models,), the class of each model.

    Returns
    -------
    dict
        ``difference`` (n_folds, n_Cs, n_models) is our objective less theirs.
    """
    differences, scores = [], []
    whole = len(classes) == data.n_classes
    for fold, (train, test) in enumerate(pairs):
        X = data.X[train] * np.float64(data.scale)
        objective = Objective(X, data.y[train], classes, 1.0)
        objective.lam = 1.0 / (np.repeat(Cs, len(classes)) * len(train))  # of every column its own
        columns = np.tile(np.arange(len(classes)), len(Cs))
        X_test = data.X[test] * np.float64(data.scale)
        costs, right = [], []
        for found in (ours, theirs):
            W, b = _columns(found, fold, classes)
            costs.append(objective.costs(W, b, columns).reshape(len(Cs), len(classes)))
            Z = (X_test @ W + b).reshape(len(test), len(Cs), len(classes))
            right.append(_score(Z, data.y[test], classes, whole))
        differences.append(costs[0] - costs[1])
        scores.append(np.abs(right[0] - right[1]))
    difference = np.stack(differences)
    return {
        "models": int(difference.size),
        "at_least_as_good": int(np.sum(difference <= EQUAL)),
        "equal": EQUAL,
        "largest_excess": float(f"{max(float(difference.max()), 0.0):.3g}"),
        "largest_gain": float(f"{max(float(-difference.min()), 0.0):.3g}"),
        "score": "multiclass accuracy" if whole else "binary accuracy",
        "largest_score_difference": float(f"{float(np.max(scores)):.3g}"),
        "difference": [[[float(f"{d:.3g}") for d in c] for c in f] for f in difference.tolist()],
    }


def _columns(found: dict[str, Floats], fold: int, classes: list[int]) -> tuple[Floats, Floats]:
    """Return W (n_features, n_Cs · n_classes) and b of a fold, the classes of one C together."""
    at = [int(np.flatnonzero(found["classes"] == c)[0]) for c in classes]
    theta = found["theta"][fold][:, :, at].astype(np.float64)
    stacked = theta.transpose(1, 0, 2).reshape(theta.shape[1], -1)
    return stacked[:-1], stacked[-1]


def _score(Z: Floats, y: Floats, classes: list[int], whole: bool) -> Floats:
    """Return the accuracy for each C; of a sample of the classes, each one's binary accuracy."""
    if whole:
        return np.asarray((Z.argmax(axis=2) == y[:, np.newaxis]).mean(axis=0))
    own = y[:, np.newaxis, np.newaxis] == np.asarray(classes)
    return np.asarray(((Z > 0) == own).mean(axis=0))
