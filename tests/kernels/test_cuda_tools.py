"""What the tests of CUDA kernels rely on: that mistakes are complained of, and launches refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cuda_compile import Usage, complaints
from cuda_host import HostModule, KernelFault, require, why_not

# Fits each kind of GPU, exactly: 65,536 registers and 64 KiB of shared memory in two blocks.
FITS = Usage("made_up", "sm_75", 64, 0, 0, 0, 32 * 1024, max_threads=512, min_blocks=2)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, []),
        ({"spill_stores": 4}, ["4 bytes of spill stores, 0 of loads"]),
        ({"spill_loads": 8}, ["0 bytes of spill stores, 8 of loads"]),
        ({"stack": 16}, ["16 bytes of stack"]),
        ({"registers": 65}, ["65 registers are too many for 2 × 512 threads"]),
        ({"max_threads": 513}, ["64 registers are too many for 2 × 513 threads"]),
        ({"max_threads": None, "min_blocks": 1}, ["no __launch_bounds__"]),
        (
            {"max_threads": None},
            ["no __launch_bounds__", "64 registers are too many for 2 × 1024 threads"],
        ),
        (
            {"shared": 48 * 1024 + 4, "min_blocks": 1},
            ["49156 bytes of static shared memory, of 49152"],
        ),
        ({"shared": 32 * 1024 + 4}, ["2 × 32772 bytes of shared memory, of 65536"]),
        # There a block has another KiB.
        ({"arch": "sm_80", "shared": 40 * 1024, "max_threads": 256, "min_blocks": 4}, []),
        (
            {"arch": "sm_80", "shared": 40 * 1024 + 4, "max_threads": 256, "min_blocks": 4},
            ["4 × 40964 bytes of shared memory, of 167936"],
        ),
    ],
)
def test_complaints(changed, words):
    found = complaints(replace(FITS, **changed))
    assert len(found) == len(words)
    for said, expected in zip(found, words, strict=True):
        assert said.startswith(f"made_up on {changed.get('arch', 'sm_75')}: {expected}")


def launch(source, name, *arguments, grid=1, block=1, shared=0, **defines):
    require(why_not())
    HostModule(source, defines=defines).launch(name, grid, block, [*arguments], shared)


TWICE = """
extern "C" __global__ void twice(const float* x, float* out, int n) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) out[i] = 2.0f * x[i];
}"""
X, OUT = np.arange(4, dtype=np.float32), np.zeros(4, np.float32)
READ_ONLY = OUT.copy()
READ_ONLY.flags.writeable = False


def test_a_launch():
    out = OUT.copy()
    launch(TWICE, "twice", X, out, 4, grid=(2, 3), block=(32, 1, 32), shared=227 * 1024)
    np.testing.assert_array_equal(out, 2 * X)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((X.astype(np.float64), OUT, 4), r"argument 0 \(in float32\)"),
        ((X, OUT.astype(np.int32), 4), r"argument 1 \(out float32\)"),
        ((X, np.zeros(8, np.float32)[::2], 4), r"argument 1 \(out float32\)"),
        ((X, READ_ONLY, 4), r"argument 1 \(out float32\)"),
        ((OUT, OUT, 4), r"argument 1 \(out float32\)"),
        ((OUT[1:], OUT[:2], 2), r"argument 1 \(out float32\)"),
        ((X, OUT, 4.5), r"argument 2 \(value int32\): 4.5"),
    ],
    ids=["dtype", "dtype of out", "strided", "read-only", "the same", "overlapping", "fraction"],
)
def test_arguments_that_are_refused(arguments, words):
    with pytest.raises(AssertionError, match=words):
        launch(TWICE, "twice", *arguments)


@pytest.mark.parametrize(
    "sizes",
    [
        {"block": 1025},
        {"block": 0},
        {"block": (1, 1, 65)},
        {"grid": 0},
        {"grid": (1, 65_536)},
        {"shared": 227 * 1024 + 1},
    ],
    ids=str,
)
def test_sizes_that_are_refused(sizes):
    with pytest.raises(AssertionError):
        launch(TWICE, "twice", X, OUT.copy(), 4, **sizes)


EXCHANGE = """
extern "C" __global__ void exchange(int* out) {
    if (threadIdx.x < 16) out[threadIdx.x] = __shfl_xor_sync(MASK, int(threadIdx.x), 1);
    __syncthreads();
}"""


@pytest.mark.parametrize(
    ("mask", "block", "fault"),
    [
        ("0xffffu", 32, None),
        ("~0u", 32, r"16 threads.* in __shfl_xor_sync\(0xffffffff\) on line 3"),
        ("0xffu", 10, r"by lane [89], which the mask lacks"),
    ],
)
def test_lanes_that_exchange_are_those_of_the_mask(mask, block, fault):
    out = np.zeros(16, np.int32)
    if fault:
        with pytest.raises(KernelFault, match=fault):
            launch(EXCHANGE, "exchange", out, block=block, MASK=mask)
    else:
        launch(EXCHANGE, "exchange", out, block=block, MASK=mask)
        np.testing.assert_array_equal(out, np.arange(16) ^ 1)
