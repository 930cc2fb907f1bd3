"""An iteration on a Dask cluster, beyond its pass: ``bench goals --only clusters``.

The same rows in this process, and in parts on the workers of a ``LocalCluster``, which share its
cores. An iteration makes two trips: a direction goes out and three sums for each model come back,
then steps go out and a gradient comes back.

When do 100 workers stop paying? On paper: an iteration on w workers takes P ÷ w, where P is its
time on one of them, some 6 ms for two trips that compute nothing (22 ms by tasks), and w times what
a worker costs the scheduler and the client: two messages, 0.5 ms each, of 8 n k bytes (n features,
k models), one to the worker and one back from each of its parts, at worst. So one more worker
shortens it while P > c w², c = 1 ms + 16 n k bytes ÷ 1 GB/s for one part a worker.

- MNIST's ten digits: 63 kB each way, c = 1.1 ms. The hundredth worker pays while P > 11 s, and then
  an iteration takes 0.23 s in place of 11 s. A core takes 14 ms for 56,000 rows: that is from
  4·10⁷ rows on, 34 GB of bytes. Of 4·10⁶ rows, P = 1.1 s, no more than 32 workers pay: 0.08 s.
- 1,000 classes of 1,000 features: 8 MB each way, c = 17 ms. P has to be 170 s, of 5·10⁶ rows (20 GB
  as float32): sums of many parts through one client are then what takes the time, and parts are
  best as large as workers hold.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np

from bench.data import DATA, Data
from bench.ratios import Result
from bench.run import Patience, quartiles, wait
from gpulr.backend import NumPyBackend
from gpulr.core.problem import Problem
from gpulr.core.rows import Rows
from gpulr.core.targets import ClassTargets
from gpulr.distributed import Before, Elsewhere, Here, Part, PartitionedProblem, Parts

ROUNDS = {"iteration": 25}
WORKERS = {1: 2, 2: 1}  # each with so many threads
MOST = {4: 0.03, 16: 0.06, 64: 0.08}  # seconds, by parts
BACKEND = NumPyBackend("numpy", np)


def clusters(size: float, patience: Patience) -> Iterator[Result]:
    """Two trips of an iteration on a cluster − the same iteration in this process."""
    work = DATA["mnist"]().part(size)
    rows, targets = _rows(work), _targets(work.y, work.n_classes)
    C = np.ones(work.n_classes)
    base = iteration(Problem.of(rows, targets, C))
    for workers, threads in WORKERS.items():
        with cluster(workers, threads) as client:
            for n_parts, most in MOST.items():
                ours = iteration(_parted(work, n_parts, C, client))
                np.testing.assert_array_equal(ours(), iteration(_parted(work, n_parts, C))())
                np.testing.assert_allclose(ours(), base(), rtol=1e-3, atol=1e-6)
                beyond, times = [], {"ours": [], "base": []}
                for _ in range(ROUNDS["iteration"]):
                    for name, run in (("base", base), ("ours", ours)):
                        wait(patience)
                        started = time.perf_counter()
                        run()
                        times[name].append(time.perf_counter() - started)
                    beyond.append(times["ours"][-1] - times["base"][-1])
                words = f"{workers} worker{'s' * (workers > 1)}, {n_parts} parts"
                yield {
                    "what": f"two trips of an iteration, {words}",
                    "label": "in one process",
                    **{
                        "at_most": most,
                        "ratio": quartiles(beyond),
                        "unit": "s",
                        "rounds": len(beyond),
                    },
                    "ours_seconds": quartiles(times["ours"]),
                    "base_seconds": quartiles(times["base"]),
                }


def iteration(problem: Problem) -> Callable[[], Any]:
    """Return a function that does what an iteration of L-BFGS asks of a problem."""
    rng = np.random.default_rng(0)
    theta, direction = (rng.normal(scale=0.01, size=problem.start().shape) for _ in range(2))
    t, Z = np.full(problem.n_models, 0.5), problem.margins(theta)

    def run() -> Any:
        along = problem.margins(direction)
        problem.derivatives_along(Z, along)
        return problem.evaluate_margins(Z.along(along, t), theta + t * direction).gradient

    run()
    return run


@contextmanager
def cluster(workers: int, threads: int) -> Iterator[Any]:
    """Yield a client of workers that are processes of their own."""
    from distributed import Client, LocalCluster

    options = {"n_workers": workers, "threads_per_worker": threads, "dashboard_address": ":0"}
    with LocalCluster(processes=True, **options) as local, Client(local) as client:
        yield client


def _rows(work: Data) -> Rows:
    return Rows(work.X, work.scale, None, BACKEND, np.float32)


def _targets(y: Any, n_classes: int) -> ClassTargets:
    return ClassTargets(y.astype(np.int32), np.eye(n_classes, dtype=np.float32), BACKEND)


def _parted(work: Data, n_parts: int, C: Any, client: Any = None) -> PartitionedProblem:
    """Return the problem of rows that are cut into parts, here or on a cluster."""
    edges = np.linspace(0, len(work.y), n_parts + 1).astype(int)
    some = [slice(a, b) for a, b in pairwise(edges)]
    columns = [
        [_rows(Data(work.name, work.X[s], work.y[s], work.scale)) for s in some],
        [_targets(work.y[s], work.n_classes) for s in some],
        [None] * n_parts,
        [Before(np.bincount(work.y[: s.start], minlength=work.n_classes), s.start) for s in some],
        ["numpy"] * n_parts,
    ]
    if client is None:
        engine: Any = Here(map(Part, *columns))
    else:
        from gpulr.distributed.dask_engine import DaskEngine

        engine = DaskEngine.make(client, Part, *columns)
    common = Rows(Elsewhere(work.X.shape, work.X.dtype), work.scale, None, BACKEND, np.float32)
    return PartitionedProblem.of(Parts(engine, common, _targets(work.y[:0], work.n_classes)), C)
