/* threadIdx and its like, barriers, shuffles, votes, atomics, and loads with a hint. */
#pragma once
#include "emulator/threads.h"

#define threadIdx emulator::thread_index()
#define blockIdx emulator::block_index()
#define blockDim emulator::block_size()
#define gridDim emulator::grid_size()
constexpr int warpSize = 32;

static inline void __syncthreads() { emulator::block_barrier(); }
static inline int __syncthreads_count(int is_so) { return static_cast<int>(emulator::block_count(is_so)); }
static inline int __syncthreads_or(int is_so) { return emulator::block_count(is_so) != 0; }
static inline int __syncthreads_and(int is_so) { return emulator::block_count(!is_so) == 0; }
static inline void __syncwarp(unsigned mask = 0xffffffffu) { emulator::warp_barrier(mask); }
static inline void __threadfence() { emulator::fence(); }
static inline void __threadfence_block() {}
static inline void __threadfence_system() { emulator::fence(); }
static inline void __nanosleep(unsigned) { emulator::yield(); }
[[noreturn]] static inline void __trap() { emulator::fail("__trap"); }
static inline unsigned __activemask() { return emulator::living_lanes(); }

namespace emulator {

template <class T> struct exchange { const T *given; T *taken; unsigned from; };

/* Each lane takes what lane `from` gave. */
template <class T>
T take_from(unsigned mask, T value, unsigned from)
{
    T taken;
    exchange<T> mine{ &value, &taken, from };
    if (arrive(together::exchange, mask, &mine)) {
        void **all = lanes();
        for (int lane = 0; lane < 32; lane++)
            if (all[lane]) {
                exchange<T> &one = *static_cast<exchange<T> *>(all[lane]);
                if (!all[one.from % 32])
                    fail("a shuffle takes from lane %u, which has no part in it (mask %08x)", one.from % 32, mask);
                *one.taken = *static_cast<exchange<T> *>(all[one.from % 32])->given;
            }
        release();
    }
    return taken;
}

struct vote { bool is_so; unsigned ballot; };

static inline unsigned ballot(unsigned mask, bool is_so)
{
    vote mine{ is_so, 0 };
    if (arrive(together::vote, mask, &mine)) {
        void **all = lanes();
        unsigned sum = 0;
        for (int lane = 0; lane < 32; lane++)
            if (all[lane] && static_cast<vote *>(all[lane])->is_so)
                sum |= 1u << lane;
        for (int lane = 0; lane < 32; lane++)
            if (all[lane])
                static_cast<vote *>(all[lane])->ballot = sum;
        release();
    }
    return mine.ballot;
}

template <class T> struct reduction { T value; };

template <class T, class Combine>
T reduce(unsigned mask, T value, Combine combine)
{
    reduction<T> mine{ value };
    if (arrive(together::reduce, mask, &mine)) {
        void **all = lanes();
        reduction<T> *first = nullptr;
        for (int lane = 0; lane < 32; lane++)
            if (all[lane]) {
                reduction<T> *one = static_cast<reduction<T> *>(all[lane]);
                if (first)
                    first->value = combine(first->value, one->value);
                else
                    first = one;
            }
        for (int lane = 0; lane < 32; lane++)
            if (all[lane])
                static_cast<reduction<T> *>(all[lane])->value = first->value;
        release();
    }
    return mine.value;
}

/* Read, change and write, with other threads perhaps before. */
template <class T, class Change>
__attribute__((noinline, no_sanitize_thread)) T atomically(T *at, Change change)
{
    if (reinterpret_cast<uintptr_t>(at) % sizeof(T))
        fail("misaligned: an atomic operation on %zu bytes", sizeof(T));
    check(at, sizeof(T), touch::atomic);
    preempt();
    T before = *at;
    *at = change(before);
    return before;
}

} // namespace emulator

template <class T> static inline T __shfl_sync(unsigned mask, T value, int lane, int width = 32)
{
    unsigned me = emulator::lane_index(), first = me & ~static_cast<unsigned>(width - 1);
    return emulator::take_from(mask, value, first | (static_cast<unsigned>(lane) & static_cast<unsigned>(width - 1)));
}

template <class T> static inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32)
{
    unsigned me = emulator::lane_index(), from = me ^ static_cast<unsigned>(bits);
    return emulator::take_from(mask, value, (from & ~static_cast<unsigned>(width - 1)) <= me ? from : me);
}

template <class T> static inline T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32)
{
    unsigned me = emulator::lane_index(), from = me + distance, block = ~static_cast<unsigned>(width - 1);
    return emulator::take_from(mask, value, (from & block) == (me & block) ? from : me);
}

template <class T> static inline T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32)
{
    unsigned me = emulator::lane_index(), within = me & static_cast<unsigned>(width - 1);
    return emulator::take_from(mask, value, within >= distance ? me - distance : me);
}

static inline unsigned __ballot_sync(unsigned mask, int is_so) { return emulator::ballot(mask, is_so); }
static inline int __any_sync(unsigned mask, int is_so) { return emulator::ballot(mask, is_so) != 0; }
static inline int __all_sync(unsigned mask, int is_so) { return emulator::ballot(mask, !is_so) == 0; }
#define EMULATOR_REDUCE(name, type, expression) \
    static inline type __reduce_##name##_sync(unsigned mask, type value) \
    { return emulator::reduce(mask, value, [](type a, type b) { return static_cast<type>(expression); }); }
EMULATOR_REDUCE(add, unsigned, a + b)
EMULATOR_REDUCE(add, int, a + b)
EMULATOR_REDUCE(min, unsigned, a < b ? a : b)
EMULATOR_REDUCE(min, int, a < b ? a : b)
EMULATOR_REDUCE(max, unsigned, a > b ? a : b)
EMULATOR_REDUCE(max, int, a > b ? a : b)
EMULATOR_REDUCE(and, unsigned, a & b)
EMULATOR_REDUCE(or, unsigned, a | b)
EMULATOR_REDUCE(xor, unsigned, a ^ b)
#undef EMULATOR_REDUCE

#define EMULATOR_ATOMIC(name, expression) \
    template <class T> static inline T name(T *at, std::type_identity_t<T> value) \
    { return emulator::atomically(at, [&](T old) -> T { return expression; }); }
EMULATOR_ATOMIC(atomicAdd, static_cast<T>(old + value))
EMULATOR_ATOMIC(atomicSub, static_cast<T>(old - value))
EMULATOR_ATOMIC(atomicMax, old > value ? old : value)
EMULATOR_ATOMIC(atomicMin, old < value ? old : value)
EMULATOR_ATOMIC(atomicAnd, old &value)
EMULATOR_ATOMIC(atomicOr, old | value)
EMULATOR_ATOMIC(atomicXor, old ^ value)
EMULATOR_ATOMIC(atomicExch, value)
EMULATOR_ATOMIC(atomicInc, old >= value ? 0 : old + 1)
EMULATOR_ATOMIC(atomicDec, old == 0 || old > value ? value : old - 1)
#undef EMULATOR_ATOMIC
template <class T> static inline T atomicCAS(T *at, std::type_identity_t<T> expected, std::type_identity_t<T> value)
{
    return emulator::atomically(at, [&](T old) -> T { return old == expected ? value : old; });
}

template <class T> static inline T __ldg(const T *at) { return *at; }
template <class T> static inline T __ldca(const T *at) { return *at; }
template <class T> static inline T __ldcg(const T *at) { return *at; }
template <class T> static inline T __ldcs(const T *at) { return *at; }
template <class T> static inline T __ldlu(const T *at) { return *at; }
template <class T> static inline void __stcg(T *at, std::type_identity_t<T> value) { *at = value; }
template <class T> static inline void __stcs(T *at, std::type_identity_t<T> value) { *at = value; }
template <class T> static inline void __stwt(T *at, std::type_identity_t<T> value) { *at = value; }

static inline size_t __cvta_generic_to_shared(const void *at) { return emulator::shared_address(at); }
static inline void *__cvta_shared_to_generic(size_t at) { return emulator::shared_pointer(static_cast<uint32_t>(at)); }
static inline size_t __cvta_generic_to_global(const void *at) { return reinterpret_cast<size_t>(at); }
static inline unsigned __isShared(const void *at) { return emulator::is_shared(at); }
