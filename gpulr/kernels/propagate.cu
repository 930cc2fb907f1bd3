// One pass over the rows X: margins, costs, residuals and X'R, while each row is in shared memory.
//
// The two products of a pass, Z = XW + b and X'R, each need all of X; between them stands the
// sigmoid, so that matrix-product libraries read X twice, and write and read Z, P and R between.
// Here a block of threads copies TILE rows into shared memory, and does everything with them there.
//
// The floor, for 56,000 x 784 and ten models, per pass:
//   bytes    X once: 176 MB as float32, 88 as fp16, 44 as bytes; 59, 29 and 15 us at 3 TB/s.
//   flops    2 x 56,000 x 784 x 10 FMAs, each two operations: 26 us at 67 Tflop/s.
//   issue    An SM issues four warp instructions per clock. Compiled for sm_90, a row takes each of
//            seven warps 80 FMAs and 15 others (20 as bytes, to take them apart twice): 71,000 clocks
//            (74,000) of 132 SMs, 40 us (42) at 1.755 GHz. So float32 is bound by memory, and bytes
//            by issue. Computed, not measured.
//
// Reasons for its shape:
// - Backward: a thread owns QUADS x 4 features, and holds their X'R for all COLUMNS in registers
//   from its first row to its last. A row costs it one load of its numbers, and loads of R that are
//   the same for the whole warp. With 784 features, 196 threads own one quad each.
// - Forward: if each thread multiplied the quads that it owns, every row would have a partial sum in
//   each of 196 threads, and adding these up would take half as many instructions as the products
//   do. So W is in shared memory, and a thread takes ROWS rows and some of their quads: a load of W
//   serves ROWS rows, and few threads share a row.
// - QUADS x COLUMNS <= 10: 40 sums of X'R and ROWS x COLUMNS <= 40 of margins fit, with what
//   else there is, into 128 registers, which two blocks of 256 threads leave each. More models than
//   COLUMNS are further groups, blockIdx.x; those of the same rows run at the same time, so that all
//   but the first find X in the L2 cache.
// - Two blocks on an SM: while one copies rows, the other computes. Copies are asynchronous where
//   the hardware can (sm_80), so that they hold no registers.
// - Rows in shared memory are an odd number of 16 bytes apart: eight threads that read the same
//   quad of eight rows then meet no bank conflict.
// - No atomics: add_segments in parameters.cu adds each block's sums in their order, in float64.
// - FP32 throughout, no tensor cores: those take two fp16 halves of W and R to keep accuracy.
//
// Compiled with -D for each of these, from one text: gpulr/backend/cuda_sources.py puts headers in.

#ifndef FEATURES         // as it stands, for MNIST
#define STORAGE 32       // bits of a stored number: 8 (uint8), 16 (IEEE half) or 32 (float)
#define BFLOAT 0         // 1: of 16 bits, the upper half of a float instead
#define FEATURES 784
#define CENTERED 0       // 1: `center` is subtracted from every row
#define COLUMNS 10       // models in a group
#define TILE 20          // rows that shared memory has room for
#define ROWS 2           // rows that a thread's loads of W serve
#define QUADS 1          // of features that a thread owns
#define THREADS 224
#define BLOCKS 2         // that an SM is to hold
#endif

#define ALL_QUADS ((FEATURES + 3) / 4)
#define BYTES (STORAGE / 8)
#define ROW_BYTES (FEATURES * BYTES)
#define STRIDE (((ALL_QUADS * 4 * BYTES + 15) / 16 | 1) * 16)  // of rows in shared memory
#define OWNERS ((ALL_QUADS + QUADS - 1) / QUADS)               // threads that own all features
#define SHARES (THREADS / OWNERS)                              // of rows, where features are few
#define PITCH ((COLUMNS + 3) / 4 * 4)                          // of rows of R

#include "passes.cuh"

static_assert(TILE % ROWS == 0 && TILE / ROWS <= THREADS, "ROWS divide TILE, for enough threads");
static_assert(OWNERS <= THREADS && COLUMNS <= THREADS, "there are enough threads");
static_assert(!(CENTERED && STORAGE == 8), "the centre of bytes is absorbed by the weights");

// For each sum that a thread holds: of a quad j of its own, a feature i of it, and a model c.
#define EACH_SUM(quads)                                 \
    _Pragma("unroll") for (int j = 0; j < (quads); j++) \
    _Pragma("unroll") for (int i = 0; i < 4; i++)       \
    _Pragma("unroll") for (int c = 0; c < COLUMNS; c++)

struct alignas(16) Four {
    float v[4];
};

template <bool FORWARD, bool BACKWARD>
struct Shared {  // offsets in bytes; gpulr/kernels/plan.py adds up the same
    static constexpr int weights = TILE * STRIDE;
    static constexpr int center = weights + (FORWARD || SHARES > 1 ? ALL_QUADS * 16 * COLUMNS : 0);
    static constexpr int partial = center + (CENTERED ? ALL_QUADS * 16 : 0);
    static constexpr int residuals = partial + (FORWARD ? THREADS * ROWS * COLUMNS * 4 : 0);
};
static_assert(TILE * STRIDE >= 16 * THREADS, "sums are added where rows were");

// A byte is not converted: as the bits of a float it is its value times 2^-149, a subnormal number,
// which FMAs take at full speed and exactly. CuPy compiles with -ftz=true, under which a * b + c
// takes it for zero; so what bytes or sums of their products go into is __fmaf_ieee_rn, which is an
// FMA under any option. Weights and residuals are scaled up by 2^80, and sums of products by 2^69 in
// the end: they are rounded to multiples of 2^-80 at worst, as small as the residual of a margin of
// 55. Weights, of features and of rows, may be as large as 2^47.
#if STORAGE == 8
#define UP 0x1p80f
#define REST 0x1p69f
#else
#define UP 1.0f
#define REST 1.0f
#endif

__device__ __forceinline__ float number(unsigned bits, int i) {
#if STORAGE == 8
#ifdef __CUDA_ARCH__
    return __uint_as_float(__byte_perm(bits, 0u, 0x4440u + i));
#else
    const unsigned byte = (bits >> (8 * i)) & 255u;
    float value;
    __builtin_memcpy(&value, &byte, 4);
    return value;
#endif
#elif BFLOAT
    const unsigned wide = i == 0 ? bits << 16 : bits & 0xffff0000u;
#ifdef __CUDA_ARCH__
    return __uint_as_float(wide);
#else
    float value;
    __builtin_memcpy(&value, &wide, 4);
    return value;
#endif
#else
    unsigned short half = (unsigned short)(bits >> (16 * i));
    float value;
#ifdef __CUDA_ARCH__
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half));
#else
    _Float16 stored;
    __builtin_memcpy(&stored, &half, 2);
    value = (float)stored;
#endif
    return value;
#endif
}

// Four stored numbers of a row in shared memory, less their centre.
__device__ __forceinline__ Four quad(const char* row, int q, const Four* center) {
    Four x;
#if STORAGE == 32
    x = *(const Four*)(row + 16 * q);
#elif STORAGE == 16
    struct alignas(8) Two {
        unsigned v[2];
    } bits = *(const Two*)(row + 8 * q);
#pragma unroll
    for (int i = 0; i < 4; i++) x.v[i] = number(bits.v[i / 2], i % 2);
#else
    unsigned bits = *(const unsigned*)(row + 4 * q);
#pragma unroll
    for (int i = 0; i < 4; i++) x.v[i] = number(bits, i);
#endif
#if CENTERED
#pragma unroll
    for (int i = 0; i < 4; i++) x.v[i] -= center->v[i];
#endif
    return x;
}

template <int SIZE>
struct alignas(SIZE) Chunk {
    char bytes[SIZE];
};

// Copy a chunk from global to shared memory; it is there after arrived().
template <int SIZE>
__device__ __forceinline__ void copy(char* to, const char* from) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    if constexpr (SIZE >= 4) {
        unsigned address = (unsigned)__cvta_generic_to_shared(to);
        if constexpr (SIZE == 16) {
            asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(address), "l"(from)
                         : "memory");
        } else {
            asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(address), "l"(from),
                         "n"(SIZE)
                         : "memory");
        }
        return;
    }
#endif
    *(Chunk<SIZE>*)to = *(const Chunk<SIZE>*)from;
}

__device__ __forceinline__ void arrived() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
    __syncthreads();
}

// Z is written by the forward half alone, and read by the backward half alone.
template <bool FORWARD, bool BACKWARD>
__device__ __forceinline__ void pass(
    const void* X, const float* center, int rows, int segment_rows, int tile_rows, const float* W,
    const float* b, int models, float* Z, const Targets& targets, float* dW, double* sums) {
    extern __shared__ Four shared[];
    using At = Shared<FORWARD, BACKWARD>;
    char* const tile = (char*)shared;
    Four* const weights = (Four*)(tile + At::weights);  // [COLUMNS][ALL_QUADS], 4 x COLUMNS a quad
    Four* const centers = (Four*)(tile + At::center);
    float* const partial = (float*)(tile + At::partial);      // [parts][tile_rows][COLUMNS]
    float* const residuals = (float*)(tile + At::residuals);  // [TILE][PITCH]

    const int t = threadIdx.x;
    const int first = blockIdx.x * COLUMNS;  // model
    const int columns = models - first < COLUMNS ? models - first : COLUMNS;
    const long long begin = (long long)blockIdx.y * segment_rows;
    const long long end = begin + segment_rows < rows ? begin + segment_rows : rows;

    if constexpr (FORWARD) {
        for (int i = t; i < ALL_QUADS * 4 * COLUMNS; i += THREADS) {
            const int f = i / COLUMNS, c = i % COLUMNS, place = f % 4 * COLUMNS + c;
            weights[place / 4 * ALL_QUADS + f / 4].v[place % 4] =
                f < FEATURES && c < columns ? UP * W[(long long)f * models + first + c] : 0.0f;
        }
    }
    if constexpr (CENTERED) {
        for (int f = t; f < ALL_QUADS * 4; f += THREADS) {
            centers[f / 4].v[f % 4] = f < FEATURES ? center[f] : 0.0f;
        }
    }
    constexpr int TAIL = ALL_QUADS * 4 * BYTES - ROW_BYTES;  // of the last quad, never copied to
    for (int i = t; i < TILE * TAIL; i += THREADS) {
        tile[i % TILE * STRIDE + ROW_BYTES + i / TILE] = 0;
    }

    // Forward: ROWS rows, `groups` apart, and every `parts`th quad of them. Activation: a model, and
    // every LANESth row. Backward: QUADS quads, and every SHARESth row.
    const int groups = tile_rows / ROWS, parts = THREADS / groups;
    const int group = t % groups, part = t / groups;
    const int column = t % COLUMNS, lane = t / COLUMNS;
    const int owner = t % OWNERS, share = t / OWNERS;
    const float intercept = FORWARD && column < columns ? b[first + column] : 0.0f;
    double loss = 0.0, residual = 0.0;
    float gradient[BACKWARD ? QUADS : 1][4][COLUMNS];
    EACH_SUM(BACKWARD ? QUADS : 1) gradient[j][i][c] = 0.0f;

    for (long long start = begin; start < end; start += tile_rows) {
        const int n = end - start < tile_rows ? (int)(end - start) : tile_rows;
        constexpr int SIZE = ROW_BYTES % 16 == 0  ? 16
                             : ROW_BYTES % 8 == 0 ? 8
                             : ROW_BYTES % 4 == 0 ? 4
                             : ROW_BYTES % 2 == 0 ? 2
                                                  : 1;
        constexpr int CHUNKS = ROW_BYTES / SIZE;  // a row's
        const char* const from = (const char*)X + start * ROW_BYTES;
        for (int i = t; i < n * CHUNKS; i += THREADS) {
            copy<SIZE>(tile + i / CHUNKS * STRIDE + i % CHUNKS * SIZE, from + (long long)i * SIZE);
        }
        if constexpr (BACKWARD) {
            if (t < n) targets.ahead(start + t);
        }
        arrived();

        if constexpr (FORWARD) {
            if (part < parts) {
                float sum[ROWS][COLUMNS];
                const char* row[ROWS];
#pragma unroll
                for (int r = 0; r < ROWS; r++) {
                    const int index = group + r * groups;
                    row[r] = tile + (index < n ? index : n - 1) * STRIDE;
#pragma unroll
                    for (int c = 0; c < COLUMNS; c++) sum[r][c] = 0.0f;
                }
                for (int q = part; q < ALL_QUADS; q += parts) {
                    Four x[ROWS];
#pragma unroll
                    for (int r = 0; r < ROWS; r++) x[r] = quad(row[r], q, centers + q);
#pragma unroll
                    for (int j = 0; j < COLUMNS; j++) {
                        const Four w = weights[j * ALL_QUADS + q];
#pragma unroll
                        for (int i = 0; i < 4; i++) {
                            const int f = (4 * j + i) / COLUMNS, c = (4 * j + i) % COLUMNS;
#pragma unroll
                            for (int r = 0; r < ROWS; r++)
                                sum[r][c] = __fmaf_ieee_rn(x[r].v[f], w.v[i], sum[r][c]);
                        }
                    }
                }
#pragma unroll
                for (int r = 0; r < ROWS; r++)
#pragma unroll
                    for (int c = 0; c < COLUMNS; c++)
                        partial[(part * tile_rows + group + r * groups) * COLUMNS + c] = sum[r][c];
            }
            __syncthreads();
        }

        if (lane < LANES) {
            float losses = 0.0f, rest = 0.0f;  // of at most a tile's rows
            for (int r = lane; r < n; r += LANES) {
                const long long place = (start + r) * models + first + column;
                float z = 0.0f;
                if constexpr (FORWARD) {
#pragma unroll 4
                    for (int p = 0; p < parts; p++)
                        z = __fmaf_ieee_rn(partial[(p * tile_rows + r) * COLUMNS + column], REST, z);
                    z += intercept;
                } else {
                    if (column < columns) z = Z[place];
                }
                if constexpr (!BACKWARD) {
                    if (column < columns) Z[place] = z;
                } else {
                    float R = 0.0f;
                    if (column < columns) {
                        const bool y = targets.positive(start + r, first + column, models);
                        const float s = targets.weight(start + r, first + column);
                        const Answer answer(y, z);
                        losses += s * answer.loss();
                        R = s * answer.residual();
                        rest += R;
                    }
                    residuals[r * PITCH + column] = UP * R;
                }
            }
            loss += losses;
            residual += rest;
        }
        __syncthreads();

        if constexpr (BACKWARD) {
            if (share < SHARES) {
#if CENTERED
                Four mine[QUADS];
#pragma unroll
                for (int j = 0; j < QUADS; j++) {
                    const int q = owner + j * OWNERS;
                    mine[j] = centers[q < ALL_QUADS ? q : owner];
                }
#else
                const Four* mine = nullptr;
#endif
#pragma unroll 4
                for (int r = share; r < n; r += SHARES) {
                    float R[PITCH];
#pragma unroll
                    for (int c = 0; c < PITCH; c += 4) {
                        const Four four = *(const Four*)(residuals + r * PITCH + c);
#pragma unroll
                        for (int i = 0; i < 4; i++) R[c + i] = four.v[i];
                    }
#pragma unroll
                    for (int j = 0; j < QUADS; j++) {
                        const int q = owner + j * OWNERS;
                        // The last owners may have a quad less: theirs is counted nowhere.
                        const Four x =
                            quad(tile + r * STRIDE, q < ALL_QUADS ? q : owner, mine + j);
#pragma unroll
                        for (int i = 0; i < 4; i++)
#pragma unroll
                            for (int c = 0; c < COLUMNS; c++)
                                gradient[j][i][c] = __fmaf_ieee_rn(x.v[i], R[c], gradient[j][i][c]);
                    }
                }
            }
            __syncthreads();  // before the next rows are copied
        }
    }

    if constexpr (BACKWARD) {
        // What other shares of the rows gave, added up in their order, where W was.
        float* const other = (float*)weights;
        for (int k = 1; k < SHARES; k++) {
            if (share == k) {
                EACH_SUM(QUADS) {
                    const int q = owner + j * OWNERS;
                    if (q < ALL_QUADS) other[(i * COLUMNS + c) * ALL_QUADS + q] = gradient[j][i][c];
                }
            }
            __syncthreads();
            if (share == 0) {
                EACH_SUM(QUADS) {
                    const int q = owner + j * OWNERS;
                    if (q < ALL_QUADS)
                        gradient[j][i][c] = __fmaf_ieee_rn(
                            other[(i * COLUMNS + c) * ALL_QUADS + q], 1.0f, gradient[j][i][c]);
                }
            }
            __syncthreads();
        }
        if (share == 0) {
            float* const to = dW + (long long)blockIdx.y * FEATURES * models + first;
#pragma unroll
            for (int j = 0; j < QUADS; j++)
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    const int f = 4 * (owner + j * OWNERS) + i;
                    if (f < FEATURES) {
#pragma unroll
                        for (int c = 0; c < COLUMNS; c++)
                            if (c < columns)
                                to[(long long)f * models + c] =
                                    __fmaf_ieee_rn(REST, gradient[j][i][c], 0.0f);
                    }
                }
        }
        double* const each = (double*)tile;  // the last rows have been used
        each[2 * t] = loss;
        each[2 * t + 1] = residual;
        __syncthreads();
        for (int i = t; i < 2 * columns; i += THREADS) {
            double sum = 0.0;
            for (int l = 0; l < LANES; l++) sum += each[2 * (l * COLUMNS + i / 2) + i % 2];
            sums[((long long)blockIdx.y * 2 + i % 2) * models + first + i / 2] = sum;
        }
    }
}

