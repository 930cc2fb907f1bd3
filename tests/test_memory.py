"""Peak memory of a whole training, as the operating system counts it, in a process of its own."""

from __future__ import annotations

import sys

import pytest
from helpers import python

CODE = """
import re
from pathlib import Path
import gpulr

def peak():  # in KiB; of this process alone, unlike ru_maxrss
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

data = gpulr.datasets.load_mnist()
gpulr.train(data.X[:2000], data.y[:2000], max_iter=3, tol=0)  # imports are not counted
{more}
before = peak()
gpulr.{call}
print((peak() - before) // 1024)
"""


@pytest.mark.mnist
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("call", "more", "mebibytes"),
    [
        ("train(data.X, data.y)", "", 96),
        ("train(data.X, data.y, standardize=True)", "", 96),
        (
            "search(data.X, data.y, Cs=[0.01, 1])",
            "gpulr.search(data.X[:2000], data.y[:2000], Cs=[1])",
            160,
        ),
    ],
    ids=["train", "standardized", "search"],
)
def test_bytes_are_never_copied_whole_to_floats(real_mnist, call, more, mebibytes):
    # The rows as float32 would be 179 MiB.
    used = int(python(CODE.format(call=call, more=more), timeout=120))
    assert 0 < used <= mebibytes
