/* Reads files of the golden folder whole. */
#ifndef TESTS_KERNELS_GOLDEN_H
#define TESTS_KERNELS_GOLDEN_H

#include <stdio.h>
#include <stdlib.h>

/* NULL when it is not there. Free with free(). */
static inline void *golden_read(const char *name, size_t *size)
{
    const char *folder = getenv("BANTAM_GOLDEN"), *source = getenv("BANTAM_SOURCE");
    char path[1024];
    if (folder)
        snprintf(path, sizeof path, "%s/%s", folder, name);
    else
        snprintf(path, sizeof path, "%s/../shared/golden/%s", source ? source : ".", name);
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    rewind(f);
    char *data = malloc((size_t)n + 1);
    if (data && fread(data, 1, (size_t)n, f) != (size_t)n) {
        free(data);
        data = NULL;
    }
    fclose(f);
    *size = (size_t)n;
    return data;
}

#endif
