// L-BFGS's step along a direction, and what comes of it, beside the passes over the rows.
//
// As array functions these are some 80 launches an iteration; here they are four. Small arrays are
// (features + 1, models) float64, the intercept last, or (models,); a block takes a model, and sums
// are float64 in an order that depends on sizes alone. gpulr/solvers/stepping.py says the same in array
// functions, which serve elsewhere; comparisons are written so that a NaN does here what it does there.

#define THREADS 256  // a power of two
#define CLIP(x, least, most) ((x) < (least) ? (least) : (x) > (most) ? (most) : (x))

#include "together.cuh"

// Newton's step t from 1 along D, times `factor`; theta + t D; and kappa, the mean slope there. sums
// (segments, 3, models) are look_along's, share = 1/m, penalty = 1/(C m).
extern "C" __global__ void __launch_bounds__(THREADS) choose_step(
    const double* sums, int segments, const double* theta, const double* D, const double* share,
    const double* penalty, const double* factor, int features, int models, double* t, double* kappa,
    double* next) {
    __shared__ double shared[THREADS];
    const int model = blockIdx.x, thread = threadIdx.x;
    double along[3] = {0.0, 0.0, 0.0}, down = 0.0, bend = 0.0;
    for (int s = thread; s < segments; s += THREADS)
        for (int i = 0; i < 3; i++) along[i] += sums[((long long)s * 3 + i) * models + model];
    for (int f = thread; f < features; f += THREADS) {
        const long long at = (long long)f * models + model;
        down += theta[at] * D[at];
        bend += D[at] * D[at];
    }
    for (int i = 0; i < 3; i++) along[i] = together<false>(along[i], shared) * share[model];
    down = together<false>(down, shared) * penalty[model];
    bend = together<false>(bend, shared) * penalty[model];
    const double first = along[0] + down + bend, second = along[1] + bend;
    const double newton = 1.0 - first / (second > 0.0 ? second : 1.0);
    const double step = factor[model] * CLIP(newton, 0.05, 10.0);
    for (int f = thread; f <= features; f += THREADS) {
        const long long at = (long long)f * models + model;
        next[at] = theta[at] + step * D[at];
    }
    if (thread == 0) {
        t[model] = step;
        kappa[model] = CLIP(along[2], 1e-6, 0.25);
    }
}

// Margins Z + t D, (rows, models) float32.
extern "C" __global__ void __launch_bounds__(THREADS) step_margins(
    const float* Z, const float* D, const double* t, int rows, int models, float* next) {
    const long long i = (long long)blockIdx.x * THREADS + threadIdx.x;
    if (i < (long long)rows * models) next[i] = Z[i] + (float)t[i % models] * D[i];
}

// Where the step was not good enough, the margins before it.
extern "C" __global__ void __launch_bounds__(THREADS) keep_margins(
    const float* Z, const unsigned char* enough, int rows, int models, float* next) {
    const long long i = (long long)blockIdx.x * THREADS + threadIdx.x;
    if (i < (long long)rows * models && !enough[i % models]) next[i] = Z[i];
}

// Whether a step lowered the cost enough, to rounding (`noise` of the cost); where it did not, what
// there was before is written over what came of it. Then what is counted; `leap`, `moved`, `failed`
// and `most` are the solver's LEAP, MOVED, FAILED and STALLED. measured (3, models): cost, largest
// |gradient|, whether stalled.
extern "C" __global__ void __launch_bounds__(THREADS) judge_step(
    const double* theta, const double* cost, const double* gradient, const double* reduced,
    const double* slope, const double* t, const double* best, const double* least, const double* idle,
    const double* factor, double noise, double leap, double moved, double failed, double most,
    int features, int models, double* new_theta, double* new_cost, double* new_gradient,
    double* new_reduced, double* new_best, double* new_least, double* new_idle, double* new_factor,
    unsigned char* enough, unsigned char* stalled, double* measured) {
    __shared__ double shared[THREADS];
    const int model = blockIdx.x, thread = threadIdx.x;
    double norm = 0.0, before = 0.0;
    for (int f = thread; f <= features; f += THREADS) {
        const long long at = (long long)f * models + model;
        const double size = fabs(new_gradient[at]), old = fabs(gradient[at]);
        if (norm == norm && !(size <= norm)) norm = size;
        if (before == before && !(old <= before)) before = old;
    }
    norm = together<true>(norm, shared);
    before = together<true>(before, shared);
    const double J0 = cost[model], rounding = noise * fabs(J0);
    double J = new_cost[model];
    const bool equal = J <= J0 + rounding;
    const bool good = J <= J0 + 1e-4 * t[model] * slope[model] || (equal && norm <= leap * best[model]);
    if (!good) {
        norm = before, J = J0;
        for (int f = thread; f <= features; f += THREADS) {
            const long long at = (long long)f * models + model;
            new_theta[at] = theta[at];
            new_gradient[at] = gradient[at];
            new_reduced[at] = reduced[at];
        }
    }
    __syncthreads();  // all have read the cost
    if (thread == 0) {
        const bool better = norm < 0.9 * best[model] || J < least[model] - rounding / 8.0;
        const double tries = better ? 0.0 : idle[model] + (good || equal ? moved : failed);
        new_cost[model] = J;
        new_best[model] = norm < best[model] || norm != norm ? norm : best[model];
        new_least[model] = J < least[model] || J != J ? J : least[model];
        new_idle[model] = tries;
        new_factor[model] = good ? 1.0 : factor[model] / 4.0;
        enough[model] = good;
        stalled[model] = tries >= most;
        measured[model] = J;
        measured[models + model] = norm;
        measured[2 * models + model] = tries >= most;
    }
}
