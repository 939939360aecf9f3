/*
 * A libnvrtc.so that compiles nothing for a card: the "PTX" of a source names its kernel and says what its
 * parameters are, which is all that the stand-in for a driver looks at. It is there because NVRTC takes a
 * second for each of a thousand kernels. That they compile is shown apart, from the sources that it keeps
 * (tests/cuda/compile.py); what they compute, by the emulator.
 *
 *   STANDIN_SOURCES=FOLDER     each source is written there once, as HASH.cu with NVRTC's options in its first line
 */

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default"))) int

enum { SUCCESS = 0, OUT_OF_MEMORY = 1, COMPILATION = 6 };

typedef struct {
    char *source, *ptx;
    char log[4096];
} program;

typedef struct {
    char name[512], parameters[512];
    unsigned threads;
} entry;

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
    free((*made)->ptx);
    free(*made);
    *made = NULL;
    return SUCCESS;
}

/* FNV-1a, 128 bits. */
static void hash_of(const char *text, const char *more, char *hex)
{
    unsigned __int128 hash = ((unsigned __int128)0x6c62272e07bb0142ull << 64) | 0x62b821756295c58dull;
    const unsigned __int128 prime = ((unsigned __int128)0x1000000ull << 64) | 0x13bull;
    for (int part = 0; part < 2; part++)
        for (const char *at = part ? more : text; *at; at++)
            hash = (hash ^ (unsigned char)*at) * prime;
    snprintf(hex, 33, "%016llx%016llx", (unsigned long long)(hash >> 64), (unsigned long long)hash);
}

/* p for each pointer, t for a tensor map, v for anything else, of what is between parentheses. */
static void parameters_of(const char *at, char *kinds, size_t most)
{
    size_t count = 0;
    int depth = 0, is_pointer = 0, is_map = 0, is_any = 0;
    for (; *at; at++) {
        if ((*at == ',' || *at == ')') && depth == 0) {
            if (is_any && count + 1 < most)
                kinds[count++] = is_map ? 't' : is_pointer ? 'p' : 'v';
            is_pointer = is_map = is_any = 0;
            if (*at == ')')
                break;
            continue;
        }
        depth += (*at == '(' || *at == '<' || *at == '[') - (*at == ')' || *at == '>' || *at == ']');
        is_pointer |= *at == '*';
        is_map |= !strncmp(at, "CUtensorMap", 11);
        is_any |= !isspace((unsigned char)*at);
    }
    kinds[count] = 0;
}

/* The word ahead of the parenthesis that opens the parameters, attributes with parentheses passed over. */
static int entry_of(const char *source, entry *found)
{
    static const char *const attributes[] = { "__launch_bounds__(", "__cluster_dims__(" };
    const char *at = strstr(source, "__global__");
    if (!at)
        return 0;
    at += strlen("__global__");
    found->threads = 0;
    for (int more = 1; more;) {
        more = 0;
        at += strspn(at, " \t\n");
        if (!strncmp(at, "void", 4) && strchr(" \t\n", at[4])) {
            at += 4;
            more = 1;
        }
        for (size_t one = 0; one < sizeof attributes / sizeof *attributes; one++)
            if (!strncmp(at, attributes[one], strlen(attributes[one]))) {
                const char *end = strchr(at, ')');
                if (!end)
                    return 0;
                if (one == 0)
                    found->threads = (unsigned)strtoul(at + strlen(attributes[one]), NULL, 10);
                at = end + 1;
                more = 1;
            }
    }
    size_t length = strcspn(at, "( \t\n");
    if (!length || length >= sizeof found->name)
        return 0;
    memcpy(found->name, at, length);
    found->name[length] = 0;
    at = strchr(at + length, '(');
    if (!at)
        return 0;
    parameters_of(at + 1, found->parameters, sizeof found->parameters);
    return 1;
}

/* Whole under its name, or not there: two processes may write it. */
static int keep_source(const char *source, const char *options, const char *path)
{
    char part[1200];
    if (!access(path, F_OK))
        return 1;
    snprintf(part, sizeof part, "%s.%d", path, (int)getpid());
    FILE *file = fopen(part, "w");
    if (!file)
        return 0;
    fprintf(file, "// nvrtc:%s\n", options);
    fputs(source, file);
    return !fclose(file) && !rename(part, path);
}

/* Which unit multiplies, and how operands come to shared memory: what tells candidates of a tuner apart. */
static const char *kind_of(const char *source)
{
    static __thread char kind[64];
    int wmma = strstr(source, "wmma::mma_sync") != NULL, mma = strstr(source, "mma.sync.aligned") != NULL;
    int tma = strstr(source, "cp_async_bulk_tensor") || strstr(source, "cp.async.bulk.tensor");
    int async = strstr(source, "cp.async.c") != NULL;
    snprintf(kind, sizeof kind, "[%s %s]", wmma ? "wmma" : mma ? "mma" : "no-tensor-core", tma ? "tma" : async ? "cp.async" : "plain");
    return kind;
}

EXPORT nvrtcCompileProgram(program *made, int options, const char *const *values)
{
    entry found;
    char said[2048] = "", hash[33], path[1100];
    snprintf(made->log, sizeof made->log, "no kernel in a source");
    if (!entry_of(made->source, &found))
        return COMPILATION;
    for (int one = 0; one < options; one++)
        /* Where headers lie is this machine's. */
        if (strncmp(values[one], "--include-path", 14) && strlen(said) + strlen(values[one]) + 2 < sizeof said)
            strcat(strcat(said, " "), values[one]);
    hash_of(made->source, said, hash);
    const char *folder = getenv("STANDIN_SOURCES");
    if (folder) {
        snprintf(path, sizeof path, "%s/%s.cu", folder, hash);
        if (!keep_source(made->source, said, path)) {
            fprintf(stderr, "stand-in: %s cannot be written\n", path);
            return COMPILATION;
        }
    }
    const size_t most = 4096;
    made->ptx = malloc(most);
    if (!made->ptx)
        return OUT_OF_MEMORY;
    snprintf(made->ptx, most, "// of the stand-in\n// source: %s\n// parameters: %s\n// threads: %u\n// kind: %s\n.entry %s(\n", hash, found.parameters,
             found.threads, kind_of(made->source), found.name);
    return SUCCESS;
}

EXPORT nvrtcGetPTXSize(program *made, size_t *bytes) { *bytes = strlen(made->ptx) + 1; return SUCCESS; }
EXPORT nvrtcGetPTX(program *made, char *ptx) { strcpy(ptx, made->ptx); return SUCCESS; }
EXPORT nvrtcGetProgramLogSize(program *made, size_t *bytes) { *bytes = strlen(made->log) + 1; return SUCCESS; }
EXPORT nvrtcGetProgramLog(program *made, char *log) { strcpy(log, made->log); return SUCCESS; }

__attribute__((visibility("default"))) const char *nvrtcGetErrorString(int error)
{
    return error == COMPILATION ? "NVRTC_ERROR_COMPILATION" : "an error of the stand-in";
}
