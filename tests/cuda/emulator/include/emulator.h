/*
 * CUDA C++ for a host compiler: what a kernel's source takes for granted. Included ahead of each translated
 * source (translate.py). The types of NVIDIA's own headers are used (half, bf16, vectors), nothing else.
 */
#pragma once
#include <algorithm>
#include <cassert>
#include <climits>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <vector_functions.h>
#include <vector_types.h>

#undef __global__
#undef __device__
#undef __host__
#undef __constant__
#undef __shared__
#undef __managed__
#undef __forceinline__
#undef __noinline__
#undef __launch_bounds__
#undef __grid_constant__
#undef __align__
#undef __restrict__
#define __global__
#define __device__
#define __host__
#define __constant__
#define __managed__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __cluster_dims__(...)
#define __grid_constant__
#define __align__(bytes) alignas(bytes)
#define __restrict__ __restrict
#ifndef EMULATOR_ARCHITECTURE
#define EMULATOR_ARCHITECTURE 900
#endif
#define __CUDA_ARCH__ EMULATOR_ARCHITECTURE

#include "emulator/threads.h"
#include "emulator/matrices.h"
#include "emulator/copies.h"
#include "emulator/warps.h"
#include "emulator/arithmetic.h"
#include "emulator/registers.h"

namespace emulator {

/* What a caller's pointer leads to, which need not be aligned. */
template <class T>
__attribute__((noinline, no_sanitize_thread)) std::remove_cv_t<std::remove_reference_t<T>> argument(const void *at)
{
    using value = std::remove_cv_t<std::remove_reference_t<T>>;
    alignas(value) unsigned char bytes[sizeof(value)];
    memcpy(bytes, at, sizeof bytes);
    return *reinterpret_cast<value *>(bytes);
}

/* A kernel called with pointers to its arguments, as a driver has them. */
template <class... Parameters, size_t... Index>
__attribute__((noinline, no_sanitize_thread)) void call(void (*kernel)(Parameters...), void **arguments, std::index_sequence<Index...>)
{
    kernel(argument<Parameters>(arguments[Index])...);
}

template <class... Parameters>
__attribute__((noinline, no_sanitize_thread)) void call(void (*kernel)(Parameters...), void **arguments)
{
    call(kernel, arguments, std::index_sequence_for<Parameters...>{});
}

template <class... Parameters>
constexpr int count_parameters(void (*)(Parameters...)) { return sizeof...(Parameters); }

} // namespace emulator

/* The type of a declaration `T name[a][b]`, from `emulated<T[a][b]>`. */
template <class T> using emulated = T;
