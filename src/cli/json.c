/* JSON on standard output (see json.h). */
#include "cli/json.h"

#include <string.h>

#include "base/buf.h"
#include "cli/cli.h"
#include "text/utf8.h"

static int print(json_t *root, size_t flags)
{
    if (!root) return cli_fail("not enough memory for the answer in JSON");
    int failed = json_dumpf(root, stdout, flags);
    json_decref(root);
    putchar('\n');
    int flushed = cli_flush();
    return failed ? CLI_FAILED : flushed;
}

int json_print(json_t *root)
{
    return print(root, JSON_INDENT(2) | JSON_REAL_PRECISION(7));
}

int json_print_numbers(json_t *root)
{
    return print(root, JSON_REAL_PRECISION(9));
}

json_t *json_bytes(const char *text, size_t n)
{
    Buf good = {0};
    for (size_t at = 0, length; at < n; at += length) {
        char character[4];
        uint32_t c = utf8_next(text + at, n - at, &length);
        buf_add(&good, character, utf8_put(c, character));
    }
    json_t *value = good.failed ? NULL : json_stringn(good.data ? good.data : "", good.size);
    buf_close(&good);
    return value;
}

json_t *json_text(const char *text)
{
    return text ? json_bytes(text, strlen(text)) : json_null();
}
