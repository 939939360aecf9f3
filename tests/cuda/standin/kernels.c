/*
 * Modules and launches. The "PTX" of the stand-in for NVRTC says what each parameter is, so that a pointer to
 * memory that is freed or was never allocated is found at the launch.
 */

#include "driver.h"
#include <signal.h>
#include <unistd.h>

#define LAUNCH_MICROSECONDS 50.0

enum { MOST_PARAMETERS = 512 };

EXPORT cuModuleLoadData(char **module, const char *image)
{
    *module = strdup(image);
    return *module ? SUCCESS : OUT_OF_MEMORY;
}

EXPORT cuModuleUnload(char *module) { free(module); return SUCCESS; }

typedef struct {
    char name[512];
    unsigned number; /* in the record */
    char parameters[MOST_PARAMETERS]; /* p a pointer, t a tensor map, v anything else */
    unsigned most_threads;            /* 0 if it does not say */
    int shared_bytes;
    int is_probe; /* of throughput: CubeCL repeats those until they have taken long enough by its clock */
    void *emulated;
} function;

/* NVRTC's own PTX says which parameters are pointers from 12.9 on: ".param .u64 .ptr .align 1 kernel_param_0,". */
static void parameters_of_ptx(const char *at, char *kinds, size_t most)
{
    size_t count = 0;
    const char *end = at ? strchr(at, '{') : NULL;
    while (end && (at = strstr(at, ".param ")) && at < end && count + 1 < most) {
        size_t length = strcspn(at, ",\n");
        const char *is_pointer = strstr(at, ".ptr");
        kinds[count++] = is_pointer && is_pointer < at + length ? 'p' : 'v';
        at += length;
    }
    kinds[count] = 0;
}

EXPORT cuModuleGetFunction(function **found, const char *module, const char *name)
{
    char entry[600];
    snprintf(entry, sizeof entry, ".entry %s(", name);
    if (!strstr(module, entry))
        return complain(NOT_FOUND, "there is no kernel %.200s in its module", name);
    function *made = calloc(1, sizeof *made);
    if (!made)
        return OUT_OF_MEMORY;
    snprintf(made->name, sizeof made->name, "%s", name);
    const char *parameters = strstr(module, "// parameters: "), *threads = strstr(module, "// threads: ");
    if (!parameters)
        parameters_of_ptx(strstr(module, entry), made->parameters, sizeof made->parameters);
    else
        sscanf(parameters, "// parameters: %511[ptv]", made->parameters);
    if (threads)
        sscanf(threads, "// threads: %u", &made->most_threads);
    made->is_probe = strstr(name, "_throughput") != NULL || !strncmp(name, "prime_buffer", 12);
    char kind[64] = "", described[640];
    const char *kinds = strstr(module, "// kind: ");
    if (kinds)
        sscanf(kinds, "// kind: %63[^\n]", kind);
    snprintf(described, sizeof described, "%s %s", made->name, kind);
    if (is_emulated() && !(made->emulated = emulated_kernel(module, name, &made->most_threads))) {
        free(made);
        return complain(NOT_FOUND, "the emulator has no kernel %.200s", name);
    }
    *found = made;
    const char *source = strstr(module, "// source: ");
    static unsigned functions;
    made->number = __sync_add_and_fetch(&functions, 1);
    record("k %u %.32s %s", made->number, source ? source + strlen("// source: ") : "?", described);
    return SUCCESS;
}

EXPORT cuFuncSetAttribute(function *kernel, int attribute, int value)
{
    enum { DYNAMIC_SHARED_BYTES = 8, ON_REQUEST = 97 };
    if (attribute == DYNAMIC_SHARED_BYTES) {
        if (value > attribute_of(ON_REQUEST))
            return complain(INVALID_VALUE, "%.200s asks for %d bytes of shared memory, of %d", kernel->name, value,
                            attribute_of(ON_REQUEST));
        kernel->shared_bytes = value;
    }
    return SUCCESS;
}

/* Does what is asked for in the stage that runs. */
static void disturb(void)
{
    const char *path = getenv("STANDIN_STAGE_FILE");
    const char *hang = getenv("STANDIN_HANG_IN"), *crash = getenv("STANDIN_CRASH_IN");
    if (!path || (!hang && !crash))
        return;
    FILE *file = fopen(path, "r");
    int stage = file ? fgetc(file) : EOF;
    if (file)
        fclose(file);
    if (stage == EOF)
        return;
    if (hang && strchr(hang, stage))
        for (;;)
            pause();
    if (crash && strchr(crash, stage))
        raise(SIGSEGV);
}

/* The rules of cuLaunchKernel. */
static int check_launch(const function *kernel, const unsigned *grid, const unsigned *block, unsigned shared, void **arguments)
{
    enum { BLOCK_THREADS = 1, BLOCK_X = 2, GRID_X = 5 };
    unsigned long threads = (unsigned long)block[0] * block[1] * block[2];
    for (int axis = 0; axis < 3; axis++) {
        if (!grid[axis] || grid[axis] > (unsigned)attribute_of(GRID_X + axis))
            return complain(INVALID_VALUE, "%.200s in a grid of %u x %u x %u", kernel->name, grid[0], grid[1], grid[2]);
        if (!block[axis] || block[axis] > (unsigned)attribute_of(BLOCK_X + axis))
            return complain(INVALID_VALUE, "%.200s in blocks of %u x %u x %u", kernel->name, block[0], block[1], block[2]);
    }
    if (threads > (unsigned long)attribute_of(BLOCK_THREADS) || (kernel->most_threads && threads > kernel->most_threads))
        return complain(INVALID_VALUE, "%.200s with %lu threads in a block, of %u", kernel->name, threads,
                        kernel->most_threads ? kernel->most_threads : 1024);
    if (shared > 49152 && shared > (unsigned)kernel->shared_bytes)
        return complain(INVALID_VALUE, "%.200s with %u bytes of shared memory, for which it has not asked", kernel->name, shared);
    for (int one = 0; kernel->parameters[one]; one++) {
        if (!arguments || !arguments[one])
            return complain(INVALID_VALUE, "%.200s without its argument %d", kernel->name, one);
        address pointer;
        if (kernel->parameters[one] != 'p')
            continue;
        memcpy(&pointer, arguments[one], sizeof pointer);
        if (!is_allocated(pointer, 1))
            return complain(ILLEGAL_ADDRESS, "%.200s with argument %d at %llx, which is not allocated", kernel->name, one, pointer);
    }
    return SUCCESS;
}

EXPORT cuLaunchKernel(function *kernel, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                      unsigned shared, void *stream, void **arguments, void **extra)
{
    const unsigned grid[3] = { gx, gy, gz }, block[3] = { bx, by, bz };
    (void)extra;
    if (!is_stream(stream))
        return complain(INVALID_HANDLE, "%.200s in a stream that is none", kernel->name);
    int error = check_launch(kernel, grid, block, shared, arguments);
    if (error)
        return error;
    disturb();
    count_launch(LAUNCH_MICROSECONDS);
    record("l %u %ux%ux%u %ux%ux%u %u", kernel->number, gx, gy, gz, bx, by, bz, shared);
    if (kernel->is_probe)
        usleep(21000);
    else if (kernel->emulated)
        return emulate_launch(kernel->emulated, kernel->name, arguments, grid, block, shared, kernel->most_threads);
    return SUCCESS;
}
