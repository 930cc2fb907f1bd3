"""Parts on a Dask cluster are called as parts here, and what cannot be had is said by one error."""

from __future__ import annotations

import _thread
import gc
import signal
import threading
from weakref import WeakKeyDictionary

import numpy as np
import pytest

import gpulr
from clusters import cluster, emptied, loaded, on_scheduler
from gpulr.distributed import Here
from helpers import python
from parts import Loader, Numbers

pytest.importorskip("distributed", reason='not installed: python -m pip install ".[dask]"')

from gpulr.distributed import dask_client, dask_parts, dask_worker
from gpulr.distributed.dask_engine import DaskEngine


@pytest.fixture
def engine(threads_cluster):
    return loaded(threads_cluster, [Numbers(i) for i in range(5)])


@pytest.fixture
def here():
    return Here([Numbers(i)() for i in range(5)])


def same(ours, theirs):
    assert len(ours) == len(theirs)
    for own, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(own, other, strict=True)


def test_parts_answer_as_they_do_here(engine, here, rng):
    W = rng.normal(size=(4, 3))
    assert engine.n_parts == here.n_parts
    same(engine.call("product", W), here.call("product", W))
    same(engine.call("product", W, which=[3, 0]), here.call("product", W, which=[3, 0]))
    each = [(i, 1) for i in range(5)]
    assert engine.call_each("add_up", each) == [1, 3, 5, 7, 9] == here.call_each("add_up", each)
    same(engine.map("scaled", 2.0).call("product", W), here.map("scaled", 2.0).call("product", W))
    by = [(float(i),) for i in range(5)]
    same(
        engine.map_each("scaled", by).call("product", W),
        here.map_each("scaled", by).call("product", W),
    )


def test_threads_are_given_several_parts_at_once(engine, here, rng, monkeypatch):
    shares, map_blocks = [], dask_worker.map_blocks

    def count(function, some):
        shares.extend([number for share in some for _, number, _ in share])
        assert len(some) == 1
        return map_blocks(function, some)

    monkeypatch.setattr(dask_worker, "SHARES", 1)
    monkeypatch.setattr(dask_worker, "map_blocks", count)
    W = rng.normal(size=(4, 3))
    same(engine.call("product", W), here.call("product", W))
    assert sorted(shares) == [0, 1, 2, 3, 4]


@pytest.fixture
def by_tasks(monkeypatch):
    """What was called by tasks, while calls go past them as soon as they can."""
    monkeypatch.setattr(dask_parts, "_KNOWN", 1e3)
    called, ask = [], DaskEngine._by_tasks

    def count(self, groups, question, messages):
        called.append(question.method)
        return ask(self, groups, question, messages)

    monkeypatch.setattr(DaskEngine, "_by_tasks", count)
    return called


def test_once_parts_are_known_calls_go_past_tasks(by_tasks, engine, here, rng, threads_cluster):
    W = rng.normal(size=(4, 3))
    assert engine.call("add_up") == [0, 1, 2, 3, 4]
    before = on_scheduler(threads_cluster)
    same(engine.call("product", W), here.call("product", W))
    same(engine.call("product", W, which=[3, 0]), here.call("product", W, which=[3, 0]))
    assert engine.call_each("add_up", [(i, 1) for i in range(5)]) == [1, 3, 5, 7, 9]
    assert by_tasks == ["add_up"]
    assert on_scheduler(threads_cluster) <= before
    assert engine.counts.trips == 4
    assert engine.counts.received >= 7 * W.nbytes


def test_sums_have_the_bits_that_they_have_here(by_tasks, engine, here, rng):
    W = rng.normal(size=(4, 1000))  # 32 kB
    for _ in range(2):  # by tasks, and past them
        before = engine.counts.received
        found = engine.sums("result", W)
        same(found.total, here.sums("result", W).total)
        assert engine.counts.received - before <= 5 * W.nbytes + 2000
        some = engine.sums("result", W, which=[0, 1, 4])
        some.take(engine.sums("result", W, which=[3, 2]))
        same(some.total, found.total)
    assert by_tasks == ["result"]


def test_one_worker_sends_one_sum_for_all_of_its_parts(rng):
    W = rng.normal(size=(4, 1000))
    with cluster(n_workers=1, threads_per_worker=2) as client:
        engine = loaded(client, [Numbers(i) for i in range(5)])
        engine.sums("result", W)
        assert W.nbytes <= engine.counts.received <= W.nbytes + 2000


def test_after_a_second_calls_are_tasks_again(by_tasks, engine, monkeypatch):
    monkeypatch.setattr(dask_parts, "_KNOWN", 0.0)
    for _ in range(3):
        engine.call("add_up")
    assert by_tasks == ["add_up"] * 3


def test_what_workers_do_not_answer_tasks_do(by_tasks, engine, monkeypatch):
    def forget(dask_worker):
        return dask_worker.handlers.pop("gpulr_call", None) is not None

    engine.call("add_up")
    assert any(engine.client.run(forget).values())
    assert engine.call("add_up", 1) == [1, 2, 3, 4, 5]
    assert by_tasks == ["add_up"] * 2
    engine.call("add_up")  # and where they are is asked anew
    with pytest.raises(KeyError, match="nothing of that name") as caught:
        engine.call("fail", 3)
    assert caught.value.__notes__ == ["This was in part 3."]
    assert by_tasks == ["add_up"] * 3 + ["fail"]


def test_a_worker_is_not_waited_for_whose_parts_are_elsewhere(by_tasks, engine, monkeypatch):
    monkeypatch.setattr(dask_parts, "_LOOK", 0.05)
    engine.call("add_up")
    engine.call("sleep", 0.15)
    assert by_tasks == ["add_up"]
    monkeypatch.setattr(dask_parts.DaskParts, "stay", lambda self, groups: False)
    engine.call("sleep", 0.15)
    assert by_tasks == ["add_up", "sleep"]


def test_a_call_of_no_parts_has_no_answers(engine):
    assert engine.call("add_up", which=[]) == []


def test_arguments_for_each_part_are_as_many(engine):
    with pytest.raises(ValueError, match=r"shorter|longer"):
        engine.call_each("add_up", [(1,)])
    with pytest.raises(ValueError, match=r"shorter|longer"):
        engine.map_each("scaled", [(1.0,)])


def test_parts_are_made_of_delayed_objects_of_parts_and_of_anything(threads_cluster, engine):
    import dask

    numbers = [dask.delayed(int)(i) for i in (2, 1)]
    made = DaskEngine.make(threads_cluster, Numbers, numbers, [50, 60])
    assert made.call("add_up", 1) == [3, 2]
    scaled = DaskEngine.make(
        threads_cluster, Numbers.scaled, engine.parts, [float(i) for i in range(5)]
    )
    by = [(float(i),) for i in range(5)]
    same(
        scaled.call("product", np.eye(4)), engine.map_each("scaled", by).call("product", np.eye(4))
    )


def test_parts_give_each_other_pieces(engine, here, rng):
    W = rng.normal(size=(4, 3))
    ours, theirs = (each.exchange("pieces", Numbers.joined, 3, 2.0) for each in (engine, here))
    assert ours.n_parts == theirs.n_parts == 3
    same(ours.call("product", W), theirs.call("product", W))
    again = ours.exchange("pieces", Numbers.joined, 1, 1.0).call("product", W)
    np.testing.assert_allclose(again[0], 4.0 * sum(here.call("product", W)))


@pytest.mark.parametrize("odd", [1, 3])
def test_parts_that_dask_moves_have_aligned_arrays(odd):
    from distributed.protocol import deserialize, serialize

    part = Numbers(1)()
    header, frames = serialize(dask_worker.Movable(part))
    received = [memoryview(bytearray(odd) + bytearray(frame))[odd:] for frame in frames]
    moved = deserialize(header, received).part
    assert moved.X.flags.aligned
    odd_block = np.frombuffer(bytearray(odd) + bytearray(part.X.tobytes()), offset=odd)
    assert not odd_block.flags.aligned
    assert dask_worker.make(np.asarray, odd_block).part.flags.aligned
    np.testing.assert_array_equal(moved.X, part.X)
    assert dask_worker.Movable(np.zeros(10**6)).__sizeof__() >= 8e6


def test_trips_and_bytes_are_counted_once_for_each_worker(engine, rng):
    W = rng.normal(size=(4, 1000))  # 32 kB
    engine.call("add_up")
    before = engine.counts.sent, engine.counts.received
    engine.call("product", W)
    assert engine.counts.trips == 2
    assert W.nbytes <= engine.counts.sent - before[0] <= 2 * W.nbytes + 1000
    assert 5 * W.nbytes <= engine.counts.received - before[1] <= 5 * W.nbytes + 2000


def test_large_messages_are_sent_without_a_warning(engine):
    assert engine.call("add_up", *[0.0] * 10, which=[1]) == [1.0]
    W = np.zeros((4, 350_000))  # 11.2 MB
    assert engine.call("product", W, which=[1])[0].shape == W.shape


def test_errors_of_a_part_arrive_as_they_are_and_name_it(engine):
    with pytest.raises(KeyError, match="nothing of that name") as caught:
        engine.call("fail", 3)
    assert caught.value.__notes__ == ["This was in part 3."]
    assert engine.call("add_up") == [0, 1, 2, 3, 4]


def loading(client, error):
    return loaded(client, [Loader(0), Loader(1), Loader(2, error), Loader(3)])


def test_what_a_loader_raises_is_the_cause_of_one_error(threads_cluster):
    engine = loading(threads_cluster, FileNotFoundError("no file"))
    for _ in range(2):
        with pytest.raises(gpulr.DataError, match=r"Part 2 of 4 .*no file") as caught:
            engine.map("scaled", 2.0).call("add_up")
        assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_gpulrs_own_errors_of_a_loader_arrive_as_they_are(threads_cluster):
    engine = loading(threads_cluster, gpulr.DataError("part 2 has NaN in row 7"))
    for _ in range(2):
        with pytest.raises(gpulr.DataError) as caught:
            engine.call("add_up")
        assert str(caught.value) == "part 2 has NaN in row 7"
        assert caught.value.__notes__ == ["This was in part 2."]


def test_nothing_stays_on_the_scheduler(threads_cluster):
    before = on_scheduler(threads_cluster)
    engine = loaded(threads_cluster, [Numbers(i) for i in range(5)])
    derived = engine.map("scaled", 2.0)
    for _ in range(3):
        derived.call("add_up")
    with pytest.raises(KeyError):
        derived.call("fail", 1)
    del engine, derived
    assert emptied(threads_cluster, before)


@pytest.mark.parametrize(
    "error", [gpulr.DataError("NaN in row 7"), OSError("no disk")], ids=["ours", "other"]
)
def test_nothing_stays_of_parts_that_cannot_be_made(threads_cluster, error):
    before = on_scheduler(threads_cluster)
    with pytest.raises(gpulr.DataError):
        loading(threads_cluster, error).call("add_up")
    assert emptied(threads_cluster, before)


def test_a_part_is_let_go_once_others_are_made_of_it(threads_cluster):
    before = on_scheduler(threads_cluster)
    derived = loaded(threads_cluster, [Numbers(i) for i in range(5)]).map("scaled", 2.0)
    derived.call("add_up")
    gc.collect()
    held = [key for keys in threads_cluster.has_what().values() for key in keys]
    assert sum(key.startswith("make") for key in held if key not in before) == 0
    assert sum(key.startswith("derive") for key in held if key not in before) == 5


@pytest.fixture
def ctrl_c_raises():
    """As on a terminal; the tests may run in the background of a shell, where it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_raises")
def test_ctrl_c_cancels_what_runs_and_leaves_nothing(threads_cluster):
    before = on_scheduler(threads_cluster)
    engine = loaded(threads_cluster, [Numbers(i) for i in range(5)])
    engine.call("add_up")
    # Again, where the first comes while Python tidies up, which drops what is raised then.
    timers = [threading.Timer(after, _thread.interrupt_main) for after in (0.3, 1.5, 2.5)]
    for timer in timers:
        timer.start()
    with pytest.raises(KeyboardInterrupt):
        engine.call("sleep", 2.0)
    for timer in timers:
        timer.cancel()
    assert emptied(threads_cluster, before)


def test_workers_use_their_own_threads_and_no_more():
    with cluster(n_workers=1, threads_per_worker=3) as client:
        engine = loaded(client, [Numbers(i) for i in range(6)])
        assert engine.call("threads", which=[4]) == [3]  # of rows in a part, or of parts
        assert len(set(engine.call("thread"))) == 3
        assert engine.map("counted").call("add_up") == [1] * 6  # as three of them run at once


@pytest.fixture
def workers_have(monkeypatch):
    """Let workers, which are threads here, say that they have something else."""
    ours = dask_worker.versions()
    monkeypatch.setattr(dask_client, "_known", WeakKeyDictionary())

    def put(**other):
        def versions():
            main = threading.current_thread() is threading.main_thread()
            return ours if main else ours | other

        monkeypatch.setattr(dask_worker, "versions", versions)

    return put


def test_a_worker_with_another_gpulr_is_refused(workers_have, threads_cluster):
    workers_have(gpulr="0.0")
    with pytest.raises(gpulr.BackendUnavailableError, match=r"worker .* has gpulr 0\.0.* the same"):
        loaded(threads_cluster, [Numbers(0)])


def test_a_scheduler_that_runs_nothing_is_no_obstacle(workers_have, threads_cluster, monkeypatch):
    def refuse(*_, **__):
        raise ValueError("Cannot run functions on this scheduler")

    workers_have()
    monkeypatch.setattr(threads_cluster, "run_on_scheduler", refuse)
    assert loaded(threads_cluster, [Numbers(0)]).call("add_up") == [0]


def test_other_versions_of_numpy_are_said(workers_have, threads_cluster):
    workers_have(NumPy="2.1.0")
    with pytest.warns(gpulr.VersionWarning, match=r"2 workers of 2 .*'NumPy': '2.1.0'"):
        loaded(threads_cluster, [Numbers(0)])
    loaded(threads_cluster, [Numbers(0)])  # once


@pytest.mark.parametrize("client", [None, "tcp://127.0.0.1:8786"])
def test_what_is_no_client_is_refused(client):
    with pytest.raises(gpulr.ParameterError, match=r"Expected a distributed\.Client"):
        loaded(client, [Numbers(0)])


def test_without_workers_a_typed_error_says_what_is_lost(monkeypatch):
    monkeypatch.setenv("GPULR_WORKER_TIMEOUT", "0.3")
    with cluster(n_workers=1) as client:
        engine = loaded(client, [Numbers(i) for i in range(3)])
        assert engine.call("add_up") == [0, 1, 2]
        client.cluster.scale(0)
        client.cluster.sync(client.cluster._correct_state)
        with pytest.raises(gpulr.WorkersLostError, match=r"for 0\.3 s; 3 parts of 3") as caught:
            engine.call("add_up")
        assert caught.value.parts == (0, 1, 2)
        with pytest.raises(gpulr.WorkersLostError, match=r"no worker came\. .* up to 0\.3 s"):
            loaded(client, [Numbers(0)])
        client.cluster.scale(1)
        assert engine.call("add_up") == [0, 1, 2]


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan"])
def test_a_time_that_is_none_is_refused(monkeypatch, threads_cluster, value):
    monkeypatch.setenv("GPULR_WORKER_TIMEOUT", value)
    with pytest.raises(gpulr.ParameterError, match=r"GPULR_WORKER_TIMEOUT=.*seconds > 0"):
        loaded(threads_cluster, [Numbers(0)])


def test_closed_clients_are_said():
    with cluster(n_workers=1) as client:
        engine = loaded(client, [Numbers(0)])
        engine.call("add_up")
        client.close()
        for use in (lambda: engine.call("add_up"), lambda: engine.map("scaled", 2.0)):
            with pytest.raises(gpulr.WorkersLostError, match="client is closed"):
                use()
        with pytest.raises(gpulr.WorkersLostError, match="client is closed"):
            loaded(client, [Numbers(0)])


def test_neither_gpulr_nor_its_parts_load_dask():
    code = "import sys, gpulr, gpulr.distributed; print({'dask', 'distributed'} & set(sys.modules))"
    assert python(code).strip() == "set()"
