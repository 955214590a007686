/* A folder of a test's own under the system's temporary folder; removed with all in it. */
#ifndef TESTS_SCRATCH_H
#define TESTS_SCRATCH_H

#include <stddef.h>

/* Makes the folder and returns its path (static memory: one at a time); NULL on failure. */
const char *scratch_open(void);
void scratch_close(void);
/* The two as cmocka calls them before and after a test or a group. */
int scratch_setup(void **state);
int scratch_teardown(void **state);
/* "FOLDER/name" in static memory, valid for the next three calls. */
const char *scratch_path(const char *name);
/* Writes a file in the folder, making folders on the way; returns its path, NULL on failure. */
const char *scratch_write(const char *name, const void *data, size_t size);
/* Number of entries in the folder itself. */
int scratch_entries(void);

#endif
