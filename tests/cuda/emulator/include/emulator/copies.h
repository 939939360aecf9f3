/* Copies that run beside the threads, and the barriers in shared memory that count them. */
#pragma once
#include "emulator/threads.h"

namespace emulator {

/* cp.async: `bytes` arrive, `have` of them from `from`, the rest zero. The schedule decides whether at once
 * or when somebody waits for them; until then they may not be looked at. */
void copy_async_to_shared(uint32_t to, const void *from, unsigned bytes, unsigned have);
void commit_copies();
void wait_for_copies(unsigned groups_left); /* of those that were committed */
void wait_for_all_copies();

/* mbarrier: 8 bytes in shared memory, with a layout of our own. */
void barrier_begin(uint32_t at, unsigned count);
uint64_t barrier_arrive(uint32_t at, unsigned count = 1, unsigned expected_bytes = 0);
void barrier_expect(uint32_t at, unsigned bytes);
/* Whether the phase is over; lets others go first when it is not. */
bool barrier_is_past(uint32_t at, uint64_t state);
bool barrier_is_past_parity(uint32_t at, unsigned parity);
/* cp.async.mbarrier.arrive: once this thread's copies are there. */
void barrier_arrive_after_copies(uint32_t at, bool counted);

/* cp.async.bulk: plain bytes, or a box by a tensor map, into shared memory or out of it. */
void bulk_load(uint32_t to, const void *from, unsigned bytes, uint32_t barrier);
void bulk_store(void *to, uint32_t from, unsigned bytes);
void tensor_load(uint32_t to, const void *map, const int *coordinates, const uint16_t *offsets, uint32_t barrier);
void tensor_store(const void *map, const int *coordinates, uint32_t from);

} // namespace emulator
