// CUDA C++ as far as g++ can run it: force-included before a kernel's own source by cuda_gxx.py.
//
// A CUDA thread is a fiber (see runtime.cpp), `__shared__` is static memory of the operating system's
// thread that runs the block. What a host cannot do honestly is missing on purpose, so that a kernel
// that needs it does not compile here: wmma, cp.async, clusters, textures, inline PTX. Two instructions
// of tensor cores are functions, for a kernel to call where it has inline PTX for a device.
#pragma once

#include <bit>
#include <cassert>
#include <cfloat>
#include <climits>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <type_traits>
#include <utility>

// ---- vector types, aligned as on the device ------------------------------------------------------

#define CUDA_HOST_VECTORS(T, name, align2, align4)                                           \
    struct name##1 { T x; };                                                                 \
    struct alignas(align2) name##2 { T x, y; };                                              \
    struct name##3 { T x, y, z; };                                                           \
    struct alignas(align4) name##4 { T x, y, z, w; };                                        \
    inline name##1 make_##name##1(T x) { return {x}; }                                       \
    inline name##2 make_##name##2(T x, T y) { return {x, y}; }                               \
    inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }                       \
    inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
CUDA_HOST_VECTORS(signed char, char, 2, 4)
CUDA_HOST_VECTORS(unsigned char, uchar, 2, 4)
CUDA_HOST_VECTORS(short, short, 4, 8)
CUDA_HOST_VECTORS(unsigned short, ushort, 4, 8)
CUDA_HOST_VECTORS(int, int, 8, 16)
CUDA_HOST_VECTORS(unsigned, uint, 8, 16)
CUDA_HOST_VECTORS(long long, longlong, 16, 16)
CUDA_HOST_VECTORS(unsigned long long, ulonglong, 16, 16)
CUDA_HOST_VECTORS(float, float, 8, 16)
CUDA_HOST_VECTORS(double, double, 16, 16)
#undef CUDA_HOST_VECTORS

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};

// ---- the runtime ---------------------------------------------------------------------------------

extern uint3 threadIdx, blockIdx;  // of the fiber that runs; the runtime sets them at every switch
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

namespace cuda_host {

extern void* dynamic_shared;  // of this block, as many bytes as the launch gave

// What the lanes of a warp that met in one operation brought; a lane that was not there brought 0xff.
struct Lanes {
    unsigned present;
    std::uint64_t bits[32];
};
const Lanes& meet(unsigned mask, std::uint64_t bits, const char* operation, int line);
void sync_block(int line);
void fence();
unsigned lane();
[[noreturn]] void trap(const char* why, int line);

// fmaf(a, b, c) that reads and returns subnormal numbers, which all other arithmetic takes for zero.
float keep_subnormals(float a, float b, float c);

template <class T>
std::uint64_t to_bits(T value) {
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(T));
    return bits;
}

template <class T>
T from_bits(std::uint64_t bits) {
    T value;
    std::memcpy(&value, &bits, sizeof(T));
    return value;
}

// Lanes are counted within groups of `width`; one outside of the own group gives the own value.
template <class T>
T shuffle(unsigned mask, T value, int source, bool inside, const char* operation, int line) {
    const Lanes& lanes = meet(mask, to_bits(value), operation, line);
    return inside ? from_bits<T>(lanes.bits[source & 31]) : value;
}

// ---- the kernels of this source, for the runtime: see cuda_gxx.py -------------------------------

struct Kernel {
    const char* name;
    void (*describe)();          // prints one word per parameter
    void (*call)(void** arguments);
    int n_parameters;
};
extern const Kernel kernels[];
extern const int n_kernels;

template <class T>
constexpr const char* type_name() {
    using U = std::remove_cv_t<T>;
    if constexpr (std::is_void_v<U>) return "void";
    else if constexpr (std::is_same_v<U, bool>) return "bool";
    else if constexpr (std::is_same_v<U, float> || std::is_same_v<U, float2> ||
                       std::is_same_v<U, float3> || std::is_same_v<U, float4>) return "float32";
    else if constexpr (std::is_same_v<U, double> || std::is_same_v<U, double2>) return "float64";
    else if constexpr (std::is_integral_v<U> && std::is_signed_v<U>)
        return sizeof(U) == 1 ? "int8" : sizeof(U) == 2 ? "int16" : sizeof(U) == 4 ? "int32" : "int64";
    else if constexpr (std::is_integral_v<U>)
        return sizeof(U) == 1 ? "uint8" : sizeof(U) == 2 ? "uint16" : sizeof(U) == 4 ? "uint32" : "uint64";
    else if constexpr (std::is_same_v<U, char2> || std::is_same_v<U, char4>) return "int8";
    else if constexpr (std::is_same_v<U, uchar2> || std::is_same_v<U, uchar4>) return "uint8";
    else if constexpr (std::is_same_v<U, int2> || std::is_same_v<U, int4>) return "int32";
    else if constexpr (std::is_same_v<U, uint2> || std::is_same_v<U, uint4>) return "uint32";
    else if constexpr (requires(U u) { u.cuda_host_half(); }) return "float16";
    else return "unknown";
}

template <class T>
void describe_parameter() {
    if constexpr (std::is_pointer_v<T>) {
        using U = std::remove_pointer_t<T>;
        std::printf(" %s:%s", std::is_const_v<U> ? "in" : "out", type_name<U>());
    } else {
        std::printf(" value:%s", type_name<T>());
    }
}

template <auto F>
struct Trampoline;

template <class... P, void (*F)(P...)>
struct Trampoline<F> {
    static void describe() { (describe_parameter<P>(), ...); }
    static void call(void** arguments) {
        [&]<std::size_t... I>(std::index_sequence<I...>) {
            F(*static_cast<std::remove_cv_t<P>*>(arguments[I])...);
        }(std::index_sequence_for<P...>{});
    }
    static constexpr Kernel kernel(const char* name) { return {name, describe, call, sizeof...(P)}; }
};

}  // namespace cuda_host

// ---- keywords ------------------------------------------------------------------------------------

#define __global__ __attribute__((noinline, used))  // by this cuda_gxx.py finds kernels
#define __device__
#define __host__
#define __constant__ const
#define __shared__ thread_local  // and cuda_gxx.py makes a pointer of what is `extern` besides
#define __launch_bounds__(...)
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))
#define __grid_constant__

// ---- barriers and warps --------------------------------------------------------------------------

#define __syncthreads() ::cuda_host::sync_block(__LINE__)
#define __syncwarp(...) \
    ((void)::cuda_host::meet(::cuda_host::mask_or_all(__VA_ARGS__), 0, "__syncwarp", __LINE__))
#define __threadfence() ::cuda_host::fence()
#define __threadfence_block() ::cuda_host::fence()
#define __trap() ::cuda_host::trap("__trap()", __LINE__)

namespace cuda_host {
inline unsigned mask_or_all(unsigned mask = 0xffffffffu) { return mask; }
}

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, int line = __builtin_LINE()) {
    const int base = int(cuda_host::lane()) & ~(width - 1);
    return cuda_host::shuffle(mask, value, base + (source & (width - 1)), true, "__shfl_sync", line);
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, int line = __builtin_LINE()) {
    const int lane = int(cuda_host::lane()), source = lane ^ bits;
    const bool inside = source < (lane & ~(width - 1)) + width;
    return cuda_host::shuffle(mask, value, source, inside, "__shfl_xor_sync", line);
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   int line = __builtin_LINE()) {
    const int lane = int(cuda_host::lane()), source = lane + int(delta);
    const bool inside = source < (lane & ~(width - 1)) + width;
    return cuda_host::shuffle(mask, value, source, inside, "__shfl_down_sync", line);
}

template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 int line = __builtin_LINE()) {
    const int lane = int(cuda_host::lane()), source = lane - int(delta);
    const bool inside = source >= (lane & ~(width - 1));
    return cuda_host::shuffle(mask, value, source, inside, "__shfl_up_sync", line);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, int line = __builtin_LINE()) {
    const auto& lanes = cuda_host::meet(mask, predicate != 0, "__ballot_sync", line);
    unsigned ballot = 0;
    for (int i = 0; i < 32; ++i)
        if (lanes.present >> i & 1 && lanes.bits[i]) ballot |= 1u << i;
    return ballot;
}
inline int __any_sync(unsigned mask, int predicate, int line = __builtin_LINE()) {
    return __ballot_sync(mask, predicate, line) != 0;
}
inline int __all_sync(unsigned mask, int predicate, int line = __builtin_LINE()) {
    return __ballot_sync(mask, !predicate, line) == 0;
}

// ---- tensor cores --------------------------------------------------------------------------------

namespace cuda_host {

// By their bits: no host's own halves, whose subnormal numbers some modes take for zero.
inline float half_value(unsigned half) {
    const int exponent = half >> 10 & 31, fraction = half & 1023;
    const float size = exponent == 31 ? (fraction ? NAN : INFINITY)
                       : exponent     ? std::ldexp(float(1024 + fraction), exponent - 25)
                                      : std::ldexp(float(fraction), -24);
    return half & 0x8000 ? -size : size;
}

inline unsigned half_bits(float x) {  // to the nearest, ties to even
    const unsigned sign = std::signbit(x) ? 0x8000 : 0;
    const float size = std::fabs(x);
    if (std::isnan(x)) return 0x7fff;
    if (size >= 65520.0f) return sign | 0x7c00;
    const int exponent = size < 0x1p-14f ? -14 : std::ilogb(size);
    const int steps = int(std::nearbyint(std::ldexp(double(size), 10 - exponent)));
    return sign | unsigned(steps + (exponent + 14) * 1024);
}

struct Fragments {
    const void* a;
    const unsigned* b;
};

// What the lanes brought lies on their stacks, and stays there until all have met again.
inline Fragments of_lane(const Lanes& lanes, unsigned lane) {
    return *from_bits<const Fragments*>(lanes.bits[lane]);
}

// c + the sum of products, a model of what is known of tensor cores (Fasi et al., "Numerical behavior
// of NVIDIA tensor cores", PeerJ CS 2021) that is rather less exact than they are: of eight products
// at a time, and what is there, all is cut off 24 bits below the largest, and the sum to a float.
inline float multiply_add(float c, const float* a, const float* b, int n) {
    for (int from = 0; from < n; from += 8) {
        double terms[9] = {c}, largest = std::fabs(double(c)), plain = c;
        for (int i = 0; i < 8; ++i) {
            terms[i + 1] = double(a[from + i]) * b[from + i];
            largest = std::fmax(largest, std::fabs(terms[i + 1]));
            plain += terms[i + 1];
        }
        if (!std::isfinite(plain)) c = float(plain);
        else if (largest == 0.0) c = 0.0f;
        else {
            const auto exponent = std::bit_cast<std::uint64_t>(largest) >> 52;
            const double step = std::bit_cast<double>((exponent - 24) << 52);
            const double steps = std::bit_cast<double>((2046 - exponent + 24) << 52);
            double sum = 0.0;
            for (double term : terms) sum += std::trunc(term * steps) * step;
            c = float(sum);
            if (std::fabs(double(c)) > std::fabs(sum)) c = std::nextafterf(c, 0.0f);
        }
    }
    return c;
}

// mma.sync.m16n8k16.row.col.f32.f16.f16.f32, in the registers that PTX says: in lane 4g + t are two
// neighbours each of A's rows g and g + 8, from columns 2t and 2t + 8 on; of B's column g, rows 2t and
// 2t + 8; and C's columns 2t and 2t + 1 of rows g and g + 8.
inline void mma_m16n8k16(float* c, const unsigned* a, const unsigned* b, int line = __builtin_LINE()) {
    const Fragments mine{a, b};
    const Lanes& lanes = meet(~0u, to_bits(&mine), "mma", line);
    const unsigned g = lane() / 4, t = lane() % 4;
    for (unsigned i = 0; i < 4; ++i) {
        const unsigned row = g + i / 2 * 8, column = 2 * t + i % 2;
        float A[16], B[16];
        for (unsigned k = 0; k < 16; ++k) {
            const Fragments of_a = of_lane(lanes, row % 8 * 4 + k % 8 / 2);
            const Fragments of_b = of_lane(lanes, column * 4 + k % 8 / 2);
            const unsigned in_a = static_cast<const unsigned*>(of_a.a)[row / 8 + k / 8 * 2];
            A[k] = half_value(in_a >> k % 2 * 16 & 0xffff);
            B[k] = half_value(of_b.b[k / 8] >> k % 2 * 16 & 0xffff);
        }
        c[i] = multiply_add(c[i], A, B, 16);
    }
    meet(~0u, 0, "mma", line);
}

// ldmatrix.m8n8.x4(.trans).b16: lane i gives the address of row i % 8 of matrix i / 8, and lane 4g + t
// gets, of each, the neighbours 2t and 2t + 1 of row g, or of column g.
inline void ldmatrix_x4(unsigned* into, const void* row, bool transposed, int line = __builtin_LINE()) {
    const Fragments mine{row, nullptr};
    const Lanes& lanes = meet(~0u, to_bits(&mine), "ldmatrix", line);
    const unsigned g = lane() / 4, t = lane() % 4;
    for (unsigned i = 0; i < 4; ++i) {
        into[i] = 0;
        for (unsigned pair = 0; pair < 2; ++pair) {
            const unsigned r = transposed ? 2 * t + pair : g, column = transposed ? g : 2 * t + pair;
            const auto* halves = static_cast<const std::uint16_t*>(of_lane(lanes, 8 * i + r).a);
            if (reinterpret_cast<std::uintptr_t>(halves) % 16) trap("ldmatrix: misaligned row", line);
            into[i] |= unsigned(halves[column]) << 16 * pair;
        }
    }
    meet(~0u, 0, "ldmatrix", line);
}

}  // namespace cuda_host

// ---- atomics, relaxed as on the device -----------------------------------------------------------

namespace cuda_host {

// By the compiler's own atomics: <atomic> takes as long to compile as all the rest.
template <class T, class Change>
T update(T* address, Change change) {
    using Bits = std::conditional_t<
        sizeof(T) == 2, std::uint16_t, std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>>;
    static_assert(sizeof(T) == sizeof(Bits));
    Bits* bits = reinterpret_cast<Bits*>(address);
    Bits old = __atomic_load_n(bits, __ATOMIC_RELAXED);
    for (;;) {
        const T before = std::bit_cast<T>(old);
        const Bits after = std::bit_cast<Bits>(static_cast<T>(change(before)));
        if (__atomic_compare_exchange_n(bits, &old, after, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return before;
    }
}

}  // namespace cuda_host

template <class T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
    return cuda_host::update(address, [=](T old) { return old + value; });
}
template <class T>
T atomicSub(T* address, std::type_identity_t<T> value) {
    return cuda_host::update(address, [=](T old) { return old - value; });
}
template <class T>
T atomicExch(T* address, std::type_identity_t<T> value) {
    return cuda_host::update(address, [=](T) { return value; });
}
template <class T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
    return cuda_host::update(address, [=](T old) { return old == expected ? value : old; });
}
template <class T>
T atomicMax(T* address, std::type_identity_t<T> value) {
    return cuda_host::update(address, [=](T old) { return old < value ? value : old; });
}
template <class T>
T atomicMin(T* address, std::type_identity_t<T> value) {
    return cuda_host::update(address, [=](T old) { return value < old ? value : old; });
}

// ---- loads, bits, arithmetic ---------------------------------------------------------------------

template <class T> T __ldg(const T* address) { return *address; }
template <class T> T __ldca(const T* address) { return *address; }
template <class T> T __ldcg(const T* address) { return *address; }
template <class T> T __ldcs(const T* address) { return *address; }
template <class T> void __stcg(T* address, T value) { *address = value; }
template <class T> void __stcs(T* address, T value) { *address = value; }

inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(unsigned(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __mul24(int a, int b) { return a * b; }
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
    const std::uint64_t bytes = std::uint64_t(b) << 32 | a;
    unsigned result = 0;
    for (int i = 0; i < 4; ++i) result |= unsigned(bytes >> 8 * (selector >> 4 * i & 7) & 0xff) << 8 * i;
    return result;
}

template <class A, class B>
    requires(std::is_arithmetic_v<A> && std::is_arithmetic_v<B>)
constexpr std::common_type_t<A, B> max(A a, B b) {
    if constexpr (std::is_floating_point_v<std::common_type_t<A, B>>) return std::fmax(a, b);
    else return std::common_type_t<A, B>(a) < std::common_type_t<A, B>(b) ? b : a;
}
template <class A, class B>
    requires(std::is_arithmetic_v<A> && std::is_arithmetic_v<B>)
constexpr std::common_type_t<A, B> min(A a, B b) {
    if constexpr (std::is_floating_point_v<std::common_type_t<A, B>>) return std::fmin(a, b);
    else return std::common_type_t<A, B>(b) < std::common_type_t<A, B>(a) ? b : a;
}

using std::isfinite;
using std::isinf;
using std::isnan;

inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __fmaf_ieee_rn(float a, float b, float c) { return cuda_host::keep_subnormals(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float a) { return 1.0f / a; }
inline float __fsqrt_rn(float a) { return sqrtf(a); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline float rsqrtf(float a) { return 1.0f / sqrtf(a); }
inline double rsqrt(double a) { return 1.0 / sqrt(a); }
inline float __saturatef(float a) { return fminf(fmaxf(a, 0.0f), 1.0f); }
inline int __float2int_rn(float a) { return int(rintf(a)); }
inline float __int2float_rn(int a) { return float(a); }
inline float __uint2float_rn(unsigned a) { return float(a); }
// glibc declares functions of these names; the device's are less exact than its expf and logf.
#define __expf(x) expf(x)
#define __exp10f(x) exp10f(x)
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)
#define __powf(x, y) powf(x, y)

// ---- half: kernels include <cuda_fp16.h>, which is an empty file here ----------------------------

#if defined(__FLT16_MANT_DIG__)
using cuda_host_float16 = _Float16;
#define CUDA_HOST_HALF
#elif defined(__aarch64__)
using cuda_host_float16 = __fp16;
#define CUDA_HOST_HALF
#endif

#ifdef CUDA_HOST_HALF
struct __half {
    cuda_host_float16 value;
    __half() = default;
    __half(float x) : value(static_cast<cuda_host_float16>(x)) {}
    operator float() const { return static_cast<float>(value); }
    void cuda_host_half() const {}
};
using half = __half;
struct alignas(4) __half2 {
    __half x, y;
    void cuda_host_half() const {}
};
using half2 = __half2;
inline float __half2float(__half x) { return float(x); }
inline __half __float2half(float x) { return __half(x); }
inline __half __float2half_rn(float x) { return __half(x); }
inline float2 __half22float2(__half2 v) { return {float(v.x), float(v.y)}; }
inline __half2 __floats2half2_rn(float x, float y) { return {__half(x), __half(y)}; }
inline float __low2float(__half2 v) { return float(v.x); }
inline float __high2float(__half2 v) { return float(v.y); }
inline unsigned short __half_as_ushort(__half x) { return std::bit_cast<unsigned short>(x.value); }
inline __half __ushort_as_half(unsigned short bits) {
    __half x;
    x.value = std::bit_cast<cuda_host_float16>(bits);
    return x;
}
#endif
