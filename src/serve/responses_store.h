/* What /v1/responses remembers between requests (previous_response_id, GET): conversations in
 * memory, never on disk, each with a deadline. An entry is seen only by the principal that made it.
 * Bounded by count and bytes; the oldest go first, and a principal that holds more than a quarter
 * of the bytes pushes out its own before those of others. */
#ifndef SERVE_RESPONSES_STORE_H
#define SERVE_RESPONSES_STORE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"

typedef struct ResponsesStore ResponsesStore;

typedef struct ResponsesLimits {
    size_t entries; /* 0: 1024 */
    uint64_t bytes; /* 0: 64 MiB */
    double seconds; /* an entry lives; 0: 3600 */
} ResponsesLimits;

bt_status responses_open(const ResponsesLimits *limits, ResponsesStore **out, bt_error *err);
void responses_close(ResponsesStore **store);

/* All may be called from any thread; `now` is os_seconds(). */

/* Remembers copies of what a next request goes on from and of the response itself. One that is
 * larger than a quarter of all bytes is not kept: BT_E_LIMIT. BT_E_MEMORY. */
bt_status responses_put(ResponsesStore *store, uint64_t principal, const char *id,
                        Span conversation, Span object, double now, bt_error *err);
/* Appends copies to those that are not NULL; the deadline starts anew. False: there is none (any
 * more) of that id for this principal, or (`failed` of the buffer) no memory. */
bool responses_get(ResponsesStore *store, uint64_t principal, const char *id, Buf *conversation,
                   Buf *object, double now);
bool responses_delete(ResponsesStore *store, uint64_t principal, const char *id, double now);
size_t responses_count(ResponsesStore *store, double now);

#endif
