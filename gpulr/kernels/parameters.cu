// What stands around a pass: parameters become weights of raw rows, sums of segments cost and gradient.
//
// All of it is small beside a pass (7,850 parameters of ten models on MNIST), so that what counts is
// how many kernels there are, at some 2 us each in a graph. With propagate.cu's, an iteration of
// gradient descent is four: absorb_scaling (which takes the step too), propagate, add_segments,
// finish_pass (which measures too).
//
// Sums are float64, in an order that depends on sizes alone: no atomics, the same bits in every run.
//
// theta, gradient (features + 1, models) float64, the intercept last; scale: one for all features, or
// `scales` (features,) where that is not null; center (features,), null where rows are centred before
// they are multiplied, or not at all. See gpulr/core/rows.py and gpulr/core/problem.py.

// A least number of blocks, 1, where ptxas would rather spill than take more registers.
#define THREADS 256  // a power of two
#define LANES 8      // threads that share the segments of one sum

#include "together.cuh"

// A step of gradient descent, theta -= rate * gradient, where rate (models,) is not null; then
// W (features, models) and b (models,) in float32, so that margins are X W + b. A block a model.
extern "C" __global__ void __launch_bounds__(THREADS) absorb_scaling(
    double* theta, const double* gradient, const double* rate, int features, int models,
    double scale, const double* scales, const double* center, float* W, float* b) {
    __shared__ double shared[THREADS];
    const int model = blockIdx.x;
    double shift = 0.0;
    for (int f = threadIdx.x; f <= features; f += THREADS) {
        const long long i = (long long)f * models + model;
        double parameter = theta[i];
        if (rate) theta[i] = parameter = parameter - rate[model] * gradient[i];
        if (f == features) {
            shift -= parameter;
        } else {
            const double w = (scales ? scales[f] : scale) * parameter;
            W[i] = (float)w;
            if (center) shift += center[f] * w;
        }
    }
    shift = together<false>(shift, shared);
    if (threadIdx.x == 0) b[model] = (float)-shift;
}

// Add up what segments gave, dW (segments, features, models) and sums (segments, 2, models), in
// total (features + 2, models) float64: X'R, the losses, the residuals. `begins`: total is empty.
//
// A block takes THREADS / LANES sums, each thread of one every LANESth segment.
extern "C" __global__ void __launch_bounds__(THREADS) add_segments(
    const float* dW, const double* sums, int segments, int features, int models, int begins,
    double* total) {
    __shared__ double shared[THREADS];
    constexpr int EACH = THREADS / LANES;
    const int lane = threadIdx.x / EACH;
    const long long weights = (long long)features * models, all = weights + 2LL * models;
    const long long i = (long long)blockIdx.x * EACH + threadIdx.x % EACH;
    double sum = 0.0;
    if (i < weights) {
#pragma unroll 8
        for (int s = lane; s < segments; s += LANES) sum += dW[s * weights + i];
    } else if (i < all) {
        for (int s = lane; s < segments; s += LANES) sum += sums[s * 2LL * models + i - weights];
    }
    shared[threadIdx.x] = sum;
    __syncthreads();
    if (lane == 0 && i < all) {
        for (int l = 1; l < LANES; l++) sum += shared[threadIdx.x + l * EACH];
        total[i] = begins ? sum : total[i] + sum;
    }
}

// The gradient, the cost, and, where measured (2, models) is not null, cost and largest |gradient|
// there. share = 1/m and penalty = 1/(C m) are (models,); intercept 0 holds it where it is. A block a
// model.
extern "C" __global__ void __launch_bounds__(THREADS, 1) finish_pass(
    const double* total, const double* theta, int features, int models, double scale,
    const double* scales, const double* center, const double* share, const double* penalty,
    int intercept, double* gradient, double* cost, double* measured) {
    __shared__ double shared[THREADS];
    const int model = blockIdx.x;
    const long long weights = (long long)features * models;
    const double residuals = total[weights + models + model];
    const double part = share[model], pull = penalty[model];
    double squares = 0.0, largest = 0.0;
    for (int f = threadIdx.x; f <= features; f += THREADS) {
        const long long i = (long long)f * models + model;
        double g = intercept ? residuals * part : 0.0;
        if (f < features) {
            const double w = theta[i];
            const double sum = center ? total[i] - center[f] * residuals : total[i];
            g = (scales ? scales[f] : scale) * sum * part + w * pull;
            squares += w * w;
        }
        gradient[i] = g;
        const double size = fabs(g);
        if (largest == largest && !(size <= largest)) largest = size;  // which keeps a NaN
    }
    squares = together<false>(squares, shared);
    if (measured) largest = together<true>(largest, shared);
    if (threadIdx.x == 0) {
        const double J = total[weights + model] * part + 0.5 * pull * squares;
        cost[model] = J;
        if (measured) {
            measured[model] = J;
            measured[models + model] = largest;
        }
    }
}
