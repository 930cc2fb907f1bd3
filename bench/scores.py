"""Scores of many labels beside a loop over scikit-learn's functions: ``python -m bench scores``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn import metrics

from bench.run import Patience, blas, quartiles, race, take_turn
from gpulr.model.scores import scorer
from gpulr.validation.labels import LabelMatrix

SCORES = {"roc_auc": metrics.roc_auc_score, "average_precision": metrics.average_precision_score}
GOALS = {("roc_auc", False): 20.0}  # times as fast; weighted or not


def scores(
    *, n_samples: int = 50_000, n_labels: int = 1000, rounds: int = 3, patience: float = 120.0
) -> dict[str, Any]:
    """AUROC and average precision of every label, from float32 margins, with weights and without.

    From 1 in 1,000 to half of the rows have a label. What sorts, the floor, is timed too: keys of
    64 bits, a column at a time, by one thread. Scores have to agree to 1e-9 before and after.
    """
    rng, left, results = np.random.default_rng(0), Patience(patience), []
    share = np.geomspace(0.001, 0.5, n_labels)
    Y = (rng.random((n_samples, n_labels), dtype=np.float32) < share).astype(np.uint8)
    Y[:2] = [[0], [1]]
    Z = rng.normal(size=Y.shape).astype(np.float32)
    Z += Y
    labels = LabelMatrix(np.arange(n_labels), Y)
    keys = rng.integers(0, 2**62, n_samples)

    def floor() -> None:
        for _ in range(n_labels):
            np.sort(keys)

    for weighed in (False, True):
        weight = rng.random(n_samples) if weighed else np.ones(n_samples)
        for name, theirs in SCORES.items():
            ours = partial(scorer(name, labels).per_model, Z, Y, weight)
            told = {"sample_weight": weight} if weighed else {}
            loop = partial(_loop, theirs, Z, Y, told)
            runs = {"floor": floor, "gpulr": ours, "sklearn": loop}
            _agree(ours(), loop())
            turns = race(runs, rounds, partial(take_turn, patience=left))
            _agree(ours(), loop())
            seconds = {who: [turn.seconds for turn in taken] for who, taken in turns.items()}
            ratio = quartiles(np.divide(seconds["sklearn"], seconds["gpulr"]))
            goal = GOALS.get((name, weighed))
            about = {"score": name, "weights": weighed, "rounds": rounds, "goal": goal}
            sizes = {"n_samples": n_samples, "n_labels": n_labels}
            times = {who: quartiles(taken) for who, taken in seconds.items()}
            results.append({**about, **sizes, "seconds": times, "ratio": ratio})
    return {"blas_after": blas(), "results": results}


def _loop(score: Callable[..., float], Z: Any, Y: Any, told: dict[str, Any]) -> list[float]:
    return [score(y, z, **told) for y, z in zip(Y.T, Z.T, strict=True)]


def _agree(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=0.0, atol=1e-9)
