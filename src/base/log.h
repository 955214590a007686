/* Talk of the library, handed to the callback of bt_log_set; silent by default. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "bantam/bantam.h"

void log_line(bt_log_level level, const char *format, ...) BT_PRINTF(2, 3);

#endif
