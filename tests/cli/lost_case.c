/* A case that is lost under a run, for one process (LD_PRELOAD): when it opens its journal, which is
   ahead of its first sample, the folder GLIAFLOW_TEST_SOURCES gets the name GLIAFLOW_TEST_ELSEWHERE,
   and of the case file GLIAFLOW_TEST_CASE_FILE only the first page is left. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void lose_case(void) {
    const char *sources = getenv("GLIAFLOW_TEST_SOURCES");
    const char *elsewhere = getenv("GLIAFLOW_TEST_ELSEWHERE");
    const char *file = getenv("GLIAFLOW_TEST_CASE_FILE");
    struct stat state;
    if (sources == NULL || elsewhere == NULL || file == NULL) return;
    syscall(SYS_renameat2, AT_FDCWD, sources, AT_FDCWD, elsewhere, 0);
    if (stat(file, &state) == 0 && state.st_size > 4096) syscall(SYS_truncate, file, 4096);
}

int open64(const char *path, int flags, ...) {
    static int (*real)(const char *, int, ...);
    if (real == NULL) real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64");
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    static const char journal[] = "/events.jsonl";
    size_t length = strlen(path);
    if ((flags & O_CREAT) != 0 && length >= sizeof journal
        && strcmp(path + length - (sizeof journal - 1), journal) == 0)
        lose_case();
    return real(path, flags, mode);
}
