"""CUDA kernels on the CPU: that right ones pass every check, and that each finds its mistakes.

What a test proves that runs a kernel by `cuda_host.HostModule` (see there how), and what not:

- **A comparison with float64 NumPy** over many shapes, at several ``seed``s: indices, edges,
  formulas and types are right, and no result depends on the order of threads between two barriers,
  nor of blocks. Rounding is the device's only for +, −, ×, / and fma that are written out: nvcc
  makes a × b + c an fma, g++ here does not, and expf, logf and what -use_fast_math allows are other
  functions there. Subnormal numbers are zero, as with the options that CuPy adds, but for what is
  written as ``__fmaf_ieee_rn``.
- **ThreadSanitizer**: no two threads of a block touch the same shared or global memory, one of them
  writing, without a barrier or atomics in between; nor do two blocks. Any fence is taken to order
  what passed an earlier one: a race that lacks one is found, a fence in the wrong place may not be.
  It remembers four accesses to every eight bytes, so that it may miss a race among very many.
- **Addresses**: no global access outside of its array, none beyond dynamic shared memory.
- **Undefined behaviour**: no index outside of an array of known size, no shift too far, no
  overflow, no vector access that is not aligned.

All of this holds for the shapes that were run. Nothing is proven about speed, registers, occupancy,
bank conflicts, coalescing; about the device's memory model beyond races; about how warps are
scheduled (here each thread is on its own, as CUDA has it since Volta); or about what the shim
lacks: tensor cores, asynchronous copies, clusters, PTX, all that stands under ``__CUDA_ARCH__``.
What nvcc makes of a source is looked at in test_cuda_compile.py, and only a GPU runs that.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

import cuda_host
from cuda_host import CompilationError, HostModule, KernelFault

TOYS = Path(__file__).parents[1] / "support" / "cuda" / "toys.cu"
PLAIN = [None, "thread", "address,undefined"]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("host_compiler")]


@pytest.fixture(scope="module", params=PLAIN, ids=str)
def sanitize(request):
    cuda_host.require(cuda_host.why_not(request.param))
    return request.param


@functools.cache
def module(old="", new="", sanitize=None, **defines):
    """Return the toys, with one thing in them replaced by a mistake."""
    text = TOYS.read_text(encoding="utf-8")
    assert text.count(old) == 1 or not old
    cuda_host.require(cuda_host.why_not(sanitize))
    return HostModule(text.replace(old, new) if old else TOYS, defines=defines, sanitize=sanitize)


def column_sums(module, n_rows=300, n_columns=3, *, blocks=2, threads=128, seed=0):
    x = np.random.default_rng(seed).normal(size=(n_rows, n_columns)).astype(np.float32)
    sums = np.zeros(n_columns, np.float32)
    module.seed = seed
    module.launch("column_sums", (blocks, n_columns), threads, [x, sums, n_rows, n_columns])
    np.testing.assert_allclose(sums, x.sum(axis=0, dtype=np.float64), atol=1e-6 * n_rows)


def backwards(module, n=50, threads=64, shared=None, seed=0):
    x, out = np.arange(n, dtype=np.int32), np.zeros(n, np.int32)
    module.seed = seed
    module.launch("backwards", 1, threads, [x, out, n], shared=4 * n if shared is None else shared)
    np.testing.assert_array_equal(out, x[::-1])


def halves(module, n=99, *, start=0, shift=8):
    x, out = np.arange(n + start).astype(np.uint8)[start:], np.zeros(n, np.float16)
    module.launch("halves", 1 + n // 512, 128, [x, out, n, shift])
    np.testing.assert_array_equal(out, (x / 2.0**shift).astype(np.float16))


# ---- right kernels pass --------------------------------------------------------------------------


def test_right_kernels_pass_every_check(sanitize):
    for seed, shape in enumerate([(1, 1), (31, 2), (128, 1), (129, 5), (1000, 3)]):
        column_sums(module(sanitize=sanitize), *shape, seed=seed)
    column_sums(module(sanitize=sanitize, THREADS=64), threads=64, blocks=3)
    for n, threads in [(1, 1), (33, 32), (50, 7), (1000, 256)]:
        backwards(module(sanitize=sanitize), n, threads)
    for n in (1, 3, 4, 5, 513):
        halves(module(sanitize=sanitize), n)


def test_thousands_of_launches_take_seconds():
    from time import perf_counter

    toys = module()
    backwards(toys)
    start = perf_counter()
    for seed in range(50):
        backwards(toys, n=1 + seed, seed=seed)
    assert perf_counter() - start < 50 * 0.2  # measured: 0.004 s each


def test_blocks_in_three_dimensions():
    source = """
    extern "C" __global__ void where(int* out) {
        int thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
        int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
        out[block * blockDim.x * blockDim.y * blockDim.z + thread] = 1000 * block + thread;
    }"""
    out = np.zeros((2 * 3 * 4, 5 * 6 * 7), np.int32)
    HostModule(source).launch("where", (2, 3, 4), (5, 6, 7), [out])
    np.testing.assert_array_equal(out, 1000 * np.arange(24)[:, np.newaxis] + np.arange(210))


WARPS = """
extern "C" __global__ void warps(const float* x, float* out, unsigned* ballots) {
    const int t = threadIdx.x, lane = t & 31;
    const float v = x[t];
    out[t] = __shfl_sync(0xffffffffu, v, 3);
    out[t + blockDim.x] = __shfl_down_sync(0xffffffffu, v, 4);
    out[t + 2 * blockDim.x] = __shfl_up_sync(0xffffffffu, v, 4);
    out[t + 3 * blockDim.x] = __shfl_xor_sync(0xffffffffu, v, 1, 8);
    out[t + 4 * blockDim.x] = __shfl_down_sync(0xffffffffu, v, 4, 8);
    ballots[t] = __ballot_sync(0xffffffffu, v > 0.0f);
    // Half a warp each, on its own line.
    if (lane < 16) out[t + 5 * blockDim.x] = __shfl_xor_sync(0x0000ffffu, v, 1);
    else out[t + 5 * blockDim.x] = __shfl_xor_sync(0xffff0000u, v, 2);
}"""


def test_warps(sanitize):
    x = np.random.default_rng(0).normal(size=64).astype(np.float32)
    out, ballots = np.zeros((6, 64), np.float32), np.zeros(64, np.uint32)
    HostModule(WARPS, sanitize=sanitize).launch("warps", 1, 64, [x, out, ballots])
    lane, first = np.arange(64) % 32, np.arange(64) // 32 * 32
    down = np.where(lane < 28, lane + 4, lane)
    up = np.where(lane >= 4, lane - 4, lane)
    narrow = np.where(lane % 8 < 4, lane + 4, lane)
    halved = np.where(lane < 16, lane ^ 1, lane ^ 2)
    for row, source in zip(out, (3 + 0 * lane, down, up, lane ^ 1, narrow, halved), strict=True):
        np.testing.assert_array_equal(row, x[first + source])
    bits = (x > 0).reshape(2, 32) @ (1 << np.arange(32, dtype=np.uint64))
    np.testing.assert_array_equal(ballots, np.repeat(bits, 32))


# ---- barriers that are missing -------------------------------------------------------------------

IN_LOOP = "        __syncthreads();\n        if (t < half)"
BEFORE_READING = "    __syncthreads();\n    for (int i"


@pytest.mark.parametrize(
    ("old", "run"), [(IN_LOOP, column_sums), (BEFORE_READING, backwards)], ids=["loop", "reading"]
)
def test_a_missing_barrier_is_found_by_order_and_by_threads(old, run):
    _, _, new = old.partition("\n")
    for seed in range(4):
        with pytest.raises(AssertionError):
            run(module(old, new), seed=seed)
    with pytest.raises(KernelFault, match=r"(?s)data race.*toys|data race.*<source>"):
        run(module(old, new, sanitize="thread"))


def test_a_missing_barrier_within_a_warp_is_found_by_threads():
    source = """
    extern "C" __global__ void neighbours(int* out) {
        __shared__ int kept[64];
        kept[threadIdx.x] = threadIdx.x;
        __syncwarp();
        out[threadIdx.x] = kept[threadIdx.x ^ DISTANCE];
    }"""
    cuda_host.require(cuda_host.why_not("thread"))
    run = functools.partial(HostModule, sanitize="thread")
    out = np.zeros(64, np.int32)
    run(source, defines={"DISTANCE": 1}).launch("neighbours", 1, 64, [out])
    np.testing.assert_array_equal(out, np.arange(64) ^ 1)
    with pytest.raises(KernelFault, match="data race"):
        run(source, defines={"DISTANCE": 32}).launch("neighbours", 1, 64, [out])
    bare = source.replace("__syncwarp();", "")
    with pytest.raises(KernelFault, match="data race"):
        run(bare, defines={"DISTANCE": 1}).launch("neighbours", 1, 64, [out])


@pytest.mark.parametrize(("barrier", "n"), [("__syncthreads()", 64), ("__syncwarp()", 32)])
def test_a_missing_barrier_before_shared_memory_is_used_again_is_found(barrier, n):
    source = """
    extern "C" __global__ void twice(int* out) {
        __shared__ int kept[N];
        for (int pass = 0; pass < 2; ++pass) {
            kept[threadIdx.x] = 100 * pass + threadIdx.x;
            BARRIER;
            out[N * pass + threadIdx.x] = kept[N - 1 - threadIdx.x];
            BARRIER;  // last
        }
    }"""
    bare = source.replace("            BARRIER;  // last\n", "")
    defines = {"N": n, "BARRIER": barrier}
    expected = 100 * np.arange(2)[:, np.newaxis] + np.arange(n)[::-1]
    out = np.zeros((2, n), np.int32)
    for sanitize in (None, "thread"):
        HostModule(source, defines=defines, sanitize=sanitize).launch("twice", 1, n, [out])
        np.testing.assert_array_equal(out, expected)
    HostModule(bare, defines=defines).launch("twice", 1, n, [out])
    assert np.any(out != expected)
    with pytest.raises(KernelFault, match="data race"):
        HostModule(bare, defines=defines, sanitize="thread").launch("twice", 1, n, [out])


def test_results_that_depend_on_the_order_of_threads_or_blocks_differ_between_seeds():
    source = """
    extern "C" __global__ void ordered(int* first, int* last, int* left, int* sum) {
        if (atomicAdd(sum, 1) == 0) *first = threadIdx.x;
        *last = blockIdx.x;
        __shared__ int kept[32];
        kept[threadIdx.x] = threadIdx.x;
        left[threadIdx.x] = threadIdx.x ? kept[threadIdx.x - 1] : 0;  // right from 0 upwards
    }"""
    ordered, found = HostModule(source), []
    for ordered.seed in range(8):
        first, last, left, total = (np.zeros(n, np.int32) for n in (1, 1, 32, 1))
        ordered.launch("ordered", 8, 32, [first, last, left, total])
        assert total[0] == 8 * 32
        assert np.any(left == -1)
        found.append((int(first[0]), int(last[0]), left.tobytes()))
    assert all(len(set(values)) >= 4 for values in zip(*found, strict=True))
    again = HostModule(source, seed=7)
    arrays = [np.zeros(n, np.int32) for n in (1, 1, 32, 1)]
    again.launch("ordered", 8, 32, arrays)
    assert (int(arrays[0][0]), int(arrays[1][0]), arrays[2].tobytes()) == found[7]


def test_blocks_that_add_without_atomics_are_found_by_threads_alone():
    old, new = "atomicAdd(&sums[column], sum)", "sums[column] += sum"
    column_sums(module(old, new))  # one block after the other is right
    with pytest.raises(KernelFault, match="data race"):
        column_sums(module(old, new, sanitize="thread"))
    with pytest.raises(KernelFault, match="data race"):  # more threads than it can tell apart
        column_sums(module(old, new, sanitize="thread"), n_rows=20_000, blocks=80, n_columns=1)
    column_sums(module(sanitize="thread"), n_rows=20_000, blocks=80, n_columns=1)


# Each block adds up a part; the one that is last to be counted adds up the parts.
LAST = """
extern "C" __global__ void last(const int* x, int* parts, int* count, int* out) {
    __shared__ int is_last;
    if (threadIdx.x == 0) {
        parts[blockIdx.x] = x[blockIdx.x];
        __threadfence();
        is_last = atomicAdd(count, 1) == int(gridDim.x) - 1;
        __threadfence();
        if (is_last)
            for (int i = 0; i < int(gridDim.x); ++i) *out += parts[i];
    }
}"""


def test_fences_order_blocks():
    def run(source):
        x, parts, count, out = (np.arange(5, dtype=np.int32) * i for i in (1, 0, 0, 0))
        HostModule(source, sanitize="thread").launch("last", 5, 2, [x, parts, count, out])
        assert out[0] == 10

    cuda_host.require(cuda_host.why_not("thread"))
    run(LAST)
    with pytest.raises(KernelFault, match="data race"):
        run(LAST.replace("__threadfence();", ""))


# ---- barriers that some threads miss -------------------------------------------------------------


@pytest.mark.parametrize("sanitize", PLAIN, ids=str)
def test_threads_that_leave_before_a_barrier_are_reported(sanitize):
    old = "    const int t = threadIdx.x, column = blockIdx.y;"
    early = module(old, old + " if (t >= 100) return;", sanitize=sanitize)
    with pytest.raises(
        KernelFault, match=r"divergent barrier: 100 threads, \(0, 0, 0\) the first, "
    ) as e:
        column_sums(early, blocks=1, n_columns=1)
    assert "wait at __syncthreads on line 20" in str(e.value)
    assert "28 threads, (100, 0, 0) the first, have left the kernel" in str(e.value)


def test_threads_at_different_barriers_are_reported():
    source = """
    extern "C" __global__ void split(int* out) {
        if (threadIdx.x % 2) __syncthreads();
        else
            __syncthreads();
        out[threadIdx.x] = 1;
    }"""
    with pytest.raises(KernelFault, match=r"on line 5;.*on line 3"):
        HostModule(source).launch("split", 1, 8, [np.zeros(8, np.int32)])


def test_warps_that_wait_for_lanes_elsewhere_are_reported():
    source = """
    extern "C" __global__ void half_a_warp(int* out) {
        if (threadIdx.x < 16) out[threadIdx.x] = __shfl_xor_sync(MASK, 1, 1);
        __syncthreads();
    }"""
    out = np.zeros(32, np.int32)
    HostModule(source, defines={"MASK": "0xffffu"}).launch("half_a_warp", 1, 32, [out])
    with pytest.raises(
        KernelFault, match=r"16 threads.* in __shfl_xor_sync\(0xffffffff\) on line 3"
    ):
        HostModule(source, defines={"MASK": "~0u"}).launch("half_a_warp", 1, 32, [out])
    with pytest.raises(KernelFault, match=r"by lane [89], which the mask lacks"):
        HostModule(source, defines={"MASK": "0xffu"}).launch("half_a_warp", 1, 10, [out])


# ---- memory --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "run", "words"),
    [
        ("row < n_rows", "row <= n_rows", column_sums, "heap-buffer-overflow"),
        ("", "", functools.partial(backwards, n=50, shared=4 * 49), "heap-buffer-overflow"),
        (
            *("partial[t] = sum", "partial[t + 1] = sum", column_sums),
            r"index 128 out of bounds for type 'float \[128\]'",
        ),
        ("bytes + i)", "bytes + i + 1)", halves, "misaligned address"),
        ("", "", functools.partial(halves, shift=32), "shift exponent 32 is too large"),
    ],
)
def test_accesses_out_of_bounds_unaligned_vectors_and_shifts_too_far_are_found(
    old, new, run, words
):
    with pytest.raises(KernelFault, match=words):
        run(module(old, new, sanitize="address,undefined"))


def test_a_shift_of_less_is_right():
    halves(module(sanitize="address,undefined"), shift=20)


def test_what_nobody_wrote_is_no_number():
    source = """
    extern "C" __global__ void unwritten(float* out) {
        __shared__ float kept[4];
        extern __shared__ float more[];
        float own[4];
        if (threadIdx.x > 8) kept[0] = more[0] = own[0] = 1.0f;
        out[0] = kept[threadIdx.x];
        out[1] = more[threadIdx.x];
        out[2] = own[threadIdx.x];
    }"""
    out = np.zeros(3, np.float32)
    HostModule(source).launch("unwritten", 2, 1, [out], shared=16)
    assert np.isnan(out[:2]).all()


def test_a_null_pointer_ends_in_an_exception():
    with pytest.raises(KernelFault, match="exit status -11"):
        module().launch("halves", 1, 32, [None, np.zeros(4, np.float16), 4, 0])


def test_a_kernel_without_end_is_stopped(monkeypatch):
    monkeypatch.setattr(cuda_host, "TIMEOUT", 0.5)
    source = 'extern "C" __global__ void ever(volatile int* x) { while (*x == 0) {} }'
    with pytest.raises(KernelFault, match=r"did not end in 0\.5 s"):
        HostModule(source).launch("ever", 1, 1, [np.zeros(1, np.int32)])


# ---- what is asked for ---------------------------------------------------------------------------


def test_a_source_that_does_not_compile_says_where():
    with pytest.raises(CompilationError, match=r"<source>:2:.*error"):
        HostModule('extern "C" __global__ void f() {\nnonsense; }')
    with pytest.raises(CompilationError, match="has no kernel"):
        HostModule("// __global__ void f() {}\n")


def test_kernels_are_found_however_they_are_written():
    source = """
    #define NAME(what) what##_##WIDTH
    #define PASTE(a, b) a##b
    #define NAMED(a, b) PASTE(a, b)
    template <int N> __global__ void instance(int* out) { *out = N; }
    extern "C" {
    __launch_bounds__(32, (1)) __global__ void before(int* out, unsigned char* bytes) {
        extern __shared__ __align__(16) unsigned char raw[];
        *reinterpret_cast<int*>(raw) = WIDTH;
        *out = *reinterpret_cast<int*>(raw) + *bytes;
    }
    __global__ __launch_bounds__(32) void between(float4* out) { *out = make_float4(1, 2, 3, 4); }
    }
    static __global__ void __launch_bounds__(4 * (2 + 2), 2) NAMED(by_macro, WIDTH)(
        const bool* __restrict__ flags, volatile long long* out, double scale) {
        *out = flags[0] ? scale : 0;
    }
    // extern "C" __global__ void in_a_comment() {}
    #if WIDTH > 4
    extern "C" __global__ void wide() {}
    #endif"""
    found = HostModule(source, defines={"WIDTH": 4})
    assert found.kernels == {
        "before": [("out", "int32"), ("out", "uint8")],
        "between": [("out", "float32")],
        "by_macro4": [("in", "bool"), ("out", "int64"), ("value", "float64")],
    }
    one, four = np.zeros(1, np.int32), np.zeros(4, np.float32)
    found.launch("before", 1, 1, [one, np.full(1, 38, np.uint8)], shared=16)
    found.launch("between", 1, 1, [four])
    assert one[0] == 42
    assert four.tolist() == [1, 2, 3, 4]
    assert "wide" in HostModule(source, defines={"WIDTH": 8}).kernels


def test_what_a_kernel_prints_is_shown():
    source = 'extern "C" __global__ void says(int* x) { printf("x is %d", *x); }'
    with pytest.raises(KernelFault, match="says: x is 7"):
        HostModule(source).launch("says", 1, 1, [np.full(1, 7, np.int32)])


INTRINSICS = """
extern "C" __global__ void intrinsics(float* f, unsigned* u, int* i, double* d, __half* h) {
    const int t = threadIdx.x;
    atomicAdd(&f[0], 0.5f);
    atomicAdd(&d[0], 2);
    atomicMax(&i[0], t);
    atomicMin(&i[1], -t);
    atomicSub(&i[2], 1);
    atomicCAS(&u[0], unsigned(0), unsigned(9));
    if (t) return;
    atomicExch(&u[1], 7u);
    u[2] = __byte_perm(0x44332211u, 0x88776655u, 0x7040);
    u[3] = __float_as_uint(-0.0f);
    u[4] = __popc(0xf0f0u) + 100 * __clz(1) + 10000 * __ffs(8);
    f[1] = max(1.0f, f[4]) + min(2, 3);
    f[2] = __fmaf_rn(1.0f + 0x1p-12f, 1.0f - 0x1p-12f, -1.0f);
    f[3] = __expf(1.0f) + __saturatef(3.0f) + __uint_as_float(0x3f800000u);
    h[0] = __float2half(1.0f + 0x1p-11f);
    const __half2 pair = __floats2half2_rn(65520.0f, 1e-8f);
    h[1] = pair.x;
    h[2] = __float2half(__high2float(pair) + __half2float(__ushort_as_half(0x3c01)));
}"""


def test_intrinsics(sanitize):
    f, u, i = np.zeros(5, np.float32), np.zeros(5, np.uint32), np.zeros(3, np.int32)
    d, h = np.zeros(1), np.zeros(3, np.float16)
    f[4] = np.nan
    HostModule(INTRINSICS, sanitize=sanitize).launch("intrinsics", 1, 40, [f, u, i, d, h])
    assert f.tolist()[:3] == [20, 3, -(2.0**-24)]
    np.testing.assert_allclose(f[3], np.e + 2, rtol=1e-6)
    assert u.tolist() == [9, 7, 0x88115511, 0x80000000, 8 + 3100 + 40000]
    assert (i.tolist(), d.tolist()) == ([39, -39, -40], [80])
    assert h.tolist() == [1, np.inf, 1 + 2.0**-10]


SUBNORMALS = """
extern "C" __global__ void subnormals(const float* x, float* out) {
    const float tiny = x[0], least = x[1], half = x[2];
    float* mine = out + 6 * threadIdx.x;
    for (int i = 0; i < 2; i++) {
        mine[0] = tiny * x[3];
        mine[1] = least * half;
        mine[2] = tiny + tiny;
        mine[3] = __fmaf_rn(tiny, x[3], 0.0f);
        mine[4] = __fmaf_ieee_rn(tiny, x[3], tiny);
        mine[5] = __fmaf_ieee_rn(tiny, 0x1p126f, 0.0f);
        __syncthreads();
    }
}"""


def test_subnormals_are_flushed_as_by_cupys_option_and_kept_by_ieee_fmas(sanitize):
    tiny, least = np.float32(7 * 2.0**-149), np.finfo(np.float32).tiny
    x, out = np.array([tiny, least, 0.5, 3.0], np.float32), np.ones((40, 6), np.float32)
    HostModule(SUBNORMALS, sanitize=sanitize).launch("subnormals", 1, 40, [x, out])
    expected = np.float32([0, 0, 0, 0, 4 * tiny, 7 * 2.0**-23])
    np.testing.assert_array_equal(out, np.broadcast_to(expected, (40, 6)))
