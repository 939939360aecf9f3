/* Calls that some file systems lack, taken away from a process (LD_PRELOAD): the letters of
   GLIAFLOW_TEST_LACKS name locks (F), the syncing of folders (D) and shared file maps (M). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>

static int lacks(char call) {
    const char *letters = getenv("GLIAFLOW_TEST_LACKS");
    return letters != NULL && strchr(letters, call) != NULL;
}

int flock(int file, int operation) {
    static int (*real)(int, int);
    if (lacks('F')) {
        errno = ENOLCK;
        return -1;
    }
    if (real == NULL) real = (int (*)(int, int))dlsym(RTLD_NEXT, "flock");
    return real(file, operation);
}

int fsync(int file) {
    static int (*real)(int);
    struct stat kind;
    if (lacks('D') && fstat(file, &kind) == 0 && S_ISDIR(kind.st_mode)) {
        errno = EINVAL;
        return -1;
    }
    if (real == NULL) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return real(file);
}

static int is_shared_file_map(int protection, int flags, int file) {
    return file >= 0 && (flags & MAP_SHARED) != 0 && (protection & PROT_EXEC) == 0;
}

typedef void *map_function(void *, size_t, int, int, int, off_t);

void *mmap(void *at, size_t length, int protection, int flags, int file, off_t from) {
    static map_function *real;
    if (lacks('M') && is_shared_file_map(protection, flags, file)) {
        errno = ENODEV;
        return MAP_FAILED;
    }
    if (real == NULL) real = (map_function *)dlsym(RTLD_NEXT, "mmap");
    return real(at, length, protection, flags, file, from);
}

void *mmap64(void *at, size_t length, int protection, int flags, int file, off64_t from) {
    return mmap(at, length, protection, flags, file, from);
}
