/*
 * Memory: addresses, how much of it is taken, and every copy checked against what is allocated. It has bytes
 * only where kernels are emulated; what is read back from it is zero otherwise.
 */

#include "driver.h"
#include <sys/mman.h>

#define PAGE (2ull << 20)

typedef struct allocation {
    address at;
    size_t asked, taken;
    struct allocation *next;
} allocation;

static allocation *allocations;
static address next_address = 0x7f0000000000ull;
static size_t taken;

EXPORT cuDeviceTotalMem_v2(size_t *bytes, int ordinal);

EXPORT cuMemAlloc_v2(address *at, size_t bytes)
{
    if (!bytes)
        return complain(INVALID_VALUE, "an allocation of no bytes");
    size_t total, whole = (bytes + PAGE - 1) & ~(size_t)(PAGE - 1);
    cuDeviceTotalMem_v2(&total, 0);
    allocation *made = malloc(sizeof *made);
    pthread_mutex_lock(&lock);
    int fits = made && taken + whole <= total;
    address where = next_address;
    if (fits && is_emulated()) {
        void *mapped = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        fits = mapped != MAP_FAILED;
        where = (address)(uintptr_t)mapped;
    } else if (fits) {
        /* A page apart, so that no address beyond the end is another's. */
        next_address += whole + PAGE;
    }
    if (fits) {
        *made = (allocation){ where, bytes, whole, allocations };
        *at = where;
        taken += whole;
        allocations = made;
    }
    size_t now = taken;
    pthread_mutex_unlock(&lock);
    if (!fits) {
        free(made);
        record("o %zu of %zu with %zu taken", bytes, total, now);
        return OUT_OF_MEMORY;
    }
    if (is_emulated())
        emulate_buffer(where, bytes);
    record("a %zu %zu", bytes, now);
    return SUCCESS;
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
        taken -= found->taken;
    }
    size_t now = taken;
    pthread_mutex_unlock(&lock);
    if (!found)
        return complain(INVALID_VALUE, "memory is freed that is not allocated: %llx", at);
    if (is_emulated()) {
        emulate_release(at);
        munmap((void *)(uintptr_t)at, found->taken);
    }
    record("f %zu %zu", found->asked, now);
    free(found);
    return SUCCESS;
}

EXPORT cuMemFreeAsync(address at, void *stream) { (void)stream; return cuMemFree_v2(at); }

int is_allocated(address at, size_t bytes)
{
    int found = 0;
    pthread_mutex_lock(&lock);
    for (const allocation *one = allocations; one && !found; one = one->next)
        found = at >= one->at && at + bytes <= one->at + one->asked;
    pthread_mutex_unlock(&lock);
    return found;
}

EXPORT cuMemAllocHost_v2(void **at, size_t bytes)
{
    record("p %zu", bytes);
    return posix_memalign(at, 4096, bytes ? bytes : 1) ? OUT_OF_MEMORY : SUCCESS;
}

EXPORT cuMemFreeHost(void *at) { free(at); return SUCCESS; }

/* ---- copies ---- */

static int check_copy(const char *what, address device, size_t bytes, const void *stream)
{
    if (!is_stream((void *)stream))
        return complain(INVALID_HANDLE, "%s in a stream that is none", what);
    if (bytes && !is_allocated(device, bytes))
        return complain(INVALID_VALUE, "%s of %zu bytes at %llx, which are not allocated", what, bytes, device);
    return SUCCESS;
}

EXPORT cuMemcpyHtoDAsync_v2(address to, const void *from, size_t bytes, void *stream)
{
    int error = check_copy("a copy to the device", to, bytes, stream);
    record("u %zu", bytes);
    if (!error && is_emulated())
        memcpy((void *)(uintptr_t)to, from, bytes);
    return error;
}

EXPORT cuMemcpyDtoHAsync_v2(void *to, address from, size_t bytes, void *stream)
{
    int error = check_copy("a copy from the device", from, bytes, stream);
    record("d %zu", bytes);
    if (error)
        return error;
    if (is_emulated())
        memcpy(to, (void *)(uintptr_t)from, bytes);
    else
        memset(to, 0, bytes);
    return SUCCESS;
}

EXPORT cuMemcpyDtoDAsync_v2(address to, address from, size_t bytes, void *stream)
{
    int error = check_copy("a copy within the device", to, bytes, stream);
    error = error ? error : check_copy("a copy within the device", from, bytes, stream);
    record("c %zu", bytes);
    if (!error && is_emulated())
        memmove((void *)(uintptr_t)to, (void *)(uintptr_t)from, bytes);
    return error;
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

enum { HOST = 1, DEVICE = 2 };

EXPORT cuMemcpy2DAsync_v2(const copy2d *copy, void *stream)
{
    size_t from_pitch = copy->from_pitch ? copy->from_pitch : copy->width;
    size_t to_pitch = copy->to_pitch ? copy->to_pitch : copy->width;
    int error = SUCCESS;
    if (from_pitch < copy->width + copy->from_x || to_pitch < copy->width + copy->to_x)
        error = complain(INVALID_VALUE, "a copy of rows of %zu bytes with pitches %zu and %zu", copy->width, from_pitch, to_pitch);
    size_t from_begin = copy->from_y * from_pitch + copy->from_x, to_begin = copy->to_y * to_pitch + copy->to_x;
    size_t from_bytes = copy->height ? (copy->height - 1) * from_pitch + copy->width : 0;
    size_t to_bytes = copy->height ? (copy->height - 1) * to_pitch + copy->width : 0;
    if (!error && copy->from_kind == DEVICE)
        error = check_copy("a copy of rows from the device", copy->from_device + from_begin, from_bytes, stream);
    if (!error && copy->to_kind == DEVICE)
        error = check_copy("a copy of rows to the device", copy->to_device + to_begin, to_bytes, stream);
    record("%c %zu", copy->to_kind == HOST ? 'd' : copy->from_kind == HOST ? 'u' : 'c', copy->width * copy->height);
    if (error)
        return error;
    const char *from = copy->from_kind == HOST ? copy->from_host : (const char *)(uintptr_t)copy->from_device;
    char *to = copy->to_kind == HOST ? copy->to_host : (char *)(uintptr_t)copy->to_device;
    for (size_t y = 0; y < copy->height; y++) {
        if (is_emulated())
            memcpy(to + to_begin + y * to_pitch, from + from_begin + y * from_pitch, copy->width);
        else if (copy->to_kind == HOST)
            memset(to + to_begin + y * to_pitch, 0, copy->width);
    }
    return SUCCESS;
}
