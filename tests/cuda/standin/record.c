/*
 * A file with a line for each call that matters, STANDIN_RECORD: its letter, then what it is about. Read by
 * tests/cuda/record.py. A line with ! is a rule of the driver's documents that was broken; those go to
 * stderr, too.
 */

#include "driver.h"
#include <stdarg.h>

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static FILE *open_record(void)
{
    static FILE *file;
    static int tried;
    if (!tried) {
        const char *path = getenv("STANDIN_RECORD");
        tried = 1;
        file = path ? fopen(path, "w") : NULL;
        if (path && !file)
            fprintf(stderr, "stand-in: %s cannot be written\n", path);
        if (file)
            setvbuf(file, NULL, _IOFBF, 1 << 20);
    }
    return file;
}

__attribute__((destructor)) static void flush(void)
{
    FILE *file = open_record();
    if (file)
        fflush(file);
}

void record(const char *format, ...)
{
    va_list values;
    pthread_mutex_lock(&lock);
    FILE *file = open_record();
    if (file) {
        va_start(values, format);
        vfprintf(file, format, values);
        va_end(values);
        fputc('\n', file);
    }
    pthread_mutex_unlock(&lock);
}

int complain(int error, const char *format, ...)
{
    char text[768];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    fprintf(stderr, "stand-in: WRONG: %s\n", text);
    record("! %s", text);
    return error;
}
