/* Only what names a block or a warp. */
#pragma once
#include "emulator.h"

namespace cooperative_groups {

struct thread_block {
    static void sync() { emulator::block_barrier(); }
    static unsigned thread_rank()
    {
        emulator::index3 at = emulator::thread_index(), size = emulator::block_size();
        return (at.z * size.y + at.y) * size.x + at.x;
    }
    static unsigned size() { return emulator::block_size().x * emulator::block_size().y * emulator::block_size().z; }
};

static inline thread_block this_thread_block() { return {}; }
static inline void sync(const thread_block &) { emulator::block_barrier(); }

} // namespace cooperative_groups
