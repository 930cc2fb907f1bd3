"""Memory that a thread uses again and again."""

from __future__ import annotations

import numpy as np

from gpulr.backend.buffers import LINE, buffer


def test_it_is_the_same_memory_for_the_same_name_and_dtype():
    first, again = buffer("a name", 9, "f4"), buffer("a name", 5, "f4")
    assert np.shares_memory(first, again)
    assert first.ctypes.data % LINE == 0
    assert len(again) == 5
    for name, dtype in (("another", "f4"), ("a name", "f8"), ("a name", ">f4")):
        other = buffer(name, 9, dtype)
        assert other.dtype == np.dtype(dtype)
        assert not np.shares_memory(first, other)
