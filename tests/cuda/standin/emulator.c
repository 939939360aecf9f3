/*
 * Kernels on the CPU, by the emulator's library (tests/cuda/emulator), which STANDIN_EMULATOR names.
 *
 *   STANDIN_TRANSLATE=COMMAND  makes a library of a source in STANDIN_SOURCES (compiler.c) when it is loaded: COMMAND FILE
 *                              tells the library's path
 *   STANDIN_TRANSLATED=FOLDER  where it is remembered what the command has told
 *   STANDIN_CHECK=0|1|2        what is checked of each access (emulator.py); the kernels have to be compiled with it
 *   STANDIN_SEED=N             the schedule; each launch has the same
 */

#include "driver.h"
#include <dlfcn.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    unsigned grid[3], block[3], shared_bytes, most_threads;
    uint64_t seed;
    int check;
} launch_shape;

static void *library;
static int (*launch)(void *, void **, const launch_shape *);
static const char *(*report)(void);
static void (*note_buffer)(const void *, size_t, const char *), (*forget_buffer)(const void *);
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static void open_library(void)
{
    const char *path = getenv("STANDIN_EMULATOR");
    if (!path || !*path)
        return;
    library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (!library) {
        fprintf(stderr, "stand-in: %s\n", dlerror());
        exit(2);
    }
    *(void **)&launch = dlsym(library, "emulator_launch");
    *(void **)&report = dlsym(library, "emulator_report");
    *(void **)&note_buffer = dlsym(library, "emulator_buffer");
    *(void **)&forget_buffer = dlsym(library, "emulator_forget_buffer");
}

int is_emulated(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_library);
    return library != NULL;
}

void emulate_buffer(address at, size_t bytes)
{
    pthread_mutex_lock(&one_at_a_time);
    note_buffer((void *)(uintptr_t)at, bytes, "the device's memory");
    pthread_mutex_unlock(&one_at_a_time);
}

void emulate_release(address at)
{
    pthread_mutex_lock(&one_at_a_time);
    forget_buffer((void *)(uintptr_t)at);
    pthread_mutex_unlock(&one_at_a_time);
}

/* What the command told before, or nothing. */
static int remembered(const char *path, char *told, size_t most)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    told[fread(told, 1, most - 1, file)] = 0;
    fclose(file);
    return *told != 0;
}

/* Whole under its name, or not there: two processes may write it. */
static void remember(const char *path, const char *told)
{
    char part[1200];
    snprintf(part, sizeof part, "%s.%d", path, (int)getpid());
    FILE *file = fopen(part, "w");
    if (file && fputs(told, file) >= 0 && !fclose(file))
        rename(part, path);
}

/* The path of the library of the source with this hash. */
static int translate(const char *hash, char *path, size_t most)
{
    char command[3000], memory[1100] = "";
    const char *sources = getenv("STANDIN_SOURCES"), *translator = getenv("STANDIN_TRANSLATE"), *folder = getenv("STANDIN_TRANSLATED");
    if (!sources || !translator)
        return 0;
    if (folder)
        snprintf(memory, sizeof memory, "%s/%s.library", folder, hash);
    if (!folder || !remembered(memory, path, most)) {
        snprintf(command, sizeof command, "%s %s/%s.cu 2>&1", translator, sources, hash);
        FILE *output = popen(command, "r");
        if (!output)
            return 0;
        path[fread(path, 1, most - 1, output)] = 0;
        if (pclose(output)) {
            fprintf(stderr, "stand-in: WRONG: %s.cu is not translated: %.400s\n", hash, path);
            return 0;
        }
        if (folder)
            remember(memory, path);
    }
    path[strcspn(path, "\n")] = 0;
    return 1;
}

void *emulated_kernel(const char *image, const char *name, unsigned *most_threads)
{
    char path[4096], symbol[600], hash[33];
    const char *line = strstr(image, "// source: ");
    if (!line || sscanf(line, "// source: %32[0-9a-f]", hash) != 1 || !translate(hash, path, sizeof path))
        return NULL;
    void *kernels = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!kernels) {
        fprintf(stderr, "stand-in: %s\n", dlerror());
        return NULL;
    }
    snprintf(symbol, sizeof symbol, "emulator_threads_%s", name);
    const unsigned *threads = dlsym(kernels, symbol);
    if (threads)
        *most_threads = *threads;
    snprintf(symbol, sizeof symbol, "emulator_kernel_%s", name);
    return dlsym(kernels, symbol);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int emulate_launch(void *kernel, const char *name, void **arguments, const unsigned *grid, const unsigned *block,
                   unsigned shared, unsigned most_threads)
{
    launch_shape shape = { { grid[0], grid[1], grid[2] }, { block[0], block[1], block[2] }, shared, most_threads,
                           (uint64_t)setting("STANDIN_SEED", 0), (int)setting("STANDIN_CHECK", 0) };
    pthread_mutex_lock(&one_at_a_time);
    double begun = seconds();
    int wrong = launch(kernel, arguments, &shape);
    double took = seconds() - begun;
    int error = wrong ? complain(ILLEGAL_ADDRESS, "%.200s: %.400s", name, report()) : SUCCESS;
    pthread_mutex_unlock(&one_at_a_time);
    if (took > 1.0)
        record("e %.1f %s", took, name);
    return error;
}
