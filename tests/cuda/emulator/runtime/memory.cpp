/*
 * Memory: where shared variables lie, and the checks of each access of kernels that were compiled with them:
 * nothing outside of buffers, shared variables and the thread's own stack, nothing misaligned, and no two
 * threads at one byte, one of them writing, with no barrier in between.
 *
 * GCC's -fsanitize=thread puts a call ahead of each access; its own runtime is not used.
 */
#include "state.h"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <sys/mman.h>
#include <unordered_map>

namespace emulator {

uint32_t block_epoch, block_serial, first_serial, fences;
unsigned long launch_number;
bool checked, races_are_sought;
char *shared_window;
std::vector<range> shared_ranges, buffers, images;

/* ---- shared memory ---- */

constexpr size_t gap = 64; /* between two variables, so that what runs over one does not hit the next */

namespace {

size_t shared_end, shared_total, dynamic_bytes;

} // namespace

void open_shared(size_t dynamic)
{
    if (!shared_window) {
        void *made = mmap(nullptr, shared_window_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (made == MAP_FAILED)
            abort();
        shared_window = static_cast<char *>(made);
    }
    launch_number++;
    shared_ranges.clear();
    /* Address 0 is nobody's. */
    shared_end = 1024;
    shared_total = 0;
    dynamic_bytes = dynamic;
    if (dynamic)
        shared_ranges.push_back({ shared_window + shared_end, shared_window + shared_end + dynamic, "dynamic shared memory" });
    shared_end += dynamic + gap;
}

/* Not a number, in whatever type. */
void spoil_shared() { memset(shared_window, 0xff, shared_end); }

size_t static_shared_bytes() { return shared_total; }

void *dynamic_shared() { return shared_window + 1024; }

void *place(shared_variable &variable)
{
    if (variable.launch == launch_number)
        return variable.at;
    size_t alignment = variable.alignment < 16 ? 16 : variable.alignment;
    size_t begin = (shared_end + alignment - 1) / alignment * alignment;
    shared_total = (shared_total + variable.alignment - 1) / variable.alignment * variable.alignment + variable.bytes;
    if (shared_total > 49152)
        fail("%zu bytes of static shared memory, of 49152 (at %s)", shared_total, variable.name);
    variable.launch = launch_number;
    variable.at = shared_window + begin;
    memset(shared_window + shared_end, 0xff, begin + variable.bytes + gap - shared_end);
    shared_end = begin + variable.bytes + gap;
    shared_ranges.push_back({ variable.at, variable.at + variable.bytes, variable.name });
    return variable.at;
}

bool is_shared(const void *at)
{
    const char *byte = static_cast<const char *>(at);
    return byte >= shared_window && byte < shared_window + shared_window_bytes;
}

uint32_t shared_address(const void *at)
{
    if (!is_shared(at))
        fail("%p is no address in shared memory", at);
    return static_cast<uint32_t>(static_cast<const char *>(at) - shared_window);
}

void *shared_pointer(uint32_t address)
{
    if (address >= shared_window_bytes)
        fail("0x%x is no address in shared memory", address);
    return shared_window + address;
}

/* ---- who was where ---- */

namespace {

/* One access: by a thread, or by several of one warp, or by several warps. */
constexpr uint16_t whole_block = 0xffff, of_warp = 0x8000, thread_bits = 0x7fff;

struct visit {
    uint32_t block = 0, block_epoch = 0, warp_epoch = 0, fences = 0;
    uint16_t who = 0;
    bool is_atomic = false, is_in_flight = false;
};

struct cell { visit wrote, read; };
struct page { cell cells[1024]; };

std::unordered_map<uintptr_t, std::unique_ptr<page>> pages;
uintptr_t last_key = ~0ul;
page *last_page;

cell &cell_of(const char *byte)
{
    uintptr_t address = reinterpret_cast<uintptr_t>(byte), key = address / 1024;
    if (key != last_key) {
        std::unique_ptr<page> &kept = pages[key];
        if (!kept)
            kept = std::make_unique<page>();
        last_page = kept.get();
        last_key = key;
    }
    return last_page->cells[address % 1024];
}

unsigned warp_of(uint16_t who) { return (who & thread_bits) / 32; }

/* No barrier, or none that both took part in, since that visit by another thread. */
bool is_concurrent(const visit &earlier, bool shared)
{
    if (earlier.block < first_serial || !earlier.block)
        return false;
    const fibre &me = *running;
    if (earlier.block != block_serial)
        return !shared && earlier.fences == fences;
    if (earlier.block_epoch != block_epoch)
        return false;
    if (earlier.who == me.number)
        return false;
    if (earlier.who != whole_block && warp_of(earlier.who) == me.number / 32)
        return earlier.warp_epoch == warps[me.number / 32].epoch;
    return true;
}

visit by_me()
{
    visit mine;
    mine.block = block_serial;
    mine.block_epoch = block_epoch;
    mine.warp_epoch = warps[running->number / 32].epoch;
    mine.fences = fences;
    mine.who = static_cast<uint16_t>(running->number);
    return mine;
}

const range *range_of(const char *byte, size_t bytes)
{
    for (const range &one : shared_ranges)
        if (one.holds(byte, bytes))
            return &one;
    for (const range &one : buffers)
        if (one.holds(byte, bytes))
            return &one;
    return nullptr;
}

std::string nearest(const char *byte)
{
    const range *best = nullptr;
    long least = 1l << 40;
    for (const std::vector<range> *ranges : { &shared_ranges, &buffers })
        for (const range &one : *ranges) {
            long away = byte < one.from ? one.from - byte : byte - one.to;
            if (away < least)
                least = away, best = &one;
        }
    if (!best)
        return "far from any buffer";
    char text[256];
    snprintf(text, sizeof text, "at byte %ld of %s, which has %ld", static_cast<long>(byte - best->from), best->name,
             static_cast<long>(best->to - best->from));
    return text;
}

[[noreturn]] void tell_race(const range &where, const char *byte, const char *now, const visit &earlier, const char *then)
{
    char who[64];
    if (earlier.who == whole_block)
        snprintf(who, sizeof who, "several threads");
    else if (earlier.who & of_warp)
        snprintf(who, sizeof who, "several threads of warp %u", warp_of(earlier.who));
    else
        snprintf(who, sizeof who, "thread %u", earlier.who & thread_bits);
    fail("race: %s of byte %ld of %s, %s by %s of %s with no barrier in between", now,
         static_cast<long>(byte - where.from), where.name, then, who,
         earlier.block == block_serial ? "this block" : "another block");
}

void note_read(cell &at, bool shared)
{
    visit mine = by_me();
    if (at.read.block == mine.block && at.read.block_epoch == mine.block_epoch && at.read.who != mine.who &&
        is_concurrent(at.read, shared)) {
        bool same_warp = at.read.who != whole_block && warp_of(at.read.who) == running->number / 32;
        mine.who = same_warp ? static_cast<uint16_t>(of_warp | running->number) : whole_block;
    }
    at.read = mine;
}

void seek_race(const range &where, const char *byte, touch how, bool shared)
{
    cell &at = cell_of(byte);
    bool atomic = how == touch::atomic;
    if (at.wrote.block == block_serial && at.wrote.is_in_flight)
        fail("race: byte %ld of %s is used while a cp.async of thread %u into it is not complete",
             static_cast<long>(byte - where.from), where.name, at.wrote.who);
    if (is_concurrent(at.wrote, shared) && !(atomic && at.wrote.is_atomic))
        tell_race(where, byte, how == touch::read ? "read" : "write", at.wrote, "written");
    if (how == touch::read) {
        note_read(at, shared);
        return;
    }
    if (is_concurrent(at.read, shared))
        tell_race(where, byte, "write", at.read, "read");
    at.wrote = by_me();
    at.wrote.is_atomic = atomic;
}

} // namespace

void fence() { fences++; }

void check(const void *at, size_t bytes, touch how)
{
    if (!checked || !running)
        return;
    const char *byte = static_cast<const char *>(at);
    if (stacks.holds(byte, bytes))
        return;
    const range *where = range_of(byte, bytes);
    if (!where) {
        /* What the lanes of a warp have brought. */
        const char *own = reinterpret_cast<const char *>(warps.data());
        if (byte >= own && byte < own + warps.size() * sizeof(warp_state))
            return;
        for (const range &one : images)
            if (one.holds(byte, bytes))
                return;
        fail("out of bounds: %s of %zu bytes %s", how == touch::read ? "read" : "write", bytes, nearest(byte).c_str());
    }
    bool shared = is_shared(byte);
    if (races_are_sought)
        for (size_t one = 0; one < bytes; one++)
            seek_race(*where, byte + one, how, shared);
}

void mark_in_flight(const void *at, size_t bytes)
{
    check(at, bytes, touch::write);
    if (checked && races_are_sought)
        for (size_t one = 0; one < bytes; one++)
            cell_of(static_cast<const char *>(at) + one).wrote.is_in_flight = true;
}

/* Complete for the thread that began it; for others after a barrier from now on. */
void mark_arrived(const void *at, size_t bytes)
{
    if (checked && races_are_sought)
        for (size_t one = 0; one < bytes; one++)
            cell_of(static_cast<const char *>(at) + one).wrote = by_me();
}

} // namespace emulator

/* ---- what GCC calls ---- */

using emulator::touch;

static void visit_at(void *at, size_t bytes, touch how, bool aligned)
{
    if (!emulator::running || emulator::stacks.holds(at, bytes))
        return;
    if (aligned && reinterpret_cast<uintptr_t>(at) % bytes)
        emulator::fail("misaligned: %zu bytes at an address that is no multiple of it", bytes);
    emulator::check(at, bytes, how);
    emulator::preempt();
}

extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void **, void *) {}
void __tsan_vptr_read(void **) {}
#define VISIT(bytes) \
    void __tsan_read##bytes(void *at) { visit_at(at, bytes, touch::read, true); } \
    void __tsan_write##bytes(void *at) { visit_at(at, bytes, touch::write, true); } \
    void __tsan_unaligned_read##bytes(void *at) { visit_at(at, bytes, touch::read, false); } \
    void __tsan_unaligned_write##bytes(void *at) { visit_at(at, bytes, touch::write, false); } \
    void __tsan_volatile_read##bytes(void *at) { visit_at(at, bytes, touch::read, true); } \
    void __tsan_volatile_write##bytes(void *at) { visit_at(at, bytes, touch::write, true); }
VISIT(1)
VISIT(2)
VISIT(4)
VISIT(8)
VISIT(16)
void __tsan_read_range(void *at, size_t bytes) { visit_at(at, bytes, touch::read, false); }
void __tsan_write_range(void *at, size_t bytes) { visit_at(at, bytes, touch::write, false); }
}
