"""Parts are loaded by one thread, one ahead, and the last ones stay as memory allows."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import weakref

import numpy as np
import pytest
from scipy.sparse import csr_array

from gpulr.errors import ParameterError
from gpulr.sources import Blocks, PartData, PartReader

LENGTHS = [5, 1, 7, 4]
X = np.arange(17 * 3, dtype=np.float32).reshape(17, 3)


class Loads:
    """Loads parts of X, and notes which, in which threads, and which are still there."""

    def __init__(self, rows=X, seconds=0.0):
        self.rows, self.seconds = rows, seconds
        self.edges = np.cumsum([0, *LENGTHS])
        self.calls, self.threads, self.alive, self.most = [], set(), weakref.WeakSet(), 0
        self.busy = 0

    def __call__(self, i):
        self.busy += 1
        assert self.busy == 1
        self.calls.append(i)
        self.threads.add(threading.get_ident())
        time.sleep(self.seconds)
        part = PartData(self.rows[self.edges[i] : self.edges[i + 1]].copy())
        self.alive.add(part)
        self.most = max(self.most, len(self.alive))
        self.busy -= 1
        return part


def parts_of(load, memory=0):
    parts = PartReader(load, len(LENGTHS), memory)
    parts.edges = np.cumsum([0, *LENGTHS]).tolist()
    return parts


@pytest.mark.parametrize("rows", [X, csr_array(X)], ids=["dense", "sparse"])
@pytest.mark.parametrize("span", [(0, 17), (0, 5), (2, 4), (4, 7), (5, 6), (6, 13), (16, 17)])
def test_rows_are_those_of_the_parts(rows, span):
    found = parts_of(Loads(rows))(*span)
    expected = rows[span[0] : span[1]]
    if rows is not X:
        found, expected = found.toarray(), expected.toarray()
    np.testing.assert_array_equal(found, expected)


def test_each_pass_loads_each_part_once_in_a_thread_of_its_own():
    load = Loads()
    parts = parts_of(load)
    for _ in range(3):
        for start in range(17):
            parts(start, start + 1)
    assert load.calls == [0, 1, 2, 3] * 3
    assert len(load.threads) == 1
    assert threading.get_ident() not in load.threads


def test_parts_in_any_order_are_right():
    load = Loads()
    parts = parts_of(load)
    for start in np.random.default_rng(0).permutation(17).tolist() * 3:
        np.testing.assert_array_equal(parts(start, start + 1), X[start : start + 1])


@pytest.mark.parametrize(
    ("memory", "second"),
    [(0, [0, 1, 2, 3]), (4 * 12, [0, 1, 2]), (11 * 12, [0, 1]), (12 * 12, [0]), (17 * 12, [])],
)
def test_the_last_parts_stay_as_memory_allows(memory, second):
    load = Loads()
    parts = parts_of(load, memory)
    parts(0, 17)
    assert load.calls == [0, 1, 2, 3]
    for _ in range(3):
        del load.calls[:]
        parts(0, 17)
        assert load.calls == second


def test_no_more_than_the_part_in_use_and_the_next_are_there():
    load = Loads(seconds=0.01)
    parts = parts_of(load)
    for _ in range(2):
        for start in range(17):
            block = parts(start, start + 1)  # the one before is let go
            time.sleep(0.002)
    assert load.most == 2
    assert block.shape == (1, 3)


def test_the_next_part_waits_for_blocks_of_the_one_before():
    load = Loads()
    parts = parts_of(load)
    held = parts(0, 2)
    parts(5, 6)
    time.sleep(0.05)
    assert load.calls == [0, 1]
    del held
    for _ in range(1000):
        if load.calls == [0, 1, 2]:
            break
        time.sleep(0.001)
    assert load.calls == [0, 1, 2]
    held = parts(6, 8)
    np.testing.assert_array_equal(parts(13, 15), X[13:15])  # whoever needs it gets it at once
    assert held.shape == (2, 3)


def test_what_loading_raises_is_raised_by_whoever_needs_the_part():
    def load(i):
        if i == 1:
            raise ValueError("no")
        return PartData(X[:5] if i == 0 else X[6:13])

    parts = parts_of(load)
    parts(0, 5)
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            parts(5, 6)
    np.testing.assert_array_equal(parts(6, 8), X[6:8])


@pytest.mark.parametrize("stop", [17, 6], ids=["all parts", "with one that waits to be loaded"])
def test_its_thread_ends_with_it(stop):
    parts = parts_of(Loads())
    held = parts(0, 2)
    parts(5, stop)
    thread = parts._thread
    del parts
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()
    assert thread.daemon  # nor does the end of the process wait for it
    assert held.shape == (2, 3)


def test_without_memory_for_a_thread_whoever_asks_loads(monkeypatch):
    def start(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    load = Loads()
    np.testing.assert_array_equal(parts_of(load)(0, 17), X)
    assert load.calls == [0, 1, 2, 3]
    assert load.threads == {threading.get_ident()}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_loads_in_a_thread_of_its_own():
    parts = parts_of(Loads())
    parts(0, 5)
    child = os.fork()
    if not child:
        signal.alarm(5)
        right = all((parts(i, i + 1) == X[i]).all() for i in range(17))
        os._exit(0 if right else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"loaders": []}, "loaders holds none"),
        ({"loaders": 3}, "expected a list of functions"),
        ({"loaders": [X]}, "an object of type ndarray"),
        ({"memory": -1}, "memory=-1"),
        ({"memory": "1GB"}, "memory='1GB'"),
        ({"n_features": 0}, "n_features=0"),
        ({"n_samples": 1}, "n_samples=1"),
        ({"n_samples": [3, 4, 5]}, "the rows of 2 parts"),
        ({"n_samples": [3, 0]}, "whole number ≥ 1"),
    ],
)
def test_what_cannot_be_blocks(arguments, words):
    with pytest.raises(ParameterError, match=words):
        Blocks(**{"loaders": [list, list]} | arguments)


def test_rows_of_all_parts_are_spread_evenly():
    assert Blocks([list] * 3, n_samples=8).n_samples == (3, 3, 2)
    assert Blocks([list] * 2, n_samples=np.array([4, 1])).n_samples == (4, 1)
    assert repr(Blocks([list] * 3)) == "<Blocks: 3 parts>"
