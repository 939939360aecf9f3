/*
 * A libcuda.so.1 that answers as a GPU would: for leading a whole program along the driver's interface on a
 * machine without one. It exports what src/run/device/cuda/driver.rs lists and no more, so a call that is not
 * on that list is a panic in the program. It computes nothing (its memory has addresses and no bytes, what is
 * read back from it is zero, and a clock of its own counts a time for every launch), unless the emulator runs
 * the kernels (emulator.c). Every call is checked against the rules of the driver's documents.
 *
 * No header of NVIDIA's is needed: the types that matter are handles, integers and two structures.
 *
 *   STANDIN_ARCHITECTURE=90    80, 90, 100 or 120 (device.c)
 *   STANDIN_VERSION=13000      what cuDriverGetVersion answers
 *   STANDIN_MEMORY_MIB=N       the device's memory, otherwise than the architecture's
 *   STANDIN_NAME=TEXT          its name: what a tuner finds is kept by it
 *   STANDIN_RECORD=FILE        a line for each call that matters (record.c)
 *   STANDIN_STAGE_FILE=PATH    a file whose first letter says which stage runs (scripts/gpu-check writes it)
 *   STANDIN_HANG_IN=LETTERS    launches in these stages never return
 *   STANDIN_CRASH_IN=LETTERS   launches in these stages end the process with SIGSEGV
 *
 * Built with -DWITHOUT_ELAPSED_TIME it is a driver that lacks cuEventElapsedTime. The parts are files of
 * their own; this one puts them together, so that a build is one call of the compiler.
 */

#include "driver.h"

#include "device.c"
#include "emulator.c"
#include "kernels.c"
#include "memory.c"
#include "record.c"
#include "streams.c"
#include "tensor_maps.c"
