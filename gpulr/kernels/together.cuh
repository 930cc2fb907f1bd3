// What a value per thread comes to in all threads of a block, for sources that define THREADS before.

// The sum, or the largest, of a value per thread, in all threads. A NaN is the largest. Shared memory
// of THREADS doubles, a power of two.
template <bool LARGEST>
__device__ __forceinline__ double together(double value, double* shared) {
    __syncthreads();  // who is still reading what was there
    shared[threadIdx.x] = value;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if ((int)threadIdx.x < half) {
            const double a = shared[threadIdx.x], b = shared[threadIdx.x + half];
            shared[threadIdx.x] = !LARGEST ? a + b : a > b || a != a ? a : b;
        }
        __syncthreads();
    }
    return shared[0];
}
