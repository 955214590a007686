/* Status texts and error messages (see status.h). Control characters in a message, which may
 * quote bytes of a hostile file, are replaced so that a terminal shows one clean line. */
#include "base/status.h"

#include <stdio.h>
#include <string.h>

#define STRINGIFY_(x) #x
#define STRINGIFY(x) STRINGIFY_(x)

const char *bt_status_text(bt_status status)
{
    switch (status) {
#define STATUS_CASE(name, code, text)                                                              \
    case name: return text;
        BT_STATUS_LIST(STATUS_CASE)
#undef STATUS_CASE
    }
    return "unknown status";
}

const char *bt_version(void)
{
    return STRINGIFY(BT_VERSION_MAJOR) "." STRINGIFY(BT_VERSION_MINOR) "." STRINGIFY(
        BT_VERSION_PATCH);
}

static void clean(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == 0x7f) *p = '?';
}

bt_status bt_failv(bt_error *err, bt_status status, const char *format, va_list args)
{
    if (err) {
        err->status = status;
        vsnprintf(err->text, sizeof err->text, format, args);
        clean(err->text);
    }
    return status;
}

bt_status bt_fail(bt_error *err, bt_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    bt_failv(err, status, format, args);
    va_end(args);
    return status;
}

bt_status bt_fail_memory(bt_error *err, const char *what, uint64_t bytes)
{
    return bt_fail(err, BT_E_MEMORY, "not enough memory for %s (%llu bytes)", what,
                   (unsigned long long)bytes);
}

void bt_error_clear(bt_error *err)
{
    if (!err) return;
    err->status = BT_OK;
    err->text[0] = '\0';
}

void bt_error_prefix(bt_error *err, const char *prefix)
{
    if (!err) return;
    char old[sizeof err->text];
    memcpy(old, err->text, sizeof old);
    snprintf(err->text, sizeof err->text, "%s: %s", prefix, old);
    clean(err->text);
}
