"""CUDA kernels compiled for sm_75, sm_80 and sm_90, where NVRTC is at hand.

Proven: every kernel compiles for each of them, by itself and with its declared macros, without a
warning; nothing spills into memory nor lies there, registers and static shared memory suffice for
the threads and blocks of ``__launch_bounds__``. All that with the options which the installed CuPy
passes to NVRTC, as its own code says (where they cannot be read, these tests fail), and with the
headers that CuPy has. Not proven: that a kernel is right (test_cuda_host.py), that dynamic shared
memory suffices, that it is fast, or that another NVRTC says the same.
"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import pytest

import cuda_compile
import gpulr.kernels
from cuda_compile import ARCHITECTURES, CompilationError, complaints, cupy_options, usages
from cuda_host import require
from fused_kernels import H100
from gpulr.kernels.fused import PROPAGATE
from gpulr.kernels.plan import plan

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("compiler")]

TOYS = Path(__file__).parents[1] / "support" / "cuda"
KERNELS = Path(gpulr.kernels.__file__).parent
# Macros with which a source is compiled besides its own defaults.
VARIANTS: dict[str, list[dict[str, int]]] = {"toys.cu": [{"THREADS": 64}, {"THREADS": 512}]}


def cases():
    """Every source, by itself and with its macros."""
    for source in (*sorted(TOYS.glob("*.cu")), *sorted(KERNELS.glob("*.cu"))):
        for defines in ({}, *VARIANTS.get(source.name, [])):
            words = ",".join(f"{name}={value}" for name, value in defines.items())
            yield pytest.param(source, defines, id=f"{source.stem}-{words or 'defaults'}")


@pytest.fixture
def compiler():
    """NVRTC, which works."""
    require(cuda_compile.why_not())


@pytest.fixture
def source(tmp_path):
    """Write a source."""

    def write(text):
        path = tmp_path / "source.cu"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.skipif(sys.platform != "linux", reason="the tests bring CuPy on Linux alone")
def test_cupys_own_options_are_those_that_the_shim_models():
    """Fails where they cannot be read: then nothing here says what a card would run."""
    for capability, options in cupy_options(("75", "90")).items():
        assert f"-arch=sm_{capability}" in options
        assert "--std=c++17" in options  # gpulr's own
        assert "-ftz=true" in options  # so tests/cuda/host/runtime.cpp flushes subnormals


@pytest.mark.parametrize(("path", "defines"), [*cases()])
def test_kernels_fit(path, defines):
    found = usages(path, defines)
    names = {usage.kernel for usage in found}
    assert names
    assert {(u.kernel, u.arch) for u in found} == {*product(names, ARCHITECTURES)}
    assert [words for usage in found for words in complaints(usage)] == []


@pytest.mark.parametrize("storage", [8, 16, 32])
def test_products_of_rows_are_ieee_multiply_adds_under_cupys_options(storage):
    """Bytes are subnormal numbers, which others take for zero."""
    laid = plan(H100, storage, 784, 10)
    columns, rows = laid.columns, laid.rows
    text = cuda_compile.ptx(PROPAGATE, laid.macros)
    _, _, whole = text.partition(".entry propagate(")
    whole = whole.partition(".entry")[0]
    assert whole.count("fma.rn.f32") >= 4 * columns * (rows + 1)
    # What is left are exp, log and quotients.
    assert whole.count("fma.rn.ftz.f32") < 4 * columns


# ---- each complaint can be made ------------------------------------------------------------------

ROWS = """
extern "C" __global__ void __launch_bounds__(BOUNDS) rows(const float* x, float* out, int n) {
    float sums[64];
#pragma unroll
    for (int j = 0; j < 64; ++j) sums[j] = x[j * n + threadIdx.x];
    for (int i = 0; i < n; ++i) {
        const float a = x[i];
#pragma unroll
        for (int j = 0; j < 64; ++j) sums[j] = sums[j] * a + sums[(j + 7) % 64];
    }
#pragma unroll
    for (int j = 0; j < 64; ++j) out[j * n + threadIdx.x] = sums[j];
}"""


def test_registers_that_spill_are_found(source):
    roomy = usages(source(ROWS), {"BOUNDS": "256"}, ["sm_80"])
    assert [(u.kernel, u.max_threads, u.min_blocks) for u in roomy] == [("rows", 256, None)]
    assert complaints(roomy[0]) == []
    (crammed,) = usages(source(ROWS), {"BOUNDS": "1024"}, ["sm_80"])
    assert any("spill stores" in words for words in complaints(crammed))


def test_arrays_in_memory_are_found(source):
    (usage,) = usages(source(ROWS.replace("(j + 7)", "(i + j)")), {"BOUNDS": "256"}, ["sm_90"])
    assert usage.stack >= 256
    assert any("bytes of stack" in words for words in complaints(usage))


SHARED = """
extern "C" __global__ void __launch_bounds__(256, BLOCKS) kept(const float* x, float* out) {
    __shared__ float all[SIZE];
    for (int i = threadIdx.x; i < SIZE; i += 256) all[i] = x[i];
    __syncthreads();
    out[threadIdx.x] = all[SIZE - 1 - threadIdx.x];
}"""


def test_shared_memory_over_the_budget_is_found(source):
    kept = source(SHARED)
    found = usages(kept, {"BLOCKS": 2, "SIZE": 10_000})
    assert [(u.shared, u.min_blocks) for u in found] == [(40_000, 2)] * 3
    assert {u.arch: bool(complaints(u)) for u in found} == {
        "sm_75": True,  # 64 KB
        "sm_80": False,
        "sm_90": False,
    }
    with pytest.raises(CompilationError, match="too much shared data"):
        usages(kept, {"BLOCKS": 1, "SIZE": 13_000}, ["sm_90"])


def test_kernels_without_launch_bounds_are_found(source):
    (usage,) = usages(source(ROWS.replace("__launch_bounds__(BOUNDS)", "")), {}, ["sm_80"])
    words = " ".join(complaints(usage))
    assert "no __launch_bounds__" in words
    assert "too many for 1 × 1024 threads" in words


def test_warnings_and_errors_are_found(source):
    unused = 'extern "C" __global__ void __launch_bounds__(32) f(int* x) { int y; *x = 1; }'
    with pytest.raises(CompilationError, match="never referenced"):
        usages(source(unused), {}, ["sm_80"])
    with pytest.raises(CompilationError, match="nonsense"):
        usages(source(unused.replace("int y", "nonsense y")), {}, ["sm_80"])


def test_headers_that_nvrtc_lacks_are_found(source):
    text = (
        '#include <cstdio>\nextern "C" __global__ void __launch_bounds__(32) f(int* x) { *x = 1; }'
    )
    with pytest.raises(CompilationError, match="cstdio"):
        usages(source(text), {}, ["sm_80"])
