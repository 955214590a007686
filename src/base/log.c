/* Log callback (see log.h). Set once, before threads start. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

static bt_log_fn sink;
static void *sink_user;
static bt_log_level sink_most;

void bt_log_set(bt_log_fn fn, void *user, bt_log_level most)
{
    sink = fn;
    sink_user = user;
    sink_most = most;
}

void log_line(bt_log_level level, const char *format, ...)
{
    if (!sink || level > sink_most) return;
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    sink(sink_user, level, line);
}
