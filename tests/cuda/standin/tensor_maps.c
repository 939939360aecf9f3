/*
 * Tensor maps, checked against the rules that the driver's documents give for cuTensorMapEncodeTiled and
 * cuTensorMapEncodeIm2col, and written as the emulator reads them.
 */

#include "../emulator/include/emulator/tensor_map.h"
#include "driver.h"

/* CUtensorMapDataType */
static unsigned bytes_of(int type)
{
    static const unsigned char bytes[] = { 1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4 };
    return type >= 0 && (size_t)type < sizeof bytes ? bytes[type] : 0;
}

static const unsigned swizzle_bytes[] = { 0, 32, 64, 128, 128, 128, 128 };

enum { NO_INTERLEAVE = 0, INTERLEAVE_32 = 2 };

typedef struct {
    int type;
    unsigned rank;
    address base;
    const uint64_t *sizes, *strides;
    const uint32_t *steps;
    int interleave, swizzle, fill;
} described;

static const char *rule_broken(const described *map)
{
    if (!bytes_of(map->type))
        return "its type is none";
    if (map->rank < 1 || map->rank > 5 || (map->interleave != NO_INTERLEAVE && map->rank < 3))
        return "its rank is not 1 to 5";
    if (map->base % 16 || (map->interleave == INTERLEAVE_32 && map->base % 32))
        return "its address is no multiple of 16";
    for (unsigned axis = 0; axis < map->rank; axis++) {
        if (!map->sizes[axis] || map->sizes[axis] > 1ull << 32)
            return "a size is not 1 to 2^32";
        if (!map->steps[axis] || map->steps[axis] > 8)
            return "a traversal stride is not 1 to 8";
    }
    uint64_t least = map->sizes[0] * bytes_of(map->type);
    for (unsigned axis = 1; axis < map->rank; axis++) {
        uint64_t stride = map->strides[axis - 1];
        if (stride % (map->interleave == INTERLEAVE_32 ? 32 : 16) || stride >= 1ull << 40)
            return "a stride is no multiple of 16 below 2^40";
        if (map->sizes[axis] > 1 && stride < least)
            return "a stride is less than what it goes over";
        least = stride * map->sizes[axis];
    }
    if (map->swizzle < 0 || map->swizzle > 6)
        return "its swizzle is none";
    if (map->interleave == INTERLEAVE_32 && map->swizzle != 1)
        return "interleaved in 32 bytes, it is to be swizzled in 32";
    if (map->fill && (map->type < 6 || map->type > 12))
        return "only floats are filled with NaN";
    return NULL;
}

static uint64_t extent_of(const described *map)
{
    uint64_t bytes = map->sizes[0] * bytes_of(map->type);
    for (unsigned axis = 1; axis < map->rank; axis++)
        bytes += (map->sizes[axis] - 1) * map->strides[axis - 1];
    return bytes;
}

static tensor_map made_of(const described *map)
{
    tensor_map made = { .magic = TENSOR_MAP_MAGIC, .element_bytes = (uint8_t)bytes_of(map->type),
                        .rank = (uint8_t)map->rank, .swizzle = (uint8_t)swizzle_bytes[map->swizzle], .base = map->base,
                        .fills_nan = map->fill != 0 };
    for (unsigned axis = 0; axis < map->rank; axis++) {
        made.sizes[axis] = map->sizes[axis];
        made.steps[axis] = (uint8_t)map->steps[axis];
        if (axis)
            made.strides[axis - 1] = map->strides[axis - 1];
    }
    return made;
}

static int refuse(const described *map, const char *broken, const char *kind)
{
    /* CubeCL asks for some that it knows to be refused, and takes another kernel then. */
    record("m refused %s: %s", kind, broken);
    (void)map;
    return INVALID_VALUE;
}

EXPORT cuTensorMapEncodeTiled(void *to, int type, unsigned rank, address base, const uint64_t *sizes, const uint64_t *strides,
                              const uint32_t *box, const uint32_t *steps, int interleave, int swizzle, int promotion, int fill)
{
    (void)promotion;
    described map = { type, rank, base, sizes, strides, steps, interleave, swizzle, fill };
    const char *broken = rule_broken(&map);
    for (unsigned axis = 0; !broken && axis < rank; axis++)
        if (!box[axis] || box[axis] > 256)
            broken = "a side of its box is not 1 to 256";
    unsigned row = broken ? 0 : box[0] * bytes_of(type);
    if (!broken && interleave == NO_INTERLEAVE && row % 16)
        broken = "a row of its box is no multiple of 16 bytes";
    if (!broken && swizzle && row > swizzle_bytes[swizzle])
        broken = "a row of its box is wider than its swizzle";
    if (broken)
        return refuse(&map, broken, "tiles");
    if (!is_allocated(base, extent_of(&map)))
        return complain(INVALID_VALUE, "a tensor map over memory that is not allocated");
    tensor_map made = made_of(&map);
    for (unsigned axis = 0; axis < rank; axis++)
        made.box[axis] = (uint16_t)box[axis];
    record("m tiles");
    memset(to, 0, 128);
    memcpy(to, &made, sizeof made);
    return SUCCESS;
}

EXPORT cuTensorMapEncodeIm2col(void *to, int type, unsigned rank, address base, const uint64_t *sizes, const uint64_t *strides,
                               const int *lower, const int *upper, uint32_t channels, uint32_t pixels, const uint32_t *steps,
                               int interleave, int swizzle, int promotion, int fill)
{
    (void)promotion;
    described map = { type, rank, base, sizes, strides, steps, interleave, swizzle, fill };
    const char *broken = rank < 3 ? "columns of a tensor of less than 3 axes" : rule_broken(&map);
    /* The corners' bits are shared by the spatial axes. */
    int most = rank == 3 ? 32767 : rank == 4 ? 127 : 15;
    for (unsigned axis = 0; !broken && axis + 2 < rank; axis++)
        if (lower[axis] < -most - 1 || lower[axis] > most || upper[axis] < -most - 1 || upper[axis] > most)
            broken = "a corner of its box is out of range";
    if (!broken && (!channels || channels > 256))
        broken = "channels of a pixel are not 1 to 256";
    if (!broken && (!pixels || pixels > 1024))
        broken = "pixels of a column are not 1 to 1024";
    unsigned row = broken ? 0 : channels * bytes_of(type);
    if (!broken && interleave == NO_INTERLEAVE && row % 16)
        broken = "a pixel's channels are no multiple of 16 bytes";
    if (!broken && swizzle && row > swizzle_bytes[swizzle])
        broken = "a pixel's channels are wider than its swizzle";
    if (broken)
        return refuse(&map, broken, "columns");
    if (!is_allocated(base, extent_of(&map)))
        return complain(INVALID_VALUE, "a tensor map over memory that is not allocated");
    tensor_map made = made_of(&map);
    made.is_im2col = 1;
    made.channels = (uint16_t)channels;
    made.pixels = (uint16_t)pixels;
    for (unsigned axis = 0; axis + 2 < rank; axis++) {
        made.lower[axis] = (int8_t)lower[axis];
        made.upper[axis] = (int8_t)upper[axis];
    }
    record("m columns");
    memset(to, 0, 128);
    memcpy(to, &made, sizeof made);
    return SUCCESS;
}
