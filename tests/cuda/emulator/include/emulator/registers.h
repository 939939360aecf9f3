/* What translated inline PTX is made of: registers hold bits, and instructions say what the bits are. */
#pragma once
#include "emulator/copies.h"
#include "emulator/matrices.h"

namespace emulator {

/* The bits of an operand; pointers are addresses, narrow integers keep their value. */
template <class To, class From>
To bits(From value)
{
    if constexpr (std::is_same_v<To, From>) {
        return value;
    } else if constexpr (std::is_pointer_v<From>) {
        return static_cast<To>(reinterpret_cast<uintptr_t>(value));
    } else if constexpr (std::is_integral_v<From> && std::is_integral_v<To>) {
        return static_cast<To>(value);
    } else {
        To made{};
        memcpy(&made, &value, sizeof made < sizeof value ? sizeof made : sizeof value);
        return made;
    }
}

template <class To, class From>
void set(To &to, From value) { to = bits<To>(value); }

template <class T>
T load(const void *at)
{
    check(at, sizeof(T), touch::read);
    T value;
    memcpy(&value, at, sizeof value);
    return value;
}

template <class T>
void store(void *at, T value)
{
    check(at, sizeof(T), touch::write);
    memcpy(at, &value, sizeof value);
}

template <class T>
T *aligned(const void *at, size_t bytes)
{
    if (reinterpret_cast<uintptr_t>(at) % bytes)
        fail("misaligned: %zu bytes at an address that is no multiple of it", bytes);
    return static_cast<T *>(const_cast<void *>(at));
}

static inline const void *global(uint64_t address) { return reinterpret_cast<const void *>(address); }

static inline uint32_t pack_f16(float high, float low)
{
    __half pair[2] = { __float2half_rn(low), __float2half_rn(high) };
    uint32_t packed;
    memcpy(&packed, pair, 4);
    return packed;
}

static inline uint32_t pack_bf16(float high, float low)
{
    __nv_bfloat16 pair[2] = { __float2bfloat16_rn(low), __float2bfloat16_rn(high) };
    uint32_t packed;
    memcpy(&packed, pair, 4);
    return packed;
}

static inline float nan_max(float a, float b) { return std::isnan(a) || std::isnan(b) ? NAN : fmaxf(a, b); }
static inline float nan_min(float a, float b) { return std::isnan(a) || std::isnan(b) ? NAN : fminf(a, b); }

/* One lane of those that are here. */
static inline bool elect(unsigned mask)
{
    unsigned chosen = 0;
    if (arrive(together::elect, mask, &chosen)) {
        unsigned first = static_cast<unsigned>(__builtin_ctz(present()));
        for (int lane = 0; lane < 32; lane++)
            if (lanes()[lane])
                *static_cast<unsigned *>(lanes()[lane]) = first;
        release();
    }
    return chosen == lane_index();
}

} // namespace emulator
