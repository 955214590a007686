/* Errors inside the library: set once with what, where and what to do; passed up unchanged. */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#include <stdarg.h>

#include "bantam/bantam.h"

/* Fills *err (may be NULL) and returns `status`, so that `return bt_fail(...)` reads well. */
bt_status bt_fail(bt_error *err, bt_status status, const char *format, ...) BT_PRINTF(3, 4);
bt_status bt_failv(bt_error *err, bt_status status, const char *format, va_list args)
    BT_PRINTF(3, 0);
/* The usual message for a failed allocation of `bytes` for `what`. */
bt_status bt_fail_memory(bt_error *err, const char *what, uint64_t bytes);
void bt_error_clear(bt_error *err);
/* Puts "prefix: " before the text of an error that is already set. */
void bt_error_prefix(bt_error *err, const char *prefix);

#endif
