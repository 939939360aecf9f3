/* Functions that CUDA C++ has without an include. */
#pragma once

using std::isfinite;
using std::isinf;
using std::isnan;

/* The host's C library has functions of these names. */
#define __expf emulator_expf
#define __exp10f emulator_exp10f
#define __logf emulator_logf
#define __log2f emulator_log2f
#define __log10f emulator_log10f
#define __sinf emulator_sinf
#define __cosf emulator_cosf
#define __tanf emulator_tanf
#define __powf emulator_powf

static inline float emulator_expf(float x) { return expf(x); }
static inline float emulator_exp10f(float x) { return powf(10.0f, x); }
static inline float emulator_logf(float x) { return logf(x); }
static inline float emulator_log2f(float x) { return log2f(x); }
static inline float emulator_log10f(float x) { return log10f(x); }
static inline float emulator_sinf(float x) { return sinf(x); }
static inline float emulator_cosf(float x) { return cosf(x); }
static inline float emulator_tanf(float x) { return tanf(x); }
static inline float emulator_powf(float x, float y) { return powf(x, y); }
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline double rsqrt(double x) { return 1.0 / sqrt(x); }
static inline float __frcp_rn(float x) { return 1.0f / x; }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline float __frsqrt_rn(float x) { return 1.0f / sqrtf(x); }
static inline float __fdiv_rn(float x, float y) { return x / y; }
static inline float __fdividef(float x, float y) { return x / y; }
/* Never contracted with what comes before or after. */
static inline float __fadd_rn(float x, float y) { volatile float z = x + y; return z; }
static inline float __fsub_rn(float x, float y) { volatile float z = x - y; return z; }
static inline float __fmul_rn(float x, float y) { volatile float z = x * y; return z; }
static inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
static inline float __saturatef(float x) { return x > 0.0f ? x < 1.0f ? x : 1.0f : 0.0f; }
static inline float normcdff(float x) { return 0.5f * erfcf(-x * 0.70710678f); }

static inline unsigned __umulhi(unsigned x, unsigned y) { return static_cast<unsigned>(static_cast<unsigned long long>(x) * y >> 32); }
static inline int __mulhi(int x, int y) { return static_cast<int>(static_cast<long long>(x) * y >> 32); }
static inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y)
{ return static_cast<unsigned long long>(static_cast<unsigned __int128>(x) * y >> 64); }
static inline long long __mul64hi(long long x, long long y)
{ return static_cast<long long>(static_cast<__int128>(x) * y >> 64); }
static inline int __mul24(int x, int y) { return (x << 8 >> 8) * (y << 8 >> 8); }
static inline int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned>(x)) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll(static_cast<unsigned long long>(x)) : 64; }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }
static inline unsigned __brev(unsigned x)
{
    unsigned reversed = 0;
    for (int bit = 0; bit < 32; bit++)
        reversed |= (x >> bit & 1) << (31 - bit);
    return reversed;
}
static inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector)
{
    unsigned long long both = static_cast<unsigned long long>(y) << 32 | x;
    unsigned permuted = 0;
    for (int one = 0; one < 4; one++) {
        unsigned chosen = selector >> 4 * one;
        unsigned byte = static_cast<unsigned>(both >> 8 * (chosen & 7)) & 0xff;
        permuted |= (chosen & 8 ? byte & 0x80 ? 0xffu : 0u : byte) << 8 * one;
    }
    return permuted;
}
static inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned by)
{ return static_cast<unsigned>((static_cast<unsigned long long>(high) << 32 | low) >> (by & 31)); }
static inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned by)
{ return static_cast<unsigned>((static_cast<unsigned long long>(high) << 32 | low) << (by & 31) >> 32); }

#define EMULATOR_BITS(name, to, from) \
    static inline to name(from x) { to y; static_assert(sizeof x == sizeof y); memcpy(&y, &x, sizeof y); return y; }
EMULATOR_BITS(__int_as_float, float, int)
EMULATOR_BITS(__float_as_int, int, float)
EMULATOR_BITS(__uint_as_float, float, unsigned)
EMULATOR_BITS(__float_as_uint, unsigned, float)
EMULATOR_BITS(__longlong_as_double, double, long long)
EMULATOR_BITS(__double_as_longlong, long long, double)
#undef EMULATOR_BITS

static inline int __float2int_rn(float x) { return static_cast<int>(rintf(x)); }
static inline int __float2int_rz(float x) { return static_cast<int>(x); }
static inline int __float2int_rd(float x) { return static_cast<int>(floorf(x)); }
static inline int __float2int_ru(float x) { return static_cast<int>(ceilf(x)); }
static inline unsigned __float2uint_rn(float x) { return static_cast<unsigned>(rintf(x)); }
static inline unsigned __float2uint_rz(float x) { return static_cast<unsigned>(x); }
static inline float __int2float_rn(int x) { return static_cast<float>(x); }
static inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }

/* One type for both sides, as CUDA's own overloads choose it. */
template <class A, class B, class = std::enable_if_t<std::is_arithmetic_v<A> && std::is_arithmetic_v<B>>>
static inline auto max(A a, B b)
{
    using common = decltype(a + b);
    if constexpr (std::is_floating_point_v<common>)
        return static_cast<common>(std::fmax(static_cast<common>(a), static_cast<common>(b)));
    else
        return static_cast<common>(a) > static_cast<common>(b) ? static_cast<common>(a) : static_cast<common>(b);
}

template <class A, class B, class = std::enable_if_t<std::is_arithmetic_v<A> && std::is_arithmetic_v<B>>>
static inline auto min(A a, B b)
{
    using common = decltype(a + b);
    if constexpr (std::is_floating_point_v<common>)
        return static_cast<common>(std::fmin(static_cast<common>(a), static_cast<common>(b)));
    else
        return static_cast<common>(a) < static_cast<common>(b) ? static_cast<common>(a) : static_cast<common>(b);
}
