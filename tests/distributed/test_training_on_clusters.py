"""Families on Dask clusters: the same bits whoever computes, and whichever workers are killed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import gpulr
from clusters import cluster, emptied, kill, lone_worker, pids

pytest.importorskip("distributed", reason='not installed: python -m pip install ".[dask]"')

import dask.array as da

from gpulr.distributed.dask_engine import DaskEngine
from gpulr.solvers import exact_curvature, lbfgs

HOW = {"tol": 1e-7, "max_iter": 40}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(3000, 6)).astype(np.float32)
Y = (X[:, :3] + RNG.normal(size=(3000, 3))).argmax(axis=1)


@pytest.fixture(autouse=True)
def _as_if_large(monkeypatch):
    """Iterations are made on all rows, of which the sample has not all."""
    monkeypatch.setattr(lbfgs, "SAMPLE_BYTES", 1)
    monkeypatch.setattr(exact_curvature, "MOST", 0)


def lazy():
    return da.from_array(X, chunks=(700, 6))


def trained():
    model = gpulr.train(lazy(), Y, **HOW)
    return model.weights, model.intercept, model.history.cost


def searched(scoring="accuracy"):
    search = gpulr.search(lazy(), Y, Cs=[0.01, 1.0], cv=3, scoring=scoring, **HOW)
    return search.model.weights, search.scores


def searched_by_ranks():
    return searched("roc_auc_ovr_weighted")


def bootstrapped():
    found = gpulr.bootstrap(lazy(), Y, n=3, random_state=0, **HOW)
    return found.model.weights, found.coef


def bits(arrays):
    return [np.asarray(each).tobytes() for each in arrays]


OTHERS = searched, searched_by_ranks, bootstrapped
SLOW = [pytest.param(family, marks=pytest.mark.slow) for family in OTHERS]


@contextlib.contextmanager
def counted_trips(at=()):
    """Count trips, and in some of them kill one of the workers: each other time while it computes.

    A trip is counted again where it is repeated by the engine itself.
    """
    trips, asked = [], DaskEngine._asked_of

    def counting(self, numbers, question, message):
        trips.append(question.method)
        if len(trips) in at:
            alive = pids(self.client)
            chosen = alive[len(trips) % len(alive)]
            timer = threading.Timer(0.01 * (len(trips) % 2), kill, [chosen])
            timer.start()
            timer.join() if len(trips) % 2 == 0 else None
        return asked(self, numbers, question, message)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DaskEngine, "_asked_of", counting)
        yield trips


@pytest.mark.parametrize("family", [trained, *SLOW])
def test_the_same_bits_whoever_computes(family):
    found = []
    for n_workers, threads in ((1, 2), (2, 1), (3, 1)):
        with cluster(n_workers, threads):
            found.append(bits(family()))
    assert found[0] == found[1] == found[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "kills"),
    [
        (trained, lambda n: {1, 4, 7, n // 2, n}),  # loading, preparing, the sample, an iteration
        pytest.param(searched, lambda n: {n // 2, n - 1}, marks=pytest.mark.nightly),  # the refit
        pytest.param(searched_by_ranks, lambda n: {n // 2}, marks=pytest.mark.nightly),
    ],
    ids=["trained", "searched", "searched by ranks"],
)
def test_workers_that_are_killed_cost_the_repeat_of_a_trip(family, kills):
    with cluster(3, processes=True, allowed_failures=3) as client:
        with counted_trips() as trips:
            expected = bits(family())
        with counted_trips(at := kills(len(trips))) as again:
            assert bits(family()) == expected
        assert len(trips) <= len(again) <= len(trips) + 2 * len(at)
        assert emptied(client)


@pytest.mark.slow
def test_when_the_last_worker_is_gone_the_error_has_the_model(monkeypatch):
    monkeypatch.setenv("GPULR_WORKER_TIMEOUT", "1")
    with cluster(0, processes=True) as client, lone_worker(client):

        def last_kill(progress):
            if progress.iteration == 2:
                kill(*pids(client))

        with pytest.raises(gpulr.WorkersLostError, match="5 parts of 5 are lost") as caught:
            gpulr.train(lazy(), Y, callbacks=[last_kill], **HOW)
        model = caught.value.model
        assert model.history.n_iter.tolist() == [2, 2, 2]
        assert np.mean(model.predict(X) == Y) > 0.5


CLIENT = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (900 * 10**6,) * 2)
# Dask would import these where they are installed, and with them pandas, Arrow and LLVM.
sys.modules.update(sparse=None, xarray=None)
import numpy as np, dask.array as da
from distributed import Client
del sys.modules["sparse"], sys.modules["xarray"]
import gpulr
from many_rows import block, classes
from gpulr.distributed.dask_engine import DaskEngine
engines, made = [], DaskEngine.__init__
DaskEngine.__init__ = lambda self, *rest: (made(self, *rest), engines.append(self.counts))[0]
n, n_features, parts = int(sys.argv[2]), int(sys.argv[3]), 30
with Client(sys.argv[1]) as client:
    X = da.map_blocks(block, chunks=((n // parts,) * parts, (n_features,)), dtype=np.float32)
    y = X.map_blocks(classes, drop_axis=1, dtype=np.int64)
    model = gpulr.train(X, y, max_iter=2, tol=0.0)
    received = sum(counts.received for counts in engines)
    print(X.nbytes, received, model.history.cost[-1].max() < model.history.cost[0].max())
"""


@pytest.mark.nightly
@pytest.mark.parametrize(("n", "n_features"), [(3_000_000, 250), (240_000, 1000)])
def test_a_client_may_be_smaller_than_the_rows(n, n_features):
    with cluster(2, processes=True) as client:
        command = [sys.executable, "-c", CLIENT, client.scheduler.address, str(n), str(n_features)]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            **{"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},  # which reserve addresses
        }
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
        n_bytes, received, better = done.stdout.split()
        assert int(n_bytes) == 4 * n * n_features > 900 * 10**6
        assert int(received) < 45 * 10**6  # of which the sample has 12 MB, or 28
        assert better == "True"
