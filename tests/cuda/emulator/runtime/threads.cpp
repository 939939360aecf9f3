/* Fibres, and the schedule that says which is next. */
#include "state.h"
#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <signal.h>
#include <sys/mman.h>

namespace emulator {

fibre *running;
std::vector<fibre> fibres;
std::vector<warp_state> warps;
order schedule_order;
unsigned living;

namespace {

constexpr size_t stack_bytes = 256 << 10, most_threads = 1024;

void *main_stack_pointer;
void (*entry)(void **);
void **arguments;
std::vector<unsigned> ready;
size_t ready_begin;
std::vector<char *> free_stacks;
uint64_t random_state;
std::string failure;

} // namespace

range stacks;

/* Saves what a call must keep, and goes on where another fibre did the same. */
extern "C" void emulator_switch(void **save, void *load);
asm(R"(
.text
.globl emulator_switch
.hidden emulator_switch
emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");

uint64_t random_number()
{
    random_state += 0x9e3779b97f4a7c15ull;
    uint64_t mixed = random_state;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ull;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebull;
    return mixed ^ (mixed >> 31);
}

[[noreturn]] void fail(const char *format, ...)
{
    char text[1024], where[256] = "";
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    if (running) {
        index3 b = block_index(), t = running->index;
        snprintf(where, sizeof where, " [block %u,%u,%u thread %u,%u,%u]", b.x, b.y, b.z, t.x, t.y, t.z);
    }
    if (failure.empty())
        failure = std::string(text) + where;
    void *nowhere;
    if (!running)
        abort();
    running = nullptr;
    emulator_switch(&nowhere, main_stack_pointer);
    abort();
}

namespace {

void run_fibre();

fibre *next_ready()
{
    if (ready_begin == ready.size())
        return nullptr;
    unsigned chosen;
    if (schedule_order == order::ascending) {
        chosen = ready[ready_begin++];
    } else if (schedule_order == order::descending) {
        chosen = ready.back();
        ready.pop_back();
    } else {
        size_t at = ready_begin + random_number() % (ready.size() - ready_begin);
        chosen = ready[at];
        ready[at] = ready.back();
        ready.pop_back();
    }
    if (ready_begin == ready.size()) {
        ready.clear();
        ready_begin = 0;
    }
    return &fibres[chosen];
}

char *take_stack()
{
    if (!free_stacks.empty()) {
        char *stack = free_stacks.back();
        free_stacks.pop_back();
        return stack;
    }
    fail("more than %zu threads", most_threads);
}

void go_to(fibre &thread, void **save)
{
    if (!thread.stack) {
        thread.stack = take_stack();
        void **top = reinterpret_cast<void **>(thread.stack + stack_bytes - 64);
        *--top = nullptr;
        *--top = reinterpret_cast<void *>(run_fibre);
        for (int saved = 0; saved < 6; saved++)
            *--top = nullptr;
        thread.stack_pointer = top;
    }
    running = &thread;
    emulator_switch(save, thread.stack_pointer);
}

[[noreturn]] void nobody_can_go_on()
{
    std::string who;
    unsigned told = 0;
    for (const fibre &thread : fibres)
        if (!thread.done && told++ < 4)
            who += (told > 1 ? ", thread " : "thread ") + std::to_string(thread.number) + " at " +
                   (thread.waits_for ? thread.waits_for : "nothing");
    fail("deadlock: %u threads wait for others that never come (%s)", living, who.c_str());
}

/* The body of a fibre; what comes after its end and has not begun yet runs on the same stack. */
void run_fibre()
{
    for (;;) {
        fibre &me = *running;
        entry(arguments);
        complete_copies(me, every_group);
        me.done = true;
        living--;
        warps[me.number / 32].living &= ~(1u << me.number % 32);
        settle_after_end(me);
        char *stack = me.stack;
        me.stack = nullptr;
        fibre *next = next_ready();
        if (!next && living)
            nobody_can_go_on();
        if (next && !next->stack) {
            next->stack = stack;
            running = next;
            continue;
        }
        free_stacks.push_back(stack);
        void *nowhere;
        if (next)
            go_to(*next, &nowhere);
        running = nullptr;
        emulator_switch(&nowhere, main_stack_pointer);
    }
}

} // namespace

void make_ready(fibre &thread)
{
    thread.waits_for = nullptr;
    ready.push_back(thread.number);
}

void wait_at(const char *what)
{
    fibre &me = *running;
    me.waits_for = what;
    fibre *next = next_ready();
    if (!next)
        nobody_can_go_on();
    if (next != &me)
        go_to(*next, &me.stack_pointer);
    running = &me;
}

index3 thread_index() { return running->index; }
unsigned lane_index() { return running->number % 32; }
unsigned warp_index() { return running->number / 32; }

void yield()
{
    if (ready_begin == ready.size())
        return;
    fibre &me = *running;
    ready.push_back(me.number);
    /* In turn: the last in line would spin for ever. */
    size_t at = schedule_order == order::shuffled ? random_number() % (ready.size() - 1 - ready_begin) : 0;
    std::swap(ready[ready_begin], ready[ready_begin + at]);
    fibre &next = fibres[ready[ready_begin++]];
    go_to(next, &me.stack_pointer);
    running = &me;
}

void preempt()
{
    if (schedule_order == order::shuffled && random_number() % 4 == 0)
        yield();
}

/* Runs one block to its end; false if it failed. */
bool run_block(void (*kernel)(void **), void **given, index3 size)
{
    if (!stacks.from) {
        size_t bytes = most_threads * (stack_bytes + 4096);
        void *made = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (made == MAP_FAILED)
            abort();
        stacks = { static_cast<char *>(made), static_cast<char *>(made) + bytes, "the threads' stacks" };
        for (size_t one = 0; one < most_threads; one++)
            mprotect(const_cast<char *>(stacks.from) + one * (stack_bytes + 4096), 4096, PROT_NONE);
    }
    free_stacks.clear();
    for (size_t one = 0; one < most_threads; one++)
        free_stacks.push_back(const_cast<char *>(stacks.from) + one * (stack_bytes + 4096) + 4096);
    unsigned threads = size.x * size.y * size.z;
    entry = kernel;
    arguments = given;
    living = threads;
    fibres.resize(threads);
    warps.resize((threads + 31) / 32);
    open_meetings();
    ready.clear();
    ready_begin = 0;
    for (unsigned number = 0; number < threads; number++) {
        fibre &thread = fibres[number];
        thread.copies.clear();
        thread.stack = nullptr;
        thread.done = thread.executes = false;
        thread.committed_groups = 0;
        thread.waits_for = nullptr;
        thread.number = number;
        thread.index = { number % size.x, number / size.x % size.y, number / size.x / size.y };
        warps[number / 32].living |= 1u << number % 32;
        ready.push_back(number);
    }
    failure.clear();
    go_to(*next_ready(), &main_stack_pointer);
    running = nullptr;
    return failure.empty();
}

void seed_schedule(uint64_t seed)
{
    schedule_order = seed == 0 ? order::ascending : seed == 1 ? order::descending : order::shuffled;
    random_state = seed * 0xd1342543de82ef95ull;
}

const std::string &failure_text() { return failure; }
void set_failure(const std::string &text) { failure = text; }

} // namespace emulator
