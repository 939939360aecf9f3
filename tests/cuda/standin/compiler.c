/*
 * A libnvrtc.so that compiles nothing: the "PTX" of a source names its kernel, which is all that the
 * stand-in for a driver looks at. It is there because NVRTC takes a second for each of a thousand kernels;
 * that they compile is for another test.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default"))) int

enum { SUCCESS = 0, OUT_OF_MEMORY = 1, COMPILATION = 6 };

typedef struct {
    char ptx[640];
    char *source;
} program;

EXPORT nvrtcVersion(int *major, int *minor) { *major = 13; *minor = 0; return SUCCESS; }

EXPORT nvrtcCreateProgram(program **made, const char *source, const char *name, int headers, const char *const *texts,
                          const char *const *names)
{
    (void)name; (void)headers; (void)texts; (void)names;
    *made = calloc(1, sizeof **made);
    if (!*made)
        return OUT_OF_MEMORY;
    (*made)->source = strdup(source);
    return (*made)->source ? SUCCESS : OUT_OF_MEMORY;
}

EXPORT nvrtcDestroyProgram(program **made)
{
    free((*made)->source);
    free(*made);
    *made = NULL;
    return SUCCESS;
}

/* The word ahead of the parenthesis that opens the parameters, attributes with parentheses passed over. */
static int entry_of(const char *source, char *name, size_t most)
{
    static const char *const attributes[] = { "__launch_bounds__(", "__cluster_dims__(" };
    const char *at = strstr(source, "__global__");
    if (!at)
        return 0;
    at += strlen("__global__");
    for (int found = 1; found;) {
        found = 0;
        at += strspn(at, " \t\n");
        if (!strncmp(at, "void", 4) && strchr(" \t\n", at[4])) {
            at += 4;
            found = 1;
        }
        for (size_t one = 0; one < sizeof attributes / sizeof *attributes; one++)
            if (!strncmp(at, attributes[one], strlen(attributes[one]))) {
                const char *end = strchr(at, ')');
                if (!end)
                    return 0;
                at = end + 1;
                found = 1;
            }
    }
    size_t length = strcspn(at, "( \t\n");
    if (!length || length >= most)
        return 0;
    memcpy(name, at, length);
    name[length] = 0;
    return 1;
}

EXPORT nvrtcCompileProgram(program *made, int options, const char *const *values)
{
    char name[512];
    (void)options; (void)values;
    if (!entry_of(made->source, name, sizeof name))
        return COMPILATION;
    snprintf(made->ptx, sizeof made->ptx, "// of the stand-in\n.entry %s(\n", name);
    return SUCCESS;
}

EXPORT nvrtcGetPTXSize(program *made, size_t *bytes) { *bytes = strlen(made->ptx) + 1; return SUCCESS; }
EXPORT nvrtcGetPTX(program *made, char *ptx) { strcpy(ptx, made->ptx); return SUCCESS; }
EXPORT nvrtcGetProgramLogSize(program *made, size_t *bytes) { (void)made; *bytes = 21; return SUCCESS; }
EXPORT nvrtcGetProgramLog(program *made, char *log) { (void)made; strcpy(log, "no kernel in a source"); return SUCCESS; }

__attribute__((visibility("default"))) const char *nvrtcGetErrorString(int error)
{
    return error == COMPILATION ? "NVRTC_ERROR_COMPILATION" : "an error of the stand-in";
}
