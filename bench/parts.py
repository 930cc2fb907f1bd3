"""Rows that loaders make, and SGD on the same parts: ``bench goals --only made-rows --only sgd``.

Rows are made anew in each pass, and never stored: a block of bytes, of which every part flips other
bits. A pass of one model is so little work that making its rows takes a good part of it; it is told
how much. With ``--size`` there are fewer parts.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import SGDClassifier

import gpulr
from bench.data import overlapping
from bench.ratios import Result, compared
from bench.run import Patience, take_turn, worker

Bytes = npt.NDArray[np.uint8]

ROWS, FEATURES = 200_000, 100  # of a part
PARTS, SGD_ROWS = 500, 50_000
EPOCHS, GAP = 20, 1e-3
ROUNDS = 3


def made_rows(size: float, patience: Patience) -> Iterator[Result]:
    """A pass of training on 10⁸ × 100 rows, beside making them by one thread."""
    n_parts = max(2, round(PARTS * size))
    (found,) = worker(trained_on_made_rows, {"n_parts": n_parts}, 7200.0, "made rows")
    n = n_parts * ROWS
    peak = found["peak_bytes"] - found["before_bytes"]
    what = (
        f"{n:.0e} × {FEATURES} rows made by loaders, a pass of training one model "
        f"({found['passes']:.0f} passes, {found['iterations']} iterations; "
        f"{peak / 2**20:,.0f} MiB, an array of margins takes {4 * n / 2**20:,.0f})"
    )
    ours = [found["seconds"] / found["passes"]]
    yield {
        **compared(what, ours, [found["making_seconds"]], label="making the rows, one thread"),
        **{name: found[name] for name in ("passes", "iterations", "peak_bytes", "before_bytes")},
    }


def trained_on_made_rows(n_parts: int) -> Iterator[dict[str, Any]]:
    """Train on rows that are made; yields how long it took, and the most memory."""
    made = Made(n_parts)
    gpulr.train(gpulr.Blocks([made.loader(0)]), max_iter=2, tol=0)  # compiles, and imports
    before, making = peak_bytes(), time.perf_counter()
    for i in range(n_parts):
        made.loader(i)()
    making = time.perf_counter() - making
    made.loads, started = 0, time.perf_counter()
    model = gpulr.train(gpulr.Blocks(list(map(made.loader, range(n_parts)))))
    yield {
        "seconds": time.perf_counter() - started,
        "making_seconds": making,
        "passes": made.loads / n_parts,
        "iterations": model.n_iter,
        "before_bytes": before,
        "peak_bytes": peak_bytes(),
    }


class Made:
    """Loaders of parts of one block of rows, whose low bits each part flips in its own way."""

    def __init__(self, n_parts: int) -> None:
        rng = np.random.default_rng(0)
        self.X: Bytes = rng.integers(0, 256, (ROWS, FEATURES), dtype=np.uint8)
        w = rng.normal(size=FEATURES).astype(np.float32) / 100.0
        Z = (self.X.astype(np.float32) - 127.5) @ w
        self.y = (rng.logistic(size=ROWS) < Z).astype(np.uint8)
        self.keys: Bytes = rng.integers(0, 8, (n_parts, FEATURES), dtype=np.uint8)
        self.loads = 0

    def loader(self, i: int) -> Callable[[], tuple[Bytes, Bytes]]:
        """Return what makes part i."""

        def make() -> tuple[Bytes, Bytes]:
            self.loads += 1
            return self.X ^ self.keys[i], self.y

        return make


def peak_bytes() -> int:
    """Return the most memory that this process has had."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def sgd(size: float, patience: Patience) -> Iterator[Result]:
    """Training on parts, beside SGDClassifier.partial_fit on them until it is as near."""
    n_parts = max(2, round(20 * size))
    work = overlapping("parts", n_parts * SGD_ROWS, FEATURES, 2)
    y = work.y.astype(np.int64)
    parts = [(work.X[a : a + SGD_ROWS], y[a : a + SGD_ROWS]) for a in range(0, len(y), SGD_ROWS)]
    blocks = gpulr.Blocks([lambda part=part: part for part in parts])
    best = objective(gpulr.train(work.X, y, tol=1e-7, dtype="float64"), parts)
    model = gpulr.train(blocks)
    gap = objective(model, parts) / best - 1.0
    assert gap < GAP, f"training ends {gap:.1e} above the optimum"
    constant = {"learning_rate": "constant", "eta0": 0.01, "average": True}
    for words, options, least in (("", {}, 10.0), (", averaged at a step of 0.01", constant, 2.0)):
        ours, base, ends = [], [], 0.0
        for seed in range(ROUNDS):
            ours.append(take_turn(lambda: gpulr.train(blocks), patience).seconds)
            rival = SGDClassifier(loss="log_loss", alpha=1.0 / len(y), random_state=seed, **options)
            seconds, ends = near(rival, parts, best)
            base.append(seconds)
        end = f"after {EPOCHS} epochs at {ends:.0e}" if ends > GAP else f"to {GAP:.0e}"
        yield compared(
            f"{len(y):,} × {FEATURES} float32 in {n_parts} parts, to the optimum (gap {gap:.0e})",
            ours,
            base,
            label=f"SGDClassifier.partial_fit{words}, {end} of it",
            at_least=least,
        )


def near(rival: SGDClassifier, parts: list[Any], best: float) -> tuple[float, float]:
    """Return how long a model takes until its objective is near the best, and how near it is."""
    seconds, gap = 0.0, np.inf
    for _ in range(EPOCHS):
        started = time.perf_counter()
        for X, y in parts:
            rival.partial_fit(X, y, classes=[0, 1])
        seconds += time.perf_counter() - started
        gap = objective(rival, parts) / best - 1.0
        if gap <= GAP:
            break
    return seconds, gap


def objective(model: Any, parts: list[Any]) -> float:
    """Return the mean log-loss and the penalty at C = 1, of gpulr's model or scikit-learn's."""
    ours = hasattr(model, "weights")
    w = np.asarray(model.weights[:, 0] if ours else model.coef_[0], dtype=np.float64)
    b = float((model.intercept if ours else model.intercept_)[0])
    loss, n = 0.0, 0
    for X, y in parts:
        Z = X @ w + b
        loss, n = loss + float(np.logaddexp(0.0, np.where(y == 1, -Z, Z)).sum()), n + len(y)
    return (loss + float(w @ w) / 2.0) / n
