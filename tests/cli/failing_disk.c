/* A disk that fails, for one process (LD_PRELOAD). Calls that change files whose path holds one of
   the parts of GLIAFLOW_TEST_DISK, which `:` divides, are counted; if GLIAFLOW_TEST_READS is there,
   those that open a file for reading or map it are, too. At the call of number GLIAFLOW_TEST_CALL it does what
   GLIAFLOW_TEST_FAULT says: kill the process ahead of the call, tear it (half of a write, then the
   kill), or fail once with eio or enospc, or write half and have no space for the rest (short).
   While the file GLIAFLOW_TEST_FULL is there, nothing takes any space. Every counted call is a line
   in GLIAFLOW_TEST_LOG. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(result, name, ...)                                  \
    static result (*real)(__VA_ARGS__);                          \
    if (real == NULL) real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

enum outcome { GO_ON, FAIL, HALF };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long calls;
static int half_written;

static int is_fault(const char *name) {
    const char *fault = getenv("GLIAFLOW_TEST_FAULT");
    return fault != NULL && strcmp(fault, name) == 0;
}

static int counts_reads(void) {
    return getenv("GLIAFLOW_TEST_READS") != NULL;
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static void log_call(const char *kind, const char *path) {
    REAL(ssize_t, write, int, const void *, size_t);
    static int log = -2;
    if (log == -2) {
        const char *name = getenv("GLIAFLOW_TEST_LOG");
        log = name == NULL ? -1 : openat(AT_FDCWD, name, O_WRONLY | O_CREAT | O_APPEND, 0644);
    }
    if (log < 0) return;
    char line[PATH_MAX + 64];
    int length = snprintf(line, sizeof line, "%s %s\n", kind, path);
    if (real(log, line, (size_t)length) < 0) return;
}

static int is_on_disk(const char *path) {
    const char *part = getenv("GLIAFLOW_TEST_DISK");
    /* Processors have caches, too. */
    if (path != NULL && strncmp(path, "/sys/", 5) == 0) return 0;
    while (part != NULL && path != NULL) {
        size_t length = strcspn(part, ":");
        if (length > 0 && memmem(path, strlen(path), part, length) != NULL) return 1;
        if (part[length] == 0) return 0;
        part += length + 1;
    }
    return 0;
}

/* What becomes of a call on `path`; errno is set where it fails. */
static enum outcome judge(const char *kind, const char *path, int takes_space) {
    if (!is_on_disk(path)) return GO_ON;
    const char *full = getenv("GLIAFLOW_TEST_FULL");
    if (full != NULL) {
        if (!takes_space || faccessat(AT_FDCWD, full, F_OK, 0) != 0) return GO_ON;
        errno = ENOSPC;
        return FAIL;
    }
    const char *number = getenv("GLIAFLOW_TEST_CALL");
    int is_write = strcmp(kind, "write") == 0;
    pthread_mutex_lock(&lock);
    long call = ++calls;
    log_call(kind, path);
    enum outcome outcome = GO_ON;
    if (half_written && is_write) {
        half_written = 0;
        errno = ENOSPC;
        outcome = FAIL;
    } else if (number != NULL && call == atol(number)) {
        outcome = FAIL;
        if (is_fault("kill")) die();
        if (is_fault("tear") || is_fault("short")) {
            half_written = is_fault("short");
            outcome = is_write ? HALF : GO_ON;
        }
        errno = is_fault("eio") ? EIO : ENOSPC;
    }
    pthread_mutex_unlock(&lock);
    return outcome;
}

/* Path of an open file; NULL if it has none. */
static const char *path_of(int file, char *path) {
    char link[64];
    int error = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, PATH_MAX);
    errno = error;
    if (length < 0) return NULL;
    path[length] = 0;
    return path;
}

/* Path of `name` in an open folder. */
static const char *path_at(int folder, const char *name, char *path) {
    char above[PATH_MAX + 1];
    if (name[0] == '/' || folder == AT_FDCWD || path_of(folder, above) == NULL) return name;
    snprintf(path, PATH_MAX + 1, "%.2000s/%.2000s", above, name);
    return path;
}

ssize_t write(int file, const void *bytes, size_t length) {
    REAL(ssize_t, write, int, const void *, size_t);
    char path[PATH_MAX + 1];
    if (file > 2) {
        enum outcome outcome = judge("write", path_of(file, path), 1);
        if (outcome == FAIL) return -1;
        if (outcome == HALF) {
            ssize_t written = real(file, bytes, length > 1 ? length / 2 : length);
            if (is_fault("tear")) die();
            return written;
        }
    }
    return real(file, bytes, length);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    char path[PATH_MAX + 1];
    if (file > 2 && judge("writev", path_of(file, path), 1) == FAIL) return -1;
    return real(file, parts, count);
}

int fsync(int file) {
    REAL(int, fsync, int);
    char path[PATH_MAX + 1];
    return judge("fsync", path_of(file, path), 0) == FAIL ? -1 : real(file);
}

int fdatasync(int file) {
    REAL(int, fdatasync, int);
    char path[PATH_MAX + 1];
    return judge("fsync", path_of(file, path), 0) == FAIL ? -1 : real(file);
}

int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    return judge("rename", to, 1) == FAIL ? -1 : real(from, to);
}

int ftruncate64(int file, off64_t length) {
    REAL(int, ftruncate64, int, off64_t);
    char path[PATH_MAX + 1];
    return judge("truncate", path_of(file, path), 0) == FAIL ? -1 : real(file, length);
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, mkdir, const char *, mode_t);
    return judge("mkdir", path, 1) == FAIL ? -1 : real(path, mode);
}

int unlink(const char *path) {
    REAL(int, unlink, const char *);
    return judge("unlink", path, 0) == FAIL ? -1 : real(path);
}

int unlinkat(int folder, const char *name, int flags) {
    REAL(int, unlinkat, int, const char *, int);
    char path[PATH_MAX + 1];
    return judge("unlink", path_at(folder, name, path), 0) == FAIL ? -1 : real(folder, name, flags);
}

int rmdir(const char *path) {
    REAL(int, rmdir, const char *);
    return judge("unlink", path, 0) == FAIL ? -1 : real(path);
}

int open64(const char *path, int flags, ...) {
    REAL(int, open64, const char *, int, ...);
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    if ((flags & O_CREAT) != 0 && judge("create", path, 1) == FAIL) return -1;
    if ((flags & O_CREAT) == 0 && counts_reads() && judge("open", path, 0) == FAIL) return -1;
    return real(path, flags, mode);
}

void *mmap64(void *at, size_t length, int protection, int flags, int file, off64_t offset) {
    REAL(void *, mmap64, void *, size_t, int, int, int, off64_t);
    char path[PATH_MAX + 1];
    if (file >= 0 && counts_reads() && judge("map", path_of(file, path), 0) == FAIL)
        return MAP_FAILED;
    return real(at, length, protection, flags, file, offset);
}
