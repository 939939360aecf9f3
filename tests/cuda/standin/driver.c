/*
 * A libcuda.so.1 that answers as a GPU would and computes nothing: for leading a whole program along the
 * driver's interface on a machine without one. It exports what src/run/device/cuda/driver.rs lists and no
 * more, so a call that is not on that list is a panic in the program. Its memory has addresses and no
 * bytes, what is read back from it is zero, and a clock of its own counts a time for every launch.
 *
 * No header of NVIDIA's is needed: the types that matter are handles, integers and two structures.
 *
 *   STANDIN_VERSION=13000      what cuDriverGetVersion answers
 *   STANDIN_MEMORY_MIB=143771  the device's memory
 *   STANDIN_STAGE_FILE=PATH    a file whose first letter says which stage runs (scripts/gpu-check writes it)
 *   STANDIN_HANG_IN=LETTERS    launches in these stages never return
 *   STANDIN_CRASH_IN=LETTERS   launches in these stages end the process with SIGSEGV
 *
 * Built with -DWITHOUT_ELAPSED_TIME it is a driver that lacks cuEventElapsedTime.
 */

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default"))) int

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_DEVICE = 101, NOT_FOUND = 500 };

typedef unsigned long long address;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static long setting(const char *name, long otherwise)
{
    const char *value = getenv(name);
    return value ? atol(value) : otherwise;
}

/* ---- the device: an H200 by the numbers of NVIDIA's documents ---- */

EXPORT cuInit(unsigned flags) { (void)flags; return SUCCESS; }

EXPORT cuDriverGetVersion(int *version)
{
    *version = (int)setting("STANDIN_VERSION", 13000);
    return SUCCESS;
}

EXPORT cuDeviceGetCount(int *count) { *count = 1; return SUCCESS; }

EXPORT cuDeviceGet(int *device, int ordinal)
{
    *device = ordinal;
    return ordinal == 0 ? SUCCESS : INVALID_DEVICE;
}

EXPORT cuDeviceGetName(char *name, int length, int device)
{
    (void)device;
    snprintf(name, (size_t)length, "stand-in for an H200, computes nothing");
    return SUCCESS;
}

EXPORT cuDeviceGetPCIBusId(char *id, int length, int device)
{
    (void)device;
    snprintf(id, (size_t)length, "0000:01:00.0");
    return SUCCESS;
}

EXPORT cuDeviceTotalMem_v2(size_t *bytes, int device)
{
    (void)device;
    *bytes = (size_t)setting("STANDIN_MEMORY_MIB", 143771) << 20;
    return SUCCESS;
}

/* CUdevice_attribute: what CubeCL asks about; everything else is answered 1. */
EXPORT cuDeviceGetAttribute(int *value, int attribute, int device)
{
    (void)device;
    switch (attribute) {
    case 1: *value = 1024; break;        /* threads per block */
    case 2: case 3: *value = 1024; break; /* block x, y */
    case 4: *value = 64; break;          /* block z */
    case 5: *value = 2147483647; break;  /* grid x */
    case 6: case 7: *value = 65535; break; /* grid y, z */
    case 8: *value = 49152; break;       /* shared memory per block */
    case 10: *value = 32; break;         /* warp */
    case 12: *value = 65536; break;      /* registers per block */
    case 16: *value = 132; break;        /* multiprocessors */
    case 39: *value = 2048; break;       /* threads per multiprocessor */
    case 75: *value = 9; break;          /* compute capability, major */
    case 76: *value = 0; break;          /* compute capability, minor */
    case 81: *value = 233472; break;     /* shared memory per multiprocessor */
    case 97: *value = 232448; break;     /* shared memory per block, on request */
    default: *value = 1;
    }
    return SUCCESS;
}

EXPORT cuGetErrorName(int error, const char **name)
{
    (void)error;
    *name = "CUDA_ERROR_OF_THE_STAND_IN";
    return SUCCESS;
}

EXPORT cuGetErrorString(int error, const char **text)
{
    static __thread char buffer[64];
    snprintf(buffer, sizeof buffer, "error %d of the stand-in", error);
    *text = buffer;
    return SUCCESS;
}

/* ---- the context and its streams: there is one of each kind ---- */

static char the_context;
static unsigned long streams;

EXPORT cuDevicePrimaryCtxRetain(void **context, int device) { (void)device; *context = &the_context; return SUCCESS; }
EXPORT cuDevicePrimaryCtxRelease_v2(int device) { (void)device; return SUCCESS; }
EXPORT cuCtxSetCurrent(void *context) { (void)context; return SUCCESS; }
EXPORT cuCtxGetCurrent(void **context) { *context = &the_context; return SUCCESS; }
EXPORT cuCtxGetStreamPriorityRange(int *least, int *greatest) { *least = 0; *greatest = -5; return SUCCESS; }

EXPORT cuStreamCreate(void **stream, unsigned flags)
{
    (void)flags;
    *stream = (void *)(__sync_add_and_fetch(&streams, 1) * 16);
    return SUCCESS;
}

EXPORT cuStreamCreateWithPriority(void **stream, unsigned flags, int priority)
{
    (void)priority;
    return cuStreamCreate(stream, flags);
}

EXPORT cuStreamDestroy_v2(void *stream) { (void)stream; return SUCCESS; }
EXPORT cuStreamSynchronize(void *stream) { (void)stream; return SUCCESS; }
EXPORT cuStreamWaitEvent(void *stream, void *event, unsigned flags) { (void)stream; (void)event; (void)flags; return SUCCESS; }

/* ---- time: the sum of all launches so far ---- */

#define LAUNCH_MICROSECONDS 50.0

static double microseconds;

EXPORT cuEventCreate(double **event, unsigned flags)
{
    (void)flags;
    *event = calloc(1, sizeof **event);
    return *event ? SUCCESS : OUT_OF_MEMORY;
}

EXPORT cuEventDestroy_v2(double *event) { free(event); return SUCCESS; }

EXPORT cuEventRecord(double *event, void *stream)
{
    (void)stream;
    pthread_mutex_lock(&lock);
    *event = microseconds;
    pthread_mutex_unlock(&lock);
    return SUCCESS;
}

EXPORT cuEventSynchronize(double *event) { (void)event; return SUCCESS; }

#ifndef WITHOUT_ELAPSED_TIME
EXPORT cuEventElapsedTime(float *milliseconds, double *from, double *to)
{
    *milliseconds = (float)((*to - *from) * 1e-3);
    return SUCCESS;
}
#endif

/* ---- memory: addresses, and how much of it is taken ---- */

#define PAGE (2ull << 20)

typedef struct allocation {
    address at;
    size_t bytes;
    struct allocation *next;
} allocation;

static allocation *allocations;
static address next_address = 0x7f0000000000ull;
static size_t taken;

EXPORT cuMemAlloc_v2(address *at, size_t bytes)
{
    size_t total, whole = (bytes + PAGE - 1) & ~(size_t)(PAGE - 1);
    allocation *made = malloc(sizeof *made);
    cuDeviceTotalMem_v2(&total, 0);
    pthread_mutex_lock(&lock);
    int fits = made && taken + whole <= total;
    if (fits) {
        *made = (allocation){ next_address, whole, allocations };
        *at = next_address;
        next_address += whole;
        taken += whole;
        allocations = made;
    }
    pthread_mutex_unlock(&lock);
    if (!fits)
        free(made);
    return fits ? SUCCESS : OUT_OF_MEMORY;
}

EXPORT cuMemAllocAsync(address *at, size_t bytes, void *stream) { (void)stream; return cuMemAlloc_v2(at, bytes); }

EXPORT cuMemFree_v2(address at)
{
    pthread_mutex_lock(&lock);
    allocation **place = &allocations;
    while (*place && (*place)->at != at)
        place = &(*place)->next;
    allocation *found = *place;
    if (found) {
        *place = found->next;
        taken -= found->bytes;
    }
    pthread_mutex_unlock(&lock);
    free(found);
    return found ? SUCCESS : INVALID_VALUE;
}

EXPORT cuMemFreeAsync(address at, void *stream) { (void)stream; return cuMemFree_v2(at); }

EXPORT cuMemAllocHost_v2(void **at, size_t bytes)
{
    return posix_memalign(at, 4096, bytes ? bytes : 1) ? OUT_OF_MEMORY : SUCCESS;
}

EXPORT cuMemFreeHost(void *at) { free(at); return SUCCESS; }

EXPORT cuMemcpyHtoDAsync_v2(address to, const void *from, size_t bytes, void *stream)
{
    (void)to; (void)from; (void)bytes; (void)stream;
    return SUCCESS;
}

EXPORT cuMemcpyDtoHAsync_v2(void *to, address from, size_t bytes, void *stream)
{
    (void)from; (void)stream;
    memset(to, 0, bytes);
    return SUCCESS;
}

EXPORT cuMemcpyDtoDAsync_v2(address to, address from, size_t bytes, void *stream)
{
    (void)to; (void)from; (void)bytes; (void)stream;
    return SUCCESS;
}

/* CUDA_MEMCPY2D, in its order. */
typedef struct {
    size_t from_x, from_y;
    unsigned from_kind;
    const void *from_host;
    address from_device;
    void *from_array;
    size_t from_pitch;
    size_t to_x, to_y;
    unsigned to_kind;
    void *to_host;
    address to_device;
    void *to_array;
    size_t to_pitch;
    size_t width, height;
} copy2d;

EXPORT cuMemcpy2DAsync_v2(const copy2d *copy, void *stream)
{
    enum { HOST = 1 };
    (void)stream;
    if (copy->to_kind == HOST) {
        size_t pitch = copy->to_pitch ? copy->to_pitch : copy->width;
        for (size_t y = 0; y < copy->height; y++)
            memset((char *)copy->to_host + (y + copy->to_y) * pitch + copy->to_x, 0, copy->width);
    }
    return SUCCESS;
}

/* ---- kernels ---- */

EXPORT cuModuleLoadData(char **module, const char *image)
{
    *module = strdup(image);
    return *module ? SUCCESS : OUT_OF_MEMORY;
}

EXPORT cuModuleUnload(char *module) { free(module); return SUCCESS; }

typedef struct {
    int shared_bytes;
    int is_probe; /* of throughput: CubeCL repeats those until they have taken long enough by its clock */
} function;

EXPORT cuModuleGetFunction(function **found, const char *module, const char *name)
{
    char entry[512];
    snprintf(entry, sizeof entry, ".entry %s(", name);
    if (!strstr(module, entry))
        return NOT_FOUND;
    *found = calloc(1, sizeof **found);
    if (!*found)
        return OUT_OF_MEMORY;
    (*found)->is_probe = strstr(name, "_throughput") != NULL;
    return SUCCESS;
}

EXPORT cuFuncSetAttribute(function *kernel, int attribute, int value)
{
    enum { DYNAMIC_SHARED_BYTES = 8 };
    int most;
    cuDeviceGetAttribute(&most, 97, 0);
    if (attribute == DYNAMIC_SHARED_BYTES) {
        if (value > most)
            return INVALID_VALUE;
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

EXPORT cuLaunchKernel(function *kernel, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                      unsigned shared, void *stream, void **arguments, void **extra)
{
    (void)stream; (void)arguments; (void)extra;
    unsigned long threads = (unsigned long)bx * by * bz;
    if (!gx || !gy || !gz || gx > 2147483647u || gy > 65535 || gz > 65535 || !threads || threads > 1024 ||
        shared > (unsigned)kernel->shared_bytes)
        return INVALID_VALUE;
    disturb();
    pthread_mutex_lock(&lock);
    microseconds += LAUNCH_MICROSECONDS;
    pthread_mutex_unlock(&lock);
    if (kernel->is_probe)
        usleep(21000);
    return SUCCESS;
}

/* CUtensorMap is 128 bytes. */
EXPORT cuTensorMapEncodeTiled(void *map) { memset(map, 0, 128); return SUCCESS; }
EXPORT cuTensorMapEncodeIm2col(void *map) { memset(map, 0, 128); return SUCCESS; }
