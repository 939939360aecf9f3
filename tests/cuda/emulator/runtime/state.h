/* What the parts of the runtime share: the fibres of one block, the launch, and its memory. */
#pragma once
#include "emulator/threads.h"
#include <string>
#include <vector>

namespace emulator {

struct meeting {
    bool open = false;
    together kind{};
    unsigned mask = 0, arrived = 0;
    void *brought[32];
};

struct warp_state {
    unsigned living = 0; /* a bit for each lane */
    uint32_t epoch = 0;
    meeting meetings[33];
};

struct copy_async {
    void *to;
    const void *from;
    unsigned bytes, zeros;
    unsigned group;
};

struct fibre {
    void *stack_pointer = nullptr;
    char *stack = nullptr; /* none before its first turn */
    index3 index{};
    unsigned number = 0;
    bool done = false;
    bool executes = false;       /* woken to do what its warp does together */
    meeting *met = nullptr;
    const char *waits_for = nullptr;
    unsigned committed_groups = 0;
    std::vector<copy_async> copies; /* begun and not complete */
};

struct range {
    const char *from, *to;
    const char *name;
    bool holds(const void *at, size_t bytes) const
    {
        const char *byte = static_cast<const char *>(at);
        return byte >= from && byte + bytes <= to;
    }
};

extern fibre *running;
extern std::vector<fibre> fibres;
extern std::vector<warp_state> warps;
extern uint32_t block_epoch;  /* grows with each barrier of the block */
extern uint32_t block_serial; /* grows with each block that ever ran */
extern uint32_t first_serial; /* that of the launch's first block */
extern uint32_t fences;
extern unsigned long launch_number;
extern bool checked, races_are_sought;
extern char *shared_window;
extern std::vector<range> shared_ranges, buffers, images;
extern range stacks;
constexpr size_t shared_window_bytes = 1 << 20;

uint64_t random_number();     /* of the schedule */
enum class order { ascending, descending, shuffled };
extern order schedule_order;

/* threads.cpp */
extern unsigned living;
void make_ready(fibre &thread);
void wait_at(const char *what);
/* meetings.cpp */
void open_meetings();
void settle_after_end(fibre &ended);
/* copies.cpp */
constexpr unsigned every_group = ~0u;
void complete_copies(fibre &thread, unsigned first_kept_group);
void mark_in_flight(const void *at, size_t bytes);
bool complete_one_bulk();
void forget_bulk();
unsigned linear_block();

} // namespace emulator
