/*
 * Streams, and events on a clock of their own: the sum of all launches so far.
 *
 *   STANDIN_STACKS=1   behind each wait in the record, a line with who calls: places in the program's file, the innermost
 *                      first (tests/cuda/waits.py reads them)
 */

#include "driver.h"
#include <dlfcn.h>
#include <execinfo.h>
#include <sys/prctl.h>

typedef struct event {
    double at;
    unsigned long launches; /* ahead of it */
    int is_recorded, is_live;
    struct event *next;
} event;

static unsigned long streams;
static unsigned char ended[1 << 16]; /* by a stream's number */
static double microseconds;
static unsigned long launches;
static pthread_t launching; /* the thread of the last launch */

static event *events;   /* all, for telling a handle that is none */

static unsigned long number_of(void *stream) { return (unsigned long)stream / 16; }

int is_stream(void *stream)
{
    unsigned long number = number_of(stream);
    return !stream || ((unsigned long)stream % 16 == 0 && number <= streams && number < sizeof ended && !ended[number]);
}

EXPORT cuStreamCreate(void **stream, unsigned flags)
{
    (void)flags;
    *stream = (void *)(__sync_add_and_fetch(&streams, 1) * 16);
    return SUCCESS;
}

EXPORT cuStreamCreateWithPriority(void **stream, unsigned flags, int priority)
{
    (void)priority;
    return cuStreamCreate(stream, flags);
}

EXPORT cuStreamDestroy_v2(void *stream)
{
    if (!stream || !is_stream(stream))
        return complain(INVALID_HANDLE, "a stream is destroyed that is none");
    if (number_of(stream) < sizeof ended)
        ended[number_of(stream)] = 1;
    return SUCCESS;
}

enum { MOST_FRAMES = 64 };

/* Of all files the program's alone: it is the one that the stack begins in. */
static void record_stack(void)
{
    void *frames[MOST_FRAMES];
    char line[MOST_FRAMES * 18] = "b";
    size_t length = 1;
    int count = backtrace(frames, MOST_FRAMES);
    for (int one = 0; one < count; one++) {
        Dl_info found;
        /* A program's own name has no library's ending. */
        if (dladdr(frames[one], &found) && found.dli_fname && !strstr(found.dli_fname, ".so") && length + 18 < sizeof line)
            length += (size_t)snprintf(line + length, sizeof line - length, " %lx",
                                       (unsigned long)((char *)frames[one] - (char *)found.dli_fbase));
    }
    record("%s", line);
}

/* A wait: how many launches came behind what it is for, whether it holds the thread that launches, and whose it is. */
static void record_wait(const char *for_what, unsigned long ahead)
{
    char name[17] = "";
    prctl(PR_GET_NAME, name);
    record("s %s %lu %s %s", for_what, launches - ahead, pthread_equal(launching, pthread_self()) ? "held" : "beside", name);
    if (setting("STANDIN_STACKS", 0))
        record_stack();
}

EXPORT cuStreamSynchronize(void *stream)
{
    if (!is_stream(stream))
        return complain(INVALID_HANDLE, "a stream is waited for that is none");
    record_wait("stream", launches);
    return SUCCESS;
}

static int is_event(const event *one)
{
    int found = 0;
    pthread_mutex_lock(&lock);
    for (const event *known = events; known && !found; known = known->next)
        found = known == one && known->is_live;
    pthread_mutex_unlock(&lock);
    return found;
}

EXPORT cuStreamWaitEvent(void *stream, event *of, unsigned flags)
{
    (void)flags;
    if (!is_stream(stream) || !is_event(of))
        return complain(INVALID_HANDLE, "a stream waits for an event, and one of the two is none");
    record("w");
    return SUCCESS;
}

void count_launch(double more)
{
    pthread_mutex_lock(&lock);
    microseconds += more;
    launches++;
    launching = pthread_self();
    pthread_mutex_unlock(&lock);
}

EXPORT cuEventCreate(event **made, unsigned flags)
{
    (void)flags;
    pthread_mutex_lock(&lock);
    event *kept = events;
    while (kept && kept->is_live)
        kept = kept->next;
    if (!kept && (kept = calloc(1, sizeof *kept))) {
        kept->next = events;
        events = kept;
    }
    if (kept) {
        kept->is_live = 1;
        kept->is_recorded = 0;
    }
    *made = kept;
    pthread_mutex_unlock(&lock);
    return kept ? SUCCESS : OUT_OF_MEMORY;
}

EXPORT cuEventDestroy_v2(event *one)
{
    if (!is_event(one))
        return complain(INVALID_HANDLE, "an event is destroyed that is none");
    one->is_live = 0;
    return SUCCESS;
}

EXPORT cuEventRecord(event *one, void *stream)
{
    if (!is_stream(stream) || !is_event(one))
        return complain(INVALID_HANDLE, "an event is recorded in a stream, and one of the two is none");
    pthread_mutex_lock(&lock);
    one->at = microseconds;
    one->launches = launches;
    one->is_recorded = 1;

    pthread_mutex_unlock(&lock);
    return SUCCESS;
}

EXPORT cuEventSynchronize(event *one)
{
    if (!is_event(one))
        return complain(INVALID_HANDLE, "an event is waited for that is none");
    record_wait("event", one->launches);
    return SUCCESS;
}

#ifndef WITHOUT_ELAPSED_TIME
EXPORT cuEventElapsedTime(float *milliseconds, event *from, event *to)
{
    if (!is_event(from) || !is_event(to) || !from->is_recorded || !to->is_recorded)
        return complain(INVALID_HANDLE, "time is asked between events that were not recorded");
    record("t");
    *milliseconds = (float)((to->at - from->at) * 1e-3);
    return SUCCESS;
}
#endif
