/*
 * The threads of a block as the kernels see them. Each is a fibre; it runs until it has to wait for others,
 * and the schedule (runtime/threads.cpp) decides who is next.
 */
#pragma once
#include <cstddef>
#include <cstdint>

namespace emulator {

struct index3 { unsigned x, y, z; };

/* Constant for as long as a thread lives, so that a compiler may ask once. */
index3 thread_index() __attribute__((const));
index3 block_index() __attribute__((const));
index3 block_size() __attribute__((const));
index3 grid_size() __attribute__((const));
unsigned lane_index() __attribute__((const));
unsigned warp_index() __attribute__((const));

/* What the lanes of a warp do together. Two kinds that meet are an error. */
enum class together : int { synchronise, exchange, vote, reduce, fragment, mma, matrix_load, matrix_store, elect };

/* The last lane of `mask` to come gets true, sees what each of them brought in lanes() and must call
 * release(); all others wait until then and get false. No memory is ordered by this. */
bool arrive(together kind, unsigned mask, void *brought);
void **lanes();
unsigned present();
unsigned living_lanes(); /* of this warp; which of them go together is not known */
void release();
/* __syncwarp: the same, and memory is ordered. */
void warp_barrier(unsigned mask);

/* Threads that have ended count as arrived. `id` is one of 16, `threads` 0 for all. */
void block_barrier(unsigned id = 0, unsigned threads = 0);
void block_arrive(unsigned id, unsigned threads);
/* Counts the threads for which `is_so` holds, at a barrier of all. */
unsigned block_count(bool is_so);

void yield();    /* others first: for loops that wait */
void preempt();  /* perhaps others first, as the schedule has it */
[[noreturn]] void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Shared memory. An address of 32 bits is its distance from the window's start. */
/* Made by the compiler, not at the first thread's arrival: others may come in between. */
struct shared_variable {
    const char *name;
    size_t bytes, alignment;
    unsigned long launch = 0;
    char *at = nullptr;
    constexpr shared_variable(const char *called, size_t size, size_t aligned) : name(called), bytes(size), alignment(aligned) {}
};
void *place(shared_variable &variable);
void *dynamic_shared();
uint32_t shared_address(const void *at);
void *shared_pointer(uint32_t address);
bool is_shared(const void *at);

/* Checks, where the kernel was compiled with them. */
enum class touch : int { read, write, atomic };
void check(const void *at, size_t bytes, touch how);
void fence();

} // namespace emulator
