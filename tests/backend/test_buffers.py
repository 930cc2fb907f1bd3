"""Memory that a thread uses again and again."""

from __future__ import annotations

import numpy as np
import pytest

from gpulr.backend.buffers import LINE, address, buffer, ones


def test_it_is_the_same_memory_for_the_same_name_and_dtype():
    first, again = buffer("a name", 9, "f4"), buffer("a name", 5, "f4")
    assert np.shares_memory(first, again)
    assert first.ctypes.data % LINE == 0
    assert len(again) == 5
    for name, dtype in (("another", "f4"), ("a name", "f8"), ("a name", ">f4")):
        other = buffer(name, 9, dtype)
        assert other.dtype == np.dtype(dtype)
        assert not np.shares_memory(first, other)


def read_only(X):
    X.flags.writeable = False
    return X


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 4)),
        np.zeros((3, 4), order="F"),
        np.zeros((9, 8))[::2, 1:5],
        np.zeros((3, 4), np.float16)[1:],
        np.zeros((3, 4), ">f4"),
        np.zeros(3, np.bool_),
        np.zeros((0, 4)),
        read_only(np.zeros((3, 4))),
    ],
    ids=["C", "Fortran", "strided", "float16", "other byte order", "bits", "empty", "read-only"],
)
def test_an_address_is_where_numpy_says(array):
    assert address(array) == array.ctypes.data


def test_ones_stay_ones_and_are_kept():
    few = ones(5, "f4")
    assert few.dtype == np.float32
    assert np.array_equal(few, np.ones(5))
    assert np.array_equal(ones(9, "f4"), np.ones(9))
    assert np.shares_memory(ones(9, "f4"), ones(3, "f4"))
    assert not np.shares_memory(ones(9, "f4"), buffer("ones", 9, "f4"))
