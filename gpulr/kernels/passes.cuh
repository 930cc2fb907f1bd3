// What passes over the rows share, however they multiply: what models are to answer, what a margin
// adds to loss and residual, and the kernels themselves, which hand all else to pass().
//
// Stands in the text of a source where that includes it, after COLUMNS, THREADS and BLOCKS.

#define LANES (THREADS / COLUMNS)  // rows activated at once

// Bring a line of global memory into the cache.
__device__ __forceinline__ void fetch(const void* place) {
#ifdef __CUDA_ARCH__
    asm volatile("prefetch.global.L1 [%0];" ::"l"(place));
#else
    (void)place;
#endif
}

// What the models are to answer, and what rows weigh; see gpulr/core/targets.py.
struct Targets {
    const int* codes;                // (rows,), or null
    const float* table;              // (classes, models)
    const unsigned char* indicator;  // (rows, labels), where codes is null
    const int* label;                // (models,)
    int labels;
    const float* base;          // (rows,), or null: all ones
    const unsigned char* sets;  // (rows, n_sets), or null
    const int* set_index;          // (models,)
    int n_sets;
    // (models,): what a row weighs that a model is to answer with 1, beside one with 0. Null: as
    // much; else entries of the indicator may be 2, which says nothing.
    const float* positives;
    int models;

    // Ask for what a row will need: it is there by the time that its margins are.
    __device__ __forceinline__ void ahead(long long row) const {
        if (codes) fetch(codes + row);
        if (base) fetch(base + row);
        if (sets) fetch(sets + row * n_sets);
    }
    __device__ __forceinline__ bool positive(long long row, int model, int models) const {
        if (codes) return table[(long long)codes[row] * models + model] != 0.0f;
        return indicator[row * labels + label[model]] != 0;
    }
    __device__ __forceinline__ float weight(long long row, int model) const {
        float s = base ? base[row] : 1.0f;
        if (sets) s *= sets[row * n_sets + set_index[model]];
        if (!positives || !positive(row, model, models)) return s;
        return !codes && indicator[row * labels + label[model]] > 1 ? 0.0f : s * positives[model];
    }
};

// A model's loss and residual at a margin z. As in gpulr/logistic.py: from the margin towards the
// wrong answer, so that both are exact however sure it is.
struct Answer {
    float u, e, p;  // that margin, exp(-|u|), the probability of the wrong answer
    bool y;
    __device__ __forceinline__ Answer(bool positive, float z)
        : u(positive ? -z : z), e(expf(-fabsf(u))), y(positive) {
        p = (u >= 0.0f ? 1.0f : e) / (1.0f + e);
    }
    __device__ __forceinline__ float loss() const { return fmaxf(u, 0.0f) + log1pf(e); }
    __device__ __forceinline__ float residual() const { return y ? -p : p; }
    __device__ __forceinline__ float slope() const { return e / (1.0f + e) / (1.0f + e); }
};

// One pass, written by each source: Z is written by the forward half alone, and read by the backward
// half alone.
template <bool FORWARD, bool BACKWARD>
__device__ __forceinline__ void pass(
    const void* X, const float* center, int rows, int segment_rows, int tile_rows, const float* W,
    const float* b, int models, float* Z, const Targets& targets, float* dW, double* sums);

// blockIdx.x: group of COLUMNS models; blockIdx.y: segment of segment_rows rows, which come into
// shared memory tile_rows at a time, a multiple of ROWS. X (rows, FEATURES) aligned to 16 bytes;
// W (FEATURES, models), b (models,); dW (segments, FEATURES, models) and sums (segments, 2, models),
// of losses and of residuals, are written.
#define ROWS_GIVEN const void *X, const float *center, int rows, int segment_rows, int tile_rows
#define ROWS_HERE X, center, rows, segment_rows, tile_rows
#define TARGETS_GIVEN                                                                            \
    const int *codes, const float *table, const unsigned char *indicator, const int *label,      \
        int labels, const float *base, const unsigned char *sets, const int *set_index,          \
        int n_sets, const float *positives
#define TARGETS_HERE \
    codes, table, indicator, label, labels, base, sets, set_index, n_sets, positives, models
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) propagate(
    ROWS_GIVEN, const float* W, const float* b, int models, TARGETS_GIVEN, float* dW, double* sums) {
    const Targets targets{TARGETS_HERE};
    pass<true, true>(ROWS_HERE, W, b, models, nullptr, targets, dW, sums);
}

// Margins alone: Z (rows, models) is written.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) propagate_forward(
    ROWS_GIVEN, const float* W, const float* b, int models, float* Z) {
    pass<true, false>(ROWS_HERE, W, b, models, Z, Targets{}, nullptr, nullptr);
}

// What propagate does, from margins Z at hand.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) propagate_back(
    ROWS_GIVEN, float* Z, int models, TARGETS_GIVEN, float* dW, double* sums) {
    const Targets targets{TARGETS_HERE};
    pass<false, true>(ROWS_HERE, nullptr, nullptr, models, Z, targets, dW, sums);
}

// What Newton's method asks along a direction D, at Z + D: sums over the rows of the first and second
// derivative of the log-loss, and of the slopes, in sums (segments, 3, models). Z and D (rows, models).
// As in gpulr/logistic.py, derivatives_along.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) look_along(
    const float* Z, const float* D, int rows, int segment_rows, int models, TARGETS_GIVEN,
    double* sums) {
    __shared__ double each[3][THREADS];
    const Targets targets{TARGETS_HERE};
    const int t = threadIdx.x, model = blockIdx.x * COLUMNS + t % COLUMNS;
    const long long begin = (long long)blockIdx.y * segment_rows;
    const long long end = begin + segment_rows < rows ? begin + segment_rows : rows;
    double first = 0.0, second = 0.0, slopes = 0.0;
    if (t / COLUMNS < LANES && model < models) {
        for (long long row = begin + t / COLUMNS; row < end; row += LANES) {
            const float d = D[row * models + model], z = Z[row * models + model] + d;
            const bool y = targets.positive(row, model, models);
            const float s = targets.weight(row, model);
            const Answer answer(y, z);
            const float slope = s * answer.slope();
            first += s * answer.residual() * d;
            second += slope * d * d;
            slopes += slope;
        }
    }
    each[0][t] = first, each[1][t] = second, each[2][t] = slopes;
    __syncthreads();
    for (int i = t; i < 3 * COLUMNS; i += THREADS) {
        const int c = i % COLUMNS;
        if (blockIdx.x * COLUMNS + c < models) {
            double sum = 0.0;
            for (int l = 0; l < LANES; l++) sum += each[i / COLUMNS][l * COLUMNS + c];
            sums[((long long)blockIdx.y * 3 + i / COLUMNS) * models + blockIdx.x * COLUMNS + c] = sum;
        }
    }
}
