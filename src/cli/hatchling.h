/* The model that is part of the program: hatchling, a small assistant (models.d/hatchling). It is
 * opened like a file, under a path that no file has; it needs none, and no sidecar. Builds without
 * it (-Dhatchling=false, no SQLite, or no models.d/hatchling/hatchling.gguf) say so where it is
 * asked for. */
#ifndef CLI_HATCHLING_H
#define CLI_HATCHLING_H

#include <stdbool.h>
#include <stdint.h>

#define HATCHLING_NAME    "hatchling"
#define HATCHLING_PATH    "built-in:hatchling"
#define HATCHLING_SOURCE  "built in" /* in lists */
#define HATCHLING_LICENSE "MIT"
#define HATCHLING_ABOUT                                                                            \
    "the small assistant of Bantam: reminders, timers, calendar, notes, dates, sums, units"

/* Makes the path known to the library. Before anything is opened. */
void hatchling_open(void);
bool hatchling_here(void);
uint64_t hatchling_bytes(void);           /* 0: not here */
bool hatchling_is_name(const char *word); /* what a user typed: the name or the path */
bool hatchling_is_path(const char *path); /* of a model that is open */

#endif
