"""Blocks of rows over threads: order, the limit on BLAS and its restoration, forked children."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import gpulr
from gpulr.backend import threads
from gpulr.solvers.lbfgs import LBFGS
from helpers import python


def blas_threads():
    return [library.num_threads for library in threads._blas_libraries()]


@pytest.fixture
def two_threads(monkeypatch):
    """BLAS and passes have two threads, on any machine."""
    libraries = threads._blas_libraries()
    if not libraries:
        pytest.skip("threadpoolctl knows no BLAS here")
    before = blas_threads()
    for library in libraries:
        library.set_num_threads(2)
    yield blas_threads()
    for library, count in zip(libraries, before, strict=True):
        library.set_num_threads(count)


def test_results_come_in_the_order_of_the_blocks(two_threads):
    def slow_first(block):
        time.sleep(0.02 if block == 0 else 0)
        return block

    assert list(threads.map_blocks(slow_first, range(20))) == list(range(20))


def test_blocks_run_on_two_threads_with_one_blas_thread_each(two_threads):
    both = threading.Barrier(2, timeout=10)  # passes only if two blocks run at the same time

    def work(block):
        both.wait()
        return threading.current_thread().name, blas_threads()

    names, limits = zip(*threads.map_blocks(work, range(2)), strict=True)
    assert len(set(names)) == 2
    assert all(set(limit) == {1} for limit in limits)
    assert blas_threads() == two_threads


def test_the_limit_is_lifted_after_exceptions(two_threads, blobs, monkeypatch):
    def fail(block):
        raise error(f"block {block}")

    for error in (ZeroDivisionError, KeyboardInterrupt):
        with pytest.raises(error, match="block 0"):
            list(threads.map_blocks(fail, range(4)))
        assert blas_threads() == two_threads
        with pytest.raises(error, match="block 0"):  # the consumer stops half way
            list(map(fail, threads.map_blocks(abs, range(8))))
        assert blas_threads() == two_threads
    monkeypatch.setattr(gpulr.backend.NumPyBackend, "block_bytes", 1000)
    X, y = blobs
    gpulr.train(X, y, max_iter=3, tol=0)
    assert blas_threads() == two_threads
    for error, rows, settings in (
        (gpulr.DataError, np.where(X > 1, np.nan, X), {}),
        (gpulr.DivergenceError, X, {"solver": "gd", "learning_rate": 1e30}),
    ):
        with pytest.raises(error):
            gpulr.train(rows, y, **settings)
        assert blas_threads() == two_threads


def in_a_thread(function):
    """Return what a function returns in a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result(timeout=60)


def test_all_of_training_in_another_thread_has_one_blas_thread(two_threads, blobs):
    X, y = blobs
    seen = set()
    in_a_thread(lambda: gpulr.train(X, y, callbacks=[lambda progress: seen.update(blas_threads())]))
    for counts in in_a_thread(lambda: [*threads.map_blocks(lambda _: blas_threads(), range(4))]):
        seen.update(counts)
    assert seen == {1}
    assert blas_threads() == two_threads


@pytest.mark.parametrize("last", ["the thread that set it", "another thread"])
def test_whoever_is_the_last_user_restores_the_number(two_threads, last):
    entered, leave = threading.Event(), threading.Event()

    def use():
        with threads.one_blas_thread():
            entered.set()
            leave.wait(timeout=60)

    other = threading.Thread(target=use)
    with threads.one_blas_thread():
        other.start()
        entered.wait(timeout=60)
        if last == "the thread that set it":
            leave.set()
            other.join()
            assert set(blas_threads()) == {1}
            assert threads.thread_count() == 2  # not the limit that another pass has set
    leave.set()
    other.join()
    assert blas_threads() == two_threads


def test_what_others_set_meanwhile_is_limited_and_then_restored(two_threads):
    with threads.one_blas_thread():
        with threadpool_limits(3):
            inside = list(threads.map_blocks(lambda block: blas_threads(), range(4)))
            assert {count for counts in inside for count in counts} == {1}
            assert threads.thread_count() == 3
        in_a_thread(lambda: [lib.set_num_threads(3) for lib in threads._blas_libraries()])
        threads.one_blas_thread.renew()
        assert set(blas_threads()) == {1}
    assert set(blas_threads()) == {3}


def test_limits_of_a_program_still_work_beside_ours(two_threads):
    in_a_thread(lambda: list(threads.map_blocks(abs, range(4))))
    with threadpool_limits(1):
        assert set(blas_threads()) == {1}
        in_a_thread(lambda: list(threads.map_blocks(abs, range(4))))
        assert set(blas_threads()) == {1}
    assert blas_threads() == two_threads


class BlasOfEachThread:
    """OpenBLAS on OpenMP: each thread has its own number, two unless it sets another."""

    threading_layer = "openmp"

    def __init__(self):
        self.here = threading.local()

    @property
    def num_threads(self):
        return getattr(self.here, "count", 2)

    def set_num_threads(self, count):
        self.here.count = count


def test_numbers_that_each_thread_has_for_itself(monkeypatch):
    library = BlasOfEachThread()
    monkeypatch.setattr(threads, "_blas_libraries", lambda: [library])

    def limits():
        inside = list(threads.map_blocks(lambda block: library.num_threads, range(4)))
        return inside, library.num_threads

    library.set_num_threads(3)
    with threads.one_blas_thread():
        assert library.num_threads == 1
        assert in_a_thread(limits) == ([1] * 4, 2)
    assert library.num_threads == 3
    assert limits() == ([1] * 4, 3)


def test_small_trainings_take_turns_and_their_callbacks_do_not(blobs, monkeypatch):
    """Small steps in several threads would only get in each other's way."""
    X, y = blobs
    step, at_work, most = LBFGS.step, [], []
    together = threading.Barrier(4, timeout=30)  # passes only if all callbacks run at once

    def watched(solver, problem, state):
        at_work.append(problem)
        time.sleep(0.002)  # another thread's step would come in here
        most.append(len(at_work))
        at_work.pop()
        return step(solver, problem, state)

    def train(_):
        gpulr.train(X, y, max_iter=3, tol=0, callbacks=[lambda progress: together.wait()])

    monkeypatch.setattr(LBFGS, "step", watched)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(train, range(4)))
    assert set(most) == {1}


def test_blocks_that_have_begun_are_waited_for(two_threads):
    begun, done = threading.Event(), []

    def work(block):
        if block == 0:
            begun.wait(timeout=60)
            raise ZeroDivisionError
        begun.set()
        time.sleep(0.05)
        done.append(block)

    with pytest.raises(ZeroDivisionError):
        list(threads.map_blocks(work, range(20)))
    at_once = len(done)
    assert at_once
    time.sleep(0.1)
    assert len(done) == at_once


def test_trainings_in_two_threads_at_once(two_threads, blobs, monkeypatch):
    monkeypatch.setattr(gpulr.backend.NumPyBackend, "block_bytes", 1000)
    X, y = blobs
    alone = gpulr.train(X, y, max_iter=20, tol=0)
    with ThreadPoolExecutor(4) as pool:
        for model in pool.map(lambda _: gpulr.train(X, y, max_iter=20, tol=0), range(4)):
            np.testing.assert_array_equal(model.weights, alone.weights)
    assert blas_threads() == two_threads


TRAIN_IN_BLOCKS = """
import os, threading, time, warnings
import numpy as np, gpulr
from gpulr import backend
from gpulr.backend import threads
warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads: the point here
backend.NumPyBackend.block_bytes = 1000
for library in threads._blas_libraries():
    library.set_num_threads(2)
X, y = np.random.default_rng(0).normal(size=(90, 4)), np.arange(90) % 3
train = lambda: gpulr.train(X, y, max_iter=5, tol=0)
"""
FORKS = {
    "a forked child trains too": """
weights = train().weights
child = os.fork()
if not child:
    os._exit(0 if np.array_equal(train().weights, weights) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""",
    "a child forked in mid-pass is not left with the limit": """
inside, done = threading.Event(), threading.Event()
def hold():
    with threads.one_blas_thread():
        inside.set()
        done.wait()
threading.Thread(target=hold, daemon=True).start()
inside.wait()
child = os.fork()
if not child:
    train()
    os._exit(0 if {lib.num_threads for lib in threads._blas_libraries()} == {2} else 1)
done.set()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""",
    "beside a thread that trains": """
backend.NumPyBackend.block_bytes = 8_000_000
train()  # what is imported late is there: a child would wait for a thread that imports it
stop, large = threading.Event(), np.random.default_rng(0).normal(size=(20_000, 500))
def train_on():
    while not stop.is_set():
        gpulr.train(large, np.arange(20_000) % 10, max_iter=3, tol=0)
trainer = threading.Thread(target=train_on)
trainer.start()
for i in range(20):
    time.sleep(0.01)
    child = os.fork()
    if not child:
        os._exit(0 if i % 10 or train().n_iter == 5 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
stop.set()
trainer.join()
print(*{lib.num_threads - 2 for lib in threads._blas_libraries()})
""",
    "a fork waits until a thread is between two products": """
train()  # the compiler has been loaded: for that, too, a fork waits
inside, seen = threading.Event(), []
def hold():
    with backend.select("numpy").activate():
        inside.set()
        time.sleep(0.3)
        seen.append("computed")
        threads.computing.let_forks_go()
        seen.append("went on")
holder = threading.Thread(target=hold)
holder.start()
inside.wait()
child = os.fork()
if not child:
    os._exit(0 if seen == ["computed"] and train().n_iter == 5 else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
holder.join()
assert seen == ["computed", "went on"]
""",
    "a fork does not wait for ever": """
inside, done = threading.Event(), threading.Event()
def hold():
    with backend.select("numpy").activate():
        inside.set()
        done.wait()
threading.Thread(target=hold).start()
inside.wait()
child = os.fork()
if not child:
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
done.set()
""",
    "a child forked in its own turn ends it": """
with threads.turn:
    child = os.fork()
if not child:
    os._exit(0 if train().n_iter == 5 else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""",
    "a callback forks": """
def fork(progress):
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
gpulr.train(X, y, max_iter=5, tol=0, callbacks=[fork])
print(int(not threads.computing.quiet))
""",
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("code", FORKS.values(), ids=FORKS.keys())
def test_forks(code):
    assert python(TRAIN_IN_BLOCKS + code, timeout=60).strip() == "0"


def test_a_fork_that_did_not_wait_to_the_end_found_others_inside(monkeypatch):
    computing = type(threads.computing)()

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(computing._changed, "wait_for", interrupted)
    with pytest.raises(KeyboardInterrupt):
        computing.before_fork()
    assert not computing.quiet


def test_a_thread_that_outlives_the_main_one_trains_on():
    code = """
main = threading.main_thread()
def train_after_it():
    train()
    while main.is_alive():
        time.sleep(0.01)
    time.sleep(0.1)
    print(train().n_iter)
threading.Thread(target=train_after_it).start()
"""
    assert python(TRAIN_IN_BLOCKS + code, timeout=30).strip() == "5"


def test_omp_num_threads_counts():
    code = TRAIN_IN_BLOCKS.replace("set_num_threads(2)", "num_threads")
    code += "print(threads.thread_count(), train().n_iter, threading.active_count())"
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    assert python(code, **limits).split() == ["1", "5", "1"]


def test_what_blocks_map_in_their_turn_waits_for_no_thread(monkeypatch):
    monkeypatch.setattr(threads, "thread_count", lambda: 2)

    def of(block):
        return list(threads.map_blocks(lambda inner: 10 * block + inner, range(4)))

    expected = [[10 * block + inner for inner in range(4)] for block in range(6)]
    for _ in range(20):
        assert list(threads.map_blocks(of, range(6))) == expected
