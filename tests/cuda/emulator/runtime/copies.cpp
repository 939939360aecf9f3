/* cp.async, mbarrier, and the bulk copies with and without a tensor map. */
#include "emulator/copies.h"
#include "emulator/tensor_map.h"
#include "state.h"
#include <cstring>
#include <functional>

namespace emulator {

void mark_arrived(const void *at, size_t bytes);

namespace {

/* Bulk copies that are begun and not complete, in no order. */
std::vector<std::function<void()>> bulk;

bool at_once()
{
    return schedule_order == order::ascending || (schedule_order == order::shuffled && random_number() % 4 == 0);
}

void carry_out(const copy_async &copy)
{
    memcpy(copy.to, copy.from, copy.bytes - copy.zeros);
    memset(static_cast<char *>(copy.to) + copy.bytes - copy.zeros, 0, copy.zeros);
}

} // namespace

/* ---- cp.async ---- */

void copy_async_to_shared(uint32_t to, const void *from, unsigned bytes, unsigned have)
{
    if (bytes != 4 && bytes != 8 && bytes != 16)
        fail("cp.async of %u bytes", bytes);
    if (have > bytes)
        fail("cp.async of %u bytes, of which %u are to be read", bytes, have);
    if (to % bytes || (have && reinterpret_cast<uintptr_t>(from) % bytes))
        fail("misaligned: cp.async of %u bytes", bytes);
    if (have)
        check(from, have, touch::read);
    copy_async copy{ shared_pointer(to), from, bytes, bytes - have, running->committed_groups };
    if (at_once())
        carry_out(copy);
    mark_in_flight(copy.to, bytes);
    running->copies.push_back(copy);
}

void commit_copies() { running->committed_groups++; }

void complete_copies(fibre &thread, unsigned first_kept_group)
{
    size_t kept = 0;
    for (const copy_async &copy : thread.copies) {
        if (copy.group < first_kept_group) {
            carry_out(copy);
            mark_arrived(copy.to, copy.bytes);
        } else {
            thread.copies[kept++] = copy;
        }
    }
    thread.copies.resize(kept);
}

void wait_for_copies(unsigned groups_left)
{
    unsigned committed = running->committed_groups;
    complete_copies(*running, committed < groups_left ? 0 : committed - groups_left);
}

void wait_for_all_copies() { complete_copies(*running, every_group); }

/* ---- mbarrier ---- */

namespace {

struct barrier_word {
    uint64_t pending : 20, count : 20, phase : 1;
    int64_t bytes : 23;
};
static_assert(sizeof(barrier_word) == 8);

/* Their order is not what the search for races knows. */
barrier_word &barrier_at(uint32_t at)
{
    if (at % 8)
        fail("misaligned: an mbarrier at 0x%x", at);
    races_are_sought = false;
    return *static_cast<barrier_word *>(shared_pointer(at));
}

void settle(barrier_word &word)
{
    if (word.pending == 0 && word.bytes == 0) {
        word.pending = word.count;
        word.phase ^= 1;
    }
}

} // namespace

void barrier_begin(uint32_t at, unsigned count)
{
    if (!count || count >= 1u << 20)
        fail("an mbarrier for %u arrivals", count);
    barrier_word &word = barrier_at(at);
    word.pending = word.count = count;
    word.phase = 0;
    word.bytes = 0;
}

uint64_t barrier_arrive(uint32_t at, unsigned count, unsigned expected_bytes)
{
    barrier_word &word = barrier_at(at);
    uint64_t state = word.phase;
    if (word.pending < count)
        fail("an mbarrier has %u arrivals pending and gets %u", static_cast<unsigned>(word.pending), count);
    word.bytes += expected_bytes;
    word.pending -= count;
    settle(word);
    preempt();
    return state;
}

void barrier_expect(uint32_t at, unsigned bytes) { barrier_at(at).bytes += bytes; }

static void complete_bytes(uint32_t at, unsigned bytes)
{
    barrier_word &word = barrier_at(at);
    word.bytes -= bytes;
    settle(word);
}

bool barrier_is_past(uint32_t at, uint64_t state)
{
    barrier_word &word = barrier_at(at);
    if (word.phase != state)
        return true;
    static unsigned long waits;
    static uint32_t block;
    if (block != block_serial) {
        block = block_serial;
        waits = 0;
    }
    if (++waits > 20000000ul)
        fail("deadlock: an mbarrier at 0x%x is never complete", at);
    complete_one_bulk();
    yield();
    return barrier_at(at).phase != state;
}

/* The phase before the first counts as over, and has parity 1. */
bool barrier_is_past_parity(uint32_t at, unsigned parity) { return barrier_is_past(at, parity & 1); }

void barrier_arrive_after_copies(uint32_t at, bool counted)
{
    wait_for_all_copies();
    barrier_word &word = barrier_at(at);
    if (!counted)
        word.pending += 1;
    barrier_arrive(at);
}

/* ---- bulk ---- */

bool complete_one_bulk()
{
    if (bulk.empty())
        return false;
    size_t chosen = random_number() % bulk.size();
    std::function<void()> what = std::move(bulk[chosen]);
    bulk[chosen] = std::move(bulk.back());
    bulk.pop_back();
    what();
    return true;
}

void forget_bulk() { bulk.clear(); }

namespace {

void begin_bulk(uint32_t to, unsigned bytes, std::function<void()> what)
{
    check(shared_pointer(to), bytes, touch::write);
    memset(shared_pointer(to), 0xff, bytes);
    bulk.push_back(std::move(what));
    if (at_once())
        while (complete_one_bulk()) {}
}

const tensor_map &map_at(const void *at)
{
    const tensor_map &map = *static_cast<const tensor_map *>(at);
    if (map.magic != TENSOR_MAP_MAGIC)
        fail("no tensor map of the stand-in for the driver");
    return map;
}

/* Where a byte of a box comes to lie: chunks of 16 bytes are exchanged within rows of 128. */
uint32_t swizzled(uint32_t address, unsigned width)
{
    if (!width)
        return address;
    uint32_t bits = width / 16 - 1;
    return address ^ ((address >> 7 & bits) << 4);
}

/* One element of the tensor, or null outside of it. */
char *element_at(const tensor_map &map, const long *at)
{
    char *address = reinterpret_cast<char *>(map.base) + at[0] * map.element_bytes;
    for (int axis = 0; axis < map.rank; axis++) {
        if (at[axis] < 0 || at[axis] >= static_cast<long>(map.sizes[axis]))
            return nullptr;
        if (axis)
            address += at[axis] * static_cast<long>(map.strides[axis - 1]);
    }
    return address;
}

using visitor = std::function<void(const long *at, unsigned number)>;

void for_each_of_box(const tensor_map &map, const int *coordinates, const visitor &visit)
{
    unsigned total = 1, count[5];
    for (int axis = 0; axis < map.rank; axis++) {
        count[axis] = (map.box[axis] + map.steps[axis] - 1u) / map.steps[axis];
        total *= count[axis];
    }
    for (unsigned number = 0; number < total; number++) {
        long at[5];
        unsigned left = number;
        for (int axis = 0; axis < map.rank; axis++) {
            at[axis] = coordinates[axis] + static_cast<long>(left % count[axis]) * map.steps[axis];
            left /= count[axis];
        }
        visit(at, number);
    }
}

/* Pixels go along the innermost axis first, each in its box; the offsets move what is read of each. */
void for_each_of_columns(const tensor_map &map, const int *coordinates, const uint16_t *offsets, const visitor &visit)
{
    int spatial = map.rank - 2;
    long pixel[5];
    for (int axis = 0; axis < map.rank; axis++)
        pixel[axis] = coordinates[axis];
    unsigned number = 0;
    for (unsigned taken = 0; taken < map.pixels; taken++) {
        for (unsigned channel = 0; channel < map.channels; channel++) {
            long at[5];
            at[0] = pixel[0] + channel;
            for (int axis = 1; axis < map.rank; axis++)
                at[axis] = pixel[axis] + (axis <= spatial ? offsets[axis - 1] : 0);
            visit(at, number++);
        }
        int axis = 1;
        for (; axis <= spatial; axis++) {
            pixel[axis] += map.steps[axis];
            if (pixel[axis] < static_cast<long>(map.sizes[axis]) + map.upper[axis - 1])
                break;
            pixel[axis] = map.lower[axis - 1];
        }
        if (axis > spatial)
            pixel[map.rank - 1]++;
    }
}

unsigned bytes_of(const tensor_map &map)
{
    unsigned elements = map.is_im2col ? map.channels * map.pixels : 1u;
    for (int axis = 0; axis < map.rank && !map.is_im2col; axis++)
        elements *= (map.box[axis] + map.steps[axis] - 1u) / map.steps[axis];
    return elements * map.element_bytes;
}

void for_each(const tensor_map &map, const int *coordinates, const uint16_t *offsets, const visitor &visit)
{
    if (map.is_im2col)
        for_each_of_columns(map, coordinates, offsets, visit);
    else
        for_each_of_box(map, coordinates, visit);
}

} // namespace

void bulk_load(uint32_t to, const void *from, unsigned bytes, uint32_t barrier)
{
    if (bytes % 16 || to % 16 || reinterpret_cast<uintptr_t>(from) % 16)
        fail("misaligned: cp.async.bulk of %u bytes", bytes);
    check(from, bytes, touch::read);
    begin_bulk(to, bytes, [=] {
        memcpy(shared_pointer(to), from, bytes);
        complete_bytes(barrier, bytes);
    });
}

void bulk_store(void *to, uint32_t from, unsigned bytes)
{
    if (bytes % 16 || from % 16 || reinterpret_cast<uintptr_t>(to) % 16)
        fail("misaligned: cp.async.bulk of %u bytes", bytes);
    check(to, bytes, touch::write);
    check(shared_pointer(from), bytes, touch::read);
    memcpy(to, shared_pointer(from), bytes);
}

void tensor_load(uint32_t to, const void *map_address, const int *coordinates, const uint16_t *offsets, uint32_t barrier)
{
    tensor_map map = map_at(map_address);
    unsigned bytes = bytes_of(map);
    if (to % (map.swizzle ? 8 * map.swizzle : 128u))
        fail("misaligned: a tensor is copied to 0x%x", to);
    std::vector<int> first(coordinates, coordinates + map.rank);
    std::vector<uint16_t> moved(offsets, offsets + (map.is_im2col ? map.rank - 2 : 0));
    begin_bulk(to, bytes, [=] {
        for_each(map, first.data(), moved.data(), [&](const long *at, unsigned number) {
            const char *from = element_at(map, at);
            void *target = shared_pointer(swizzled(to + number * map.element_bytes, map.swizzle));
            if (from)
                check(from, map.element_bytes, touch::read);
            if (from)
                memcpy(target, from, map.element_bytes);
            else
                memset(target, map.fills_nan ? 0xff : 0, map.element_bytes);
        });
        complete_bytes(barrier, bytes);
    });
}

void tensor_store(const void *map_address, const int *coordinates, uint32_t from)
{
    const tensor_map &map = map_at(map_address);
    if (map.is_im2col)
        fail("columns are not stored");
    check(shared_pointer(from), bytes_of(map), touch::read);
    for_each_of_box(map, coordinates, [&](const long *at, unsigned number) {
        char *to = element_at(map, at);
        const void *source = shared_pointer(swizzled(from + number * map.element_bytes, map.swizzle));
        if (to) {
            check(to, map.element_bytes, touch::write);
            memcpy(to, source, map.element_bytes);
        }
    });
}

} // namespace emulator
