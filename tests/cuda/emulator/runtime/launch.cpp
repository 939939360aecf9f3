/* The entry from outside: a launch is its blocks, one after the other, in the order of the schedule. */
#include "state.h"
#include <algorithm>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <link.h>
#include <numeric>

namespace emulator {

bool run_block(void (*kernel)(void **), void **given, index3 size);
void seed_schedule(uint64_t seed);
void open_shared(size_t dynamic);
void spoil_shared();
size_t static_shared_bytes();
const std::string &failure_text();
void set_failure(const std::string &text);

namespace {

index3 grid, block, current;
sigjmp_buf after_fault;

/* What a fault of the host's hardware means for a kernel. */
void on_fault(int signal, siginfo_t *what, void *)
{
    char text[256];
    index3 t = running ? running->index : index3{};
    snprintf(text, sizeof text, "%s at %p [block %u,%u,%u thread %u,%u,%u]",
             signal == SIGFPE ? "division by zero" : "illegal address", what->si_addr, current.x, current.y, current.z,
             t.x, t.y, t.z);
    set_failure(text);
    siglongjmp(after_fault, signal);
}

/* Faults while a kernel runs are its own; on a stack apart, as a fibre's may be what overflowed. */
class fault_guard {
    static constexpr int signals[3] = { SIGSEGV, SIGBUS, SIGFPE };
    struct sigaction before[3];
    stack_t stack_before;

public:
    fault_guard()
    {
        static char apart[64 << 10];
        stack_t stack{};
        stack.ss_sp = apart;
        stack.ss_size = sizeof apart;
        sigaltstack(&stack, &stack_before);
        struct sigaction taken{};
        taken.sa_sigaction = on_fault;
        taken.sa_flags = SA_SIGINFO | SA_ONSTACK;
        for (int one = 0; one < 3; one++)
            sigaction(signals[one], &taken, &before[one]);
    }
    ~fault_guard()
    {
        for (int one = 0; one < 3; one++)
            sigaction(signals[one], &before[one], nullptr);
        sigaltstack(&stack_before, nullptr);
    }
};

int note_image(dl_phdr_info *info, size_t, void *wanted)
{
    const char *address = static_cast<const char *>(wanted), *base = reinterpret_cast<const char *>(info->dlpi_addr);
    bool is_it = false;
    for (int one = 0; one < info->dlpi_phnum; one++) {
        const char *from = base + info->dlpi_phdr[one].p_vaddr;
        is_it |= info->dlpi_phdr[one].p_type == PT_LOAD && address >= from && address < from + info->dlpi_phdr[one].p_memsz;
    }
    for (int one = 0; is_it && one < info->dlpi_phnum; one++)
        if (info->dlpi_phdr[one].p_type == PT_LOAD) {
            const char *from = base + info->dlpi_phdr[one].p_vaddr;
            images.push_back({ from, from + info->dlpi_phdr[one].p_memsz, "a constant" });
        }
    return is_it;
}

std::string refusal(const index3 &g, const index3 &b, unsigned most_threads)
{
    unsigned long threads = static_cast<unsigned long>(b.x) * b.y * b.z;
    if (!g.x || !g.y || !g.z || g.x > 2147483647u || g.y > 65535 || g.z > 65535)
        return "no such grid";
    if (!threads || threads > 1024 || b.z > 64)
        return "no such block";
    if (most_threads && threads > most_threads)
        return "more threads than the kernel's __launch_bounds__";
    return "";
}

} // namespace

index3 block_index() { return current; }
index3 block_size() { return block; }
index3 grid_size() { return grid; }
unsigned linear_block() { return (current.z * grid.y + current.y) * grid.x + current.x; }

} // namespace emulator

using namespace emulator;

extern "C" {

struct emulator_launch_shape {
    unsigned grid[3], block[3], shared_bytes, most_threads;
    uint64_t seed;
    int check; /* 0 nothing, 1 bounds and races, 2 bounds alone */
};

/* 0, or 1 with emulator_report() saying what was wrong. Each call has its own schedule: 0 ascending, 1 descending,
 * all others shuffled by the seed. */
__attribute__((visibility("default"))) int emulator_launch(void (*kernel)(void **), void **arguments, const emulator_launch_shape *shape)
{
    grid = { shape->grid[0], shape->grid[1], shape->grid[2] };
    block = { shape->block[0], shape->block[1], shape->block[2] };
    current = {};
    std::string refused = refusal(grid, block, shape->most_threads);
    if (!refused.empty()) {
        set_failure(refused);
        return 1;
    }
    seed_schedule(shape->seed);
    open_shared(shape->shared_bytes);
    checked = shape->check != 0;
    races_are_sought = shape->check == 1;
    images.clear();
    if (checked)
        dl_iterate_phdr(note_image, reinterpret_cast<void *>(kernel));
    size_t blocks = static_cast<size_t>(grid.x) * grid.y * grid.z;
    std::vector<uint32_t> turns;
    if (schedule_order == order::shuffled) {
        turns.resize(blocks);
        std::iota(turns.begin(), turns.end(), 0u);
        for (size_t left = blocks; left > 1; left--)
            std::swap(turns[left - 1], turns[random_number() % left]);
    }
    first_serial = block_serial + 1;
    fault_guard guarded;
    if (sigsetjmp(after_fault, 1)) {
        running = nullptr;
        return 1;
    }
    for (size_t turn = 0; turn < blocks; turn++) {
        size_t linear = turns.empty() ? schedule_order == order::descending ? blocks - 1 - turn : turn : turns[turn];
        current = { static_cast<unsigned>(linear % grid.x), static_cast<unsigned>(linear / grid.x % grid.y),
                    static_cast<unsigned>(linear / grid.x / grid.y) };
        block_serial++;
        block_epoch = 0;
        forget_bulk();
        spoil_shared();
        if (!run_block(kernel, arguments, block))
            return 1;
    }
    return 0;
}

__attribute__((visibility("default"))) const char *emulator_report() { return failure_text().c_str(); }

/* What kernels may touch, with a name for reports. */
__attribute__((visibility("default"))) void emulator_buffer(const void *at, size_t bytes, const char *name)
{
    const char *from = static_cast<const char *>(at);
    buffers.push_back({ from, from + bytes, strdup(name) });
}

__attribute__((visibility("default"))) void emulator_forget_buffer(const void *at)
{
    for (size_t one = 0; one < buffers.size(); one++)
        if (buffers[one].from == at) {
            free(const_cast<char *>(buffers[one].name));
            buffers.erase(buffers.begin() + static_cast<long>(one));
            return;
        }
}

__attribute__((visibility("default"))) size_t emulator_static_shared_bytes() { return static_shared_bytes(); }
}
