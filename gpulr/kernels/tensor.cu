// What propagate.cu computes, its products by tensor cores: rows of bytes or halves, sm_80 and later.
//
// Bytes and halves are exact as halves, and so is every product of two halves in float32. What is not
// a half is a weight or a residual w: two are made of it, the nearest half to w and what is left,
// 2^11 times as large. Both are columns of the same product; their sums, c and d, give c + d / 2^11,
// exact to 2^-22 of each term. Before that w is scaled by a power of two so that the largest of some
// (the weights of a model that a warp holds; the residuals of a model in 16 rows) is about 2^14:
// weights down to 2^-28 of the largest lose nothing more. A weight that is not finite gives NaN.
//
// The floor, for 56,000 x 784 and ten models (of twelve columns), per pass, on an H100:
//   bytes    X once: 44 MB as bytes, 88 as fp16; 15 and 29 us at 3 TB/s.
//   tensor   294 products of 16 x 8 x 16 for 16 rows, forward and back, 1.03 million. An SM's tensor
//            cores do one a clock at their peak, some 0.6 by mma.sync: 7.7 us at 1.7 GHz.
//   shared   A row is written as it comes, read, written as halves, and read twice: 6.3 KB (bytes) or
//            7.8 (fp16), and 0.7 of partial margins, 128 bytes a clock: 13 and 16 us.
//   issue    About 165 warp instructions a row, by estimate: 37 for the products' own sums, 55 to make
//            halves of bytes, 28 for losses and residuals, 4 a clock: 10 us.
// So either is bound by memory. Computed, not measured.
//
// Reasons for its shape:
// - A warp owns steps of 16 features, and holds their weights, split, and their X'R for all rows of
//   its block in registers: neither is read from shared memory again. Margins are added up over
//   warps.
// - The halves of a model's weight are neighbouring columns: a thread's two sums of a row are those
//   of one model, so that c + d / 2^11 is taken without asking another thread.
// - Sums in tensor cores are cut off, not rounded. So they are short: X'R is added to sums of float32
//   after every 16 rows, and margins after the steps of one warp.
// - A byte is not converted: as the bits of a half it is its value times 2^-24, a subnormal number,
//   which tensor cores take exactly.
// - Rows of halves in shared memory are an odd number of 16 bytes apart: eight threads that read the
//   same eight features of eight rows then meet no bank conflict.
// - While a tile is computed with, the next one comes into `staged`, asynchronously.
// - Integer digits of weights would take bytes at twice the speed, which nothing waits for, and not
//   halves; and X'R wants columns of bytes, which ldmatrix does not give.
// - No atomics, and the order of all sums depends on sizes alone.
//
// Compiled with -D for each of these; plan.py says how they are found.

#ifndef FEATURES         // as it stands, for MNIST
#define STORAGE 8        // bits of a stored number: 8 (uint8) or 16 (IEEE half)
#define FEATURES 784
#define COLUMNS 12       // models in a group: four in each eight columns of a product
#define TILE 32          // rows that shared memory has room for
#define OWN 13           // steps of 16 features that a warp owns
#define THREADS 128
#define BLOCKS 2         // that an SM is to hold
#endif

#include "passes.cuh"

#define BYTES (STORAGE / 8)
#define ROW_BYTES (FEATURES * BYTES)
#define STEPS ((FEATURES + 15) / 16)
#define STRIDE (32 * STEPS + 16)             // bytes of a row of halves
#define WIDE (COLUMNS / 4)                   // products side by side: eight columns each
#define WARPS (THREADS / 32)
#define OWNERS ((STEPS + OWN - 1) / OWN)     // warps that own all features
#define SHARES (WARPS / OWNERS)              // of 16 rows each, where features are few
#define TURNS (WARPS / WIDE)                 // of 16 rows, activated at once
// Steps whose halves, or weights, are loaded at once: the compiler would load them all, and then
// spill; that of NVRTC 12 in blocks of eight warps with two as well.
#define BATCH (OWN * COLUMNS < 150 ? 4 : THREADS < 256 ? 2 : 1)
#define LOW 2048.0f                          // times what the first half leaves
#define UNIT (STORAGE == 8 ? 0x1p24f : 1.0f) // of a sum of products

static_assert(OWNERS <= WARPS && WIDE <= WARPS && COLUMNS % 4 == 0, "there are enough warps");
static_assert(TILE % 16 == 0 && TILE * STRIDE >= 16 * THREADS, "sums are added where rows were");
static_assert(SHARES == 1 || TILE * STRIDE >= OWNERS * OWN * WIDE * 256, "and those of shares");

template <bool FORWARD, bool BACKWARD>
struct Shared {  // offsets in bytes; gpulr/kernels/plan.py adds up the same
    static constexpr int staged = TILE * STRIDE;
    static constexpr int partial = staged + TILE * ROW_BYTES + 16;  // unaligned words are read to 4
    static constexpr int residuals = partial + (FORWARD ? OWNERS * TILE * COLUMNS * 4 : 0);
    static constexpr int scales = residuals + TILE / 16 * WIDE * 256;
};

struct alignas(8) Pair {
    unsigned v[2];
};
struct alignas(16) Eight {  // halves, two in each
    unsigned v[4];
};

// ---- instructions --------------------------------------------------------------------------------

struct alignas(16) Four {
    float v[4];
};

// a b + c, of the whole warp: a 16 x 16, b 16 x 8 of halves, c 16 x 8, in the registers that PTX says
// (mma.m16n8k16). Lane 4g + t has a's rows g and g + 8, b's column g, c's columns 2t and 2t + 1.
__device__ __forceinline__ Four multiply(const Eight& a, const Pair& b, const Four& c) {
    Four d = c;
#ifdef __CUDA_ARCH__
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13};"
        : "=f"(d.v[0]), "=f"(d.v[1]), "=f"(d.v[2]), "=f"(d.v[3])
        : "r"(a.v[0]), "r"(a.v[1]), "r"(a.v[2]), "r"(a.v[3]), "r"(b.v[0]), "r"(b.v[1]),
          "f"(c.v[0]), "f"(c.v[1]), "f"(c.v[2]), "f"(c.v[3]));
#else
    cuda_host::mma_m16n8k16(d.v, a.v, b.v);
#endif
    return d;
}

// Four 8 x 8 matrices of halves, row by row at the addresses that eight lanes each give; a lane gets
// two neighbours of a row of each, or, TRANSPOSED, of a column.
template <bool TRANSPOSED>
__device__ __forceinline__ Eight matrices(const char* row) {
    Eight a;
#ifdef __CUDA_ARCH__
    const unsigned address = (unsigned)__cvta_generic_to_shared(row);
    if constexpr (TRANSPOSED) {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(a.v[0]), "=r"(a.v[1]), "=r"(a.v[2]), "=r"(a.v[3])
                     : "r"(address)
                     : "memory");
    } else {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(a.v[0]), "=r"(a.v[1]), "=r"(a.v[2]), "=r"(a.v[3])
                     : "r"(address)
                     : "memory");
    }
#else
    cuda_host::ldmatrix_x4(a.v, row, TRANSPOSED);
#endif
    return a;
}

// Copy so many of 16 bytes, and zeros for the rest, from global to shared memory; there after
// arrived().
__device__ __forceinline__ void copy(char* to, const char* from, int bytes) {
#ifdef __CUDA_ARCH__
    const unsigned address = (unsigned)__cvta_generic_to_shared(to);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from),
                 "r"(bytes)
                 : "memory");
#else
    for (int i = 0; i < 16; i++) to[i] = i < bytes ? from[i] : 0;
#endif
}

__device__ __forceinline__ void arrived() {
#ifdef __CUDA_ARCH__
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
    __syncthreads();
}

__device__ __forceinline__ unsigned nearest(float value) {  // half
#ifdef __CUDA_ARCH__
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
#else
    return cuda_host::half_bits(value);
#endif
}

__device__ __forceinline__ float value_of(unsigned half) {
#ifdef __CUDA_ARCH__
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"((unsigned short)half));
    return value;
#else
    return cuda_host::half_value(half);
#endif
}

// ---- halves --------------------------------------------------------------------------------------

// A power of two that brings `largest` to [2^14, 2^15), and its inverse; for less than 2^-97, or
// nothing, that of 2^-97.
struct Scale {
    float up, down;
    __device__ __forceinline__ explicit Scale(float largest) {
        const unsigned exponent = __float_as_uint(largest) >> 23, held = exponent < 30u ? 30u : exponent;
        up = __uint_as_float((268u - held) << 23);
        down = __uint_as_float((held - 14u) << 23);
    }
};

// The nearest halves to two numbers, or those to what is left of them, in one register.
__device__ __forceinline__ unsigned split(float x, float y, bool low) {
    unsigned a = nearest(x), b = nearest(y);
    if (low) {
        a = nearest((x - value_of(a)) * LOW);
        b = nearest((y - value_of(b)) * LOW);
    }
    return a | b << 16;
}

// The sum of a model in row g, or g + 8, from those of the two halves.
__device__ __forceinline__ float joined(const Four& c, int h) {
    return c.v[2 * h] + c.v[2 * h + 1] * (1.0f / LOW);
}

// The largest of the four lanes 4g to 4g + 3.
__device__ __forceinline__ float largest_of_four(float x) {
    x = fmaxf(x, __shfl_xor_sync(~0u, x, 1));
    return fmaxf(x, __shfl_xor_sync(~0u, x, 2));
}

// Eight features of a row as it came, as halves: from feature 8 * unit on, zeros beyond the last.
__device__ __forceinline__ Eight unpacked(const char* staged, int row, int unit) {
    constexpr int WORDS = 2 * BYTES, LEFT = FEATURES % 8;
    const int at = row * ROW_BYTES + unit * 8 * BYTES;
    struct alignas(4 * WORDS) Words {
        unsigned v[WORDS];
    } words;
    if constexpr (ROW_BYTES % (4 * WORDS) == 0) {
        words = *(const Words*)(staged + at);
    } else {
        const unsigned* const from = (const unsigned*)staged + at / 4;
        const int shift = at % 4 * 8;
#pragma unroll
        for (int i = 0; i < WORDS; i++)
            words.v[i] =
                (unsigned)(((unsigned long long)from[i + 1] << 32 | from[i]) >> shift);
    }
    Eight x;
#pragma unroll
    for (int i = 0; i < 4; i++) {
#if STORAGE == 8
        x.v[i] = __byte_perm(words.v[i / 2], 0u, i % 2 ? 0x4342u : 0x4140u);
#else
        x.v[i] = words.v[i];
#endif
        if (LEFT && unit == FEATURES / 8) {
            if (2 * i >= LEFT) x.v[i] = 0u;
            else if (2 * i + 1 >= LEFT) x.v[i] &= 0xffffu;
        }
    }
    return x;
}

// ---- the pass ------------------------------------------------------------------------------------

// Segments begin at rows that are a multiple of 16 bytes from the first; tile_rows divide by 16.
template <bool FORWARD, bool BACKWARD>
__device__ __forceinline__ void pass(
    const void* X, const float*, int rows, int segment_rows, int tile_rows, const float* W,
    const float* b, int models, float* Z, const Targets& targets, float* dW, double* sums) {
    extern __shared__ Eight shared[];
    using At = Shared<FORWARD, BACKWARD>;
    char* const tile = (char*)shared;
    char* const staged = tile + At::staged;
    float* const partial = (float*)(tile + At::partial);    // [OWNERS][TILE][COLUMNS]
    Pair* const residuals = (Pair*)(tile + At::residuals);  // [TILE / 16][WIDE][32]
    float* const scales = (float*)(tile + At::scales);      // [TILE / 16][COLUMNS]

    const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
    const int g = lane / 4, t = lane % 4;  // as at multiply()
    const int owner = warp % OWNERS, share = warp / OWNERS;
    const int first = blockIdx.x * COLUMNS;  // model
    const int columns = models - first < COLUMNS ? models - first : COLUMNS;
    const int begin = blockIdx.y * segment_rows;
    const int end = begin + segment_rows < rows ? begin + segment_rows : rows;

    const auto request = [&](int start) {  // a tile's rows, which are bytes in one piece
        const int n = end - start < tile_rows ? end - start : tile_rows;
        const char* const from = (const char*)X + (long long)start * ROW_BYTES;
        for (int i = 16 * thread; i < n * ROW_BYTES; i += 16 * THREADS)
            copy(staged + i, from + i, n * ROW_BYTES - i < 16 ? n * ROW_BYTES - i : 16);
    };
    request(begin);

    // The weights of this warp's features as b of multiply(), and what c is to be scaled by. A lane's
    // column g has one half, the second where g is odd, of model g / 2; its sums are model t's.
    Pair weights[FORWARD ? OWN : 1][WIDE];
    float down[WIDE];
    if constexpr (FORWARD) {
#pragma unroll
        for (int w = 0; w < WIDE; w++) {
            const int model = 4 * w + g / 2;
            const auto weight = [&](int j, int i) {
                const int f = 16 * (owner + j * OWNERS) + 2 * t + i % 2 + i / 2 * 8;
                const bool there = f < FEATURES && model < columns;
                return there ? W[(long long)f * models + first + model] : 0.0f;
            };
            float largest = 0.0f;
#pragma unroll 1  // all at once are more than registers hold; the second time they are in the cache
            for (int j = 0; j < OWN; j++)
#pragma unroll
                for (int i = 0; i < 4; i++) largest = fmaxf(largest, fabsf(weight(j, i)));
            const Scale scale(largest_of_four(largest));
#pragma unroll
            for (int j = 0; j < OWN; j++) {
                if (j && j % BATCH == 0) __syncwarp();
#pragma unroll
                for (int i = 0; i < 2; i++)
                    weights[j][w].v[i] = split(scale.up * weight(j, 2 * i),
                                               scale.up * weight(j, 2 * i + 1), g % 2);
            }
            down[w] = __shfl_sync(~0u, scale.down, 8 * t);
        }
    }

    // Activation: eight columns, of which a lane has model g / 2 at rows 2t and 2t + 1, or, where g is
    // odd, at those eight further on; and every TURNSth 16 rows.
    const int across = warp % WIDE, turn = warp / WIDE, model = 4 * across + g / 2;
    const float intercept = FORWARD && model < columns ? b[first + model] : 0.0f;
    double loss = 0.0, residual = 0.0;
    float gradient[BACKWARD ? OWN : 1][WIDE][2];
#pragma unroll
    for (int j = 0; j < (BACKWARD ? OWN : 1); j++)
#pragma unroll
        for (int w = 0; w < WIDE; w++) gradient[j][w][0] = gradient[j][w][1] = 0.0f;

    for (int start = begin; start < end; start += tile_rows) {
        const int n = end - start < tile_rows ? end - start : tile_rows;
        const int sixteens = (n + 15) / 16;
        if constexpr (BACKWARD) {
            if (thread < n) targets.ahead(start + thread);
        }
        arrived();  // and all have done with the last tile
        for (int i = thread; i < 16 * sixteens * 2 * STEPS; i += THREADS) {
            const int row = i / (2 * STEPS), unit = i % (2 * STEPS);
            Eight x = {};
            if (row < n && 8 * unit < FEATURES) x = unpacked(staged, row, unit);
            *(Eight*)(tile + row * STRIDE + 16 * unit) = x;
        }
        __syncthreads();  // before products are taken, and the next rows copied
        if (start + tile_rows < end) request(start + tile_rows);

        if constexpr (FORWARD) {
            if (share < SHARES) {
                for (int m = share; m < sixteens; m += SHARES) {
                    Four c[WIDE] = {};
                    const char* const row = tile + (16 * m + lane % 16) * STRIDE + lane / 16 * 16;
#pragma unroll
                    for (int j = 0; j < OWN; j++) {
                        const int step = owner + j * OWNERS;
                        if (step < STEPS) {
                            if (j && j % BATCH == 0) __syncwarp();
                            const Eight a = matrices<false>(row + 32 * step);
#pragma unroll
                            for (int w = 0; w < WIDE; w++)
                                c[w] = multiply(a, weights[j][w], c[w]);
                        }
                    }
#pragma unroll
                    for (int w = 0; w < WIDE; w++)
#pragma unroll
                        for (int h = 0; h < 2; h++)
                            partial[(owner * TILE + 16 * m + g + 8 * h) * COLUMNS + 4 * w + t] =
                                joined(c[w], h) * UNIT * down[w];
                }
            }
            __syncthreads();  // before margins are added up
        }

        if (turn < TURNS) {
            float losses = 0.0f, rest = 0.0f;  // of at most a tile's rows
            for (int m = turn; m < sixteens; m += TURNS) {
                float R[4] = {0.0f, 0.0f, 0.0f, 0.0f};  // of rows 2t, 2t + 1, and eight on
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    const int r = 16 * m + 2 * t + i + g % 2 * 8;
                    if (r >= n || model >= columns) continue;
                    const long long place = (long long)(start + r) * models + first + model;
                    float z = 0.0f;
                    if constexpr (FORWARD) {
#pragma unroll 4
                        for (int p = 0; p < OWNERS; p++)
                            z += partial[(p * TILE + r) * COLUMNS + model];
                        z += intercept;
                    } else {
                        z = Z[place];
                    }
                    if constexpr (!BACKWARD) {
                        Z[place] = z;
                    } else {
                        const Answer answer(targets.positive(start + r, first + model, models), z);
                        const float s = targets.weight(start + r, first + model);
                        losses += s * answer.loss();
                        R[i] = s * answer.residual();
                        rest += R[i];
                    }
                }
                if constexpr (BACKWARD) {
                    // Both lanes of a model take all rows of both; one is to have the first half.
#pragma unroll
                    for (int i = 0; i < 2; i++) {
                        const float other = __shfl_xor_sync(~0u, R[i], 4);
                        R[i + 2] = g % 2 ? R[i] : other;
                        R[i] = g % 2 ? other : R[i];
                    }
                    const float largest = fmaxf(fmaxf(fabsf(R[0]), fabsf(R[1])),
                                                fmaxf(fabsf(R[2]), fabsf(R[3])));
                    const Scale scale(largest_of_four(largest));
#pragma unroll
                    for (int i = 0; i < 4; i++) R[i] *= scale.up;
                    residuals[(m * WIDE + across) * 32 + lane] =
                        Pair{{split(R[0], R[1], g % 2), split(R[2], R[3], g % 2)}};
                    if (t == 0 && g % 2 == 0) scales[m * COLUMNS + model] = scale.down;
                }
            }
            loss += losses;
            residual += rest;
        }

        if constexpr (BACKWARD) {
            __syncthreads();  // before residuals are multiplied
            if (share < SHARES) {
                for (int m = share; m < sixteens; m += SHARES) {
                    Pair R[WIDE];
                    float back[WIDE];
#pragma unroll
                    for (int w = 0; w < WIDE; w++) {
                        R[w] = residuals[(m * WIDE + w) * 32 + lane];
                        back[w] = scales[m * COLUMNS + 4 * w + t];
                    }
                    const char* const row =
                        tile + (16 * m + lane / 16 * 8 + lane % 8) * STRIDE + lane / 8 % 2 * 16;
#pragma unroll
                    for (int j = 0; j < OWN; j++) {
                        const int step = owner + j * OWNERS;
                        if (step < STEPS) {
                            if (j && j % BATCH == 0) __syncwarp();
                            const Eight a = matrices<true>(row + 32 * step);  // X', of 16 features
#pragma unroll
                            for (int w = 0; w < WIDE; w++) {
                                const Four c = multiply(a, R[w], Four{});
#pragma unroll
                                for (int h = 0; h < 2; h++)
                                    gradient[j][w][h] += joined(c, h) * back[w];
                            }
                        }
                    }
                }
            }
        }
    }

    if constexpr (BACKWARD) {
        __syncthreads();  // the last rows have been used: what shares gave is added up where they were
        float* const other = (float*)tile;
#define EACH_SUM                                       \
    _Pragma("unroll") for (int j = 0; j < OWN; j++)    \
    _Pragma("unroll") for (int w = 0; w < WIDE; w++)   \
    _Pragma("unroll") for (int h = 0; h < 2; h++)
#define PLACE ((((owner * OWN + j) * WIDE + w) * 2 + h) * 32 + lane)
        for (int k = 1; k < SHARES; k++) {
            if (share == k) EACH_SUM other[PLACE] = gradient[j][w][h];
            __syncthreads();
            if (share == 0) EACH_SUM gradient[j][w][h] += other[PLACE];
            __syncthreads();
        }
        if (share == 0) {
            float* const to = dW + (long long)blockIdx.y * FEATURES * models + first;
            EACH_SUM {
                const int f = 16 * (owner + j * OWNERS) + g + 8 * h;
                if (f < FEATURES && 4 * w + t < columns)
                    to[(long long)f * models + 4 * w + t] = UNIT * gradient[j][w][h];
            }
        }
        __syncthreads();
        double* const each = (double*)tile;
        each[2 * thread] = loss;
        each[2 * thread + 1] = residual;
        __syncthreads();
        for (int i = thread; i < 2 * columns; i += THREADS) {
            const int c = i / 2;  // in the lanes 8 (c % 4) to 8 (c % 4) + 7 of every WIDEth warp
            double sum = 0.0;
            for (int k = c / 4; k < TURNS * WIDE; k += WIDE)
                for (int l = 0; l < 8; l++)
                    sum += each[2 * (32 * k + c % 4 * 8 + l) + i % 2];
            sums[((long long)blockIdx.y * 2 + i % 2) * models + first + c] = sum;
        }
    }
}
