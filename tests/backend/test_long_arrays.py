"""Arrays as long as the rows, in memory or in a file that nobody sees."""

from __future__ import annotations

import errno
import os
import pickle
import tracemalloc

import numpy as np
import pytest

import gpulr
from gpulr.backend import host_array, long_arrays
from gpulr.backend.long_arrays import FileArray, long_array


@pytest.fixture
def in_files(monkeypatch, tmp_path):
    """Put all long arrays into files of a folder of their own."""
    monkeypatch.setattr(long_arrays, "LONG", 0)
    monkeypatch.setattr(long_arrays, "memory_left", lambda: 0)
    monkeypatch.setattr(long_arrays, "_memory", long_arrays._Memory())
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 5, 3_000, 70_001])  # within a page, and over several windows
def test_an_array_in_a_file_is_like_one_in_memory(in_files, rng, n, dtype):
    array, expected = long_array((n, 3), dtype), rng.standard_normal((n, 3)).astype(dtype)
    assert isinstance(array, FileArray)
    assert (array.shape, array.dtype, array.ndim) == ((n, 3), np.dtype(dtype), 2)
    for start in range(0, n, 1_001):
        array[start : start + 1_001][:] = expected[start : start + 1_001]
    for part in (slice(None), slice(n // 3, n // 2 + 1), slice(0, n, 7), slice(n, n)):
        np.testing.assert_array_equal(array[part], expected[part], strict=True)
        np.testing.assert_array_equal(array[part, :], expected[part], strict=True)
    index = rng.integers(0, n, 50)
    np.testing.assert_array_equal(array[index], expected[index], strict=True)
    kept = array[n // 2 :]
    del array  # as a file that is closed
    np.testing.assert_array_equal(kept, expected[n // 2 :])
    assert list(in_files.iterdir()) == []


@pytest.mark.parametrize("kind", ["two classes", "four classes"])
@pytest.mark.parametrize("call", ["train", "search", "bootstrap", "cross_val_predict"])
def test_margins_in_files_give_the_same_bits(request, blobs, rng, as_if_large, call, kind):
    X, y = blobs
    y = y % 2 if kind == "two classes" else y
    calls = {
        "train": lambda: gpulr.train(X, y, tol=1e-6).weights,
        "search": lambda: gpulr.search(X, y, Cs=[0.1, 10], cv=3, scoring="neg_log_loss").scores,
        "bootstrap": lambda: gpulr.bootstrap(X, y, n=5, random_state=0).coef,
        "cross_val_predict": lambda: gpulr.cross_val_predict(X, y, cv=3),
    }
    expected = calls[call]()
    request.getfixturevalue("in_files")
    made: list[int] = []
    init = FileArray.__init__

    def counted(self, *arguments):
        made.append(1)
        init(self, *arguments)

    request.getfixturevalue("monkeypatch").setattr(FileArray, "__init__", counted)
    np.testing.assert_array_equal(calls[call](), expected, strict=True)
    assert len(made) > 2


def test_where_memory_suffices_and_where_not(monkeypatch):
    monkeypatch.setattr(long_arrays, "_memory", long_arrays._Memory())
    looks, left = [], 512 * 2**20

    def memory_left():
        looks.append(1)
        return left

    monkeypatch.setattr(long_arrays, "memory_left", memory_left)
    monkeypatch.setattr(long_arrays.FileArray, "__init__", lambda self, *arguments: None)
    assert isinstance(long_array((2**20,), np.uint8), np.ndarray)
    assert not looks  # for so few
    hundred = 100 * 2**20
    found = [long_array((hundred,), np.uint8) for _ in range(3)]
    assert [type(array) for array in found] == [np.ndarray] * 3
    assert len(looks) == 1  # the next one does not fit beside these, as far as is known
    assert isinstance(long_array((hundred,), np.uint8), np.ndarray)
    assert len(looks) == 2
    monkeypatch.setattr(long_arrays, "LOOK_SECONDS", -1.0)
    left = 129 * 2**20 + hundred // 2
    assert isinstance(long_array((2 * hundred,), np.uint8), FileArray)
    left = 128 * 2**20
    assert isinstance(long_array((16 * 2**20,), np.uint8), FileArray)
    left = None  # not known
    assert isinstance(long_array((2 * hundred,), np.uint8), np.ndarray)


def test_memory_that_cannot_be_had_is_a_file(monkeypatch, tmp_path):
    def none(*arguments):
        raise MemoryError

    monkeypatch.setattr(long_arrays.np, "empty", none)
    array = long_array((10, 2), np.float32)
    monkeypatch.undo()
    assert isinstance(array, FileArray)


def test_a_full_disk_is_a_typed_error(in_files, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(gpulr.DeviceMemoryError, match=r"No space left.*TMPDIR") as caught:
        long_array((1_000_000, 4), np.float32)
    assert str(in_files) in str(caught.value)
    assert caught.value.needed == 16_000_000
    assert isinstance(caught.value.__cause__, OSError)
    assert pickle.loads(pickle.dumps(caught.value)).needed == 16_000_000


def test_where_there_is_no_fallocate_zeros_are_written(in_files, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate")
    array = host_array((300_000, 2), np.float32)
    assert isinstance(array, np.ndarray)
    assert not array.any()


def test_only_blocks_are_in_memory(in_files):
    tracemalloc.start()
    array = long_array((2_000_000, 4), np.float32)
    for start in range(0, 2_000_000, 100_000):
        block = array[start : start + 100_000]
        block += 1.0
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
