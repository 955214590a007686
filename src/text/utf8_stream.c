/* Streaming, lossy UTF-8 (see utf8_stream.h). The ranges are table 3-7 of the Unicode Standard:
 * no overlong forms, no surrogates, nothing past U+10FFFF. */
#include "text/utf8_stream.h"

#include <stdbool.h>

static void replace(Buf *out)
{
    buf_add(out, "\xEF\xBF\xBD", 3);
}

/* Takes the first byte of a character; false if none begins with it. */
static bool begin(Utf8Stream *s, unsigned char byte)
{
    s->low = 0x80;
    s->high = 0xBF;
    if (byte >= 0xC2 && byte <= 0xDF) {
        s->missing = 1;
    } else if (byte >= 0xE0 && byte <= 0xEF) {
        s->missing = 2;
        if (byte == 0xE0) s->low = 0xA0;
        if (byte == 0xED) s->high = 0x9F;
    } else if (byte >= 0xF0 && byte <= 0xF4) {
        s->missing = 3;
        if (byte == 0xF0) s->low = 0x90;
        if (byte == 0xF4) s->high = 0x8F;
    } else {
        return false;
    }
    s->held[0] = byte;
    s->n_held = 1;
    return true;
}

void utf8_stream_add(Utf8Stream *s, const char *bytes, size_t n, Buf *out)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        if (s->missing) {
            if (byte >= s->low && byte <= s->high) {
                s->held[s->n_held++] = byte;
                s->low = 0x80;
                s->high = 0xBF;
                if (--s->missing == 0) buf_add(out, s->held, s->n_held);
                continue;
            }
            replace(out);
            s->missing = 0;
        }
        if (byte < 0x80)
            buf_char(out, (char)byte);
        else if (!begin(s, byte))
            replace(out);
    }
}

void utf8_stream_end(Utf8Stream *s, Buf *out)
{
    if (s->missing) replace(out);
    *s = (Utf8Stream){0};
}
