"""Workers are killed by their process id, whatever they do: answers stay, and cost a repeat."""

from __future__ import annotations

import signal
import threading
from weakref import WeakKeyDictionary

import numpy as np
import pytest

import gpulr
from clusters import cluster, kill, loaded, lone_worker, pids, scheduler
from gpulr.distributed import Here
from parts import Loader, Numbers

pytest.importorskip("distributed", reason='not installed: python -m pip install ".[dask]"')

from gpulr.distributed import dask_client, dask_parts

pytestmark = pytest.mark.slow
N_PARTS = 4


@pytest.fixture(scope="module")
def client():
    """Two workers, of which a task may end one."""
    with cluster(processes=True) as client:
        yield client


def answers(engine):
    W = np.arange(12.0).reshape(4, 3)
    return [answer.tobytes() for answer in engine.call("product", W)]


@pytest.fixture
def expected():
    return answers(Here([Numbers(i)() for i in range(N_PARTS)]).map("scaled", 2.0))


def engine_of(client, third=None):
    loaders = [Numbers(i) for i in range(N_PARTS)]
    loaders[2] = third or loaders[2]
    return loaded(client, loaders)


def test_killed_in_each_phase_one_after_the_other(client, expected, tmp_path):
    flags = [tmp_path / name for name in ("load", "map", "call")]
    for flag in flags:
        flag.touch()
    loaded = engine_of(client, Loader(2, kills=True, flag=flags[0]))
    own = [(2.0, flags[1] if i == 1 else None) for i in range(N_PARTS)]
    mapped = loaded.map_each("scaled", own)
    assert answers(mapped) == expected
    assert mapped.call("kill", 3, flags[2]) == list(range(N_PARTS))
    assert not any(flag.exists() for flag in flags)
    assert answers(mapped) == expected
    for pid in pids(client):  # between two calls
        kill(pid)
        assert answers(mapped) == expected


def test_killed_while_parts_give_each_other_pieces(client, tmp_path):
    flag = tmp_path / "piece"
    flag.touch()
    here = Here([Numbers(i)() for i in range(N_PARTS)])
    whole = here.exchange("pieces", Numbers.joined, 3, 2.0)
    made = engine_of(client).exchange("pieces", Numbers.joined, 3, 2.0, flag)
    assert answers(made) == answers(whole)
    assert not flag.exists()
    for pid in pids(client):
        kill(pid)
        assert answers(made) == answers(whole)


@pytest.mark.parametrize("known", [0.0, 1e3], ids=["by tasks", "past tasks"])
def test_all_are_killed_during_a_call(client, expected, known, monkeypatch):
    engine = engine_of(client).map("scaled", 2.0)
    engine.call("add_up")
    monkeypatch.setattr(dask_parts, "_KNOWN", known)
    timers = [threading.Timer(0.3, kill, [pid]) for pid in pids(client)]
    for timer in timers:
        timer.start()
    assert engine.call("sleep", 0.5) == [None] * N_PARTS
    assert answers(engine) == expected


def test_one_that_nobody_starts_again_is_replaced_by_others(processes, expected, monkeypatch):
    client = processes(n_workers=0)
    monkeypatch.setenv("GPULR_WORKER_TIMEOUT", "2")
    with lone_worker(client) as first:
        engine = engine_of(client).map("scaled", 2.0)
        assert answers(engine) == expected
        with lone_worker(client) as second:  # it joins, and then it is alone
            assert answers(engine) == expected
            first.kill()
            assert answers(engine) == expected
            second.kill()
            with pytest.raises(gpulr.WorkersLostError, match=r"for 2 s; 4 parts of 4") as caught:
                engine.call("add_up")
            assert caught.value.parts == (0, 1, 2, 3)
        with lone_worker(client, threads=2):
            assert answers(engine) == expected


def test_a_part_that_kills_its_worker_is_named(client, expected):
    engine = engine_of(client).map("scaled", 2.0)
    with pytest.raises(gpulr.WorkersLostError, match=r"Part 2 of 4 ends .*\(kill\)") as caught:
        engine.call("kill", 2)
    assert caught.value.parts == (2,)
    assert type(caught.value.__cause__).__name__ == "KilledWorker"
    assert answers(engine) == expected
    with pytest.raises(gpulr.WorkersLostError, match="Part 2 of 4 ends") as caught:
        engine_of(client, Loader(2, kills=True)).call("add_up")
    assert caught.value.parts == (2,)


def test_a_scheduler_that_died_is_said(processes):
    import dask

    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        client = processes(n_workers=1)
        engine = engine_of(client)
        engine.call("add_up")
        timer = threading.Timer(0.5, client.cluster.close)
        timer.start()
        with pytest.raises(gpulr.WorkersLostError, match="cannot go on"):
            engine.call("sleep", 20.0)
        timer.join()
        with pytest.raises(gpulr.WorkersLostError, match="cannot go on"):
            engine.call("add_up")


def test_a_scheduler_that_stopped_is_not_waited_for(monkeypatch, tmp_path):
    from distributed import Client

    monkeypatch.setenv("GPULR_WORKER_TIMEOUT", "2")
    with (
        scheduler(tmp_path / "s.json") as (process, address),
        Client(address) as client,
        lone_worker(client) as worker,
    ):
        engine = engine_of(client)
        engine.call("add_up")
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(gpulr.WorkersLostError, match="cannot go on"):
            engine.call("add_up")
        with pytest.raises(gpulr.WorkersLostError, match=r"its scheduler has not .* up to 2 s"):
            engine_of(client)
        process.send_signal(signal.SIGCONT)
        assert len(engine.call("add_up")) == N_PARTS

        monkeypatch.setattr(dask_client, "_known", WeakKeyDictionary())
        worker.send_signal(signal.SIGSTOP)
        with pytest.raises(gpulr.WorkersLostError, match="not every one of 1 worker has answered"):
            engine_of(client)
        worker.send_signal(signal.SIGCONT)


def test_who_lacks_gpulr_is_said_before_anything_is_computed(tmp_path):
    from distributed import Client

    lacking, words = ["gpulr"], r"cannot import it .* Install the same version"
    with (
        scheduler(tmp_path / "s.json", lacking) as (_, address),
        Client(address) as client,
        lone_worker(client),
        pytest.raises(gpulr.BackendUnavailableError, match=rf"has: the scheduler {words}"),
    ):
        engine_of(client)
    with (
        scheduler(tmp_path / "t.json") as (_, address),
        Client(address) as client,
        lone_worker(client, lacking=lacking),
        lone_worker(client, lacking=lacking),
    ):
        named = r"has: worker tcp.* cannot import it .*; worker tcp"
        with pytest.raises(gpulr.BackendUnavailableError, match=f"{named}.*{words}") as caught:
            engine_of(client)
        assert "gpulr" in str(caught.value.__cause__)


def test_workers_keep_freed_memory_and_use_their_threads(processes):
    client = processes(n_workers=1, threads_per_worker=2)
    engine = engine_of(client)
    assert engine.call("threads", which=[1]) == [2]
    assert max(engine.call("page_faults")) < 100
