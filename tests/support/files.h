/* Files of the source tree, and files read and written whole. */
#ifndef TESTS_FILES_H
#define TESTS_FILES_H

#include <stddef.h>

/* "SOURCE/..." for a path in the source tree, printf style; the tree is $BANTAM_SOURCE, else the
 * current folder. Static memory, valid for the next three calls. */
const char *files_source(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* All of a file, malloc'd, with a NUL after it; NULL when it cannot be read. */
char *files_read(const char *path, size_t *size);
/* 0, or -1. */
int files_write(const char *path, const void *data, size_t size);

#endif
