/* What the front and a worker tell each other over their ring (ring.h): the kinds of messages and
 * their payloads. Numbers are in the machine's order: both ends are one program on one machine.
 *
 *   front -> worker
 *     REQUEST    WireRequest, then path, model, headers (see below); BODY follow if body_size > 0
 *     BODY       the next piece of the body, at most WIRE_PIECE bytes
 *     BODY_END   the body is complete (comes always, also for an empty body)
 *     CANCEL     the client is gone: free what the request holds; nothing need be answered, and
 *                what is answered is thrown away. May come for an id that has just ended.
 *     DRAIN      finish what runs, take nothing new (a REQUEST after it is answered with 503)
 *     RESET      a new front: everything that runs is cancelled, and READY (or FAILED) and STATS
 *                are sent again
 *     CHECK      try every way out of the sandbox, from inside; answer with REPORT of the same id
 *   worker -> front
 *     HEAD       WireAnswer, then the content type, a NUL, extra headers; once, before any DATA
 *     DATA       bytes of the answer, at most WIRE_PIECE (wire_send_data cuts); one chunk each
 *     END        WireUsage: the answer is complete. The last message of a request.
 *     READY      JSON object for the catalogue: the model is loaded and takes requests
 *     FAILED     a sentence: the model cannot be loaded; the worker ends after it
 *     STATS      JSON object of counters, about once a second while something runs
 *     REPORT     lines "refused|open TAB way TAB answer" of a CHECK
 *
 * A worker answers each REQUEST with HEAD, DATA ..., END, in that order, and answers of several
 * requests may alternate. Ids are never used again, also not by the next front. */
#ifndef SERVE_WIRE_H
#define SERVE_WIRE_H

#include <string.h>

#include "serve/ring.h"

#define WIRE_PIECE       ((size_t)64 << 10)
#define WIRE_MAX_PATH    1024
#define WIRE_MAX_MODEL   512
#define WIRE_MAX_HEADERS 8192

enum WireKind {
    WIRE_REQUEST = 1,
    WIRE_BODY,
    WIRE_BODY_END,
    WIRE_CANCEL,
    WIRE_DRAIN,
    WIRE_RESET,
    WIRE_CHECK,
    WIRE_HEAD = 64,
    WIRE_DATA,
    WIRE_END,
    WIRE_READY,
    WIRE_FAILED,
    WIRE_STATS,
    WIRE_REPORT,
};

enum WireMethod { WIRE_GET = 1, WIRE_POST, WIRE_DELETE };

typedef struct WireRequest {
    uint64_t principal; /* hash of the API key, 0: none */
    uint64_t body_size;
    uint16_t method; /* WireMethod; HEAD arrives as GET */
    uint16_t path_size, model_size;
    uint16_t header_size;
} WireRequest;

typedef struct WireAnswer {
    uint16_t status;    /* 200 ... 599 */
    uint16_t type_size; /* of the content type, without its NUL */
    uint32_t header_size;
} WireAnswer;

typedef struct WireUsage {
    uint32_t prompt, cached, completion; /* tokens */
    uint32_t flags;                      /* 0 */
    uint64_t queued_us, prefill_us, decode_us;
} WireUsage;

_Static_assert(sizeof(WireRequest) == 24 && sizeof(WireAnswer) == 8 && sizeof(WireUsage) == 40,
               "payloads have no holes");

/* A REQUEST taken apart. path, model and headers are NUL-terminated; headers are lines
 * "name: value\n", names in lower case, only of: accept, anthropic-version, anthropic-beta,
 * x-request-id, user-agent. Never authorization. */
typedef struct WireRequestView {
    WireRequest fixed;
    const char *path, *model, *headers;
} WireRequestView;

/* Sends a REQUEST. False from sizes over the limits above is RING_BROKEN. */
static inline RingResult wire_send_request(RingPort *port, uint64_t id, const WireRequest *fixed,
                                           const char *path, const char *model, const char *headers)
{
    WireRequest r = *fixed;
    const size_t p = strlen(path), m = strlen(model), h = strlen(headers);
    if (p > WIRE_MAX_PATH || m > WIRE_MAX_MODEL || h > WIRE_MAX_HEADERS) return RING_BROKEN;
    r.path_size = (uint16_t)p;
    r.model_size = (uint16_t)m;
    r.header_size = (uint16_t)h;
    const RingPart parts[] = {{&r, sizeof r}, {path, p + 1}, {model, m + 1}, {headers, h + 1}};
    return ring_send(port, WIRE_REQUEST, id, parts, 4);
}

/* False: not a REQUEST that can be; nothing of *out may be used. */
static inline bool wire_read_request(const RingMessage *message, WireRequestView *out)
{
    const char *at = (const char *)message->data + sizeof out->fixed;
    if (message->head.kind != WIRE_REQUEST || message->head.size < sizeof out->fixed) return false;
    memcpy(&out->fixed, message->data, sizeof out->fixed);
    const size_t p = out->fixed.path_size, m = out->fixed.model_size, h = out->fixed.header_size;
    if (p > WIRE_MAX_PATH || m > WIRE_MAX_MODEL || h > WIRE_MAX_HEADERS) return false;
    if (message->head.size != sizeof out->fixed + p + m + h + 3) return false;
    out->path = at;
    out->model = at + p + 1;
    out->headers = at + p + m + 2;
    return strlen(out->path) == p && strlen(out->model) == m && strlen(out->headers) == h;
}

/* Sends a HEAD; `headers` may be NULL: lines "name: value\n". Waits for room. */
static inline RingResult wire_send_head(RingPort *port, uint64_t id, int status, const char *type,
                                        const char *headers)
{
    const size_t t = strlen(type), h = headers ? strlen(headers) : 0;
    const WireAnswer a = {(uint16_t)status, (uint16_t)t, (uint32_t)h};
    const RingPart parts[] = {{&a, sizeof a}, {type, t + 1}, {headers, h}};
    if (t > WIRE_MAX_MODEL || h > WIRE_MAX_HEADERS) return RING_BROKEN;
    return ring_send_wait(port, WIRE_HEAD, id, parts, 3, -1);
}

/* False: not a HEAD that can be. *headers is NUL-terminated. */
static inline bool wire_read_head(const RingMessage *message, WireAnswer *fixed, const char **type,
                                  const char **headers)
{
    if (message->head.kind != WIRE_HEAD || message->head.size < sizeof *fixed + 1) return false;
    memcpy(fixed, message->data, sizeof *fixed);
    if (fixed->type_size > WIRE_MAX_MODEL || fixed->header_size > WIRE_MAX_HEADERS) return false;
    if (message->head.size != sizeof *fixed + fixed->type_size + 1 + fixed->header_size)
        return false;
    *type = (const char *)message->data + sizeof *fixed;
    *headers = *type + fixed->type_size + 1;
    return fixed->status >= 200 && fixed->status <= 599 && strlen(*type) == fixed->type_size &&
           strlen(*headers) == fixed->header_size;
}

/* Sends bytes of an answer, cut into pieces. Waits for room. */
static inline RingResult wire_send_data(RingPort *port, uint64_t id, const void *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        const size_t piece = size - at < WIRE_PIECE ? size - at : WIRE_PIECE;
        const RingPart part = {(const char *)data + at, piece};
        RingResult result = ring_send_wait(port, WIRE_DATA, id, &part, 1, -1);
        if (result != RING_OK) return result;
        at += piece;
    }
    return RING_OK;
}

static inline RingResult wire_send_end(RingPort *port, uint64_t id, const WireUsage *usage)
{
    const RingPart part = {usage, sizeof *usage};
    return ring_send_wait(port, WIRE_END, id, &part, 1, -1);
}

/* A message that is a text or nothing: READY, FAILED, STATS, REPORT; CANCEL, DRAIN ... */
static inline RingResult wire_send_text(RingPort *port, uint16_t kind, uint64_t id,
                                        const char *text)
{
    const RingPart part = {text, text ? strlen(text) : 0};
    return ring_send_wait(port, kind, id, &part, text != NULL, -1);
}

#endif
