/* What the parts of the stand-in for a driver share. */
#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* dladdr */
#endif

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default"))) int

enum {
    SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_DEVICE = 101, INVALID_HANDLE = 400, NOT_FOUND = 500,
    ILLEGAL_ADDRESS = 700
};

typedef unsigned long long address;

extern pthread_mutex_t lock;

/* A setting from the environment. */
long setting(const char *name, long otherwise);

/* device.c: an attribute by its number in CUdevice_attribute. */
int attribute_of(int attribute);

/* record.c: a line in STANDIN_RECORD, and one that says that a documented rule was broken. Both lock. */
void record(const char *format, ...) __attribute__((format(printf, 1, 2)));
int complain(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* memory.c: true if all bytes are of one allocation that is not freed. Locks. */
int is_allocated(address at, size_t bytes);

/* streams.c */
int is_stream(void *stream);
void count_launch(double microseconds);

/* emulator.c: kernels run and memory has bytes, where STANDIN_EMULATOR names the emulator's library. */
int is_emulated(void);
void emulate_buffer(address at, size_t bytes);
void emulate_release(address at);
/* A kernel of `image`, which the stand-in for NVRTC wrote; null if it names none. */
void *emulated_kernel(const char *image, const char *name, unsigned *most_threads);
int emulate_launch(void *kernel, const char *name, void **arguments, const unsigned *grid, const unsigned *block,
                   unsigned shared, unsigned most_threads);
