// What L-BFGS does between passes: a direction from the pairs, and the next pair, a launch for each.
//
// As array functions, two loops over ten pairs, the check that the direction goes down and the slope
// along it are 134 kernels, and the next pair 29. Arrays are so small (7,850 numbers for ten models
// on MNIST) that what counts is the host's time of a launch, some 6 us. Here there are two launches.
//
// The floor, for 784 features, ten models and ten pairs: 1.3 MB are read, from the L2 cache as a
// rule. But each of 21 sums needs the one before it: a read, five shuffles, a barrier, some 500
// clocks. That is 6 us at 1.7 GHz; computed, not measured.
//
// A block takes a model. What the loops change, q and later r, is in shared memory, where each
// thread has features of its own: nobody waits for anybody but in sums. These are float64, in an
// order that depends on sizes alone: no atomics, the same bits in every run.
//
// Everything is in the coordinates of the shared curvature (gpulr/solvers/curvature.py), of which
// all eigenvectors are known: reduced, d, s, y are (features + 1, models) float64, the intercept
// last; values (features,) the eigenvalues; gamma, kappa, lam, t, rho, slope (models,).
//
// Models may have curvatures of their own (gpulr/solvers/model_curvature.py), which several may
// share: which (models,), null where no model has any, says where, or -1. inverses are L^-1, (factors,
// size, size) float or, if wide, double, of the last `size` coordinates; rest (factors, features + 1
// - size) is the diagonal of those before. The block of a model reads its L^-1 twice, 33 KB each time
// with 129 coordinates and 206 KB with 321, from the L2 cache as a rule. Batched products by cuBLAS,
// and what gathers and converts their operands, would be some twenty launches more in an iteration.

// A least number of blocks, 1, where ptxas would rather spill than take more registers.
#define THREADS 256
#define WARPS (THREADS / 32)
#define PAIRS 10  // at most; pointers of those that there are not are null
#define EACH_PAIR(x) x##0, x##1, x##2, x##3, x##4, x##5, x##6, x##7, x##8, x##9

// The sum of a value per thread, in all threads. Two rows of parts take turns, so that one barrier
// does: who writes a row again has passed the other row's barrier, before which all have read it.
__device__ __forceinline__ double together(double value, double (*parts)[WARPS], int& turn) {
#pragma unroll
    for (int bits = 16; bits > 0; bits /= 2) value += __shfl_xor_sync(0xffffffffu, value, bits);
    turn ^= 1;
    if (threadIdx.x % 32 == 0) parts[turn][threadIdx.x / 32] = value;
    __syncthreads();
    double sum = parts[turn][0];
#pragma unroll
    for (int w = 1; w < WARPS; w++) sum += parts[turn][w];
    return sum;
}

// x (size,) becomes L^-T L^-1 x, in shared memory; y is as large. Rows are summed by warps, columns by
// threads, so that either way what a warp reads of L^-1 lies side by side. What is above its diagonal
// is 0.
template <typename T>
__device__ __forceinline__ void solve(const T* inverse, int size, double* x, double* y) {
    const int lane = threadIdx.x % 32;
    __syncthreads();  // x has been written
    for (int row = threadIdx.x / 32; row < size; row += WARPS) {
        double sum = 0.0;
        for (int c = lane; c <= row; c += 32) sum += (double)inverse[row * size + c] * x[c];
#pragma unroll
        for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, bits);
        if (lane == 0) y[row] = sum;
    }
    __syncthreads();
    for (int c = threadIdx.x; c < size; c += THREADS) {
        double sum = 0.0;
#pragma unroll 8
        for (int row = c - lane; row < size; row++) sum += (double)inverse[row * size + c] * y[row];
        x[c] = sum;
    }
    __syncthreads();
}

// The inverse curvature of one model. Called with a number it is that of the shared one: what
// SharedCurvature.solve does.
struct Inverse {
    const double* values;
    int features;
    double kappa, lam;

    __device__ __forceinline__ double operator()(double x, int f) const {
        return f == features ? x / kappa : x / (kappa * values[f] + lam);
    }

    // The model's own applied to x (features + 1,) in shared memory, of which each thread has written
    // what is its, and has it afterwards; y is as large. What ModelCurvature.solve does.
    __device__ __forceinline__ void apply(double* x, double* y, const void* inverses,
                                          const double* rest, const int* which, int size,
                                          int wide) const {
        const long long own = which ? which[blockIdx.x] : -1;
        if (own < 0) {
            for (int f = threadIdx.x; f <= features; f += THREADS) x[f] = (*this)(x[f], f);
            return;
        }
        const int first = features + 1 - size;
        const long long at = own * size * size;
        for (int f = threadIdx.x; f < first; f += THREADS) x[f] /= rest[own * first + f] + lam;
        if (wide) solve((const double*)inverses + at, size, x + first, y);
        else solve((const float*)inverses + at, size, x + first, y);
    }
};

// The direction d, downhill, and the slope along it. Pairs are given from the oldest on; one whose
// rho is 0 is not used. Where their direction goes up, d is that of the shared curvature alone. A
// block a model; shared memory of features + 1 + size doubles.
extern "C" __global__ void __launch_bounds__(THREADS, 1) find_direction(
    const double* reduced, const double* gamma, const double* kappa, const double* lam,
    const double* values, int features, int models, const void* inverses, const double* rest,
    const int* which, int size, int wide, EACH_PAIR(const double* s), EACH_PAIR(const double* y),
    EACH_PAIR(const double* rho), double* d, double* slope) {
    extern __shared__ double q[];
    __shared__ double parts[2][WARPS], alpha[PAIRS];
    const double* const s[PAIRS] = {EACH_PAIR(s)};
    const double* const y[PAIRS] = {EACH_PAIR(y)};
    const double* const rhos[PAIRS] = {EACH_PAIR(rho)};
    const int model = blockIdx.x, thread = threadIdx.x;
    const Inverse inverse{values, features, kappa[model], lam[model]};
    const double scale = gamma[model];
    int turn = 0;

    for (int f = thread; f <= features; f += THREADS) q[f] = reduced[(long long)f * models + model];

    // A sweep first adds what the sum before it asks for, factor * along, and then sums up its own.
    double factor = 0.0;
    const double* along = nullptr;
#pragma unroll
    for (int i = PAIRS - 1; i >= 0; i--) {
        const double rho = s[i] ? rhos[i][model] : 0.0;
        if (rho != 0.0) {
            double sum = 0.0;
            for (int f = thread; f <= features; f += THREADS) {
                const long long at = (long long)f * models + model;
                if (along) q[f] += factor * along[at];
                sum += s[i][at] * q[f];
            }
            factor = -rho * together(sum, parts, turn);
            if (thread == 0) alpha[i] = -factor;  // read after the next sum's barrier
            along = y[i];
        }
    }
    if (along) {
        for (int f = thread; f <= features; f += THREADS)
            q[f] += factor * along[(long long)f * models + model];
    }
    inverse.apply(q, q + features + 1, inverses, rest, which, size, wide);
    for (int f = thread; f <= features; f += THREADS) q[f] *= scale;
    along = nullptr;
#pragma unroll
    for (int i = 0; i < PAIRS; i++) {
        const double rho = s[i] ? rhos[i][model] : 0.0;
        if (rho != 0.0) {
            double sum = 0.0;
            for (int f = thread; f <= features; f += THREADS) {
                const long long at = (long long)f * models + model;
                if (along) q[f] += factor * along[at];
                sum += y[i][at] * q[f];
            }
            const double beta = rho * together(sum, parts, turn);
            factor = alpha[i] - beta;
            along = s[i];
        }
    }
    double down = 0.0;
    for (int f = thread; f <= features; f += THREADS) {
        const long long at = (long long)f * models + model;
        if (along) q[f] += factor * along[at];
        d[at] = -q[f];
        down -= q[f] * reduced[at];
    }
    down = together(down, parts, turn);
    if (!(down < 0.0)) {  // nor where it is no number
        down = 0.0;
        for (int f = thread; f <= features; f += THREADS) {
            const long long at = (long long)f * models + model;
            const double step = -inverse(reduced[at], f);
            d[at] = step;
            down += step * reduced[at];
        }
        down = together(down, parts, turn);
    }
    if (thread == 0) slope[model] = down;
}

// The pair of a step t d that changed the reduced gradient from `before`, and the scale gamma that
// goes with it. Where s'y <= 0, to rounding, it is not to be used: rho and y are 0 (y may have been
// infinite), and gamma stays. A block a model; shared memory as above.
extern "C" __global__ void __launch_bounds__(THREADS, 1) learn_pair(
    const double* d, const double* t, const double* reduced, const double* before,
    const double* gamma, const double* kappa, const double* lam, const double* values,
    int features, int models, const void* inverses, const double* rest, const int* which, int size,
    int wide, double* s, double* y, double* rho, double* new_gamma) {
    extern __shared__ double q[];
    __shared__ double parts[2][WARPS];
    const int model = blockIdx.x, thread = threadIdx.x;
    const Inverse inverse{values, features, kappa[model], lam[model]};
    const double length = t[model];
    int turn = 0;
    double sy = 0.0, ss = 0.0, yy = 0.0, yHy = 0.0;
    for (int f = thread; f <= features; f += THREADS) {
        const long long at = (long long)f * models + model;
        const double step = length * d[at], change = reduced[at] - before[at];
        s[at] = step;
        y[at] = change;
        sy += step * change;
        ss += step * step;
        yy += change * change;
        q[f] = change;
    }
    inverse.apply(q, q + features + 1, inverses, rest, which, size, wide);
    for (int f = thread; f <= features; f += THREADS)
        yHy += y[(long long)f * models + model] * q[f];
    sy = together(sy, parts, turn);
    ss = together(ss, parts, turn);
    yy = together(yy, parts, turn);
    yHy = together(yHy, parts, turn);
    const bool good = sy > 1e-12 * sqrt(ss * yy) + 1e-290;  // nor may 1 / sy overflow
    if (!good) {
        for (int f = thread; f <= features; f += THREADS) y[(long long)f * models + model] = 0.0;
    }
    if (thread == 0) {
        rho[model] = good ? 1.0 / sy : 0.0;
        new_gamma[model] = good ? sy / yHy : gamma[model];
    }
}
