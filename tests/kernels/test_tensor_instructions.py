"""What stands in for tensor cores in the host shim, against what PTX says of fragments.

The layouts are written down here a second time, from the PTX ISA (9.7.14, "Matrix fragments for
mma.m16n8k16 with floating point type", and "ldmatrix"): for lane ``group * 4 + member`` and the
i-th half, or float, of a fragment, its row and column.
"""

from __future__ import annotations

import numpy as np
import pytest

from cuda_host import HostModule, KernelFault, require, why_not

SOURCE = """
extern "C" __global__ void product(const unsigned* a, const unsigned* b, float* c) {
    const int t = threadIdx.x;
    float sum[4];
    for (int i = 0; i < 4; i++) sum[i] = c[4 * t + i];
    cuda_host::mma_m16n8k16(sum, a + 4 * t, b + 2 * t);
    for (int i = 0; i < 4; i++) c[4 * t + i] = sum[i];
}
extern "C" __global__ void matrices(const unsigned* x, unsigned* plain, unsigned* transposed) {
    __shared__ __align__(16) unsigned rows[32][4];
    const int t = threadIdx.x;
    for (int i = 0; i < 4; i++) rows[t][i] = x[4 * t + i];
    __syncthreads();
    cuda_host::ldmatrix_x4(plain + 4 * t, rows[t], false);
    cuda_host::ldmatrix_x4(transposed + 4 * t, rows[t], true);
}
extern "C" __global__ void missing(unsigned* x) {
    __shared__ __align__(16) unsigned rows[32][4];
    if (threadIdx.x != 7) cuda_host::ldmatrix_x4(x, rows[threadIdx.x], false);
    __syncthreads();
}
extern "C" __global__ void misaligned(unsigned* x) {
    __shared__ __align__(16) unsigned rows[33][4];
    cuda_host::ldmatrix_x4(x, rows[threadIdx.x] + 1, false);
}
extern "C" __global__ void halves(
    const unsigned* bits, float* values, const float* x, unsigned* to) {
    const int i = blockIdx.x * 256 + threadIdx.x;
    values[i] = cuda_host::half_value(bits[i]);
    to[i] = cuda_host::half_bits(x[i]);
}
"""


@pytest.fixture(scope="module")
def compiled():
    require(why_not())
    return HostModule(SOURCE)


def place_in_a(group, member, i):
    row = group if 0 <= i < 2 or 4 <= i < 6 else group + 8
    return row, member * 2 + (i & 1) + (0 if i < 4 else 8)


def place_in_b(group, member, i):
    return member * 2 + (i & 1) + (0 if i < 2 else 8), group


def place_in_c(group, member, i):
    return group if i < 2 else group + 8, member * 2 + (i & 1)


def fragments(matrix, place, each):
    """Return what each lane holds of a matrix, (32, each)."""
    places = [[place(*divmod(lane, 4), i) for i in range(each)] for lane in range(32)]
    return np.array([[matrix[at] for at in lane] for lane in places], matrix.dtype)


def product(compiled, A, B, C):
    a = fragments(A.astype(np.float16), place_in_a, 8).view(np.uint32)
    b = fragments(B.astype(np.float16), place_in_b, 4).view(np.uint32)
    c = fragments(C.astype(np.float32), place_in_c, 4)
    compiled.launch("product", 1, 32, [a, b, c])
    got = np.full((16, 8), np.nan, np.float32)
    for lane in range(32):
        for i in range(4):
            got[place_in_c(*divmod(lane, 4), i)] = c[lane, i]
    return got


def test_products_are_in_the_places_that_ptx_says(compiled, rng):
    A, B, C = (rng.integers(-99, 99, shape) for shape in ((16, 16), (16, 8), (16, 8)))
    np.testing.assert_array_equal(product(compiled, A, B, C), A @ B + C)
    tiny = A * 2.0**-24  # subnormal halves are exact
    np.testing.assert_array_equal(product(compiled, tiny, B, 0 * C), tiny @ B)


def test_sums_are_cut_off_as_in_tensor_cores(compiled, rng):
    ones, small = np.ones((16, 16)), np.full((16, 8), 2.0**-24)
    one = np.ones((16, 8))
    # 16 x 2^-25 would be four steps of a float: each by itself is cut off.
    np.testing.assert_array_equal(product(compiled, ones, small / 2, one), one)
    np.testing.assert_array_equal(product(compiled, -ones, small, one), one - 16 * 2.0**-24)
    A, B = rng.normal(size=(16, 16)), rng.normal(size=(16, 8))
    exact = A.astype(np.float16).astype(float) @ B.astype(np.float16).astype(float)
    size = np.abs(A) @ np.abs(B)
    error = product(compiled, A, B, 0 * exact) - exact
    assert 0 < np.abs(error / size).max() < 2.0**-21


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_stays_in_its_row(compiled, value):
    A = np.ones((16, 16))
    A[3, 5] = value
    got = product(compiled, A, np.ones((16, 8)), np.zeros((16, 8)))
    expected = np.full((16, 8), 16.0)
    expected[3] = value
    np.testing.assert_array_equal(got, expected)


def test_matrices_are_loaded_as_ptx_says(compiled):
    halves = np.arange(4 * 8 * 8, dtype=np.uint16).reshape(4, 8, 8)  # matrix, row, column
    plain, transposed = np.zeros((2, 32, 4), np.uint32)
    compiled.launch("matrices", 1, 32, [halves.view(np.uint32), plain, transposed])
    for got, of in ((plain, halves), (transposed, halves.transpose(0, 2, 1))):
        expected = [
            [of[i, lane // 4, 2 * (lane % 4) : 2 * (lane % 4) + 2] for i in range(4)]
            for lane in range(32)
        ]
        np.testing.assert_array_equal(got.view(np.uint16).reshape(32, 4, 2), expected)


@pytest.mark.parametrize(
    ("name", "words"),
    [("missing", "31 threads.* wait in ldmatrix"), ("misaligned", "misaligned row")],
)
def test_mistakes_are_found(compiled, name, words):
    with pytest.raises(KernelFault, match=words):
        compiled.launch(name, 1, 32, [np.zeros(4, np.uint32)])


def test_halves_are_those_of_numpy(compiled, rng):
    bits = np.arange(65_536, dtype=np.uint32)
    x = rng.normal(size=65_536) * 10.0 ** rng.uniform(-9, 6, 65_536)
    half = bits[:31_743].astype(np.uint16).view(np.float16).astype(np.float64)
    x[:31_743] = half
    x[31_743 : 2 * 31_743 - 1] = (half[:-1] + half[1:]) / 2  # ties
    x[-3:] = np.inf, -np.inf, np.nan
    x = x.astype(np.float32)
    values, to = np.zeros(65_536, np.float32), np.zeros(65_536, np.uint32)
    compiled.launch("halves", 256, 256, [bits, values, x, to])
    np.testing.assert_array_equal(values, bits.astype(np.uint16).view(np.float16))
    with np.errstate(over="ignore"):
        expected = x.astype(np.float16)
    np.testing.assert_array_equal(to.astype(np.uint16).view(np.float16), expected)
