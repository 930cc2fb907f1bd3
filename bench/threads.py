"""Training in threads: a worker beside the main one, eight at once, and scikit-learn's grid search.

A server, a notebook's executor and joblib train in threads that are not the main one. What they
wait for is measured here, as ratios of runs in turn in one process::

    python -m bench.threads                                 # prints the table; some minutes
    python -m bench.threads --data digits --only at-once    # of one comparison, some seconds
    python -m bench.threads --output threads.json           # and writes what was measured

OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE should be unset: they change which kernels are timed. What is
compared has to agree: trainings in every bit, which the table tells, grid searches in their scores.
The first call of each is not timed: it starts joblib's processes, and they import scikit-learn.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.model_selection import GridSearchCV

import gpulr
from bench.interleaved import quartiles
from bench.machine import blas, circumstances
from bench.quiet import Patience, wait
from bench.report import write
from bench.words import seconds
from bench.workload import load_workload

KIND = "gpulr-threads"
AT_ONCE = 8
GRID = {"C": [0.01, 0.1, 1.0, 10.0]}
FOLDS = 5
SLOWER = 1.1  # what a grid search in two jobs may take of the time that it takes in one

Run = Callable[[], list[np.ndarray[Any, Any]]]


@dataclass(frozen=True, slots=True)
class Rows:
    """What is trained on: `X`, `y`, and the scale of X that training is told of."""

    name: str
    X: np.ndarray[Any, Any]
    y: np.ndarray[Any, Any]
    scale: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two ways to the same numbers, and how much of the first's time the second may take."""

    name: str
    base: str
    other: str
    goal: float


COMPARISONS = (
    Comparison("training in a worker thread", "main", "worker", 1.0),
    Comparison(f"{AT_ONCE} trainings at once", "in-turn", "at-once", 1.0),
    Comparison("GridSearchCV, 2 jobs, threading", "grid-1", "grid-2-threading", SLOWER),
    Comparison("GridSearchCV, 2 jobs, loky", "grid-1", "grid-2-loky", SLOWER),
)


def runs(rows: Rows) -> dict[str, Run]:
    """Return the ways by name; each trains and returns what it found, a list of arrays."""

    def train(_: object = None) -> list[np.ndarray[Any, Any]]:
        model = gpulr.train(rows.X, rows.y, scale=rows.scale, backend="numpy")
        assert model.converged, "training has not converged"
        return [model.weights, model.intercept]

    def in_turn(n: int) -> list[np.ndarray[Any, Any]]:
        return [array for number in range(n) for array in train(number)]

    def at_once(n: int) -> list[np.ndarray[Any, Any]]:
        with ThreadPoolExecutor(n) as pool:  # new threads every time
            return [array for arrays in pool.map(train, range(n)) for array in arrays]

    def grid_search(n_jobs: int, backend: str) -> list[np.ndarray[Any, Any]]:
        estimator = gpulr.OneVsAllLogisticRegression(scale=rows.scale, backend="numpy")
        search = GridSearchCV(estimator, GRID, cv=FOLDS, n_jobs=n_jobs, refit=False)
        with joblib.parallel_config(backend=backend):
            search.fit(rows.X, rows.y)
        return [search.cv_results_["mean_test_score"]]

    return {
        "main": train,
        "worker": partial(at_once, 1),
        "in-turn": partial(in_turn, AT_ONCE),
        "at-once": partial(at_once, AT_ONCE),
        "grid-1": partial(grid_search, 1, "loky"),
        "grid-2-threading": partial(grid_search, 2, "threading"),
        "grid-2-loky": partial(grid_search, 2, "loky"),
    }


def measure(
    rows: Rows, comparisons: Sequence[Comparison], rounds: int, patience: Patience
) -> list[dict[str, Any]]:
    """Run every way once untimed and compare what they found; then time them in turn."""
    wanted = {name for c in comparisons for name in (c.base, c.other)}
    ways = {name: run for name, run in runs(rows).items() if name in wanted}
    found = {name: run() for name, run in ways.items()}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    gc.collect()
    for number in range(rounds):
        for name, run in ways.items():
            wait(patience)
            started = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - started)
        print(f"\r  round {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return [
        {
            "data": rows.name,
            "n_samples": len(rows.X),
            "n_features": rows.X.shape[1],
            "X_dtype": str(rows.X.dtype),
            "name": c.name,
            "base": c.base,
            "other": c.other,
            "rounds": rounds,
            "base_seconds": quartiles(taken[c.base]),
            "seconds": quartiles(taken[c.other]),
            "ratio": quartiles([o / b for b, o in zip(taken[c.base], taken[c.other], strict=True)]),
            "goal": c.goal,
            "same_bits": agree(found[c.base], found[c.other]),
        }
        for c in comparisons
    ]


def agree(base: list[np.ndarray[Any, Any]], other: list[np.ndarray[Any, Any]]) -> bool:
    """Return whether all bits are the same; raise where what was found is not."""
    for one, two in zip(base, other, strict=True):
        np.testing.assert_allclose(one, two, rtol=0.01, atol=0.01)
    return all(np.array_equal(one, two) for one, two in zip(base, other, strict=True))


def table(results: list[dict[str, Any]]) -> str:
    """Return the ratios in Markdown."""
    lines = [
        "| rows | | alone, or in turn | | ratio (quartiles) | goal | same bits |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for r in results:
        size = f"{r['data']}, {r['n_samples']:,} × {r['n_features']} {r['X_dtype']}"
        ratio = r["ratio"]
        lines.append(
            f"| {size} | {r['name']} | {seconds(r['base_seconds']['median'])} "
            f"| {seconds(r['seconds']['median'])} "
            f"| {ratio['median']:.2f} ({ratio['q1']:.2f}–{ratio['q3']:.2f}) | {r['goal']:.2f} "
            f"| {'yes' if r['same_bits'] else 'no'} |"
        )
    return "\n".join(lines)


def load(name: str, n_samples: int) -> Rows:
    """Return the bundled digits, or as many rows of the workload, MNIST's where it can be had."""
    if name == "digits":
        digits = gpulr.datasets.load_digits()
        return Rows("digits", digits.X[:n_samples], digits.y[:n_samples], None)
    work = load_workload()
    return Rows(work.name, work.X[:n_samples], work.y[:n_samples], work.scale)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.threads", description=__doc__)
    parser.add_argument("--output", type=Path, help="where to write what was measured, as JSON")
    parser.add_argument(
        "--data",
        action="append",
        choices=("digits", "mnist"),
        help="may be repeated (default: both; mnist is made-up rows where it cannot be had)",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=tuple(c.other for c in COMPARISONS),
        help="a comparison, by its second way; may be repeated (default: all)",
    )
    parser.add_argument("--n-samples", type=int, default=20_000, help="the most rows")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--patience", type=float, default=120.0, help="seconds to wait, in all, for quiet moments"
    )
    options = parser.parse_args(arguments)
    about, patience = circumstances(), Patience(options.patience)
    comparisons = [c for c in COMPARISONS if c.other in (options.only or [c.other])]
    results = []
    for name in options.data or ("digits", "mnist"):
        print(f"{name} …", file=sys.stderr, flush=True)
        results += measure(load(name, options.n_samples), comparisons, options.rounds, patience)
    print(table(results))
    after = blas()
    if after != about["blas"]:
        print(f"BLAS has other threads than before: {after}", file=sys.stderr)
    if options.output:
        write(
            {"kind": KIND, "schema": 1, **about, "blas_after": after, "results": results},
            options.output,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
