"""What is measured on a CPU, but for solvers and searches: ``python -m bench TASK`` runs one.

Each task is a function of its options that returns what its JSON file holds beside the
circumstances; what it computes is compared with a reference before any time is believed. The
``patience`` is how many seconds it may wait, in all, until others leave the cores alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GridSearchCV

import gpulr
from bench import passes
from bench.data import Data, digits, load_workload
from bench.passes import NOTEBOOK, PEERS, PLAIN, Contestant
from bench.run import SETTINGS, Patience, blas, quartiles, race, take_turn
from gpulr.backend import backends

Arrays = list[npt.NDArray[Any]]

# Calls before the timed one, in every turn: after a pause the third pass is as fast as any later.
UNTIMED = {"pass": 3, "training": 0}


# Passes and trainings in turn


def interleaved(
    *,
    backend: list[str] | None = None,
    pass_rounds: int = 30,
    training_rounds: int = 10,
    patience: float = 120.0,
    limit: float = 240.0,
) -> dict[str, Any]:
    """One pass and a whole training: gpulr's ways, the notebook's, and other libraries, in turn.

    --backend may be repeated; without, all that can be used take part. After --limit seconds of
    passes, or of trainings, no new round begins.
    """
    found = backends()
    chosen = backend or [name for name in found if found[name].usable]
    for name in chosen:
        if not found[name].usable:
            raise SystemExit(f"{name} cannot be used: {found[name].reason}. {found[name].remedy}.")
    work, left = load_workload(), Patience(patience)
    results, absent = [], []
    for task, rounds in zip(passes.TASKS, (pass_rounds, training_rounds), strict=True):
        entrants = []
        # The baselines come with NumPy's; a GPU is compared with them too.
        for name in dict.fromkeys(["numpy", *chosen]):
            for contestant in passes.contestants(task, name):
                if reason := passes.obstacle(contestant):
                    absent.append({**contestant.about(task), "reason": reason})
                    print(f"{task}: {contestant.label}: {reason}", file=sys.stderr)
                else:
                    entrants.append(contestant)
        print(f"{task}: {len(entrants)} contestants", file=sys.stderr)
        results += measure(task, entrants, work, max(rounds, 1), left, limit)
    return {"schema": 2, "absent": absent, "results": results}


def measure(
    task: str,
    entrants: list[Contestant],
    work: Data,
    rounds: int,
    patience: Patience,
    limit: float,
) -> list[dict[str, Any]]:
    """Check and warm up every contestant, race them, check again; one record for each."""
    runs = {one: passes.prepare(task, one, work) for one in entrants}
    records = {one: passes.entry(task, one, run(), work) for one, run in runs.items()}
    turn = partial(take_turn, patience=patience, untimed=UNTIMED[task])
    turns = race(runs, rounds, turn, seconds=limit)
    for one, run in runs.items():
        passes.check(task, one, run(), work)
    seconds = {one: [turn.seconds for turn in taken] for one, taken in turns.items()}
    shares = [t.others for taken in turns.values() for t in taken if t.others is not None]
    share = round(float(np.mean(shares)), 3) if shares else None
    return [
        {
            **{**records[one], "rounds": len(taken), "others_cpu": share},
            **{"seconds": quartiles(taken), "speedup": speedups(one, seconds)},
        }
        for one, taken in seconds.items()
    ]


def speedups(
    contestant: Contestant, seconds: dict[Contestant, list[float]]
) -> dict[str, dict[str, float]]:
    """Return how many times faster the contestant is than its baselines that took part.

    gpulr's loop, gpulr under a setting, and other libraries are compared with all columns at
    once in the same dtype and from rows that are stored alike.
    """
    baselines = {"notebook": NOTEBOOK}
    if contestant.way in ("loop", "batched", *SETTINGS):
        baselines["plain"] = PLAIN
    if contestant.way == "batched":
        baselines |= {way: replace(contestant, way=way) for way in ("loop", *SETTINGS)}
        for library in passes.PASSES:
            for way in PEERS:
                name = library + way.removeprefix("peer")
                baselines[name] = replace(contestant, way=way, backend=library)
    return {
        name: quartiles(np.divide(seconds[baseline], seconds[contestant]))
        for name, baseline in baselines.items()
        if baseline in seconds and baseline != contestant
    }


# Training in threads

AT_ONCE = 8
GRID = {"C": [0.01, 0.1, 1.0, 10.0]}
FOLDS = 5
SLOWER = 1.1  # what a grid search in two jobs may take of the time that it takes in one
# Name, two ways to the same numbers, and how much of the first's time the second may take.
COMPARISONS = (
    ("training in a worker thread", "main", "worker", 1.0),
    (f"{AT_ONCE} trainings at once", "in-turn", "at-once", 1.0),
    ("GridSearchCV, 2 jobs, threading", "grid-1", "grid-2-threading", SLOWER),
    ("GridSearchCV, 2 jobs, loky", "grid-1", "grid-2-loky", SLOWER),
)


def threads(
    *,
    data: list[str] | None = None,
    only: list[str] | None = None,
    n_samples: int = 20_000,
    rounds: int = 5,
    patience: float = 120.0,
) -> dict[str, Any]:
    """Training in threads: a worker beside the main one, eight at once, scikit-learn's grid search.

    A server, a notebook's executor and joblib train in threads that are not the main one. What is
    compared has to agree: trainings in every bit, which the table tells, grid searches in their
    scores. The first call of each is not timed: it starts joblib's processes. --data is digits or
    mnist, --only the second of two ways (worker, at-once, …); both may be repeated.
    """
    results, left = [], Patience(patience)
    compared = [c for c in COMPARISONS if c[2] in (only or [c[2]])]
    for name in data or ("digits", "mnist"):
        print(f"{name} …", file=sys.stderr)
        rows = digits() if name == "digits" else load_workload()
        rows = replace(rows, X=rows.X[:n_samples], y=rows.y[:n_samples])
        ways = thread_ways(rows)
        ways = {way: ways[way] for way in dict.fromkeys(w for c in compared for w in c[1:3])}
        found = {way: run() for way, run in ways.items()}
        turns = race(ways, rounds, partial(take_turn, patience=left))
        seconds = {way: [turn.seconds for turn in taken] for way, taken in turns.items()}
        for words, base, other, goal in compared:
            times = {"base_seconds": quartiles(seconds[base]), "seconds": quartiles(seconds[other])}
            about = {**rows.sizes, "name": words, "base": base, "other": other, "rounds": rounds}
            ratio = quartiles(np.divide(seconds[other], seconds[base]))
            same = agree(found[base], found[other])
            results.append({**about, **times, "goal": goal, "ratio": ratio, "same_bits": same})
    return {"blas_after": blas(), "results": results}


def thread_ways(data: Data) -> dict[str, Callable[[], Arrays]]:
    """Return the ways by name; each trains and returns what it found."""

    def train(_: object = None) -> Arrays:
        model = gpulr.train(data.X, data.y, scale=data.scale, backend="numpy")
        assert model.converged, "training has not converged"
        return [model.weights, model.intercept]

    def at_once(n: int) -> Arrays:
        with ThreadPoolExecutor(n) as pool:  # new threads every time
            return [array for arrays in pool.map(train, range(n)) for array in arrays]

    def grid_search(n_jobs: int, backend: str) -> Arrays:
        estimator = gpulr.OneVsAllLogisticRegression(scale=data.scale, backend="numpy")
        search = GridSearchCV(estimator, GRID, cv=FOLDS, n_jobs=n_jobs, refit=False)
        with joblib.parallel_config(backend=backend):
            search.fit(data.X, data.y)
        return [search.cv_results_["mean_test_score"]]

    return {
        "main": train,
        "worker": partial(at_once, 1),
        "in-turn": lambda: [array for _ in range(AT_ONCE) for array in train()],
        "at-once": partial(at_once, AT_ONCE),
        "grid-1": partial(grid_search, 1, "loky"),
        "grid-2-threading": partial(grid_search, 2, "threading"),
        "grid-2-loky": partial(grid_search, 2, "loky"),
    }


def agree(base: Arrays, other: Arrays) -> bool:
    """Return whether all bits are the same; raise where what was found is not."""
    for one, two in zip(base, other, strict=True):
        np.testing.assert_allclose(one, two, rtol=0.01, atol=0.01)
    return all(np.array_equal(one, two) for one, two in zip(base, other, strict=True))


# How often bootstrap intervals hold the truth

WEIGHTS, INTERCEPT = np.array([0.8, -0.5, 0.0]), 0.3


def coverage(
    *,
    sets: int = 1000,
    n: int = 200,
    level: float = 0.95,
    rows: list[int] = [100, 200, 500],  # noqa: B006
) -> dict[str, Any]:
    """How often bootstrap intervals hold the truth, on simulated data.

    Rows are standard normal, labels are drawn with probability σ(x·w + b), and the penalty is next
    to none, so that the weights that the intervals are to hold are w and b. --rows may be repeated.
    """
    results = []
    for n_rows in rows:
        for draws in ("poisson", "multinomial"):
            found = covered(sets, n_rows, n=n, level=level, weights=draws)
            shares = [*found[0].mean(axis=0).tolist(), float(found[1].mean())]
            results.append({"rows": n_rows, "draws": draws, "shares": shares})
    return {"sets": sets, "n": n, "level": level, "results": results}


def covered(
    sets: int, n_rows: int, *, n: int, level: float = 0.95, weights: str = "poisson", seed: int = 0
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Tell of each data set which true values its intervals hold.

    Returns (sets, 4), three weights and the intercept, and (sets, 5), the probabilities of five
    rows, the same for all data sets.
    """
    rng = np.random.default_rng(seed)
    new = rng.normal(size=(5, len(WEIGHTS)))
    truth = np.append(WEIGHTS, INTERCEPT)

    def probability(X: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return 1.0 / (1.0 + np.exp(-(X @ WEIGHTS + INTERCEPT)))

    parameters, probabilities = [], []
    for _ in range(sets):
        X = rng.normal(size=(n_rows, len(WEIGHTS)))
        y = rng.random(n_rows) < probability(X)
        result = gpulr.bootstrap(X, y, n=n, C=1e3, weights=weights, random_state=rng)
        ends = zip(result.coef_interval(level), result.intercept_interval(level), strict=True)
        low, high = (np.append(coef, intercept) for coef, intercept in ends)
        parameters.append((low <= truth) & (truth <= high))
        low, high = (end[:, 0] for end in result.proba_interval(new, level))
        probabilities.append((low <= probability(new)) & (probability(new) <= high))
    return np.array(parameters), np.array(probabilities)
