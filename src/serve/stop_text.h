/* Stop strings over a text that comes in pieces: an answer ends before the first of them, and what
 * may still become one is held back until it cannot. Every string is followed by a table of its own
 * (Knuth, Morris and Pratt 1977), so that a byte costs one short step a string, whatever they are.
 * Pieces are whole UTF-8 characters and so are the strings: what is held back begins a character,
 * and nothing given out ends within one. */
#ifndef SERVE_STOP_TEXT_H
#define SERVE_STOP_TEXT_H

#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"

#define STOP_MOST       64
#define STOP_MOST_BYTES 1024

typedef struct StopText StopText;

/* The strings are copied; empty ones are passed over. None at all: *out is NULL, which the other
 * functions take (nothing ever stops). BT_E_LIMIT: too many, or one is too long. */
bt_status stop_open(const Span *strings, size_t n, StopText **out, bt_error *err);
void stop_close(StopText **stop);
/* Adds a piece; appends to `out` what can now be shown. Gives the index of the string (among those
 * of stop_open) that was met, or -1; nothing is shown after it. Of several that end at the same
 * byte it is the longest. */
int stop_add(StopText *stop, const char *text, size_t length, Buf *out);
/* What is held back cannot become a string any more, because the text ended or something else
 * follows: appended, and the text begins anew. */
void stop_flush(StopText *stop, Buf *out);

#endif
