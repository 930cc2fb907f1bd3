// Kernels on which the checks of CUDA code are tried out: each is right, and the tests break it.
#ifdef __CUDACC__
#include <cuda_fp16.h>
#endif

#ifndef THREADS
#define THREADS 128  // of a block; a power of two, 64 at least
#endif

// sums[j] += the sum over rows of x (n_rows, n_columns); a block has some of one column's rows.
extern "C" __global__ void __launch_bounds__(THREADS) column_sums(
    const float* __restrict__ x, float* __restrict__ sums, int n_rows, int n_columns) {
    __shared__ float partial[THREADS];
    const int t = threadIdx.x, column = blockIdx.y;
    float sum = 0.0f;
    for (int row = blockIdx.x * THREADS + t; row < n_rows; row += gridDim.x * THREADS)
        sum += x[row * n_columns + column];
    partial[t] = sum;
    for (int half = THREADS / 2; half >= 32; half /= 2) {
        __syncthreads();
        if (t < half) partial[t] += partial[t + half];
    }
    if (t < 32) {
        __syncwarp();
        sum = partial[t];
#pragma unroll
        for (int bit = 16; bit > 0; bit /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, bit);
        if (t == 0) atomicAdd(&sums[column], sum);
    }
}

// out = x backwards, by one block; x is in dynamic shared memory in between.
extern "C" __global__ void __launch_bounds__(256) backwards(
    const int* __restrict__ x, int* __restrict__ out, int n) {
    extern __shared__ __align__(16) int kept[];
    for (int i = threadIdx.x; i < n; i += blockDim.x) kept[i] = x[i];
    __syncthreads();
    for (int i = threadIdx.x; i < n; i += blockDim.x) out[i] = kept[n - 1 - i];
}

// out = bytes / 2^shift in half precision, four at a time and one by one at the end.
extern "C" __global__ void __launch_bounds__(THREADS) halves(
    const unsigned char* __restrict__ bytes, __half* __restrict__ out, int n, int shift) {
    const float scale = 1.0f / (1 << shift);
    const int i = 4 * (blockIdx.x * blockDim.x + threadIdx.x);
    if (i + 3 < n) {
        const uchar4 four = *reinterpret_cast<const uchar4*>(bytes + i);
        out[i] = __float2half(four.x * scale);
        out[i + 1] = __float2half(four.y * scale);
        out[i + 2] = __float2half(four.z * scale);
        out[i + 3] = __float2half(four.w * scale);
    } else {
        for (int j = i; j < n; ++j) out[j] = __float2half(bytes[j] * scale);
    }
}
