/*
 * A CUtensorMap as the stand-in for the driver writes it and the emulator reads it. (NVIDIA's is opaque.)
 * C, as the driver is.
 */
#pragma once
#include <stdint.h>

enum { TENSOR_MAP_MAGIC = 0x70614d54 };

typedef struct {
    uint32_t magic;
    uint8_t is_im2col, element_bytes, rank, swizzle; /* 0, or 32, 64, 128 */
    uint64_t base;
    uint64_t sizes[5];      /* innermost first */
    uint64_t strides[4];    /* in bytes, of all but the innermost */
    uint16_t box[5];        /* tiled: elements of each axis */
    uint8_t steps[5];       /* traversal strides */
    int8_t lower[3], upper[3]; /* im2col: corners of the box of pixels, innermost first */
    uint8_t fills_nan;
    uint16_t channels, pixels; /* im2col: of a column */
} tensor_map;
