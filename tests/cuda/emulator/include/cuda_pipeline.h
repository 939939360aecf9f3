/* The primitives of CUDA's pipeline: cp.async by function. */
#pragma once
#include "emulator.h"

static inline void __pipeline_memcpy_async(void *to, const void *from, size_t bytes, size_t zeros = 0)
{
    unsigned whole = static_cast<unsigned>(bytes);
    emulator::copy_async_to_shared(emulator::shared_address(to), from, whole, whole - static_cast<unsigned>(zeros));
}
static inline void __pipeline_commit() { emulator::commit_copies(); }
static inline void __pipeline_wait_prior(size_t groups) { emulator::wait_for_copies(static_cast<unsigned>(groups)); }
