/* The device: one of four architectures, by the numbers of NVIDIA's documents. */

#include "driver.h"

typedef struct {
    int version;
    const char *name;
    long memory_mib;
    int multiprocessors, threads_per_multiprocessor, shared_per_multiprocessor, shared_on_request;
} device_kind;

/* CUDA C++ Programming Guide, "Technical Specifications per Compute Capability". */
static const device_kind kinds[] = {
    { 80, "A100", 81920, 108, 2048, 167936, 166912 },
    { 90, "H200", 143771, 132, 2048, 233472, 232448 },
    { 100, "B200", 183359, 148, 2048, 233472, 232448 },
    { 120, "RTX PRO 6000", 97887, 188, 1536, 102400, 101376 },
};

static const device_kind *device(void)
{
    long version = setting("STANDIN_ARCHITECTURE", 90);
    for (size_t one = 0; one < sizeof kinds / sizeof *kinds; one++)
        if (kinds[one].version == version)
            return &kinds[one];
    fprintf(stderr, "stand-in: STANDIN_ARCHITECTURE is 80, 90, 100 or 120, not %ld\n", version);
    exit(2);
}

long setting(const char *name, long otherwise)
{
    const char *value = getenv(name);
    return value ? atol(value) : otherwise;
}

EXPORT cuInit(unsigned flags) { (void)flags; return SUCCESS; }

EXPORT cuDriverGetVersion(int *version)
{
    *version = (int)setting("STANDIN_VERSION", 13000);
    return SUCCESS;
}

EXPORT cuDeviceGetCount(int *count) { *count = 1; return SUCCESS; }

EXPORT cuDeviceGet(int *found, int ordinal)
{
    *found = ordinal;
    return ordinal == 0 ? SUCCESS : INVALID_DEVICE;
}

EXPORT cuDeviceGetName(char *name, int length, int ordinal)
{
    (void)ordinal;
    const char *given = getenv("STANDIN_NAME");
    if (given)
        snprintf(name, (size_t)length, "%s", given);
    else
        snprintf(name, (size_t)length, is_emulated() ? "stand-in for an %s, on the CPU" : "stand-in for an %s, computes nothing",
                 device()->name);
    return SUCCESS;
}

EXPORT cuDeviceGetPCIBusId(char *id, int length, int ordinal)
{
    (void)ordinal;
    snprintf(id, (size_t)length, "0000:01:00.0");
    return SUCCESS;
}

EXPORT cuDeviceTotalMem_v2(size_t *bytes, int ordinal)
{
    (void)ordinal;
    *bytes = (size_t)setting("STANDIN_MEMORY_MIB", device()->memory_mib) << 20;
    return SUCCESS;
}

/* CUdevice_attribute: what CubeCL asks about, and what the rules are about; everything else is answered 1. */
int attribute_of(int attribute)
{
    switch (attribute) {
    case 1: return 1024;          /* threads per block */
    case 2: case 3: return 1024;  /* block x, y */
    case 4: return 64;            /* block z */
    case 5: return 2147483647;    /* grid x */
    case 6: case 7: return 65535; /* grid y, z */
    case 8: return 49152;         /* shared memory per block */
    case 10: return 32;           /* warp */
    case 12: return 65536;        /* registers per block */
    case 16: return device()->multiprocessors;
    case 39: return device()->threads_per_multiprocessor;
    case 75: return device()->version / 10;
    case 76: return device()->version % 10;
    case 81: return device()->shared_per_multiprocessor;
    case 97: return device()->shared_on_request;
    default: return 1;
    }
}

EXPORT cuDeviceGetAttribute(int *value, int attribute, int ordinal)
{
    (void)ordinal;
    *value = attribute_of(attribute);
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

/* NVRTC asks for this, not the program, and crashes where a driver lacks it. */
EXPORT cuGetExportTable(const void **table, const void *id)
{
    (void)id;
    *table = NULL;
    return NOT_FOUND;
}

/* ---- the one context ---- */

static char the_context;

EXPORT cuDevicePrimaryCtxRetain(void **context, int ordinal) { (void)ordinal; *context = &the_context; return SUCCESS; }
EXPORT cuDevicePrimaryCtxRelease_v2(int ordinal) { (void)ordinal; return SUCCESS; }
EXPORT cuCtxSetCurrent(void *context) { (void)context; return SUCCESS; }
EXPORT cuCtxGetCurrent(void **context) { *context = &the_context; return SUCCESS; }
EXPORT cuCtxGetStreamPriorityRange(int *least, int *greatest) { *least = 0; *greatest = -5; return SUCCESS; }
