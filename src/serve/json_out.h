/* JSON out: compact, in one pass, straight into a Buf; commas are kept count of here. Bytes that
 * are no UTF-8 go out as U+FFFD, so that what a model writes can never break a client's reader.
 * The prefix is jout_, for json_ is jansson's. */
#ifndef SERVE_JSON_OUT_H
#define SERVE_JSON_OUT_H

#include <stdint.h>

#include "base/buf.h"

typedef struct JsonOut {
    Buf *buf;
    bool comma; /* one is due before the next value or key */
} JsonOut;

/* '{', '[' and their ends */
void jout_open(JsonOut *j, char bracket);
void jout_close(JsonOut *j, char bracket);
void jout_key(JsonOut *j, const char *key);
void jout_text(JsonOut *j, const char *text, size_t n);
void jout_string(JsonOut *j, const char *text); /* NULL: null */
void jout_integer(JsonOut *j, int64_t value);
/* Shortest of 9 digits that a float32 needs; infinities and NaN, which JSON lacks, as null. */
void jout_real(JsonOut *j, double value);
void jout_bool(JsonOut *j, bool value);
void jout_null(JsonOut *j);
void jout_raw(JsonOut *j, const char *json, size_t n); /* a value that is JSON already */
/* Seconds since 1970 and nanoseconds as RFC 3339 in UTC. */
void jout_time(JsonOut *j, int64_t seconds, int32_t nanoseconds);

/* key and value */
void jout_put(JsonOut *j, const char *key, const char *text);
void jout_put_text(JsonOut *j, const char *key, const char *text, size_t n);
void jout_put_int(JsonOut *j, const char *key, int64_t value);
void jout_put_real(JsonOut *j, const char *key, double value);
void jout_put_bool(JsonOut *j, const char *key, bool value);
void jout_put_null(JsonOut *j, const char *key);
void jout_put_open(JsonOut *j, const char *key, char bracket);

#endif
