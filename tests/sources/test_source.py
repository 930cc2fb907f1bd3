"""Rows that are read: what a source gives is what it is made of, read in few runs."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import sparse

from gpulr.backend import is_sparse
from gpulr.errors import DataError
from gpulr.sources import Source, selected


class Read:
    """Rows of an array, and which were read."""

    def __init__(self, X):
        self.X, self.spans, self.threads = X, [], set()

    def __call__(self, start, stop):
        self.spans.append((start, stop))
        self.threads.add(threading.get_ident())
        return self.X[start:stop]


def source_of(X, **options):
    read = Read(X)
    return Source(read, (len(X), int(np.prod(X.shape[1:]))), X.dtype, **options), read


@pytest.fixture
def X(rng):
    return rng.normal(size=(1000, 7)).astype(np.float32)


def test_blocks_and_rows_are_those_of_the_array(X, rng):
    source, _ = source_of(X)
    assert source.shape == X.shape
    assert source.nbytes == X.nbytes
    assert not is_sparse(source)
    np.testing.assert_array_equal(source[10:20, :], X[10:20])
    np.testing.assert_array_equal(source[990:2000, :], X[990:])
    np.testing.assert_array_equal(source[-1, :], X[-1])
    narrow = np.array([-1, 0, 127], np.int8)
    for index in (rng.integers(-1000, 1000, 300), narrow, np.array([], int), X[:, 0] > 0):
        np.testing.assert_array_equal(source[index], X[index])
    for index in (np.array([1000]), np.array([True, False])):
        with pytest.raises(IndexError):
            source[index]


def test_a_mask_is_not_taken_for_the_numbers_that_it_equals():
    X = np.arange(6.0).reshape(2, 3)
    source, _ = source_of(X)
    for index in (np.array([1, 0]), np.array([True, False])):
        np.testing.assert_array_equal(source[index], X[index])


def test_what_is_selected_of_rows_leaves_what_was_taken_of_them(X):
    source, read = source_of(X)
    sample = np.arange(0, 1000, 50)
    source[sample]
    some = selected(source, np.arange(100, 900))
    np.testing.assert_array_equal(some[200:300, :], X[300:400])
    del read.spans[:]
    np.testing.assert_array_equal(source[sample], X[sample])
    assert read.spans == []


def test_images_are_flattened_and_bytes_swapped_block_by_block(rng):
    images = rng.integers(0, 2**15, (50, 4, 3)).astype(">i2")
    source, _ = source_of(images)
    assert source.dtype == np.dtype(np.int16)
    np.testing.assert_array_equal(source[5:9, :], images[5:9].reshape(4, 12))
    assert source[5:9, :].dtype.isnative


def test_sparse_blocks_are_csr(rng):
    S = sparse.random_array(
        (500, 40), density=0.05, format="csr", random_state=rng, dtype=np.float32
    )
    source = Source(lambda a, b: S[a:b], S.shape, S.dtype, nnz=S.nnz, edges=[100, 200])
    assert is_sparse(source)
    index = rng.integers(0, 500, 70)
    for part, expected in ((source[10:300, :], S[10:300]), (source[index], S[index])):
        assert part.format == "csr"
        np.testing.assert_array_equal(part.toarray(), expected.toarray())
    assert source[index[:0]].shape == (0, 40)


def test_neighbours_are_read_at_once_and_far_rows_alone(X, monkeypatch):
    monkeypatch.setattr("gpulr.sources.source.GAP_BYTES", 2 * 28)
    source, read = source_of(X)
    source[np.array([907, 3, 4, 7, 100, 906])]
    assert read.spans == [(3, 8), (100, 101), (906, 908)]
    source, read = source_of(X, edges=range(100, 1000, 100))
    source[np.array([3, 90, 110, 190])]
    assert read.spans == [(3, 91), (110, 191)]
    monkeypatch.setattr("gpulr.sources.source.RUN_BYTES", 10 * 28)
    source, read = source_of(X)
    source[np.arange(25)]
    assert read.spans == [(0, 10), (10, 20), (20, 25)]


@pytest.mark.parametrize(
    ("edges", "length", "expected"),
    [
        ((), 400, [(0, 400), (400, 800), (800, 1000)]),
        ((150, 300, 450, 600, 750, 900), 400, [(0, 300), (300, 600), (600, 1000)]),
        ((500,), 200, [(0, 166), (166, 333), (333, 500), (500, 666), (666, 833), (833, 1000)]),
        ((100, 900), 400, [(0, 100), (100, 500), (500, 900), (900, 1000)]),
    ],
    ids=["none", "short", "long", "uneven"],
)
def test_blocks_end_at_edges(X, edges, length, expected):
    source, _ = source_of(X, edges=edges)
    blocks = [slice(a, min(a + length, 1000)) for a in range(0, 1000, length)]
    assert [(rows.start, rows.stop) for rows in source.cut(blocks)] == expected


def test_one_thread_reads_two_blocks_ahead_in_order(X):
    source, read = source_of(X)
    blocks = [slice(a, a + 100) for a in range(0, 1000, 100)]
    with source.ahead(blocks):
        assert not read.spans  # a pass over margins needs no rows
        np.testing.assert_array_equal(source[0:100, :], X[:100])
        deadline = time.monotonic() + 5
        while len(read.spans) < 3 and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.01)
        assert read.spans == [(0, 100), (100, 200), (200, 300)]
        # Out of order, and twice: neither waits for ever.
        np.testing.assert_array_equal(source[700:800, :], X[700:800])
        np.testing.assert_array_equal(source[700:800, :], X[700:800])
        for rows in blocks[1:7]:
            np.testing.assert_array_equal(source[rows, :], X[rows])
    assert threading.get_ident() in read.threads  # what is asked for twice
    assert len(read.threads) == 2
    assert threading.active_count() == 1 or "gpulr-reader" not in {
        thread.name for thread in threading.enumerate()
    }


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing is forked here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_reads_by_itself(X):
    reached, go_on = threading.Event(), threading.Event()

    def read(start, stop):
        reached.set()
        go_on.wait(10)
        return X[start:stop]

    source = Source(read, X.shape, X.dtype)
    thread = threading.Thread(target=lambda: source[0:100, :])
    thread.start()
    reached.wait(10)
    child = os.fork()
    if not child:
        go_on.set()
        os._exit(int(not np.array_equal(source[0:100, :], X[:100])))
    go_on.set()
    thread.join()
    deadline, found = time.monotonic() + 20, (0, 0)
    while not found[0] and time.monotonic() < deadline:
        found = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    if not found[0]:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert found == (child, 0)


def test_two_passes_at_once_read_the_same(X):
    source, _ = source_of(X)
    blocks = [slice(a, a + 100) for a in range(0, 1000, 100)]

    def one(_):
        with source.ahead(blocks):
            return np.concatenate([source[rows, :] for rows in blocks])

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(one, range(20)):
            np.testing.assert_array_equal(found, X)


def test_what_cannot_be_read_is_an_error_of_these_rows(X):
    def read(start, stop):
        if stop > 500:
            raise OSError("the disk is gone.\nand more")
        return X[start:stop]

    source = Source(read, X.shape, X.dtype)
    with pytest.raises(DataError, match=r"Rows 450 to 549 of X .*the disk is gone\. ") as caught:
        source[450:550, :]
    assert isinstance(caught.value.__cause__, OSError)
    with source.ahead([slice(0, 450), slice(450, 550)]):
        np.testing.assert_array_equal(source[0:450, :], X[:450])
        with pytest.raises(DataError, match="Rows 450 to 549"):
            source[450:550, :]


@pytest.mark.parametrize("change", ["shorter", "wider", "type"])
def test_rows_that_change_are_an_error(X, change):
    other = {"shorter": X[:80], "wider": X.repeat(2, axis=1), "type": X.astype(np.float64)}[change]
    source = Source(lambda a, b: other[a:b], X.shape, X.dtype)
    with pytest.raises(DataError, match=r"Rows 50 to 99 of X are of shape .*; expected \(50, 7\)"):
        source[50:100, :]


def test_a_source_is_not_made_into_an_array_by_accident(X):
    source, read = source_of(X)
    with pytest.raises(DataError, match="block by block"):
        np.asarray(source)
    assert not read.spans


def test_rows_that_were_taken_last_are_not_read_again(X, rng, monkeypatch):
    source, read = source_of(X)
    index, other = rng.integers(0, 1000, (2, 50))
    np.testing.assert_array_equal(source[index], X[index])
    first = list(read.spans)
    np.testing.assert_array_equal(source[index], X[index])
    assert read.spans == first
    np.testing.assert_array_equal(source[other], X[other])
    assert read.spans != first
    monkeypatch.setattr("gpulr.sources.source.TAKEN_BYTES", 50 * 7 * 4 - 1)
    for again in (1, 2):
        del read.spans[:]
        np.testing.assert_array_equal(source[index], X[index])
        assert read.spans, again


@pytest.mark.parametrize("starts", [True, False], ids=["dies", "does not start"])
def test_blocks_are_read_where_memory_fails_the_thread(X, monkeypatch, starts):
    def fails(self):
        if starts:
            return ends(self)
        raise RuntimeError("can't start new thread")

    ends = threading.Thread.start
    name = "gpulr.sources.reader.Reader._run" if starts else "threading.Thread.start"
    monkeypatch.setattr(name, (lambda self: None) if starts else fails)
    source, _ = source_of(X)
    blocks = [slice(0, 500), slice(500, 1000)]
    with source.ahead(blocks):
        for rows in blocks:
            np.testing.assert_array_equal(source[rows, :], X[rows])


def test_a_library_without_addresses_for_a_thread_is_out_of_memory():
    def read(start, stop):
        raise RuntimeError("can't start new thread")

    with pytest.raises(MemoryError, match="start new thread"):
        Source(read, (10, 2), np.float32)[:5, :]
