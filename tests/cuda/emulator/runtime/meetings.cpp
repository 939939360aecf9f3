/* Everything at which threads wait for each other. */
#include "state.h"
#include <cstring>

namespace emulator {

namespace {

struct block_meeting {
    unsigned arrived = 0, needed = 0, count = 0, last_count = 0;
    std::vector<fibre *> waiting;
};

block_meeting barriers[16];

const char *name_of(together kind)
{
    static const char *const names[] = { "__syncwarp", "a shuffle", "a vote", "a reduction", "a wmma fragment",
                                         "mma.sync", "ldmatrix", "stmatrix", "elect.sync" };
    return names[static_cast<int>(kind)];
}

void release_barrier(block_meeting &barrier)
{
    block_epoch++;
    barrier.arrived = 0;
    barrier.last_count = barrier.count;
    barrier.count = 0;
    for (fibre *thread : barrier.waiting)
        make_ready(*thread);
    barrier.waiting.clear();
}

} // namespace

/* A barrier or a meeting that waited only for the thread that has just ended. */
void settle_after_end(fibre &ended)
{
    block_meeting &all = barriers[0];
    if (living && all.arrived && !all.needed && all.arrived >= living)
        release_barrier(all);
    warp_state &warp = warps[ended.number / 32];
    for (meeting &one : warp.meetings)
        if (one.open && one.arrived == (one.mask & warp.living)) {
            fibre &woken = fibres[ended.number / 32 * 32 + __builtin_ctz(one.arrived)];
            woken.executes = true;
            make_ready(woken);
        }
}

bool arrive(together kind, unsigned mask, void *brought)
{
    fibre &me = *running;
    warp_state &warp = warps[me.number / 32];
    unsigned bit = 1u << me.number % 32;
    if (!(mask & bit))
        fail("%s with mask %08x by lane %u, which is not in it", name_of(kind), mask, me.number % 32);
    meeting *mine = nullptr;
    for (meeting &one : warp.meetings)
        if (one.open && one.mask == mask)
            mine = &one;
    if (!mine) {
        for (meeting &one : warp.meetings)
            if (!one.open)
                mine = &one;
        mine->open = true;
        mine->kind = kind;
        mine->mask = mask;
        mine->arrived = 0;
        memset(mine->brought, 0, sizeof mine->brought);
    }
    if (mine->kind != kind)
        fail("lanes of one warp meet at different operations, %s and %s", name_of(mine->kind), name_of(kind));
    mine->arrived |= bit;
    mine->brought[me.number % 32] = brought;
    me.met = mine;
    me.executes = mine->arrived == (mask & warp.living);
    if (!me.executes)
        wait_at(name_of(kind));
    bool last = me.executes;
    me.executes = false;
    return last;
}

void **lanes() { return running->met->brought; }
unsigned present() { return running->met->arrived; }
unsigned living_lanes() { return warps[running->number / 32].living; }

void release()
{
    fibre &me = *running;
    meeting &met = *me.met;
    unsigned first = me.number / 32 * 32;
    if (met.kind == together::synchronise)
        warps[me.number / 32].epoch++;
    met.open = false;
    for (unsigned lane = 0; lane < 32; lane++)
        if ((met.arrived >> lane & 1) && first + lane != me.number)
            make_ready(fibres[first + lane]);
    preempt();
}

void warp_barrier(unsigned mask)
{
    if (arrive(together::synchronise, mask, nullptr))
        release();
}

void block_barrier(unsigned id, unsigned threads)
{
    if (id > 15)
        fail("there is no barrier %u", id);
    block_meeting &barrier = barriers[id];
    barrier.needed = threads;
    barrier.arrived++;
    if (barrier.arrived >= (threads ? threads : living)) {
        release_barrier(barrier);
        preempt();
        return;
    }
    barrier.waiting.push_back(running);
    wait_at(id ? "a named barrier" : "__syncthreads");
}

void block_arrive(unsigned id, unsigned threads)
{
    if (id > 15)
        fail("there is no barrier %u", id);
    barriers[id].needed = threads;
    if (++barriers[id].arrived >= threads)
        release_barrier(barriers[id]);
}

unsigned block_count(bool is_so)
{
    barriers[0].count += is_so;
    block_barrier();
    return barriers[0].last_count;
}

/* None, before a block begins. */
void open_meetings()
{
    for (warp_state &warp : warps) {
        warp.living = 0;
        warp.epoch = 0;
        for (meeting &one : warp.meetings)
            one.open = false;
    }
    for (block_meeting &barrier : barriers) {
        barrier.arrived = barrier.needed = barrier.count = 0;
        barrier.waiting.clear();
    }
}

} // namespace emulator
