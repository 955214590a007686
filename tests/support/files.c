/* Files of the source tree (see files.h). */
#include "support/files.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *files_source(const char *format, ...)
{
    static char paths[4][2048];
    static unsigned next;
    char *out = paths[next++ % 4];
    const char *root = getenv("BANTAM_SOURCE");
    va_list args;
    int n = snprintf(out, sizeof paths[0], "%s/", root ? root : ".");
    va_start(args, format);
    vsnprintf(out + n, sizeof paths[0] - (size_t)n, format, args);
    va_end(args);
    return out;
}

char *files_read(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    char *data = NULL;
    long n = -1;
    if (f && !fseek(f, 0, SEEK_END)) n = ftell(f);
    if (n >= 0 && !fseek(f, 0, SEEK_SET)) data = malloc((size_t)n + 1);
    if (data && fread(data, 1, (size_t)n, f) != (size_t)n) {
        free(data);
        data = NULL;
    }
    if (data) data[n] = '\0';
    if (f) fclose(f);
    *size = data ? (size_t)n : 0;
    return data;
}

int files_write(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    if (!f) return -1;
    size_t n = fwrite(data, 1, size, f);
    return fclose(f) == 0 && n == size ? 0 : -1;
}
