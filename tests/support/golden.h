/* Where the golden data lies: $BANTAM_GOLDEN, else ../shared/golden beside the source. */
#ifndef TESTS_GOLDEN_H
#define TESTS_GOLDEN_H

#include <stdbool.h>

/* Path of `name` in the golden folder (static memory, valid for the next three calls), or NULL
 * when it is not there: the test is then skipped. */
const char *golden_path(const char *name);

#endif
