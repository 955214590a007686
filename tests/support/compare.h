/* Holding numbers against those of a file. */
#ifndef TESTS_COMPARE_H
#define TESTS_COMPARE_H

#include <stddef.h>

/* All little-endian float32 of a file, malloc'd, their number in *count; NULL when there are none
 * to be read. */
float *compare_read(const char *path, size_t *count);
/* Sum of squared differences over the sum of squares of `want`. */
double compare_nmse(const float *got, const float *want, size_t count);

#endif
