/* JSON, read whole into an index of its values: for the large files that makers publish beside
 * their weights (safetensors headers of up to 100 MB, vocabularies of half a million strings).
 * Why not jansson, which reads everything else: it keeps some 200 bytes a string, refuses NUL in
 * one, and hides a key that stands twice. Here a value costs 20 bytes and texts lie in one copy of
 * the file. Source: RFC 8259; NaN, Infinity and -Infinity are accepted, as Python writes them.
 * Refuses invalid UTF-8, lone surrogates, nesting deeper than 64, texts over 512 MB. */
#ifndef IO_JDOC_H
#define IO_JDOC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

typedef enum JdocType {
    JDOC_NONE, /* of JDOC_NO */
    JDOC_NULL,
    JDOC_FALSE,
    JDOC_TRUE,
    JDOC_NUMBER,
    JDOC_STRING,
    JDOC_ARRAY,
    JDOC_OBJECT
} JdocType;

typedef struct Jdoc Jdoc;
typedef uint32_t JdocRef; /* a value; 0 is the whole text's */
#define JDOC_NO        UINT32_MAX
#define JDOC_MAX_TEXT  (1u << 29)
#define JDOC_MAX_DEPTH 64

/* Copies what it needs: `text` may go afterwards. `name` stands in messages. BT_E_FORMAT with the
 * offset of the fault, BT_E_LIMIT, BT_E_MEMORY. */
bt_status jdoc_open(const void *text, uint64_t size, const char *name, Jdoc **out, bt_error *err);
/* The same from a file. */
bt_status jdoc_open_file(const char *path, Jdoc **out, bt_error *err);
void jdoc_close(Jdoc **doc);

/* All of these take JDOC_NO, and values of another type, and then give nothing. */
JdocType jdoc_type(const Jdoc *d, JdocRef v);
uint32_t jdoc_count(const Jdoc *d, JdocRef v); /* elements of an array, keys of an object */
/* First element of an array, or first key of an object; the next one after `v` (a key is followed
 * by its value). Walk jdoc_count of them: the last one's next is no element. */
JdocRef jdoc_first(const Jdoc *d, JdocRef v);
JdocRef jdoc_next(const Jdoc *d, JdocRef v);
/* Value of a key; of equal keys the last. Linear in the keys: for small objects. */
JdocRef jdoc_get(const Jdoc *d, JdocRef object, const char *key);
JdocRef jdoc_at(const Jdoc *d, JdocRef array, uint32_t i);
Span jdoc_text(const Jdoc *d, JdocRef v); /* {"", 0} when it is no string */
bool jdoc_number(const Jdoc *d, JdocRef v, double *out);
/* Integers from -2^63 to 2^63 - 1, written without fraction and exponent. */
bool jdoc_integer(const Jdoc *d, JdocRef v, int64_t *out);
/* True when the string is exactly this text. */
bool jdoc_is(const Jdoc *d, JdocRef v, const char *text);

#endif
