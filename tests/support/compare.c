/* Holding numbers against those of a file (see compare.h). */
#include "support/compare.h"

#include <stdio.h>
#include <stdlib.h>

float *compare_read(const char *path, size_t *count)
{
    FILE *f = fopen(path, "rb");
    float *data = NULL;
    long bytes = -1;
    if (f && !fseek(f, 0, SEEK_END)) bytes = ftell(f);
    if (bytes > 0 && !fseek(f, 0, SEEK_SET)) data = malloc((size_t)bytes);
    *count = bytes > 0 ? (size_t)bytes / sizeof *data : 0;
    if (data && fread(data, sizeof *data, *count, f) != *count) {
        free(data);
        data = NULL;
    }
    if (f) fclose(f);
    return data;
}

double compare_nmse(const float *got, const float *want, size_t count)
{
    double wrong = 0, all = 0;
    for (size_t i = 0; i < count; i++) {
        wrong += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        all += (double)want[i] * want[i];
    }
    return wrong / all;
}
