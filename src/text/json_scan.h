/* JSON that arrives byte by byte, checked as it comes: RFC 8259, with depth bounded and no
 * recursion. What goes out is JSON that strict readers take: a raw control character inside a
 * string becomes its escape, \' a plain quote, half of a surrogate pair \ufffd. All else is passed
 * on as written. */
#ifndef TEXT_JSON_SCAN_H
#define TEXT_JSON_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

#define JSON_SCAN_DEPTH 128 /* objects and arrays inside each other */

typedef enum ScanResult {
    SCAN_MORE, /* the byte was taken, the value goes on */
    SCAN_DONE, /* the byte was taken and ended the value */
    SCAN_STOP, /* the value ended before this byte, which was not taken */
    SCAN_BAD,  /* the byte cannot stand here */
} ScanResult;

typedef struct JsonScan {
    uint8_t state, back; /* back: the state after a \u escape */
    uint8_t digits;      /* hex digits still to come */
    bool key;            /* the string at hand is a key */
    uint16_t unit, high; /* of a \u escape; high: a first half that waits for its second */
    const char *word;    /* rest of true, false or null */
    int depth;
    uint64_t object[JSON_SCAN_DEPTH / 64]; /* bit d: level d is an object */
} JsonScan;                                /* valid when zeroed: one value is expected */

/* `out` may be NULL. White space before the value is taken and not passed on. */
ScanResult json_scan(JsonScan *s, char c, Buf *out);
/* The value would be whole if nothing followed (a number at the end of a text). */
bool json_scan_complete(const JsonScan *s);
/* Exactly one JSON value with nothing but white space around it; it goes to `out`. */
bool json_scan_whole(Span text, Buf *out);
/* What an object or array that breaks off says so far: its whole members and elements go to `out`,
 * and what is open is closed. False: no such thing has begun. */
bool json_scan_begun(Span text, Buf *out);

/* Appends text as the inside of a JSON string: escapes what must be. UTF-8 in, UTF-8 out. */
void json_escape(Buf *out, const char *text, size_t n);
/* Appends what a JSON string (with its quotes) says; false if it is none. */
bool json_unescape(Span string, Buf *out);

static inline bool json_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

#endif
