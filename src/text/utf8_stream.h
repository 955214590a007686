/* Bytes that arrive in pieces to whole UTF-8 characters. What can still become a character waits
 * (at most 3 bytes); what no longer can comes out as U+FFFD at once, one for each longest beginning
 * of a character, as the Unicode Standard (3.9, "U+FFFD substitution of maximal subparts") and the
 * WHATWG decoder do. All pieces joined are the lossy decoding of all bytes joined. */
#ifndef TEXT_UTF8_STREAM_H
#define TEXT_UTF8_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

typedef struct Utf8Stream {
    unsigned char held[4]; /* the character begun */
    uint8_t n_held, missing;
    unsigned char low, high; /* what its next byte must lie within */
} Utf8Stream;                /* valid when zeroed */

/* Appends to `out`: at most 3 x (n + 3) bytes. */
void utf8_stream_add(Utf8Stream *stream, const char *bytes, size_t n, Buf *out);
/* Ends the text: a character begun comes out as U+FFFD. The stream is as new. */
void utf8_stream_end(Utf8Stream *stream, Buf *out);

#endif
