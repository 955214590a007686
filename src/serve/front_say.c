/* What a client is told. Bytes wait in the request until libmicrohttpd takes them; nothing waits
 * for a client that does not: past a bound, or after a deadline (http_sweep), it is dropped. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "serve/front_parts.h"

#define KEPT ((size_t)256 << 10) /* of a buffer that is empty again */

static const char *const class_of[] = {"", "1xx", "2xx", "3xx", "4xx", "5xx"};

/* ---- making ---- */

static void set_head(Request *r, int status, const char *type, const char *extra)
{
    mem_free(r->type);
    mem_free(r->extra);
    r->status = status;
    r->type = type ? mem_strdup(type) : NULL;
    r->extra = extra && *extra ? mem_strdup(extra) : NULL;
    r->head = true;
}

void say_head(Request *r, int status, const char *type, const char *extra)
{
    set_head(r, status, type, extra);
    r->stream_as = strncmp(type, "text/event-stream", 17) == 0      ? API_STREAM_SSE
                   : strncmp(type, "application/x-ndjson", 20) == 0 ? API_STREAM_NDJSON
                                                                    : API_STREAM_NOT;
    r->stream = r->stream_as != API_STREAM_NOT;
    if (r->stream) request_wake(r);
}

/* One that is not behind does not suffer for those that are. */
static bool too_much_in_all(Request *r, size_t behind)
{
    Front *f = r->front;
    const uint64_t most = f->o->most_answers ? f->o->most_answers : (uint64_t)1 << 30;
    f->answers += r->out.capacity - r->out_counted;
    r->out_counted = r->out.capacity;
    return f->answers > most && behind > KEPT;
}

void say_data(Request *r, const void *data, size_t size)
{
    if (r->out_at == r->out.size) { /* caught up: begin at the front again */
        r->out_at = 0;
        r->mark_at = os_seconds();
        if (r->out.capacity > KEPT)
            buf_close(&r->out);
        else
            buf_clear(&r->out);
        r->mark = r->made + size;
    } else if (r->out_at > KEPT && r->out_at > r->out.size / 2) {
        memmove(r->out.data, r->out.data + r->out_at, r->out.size - r->out_at);
        r->out.size -= r->out_at;
        r->out_at = 0;
    }
    buf_add(&r->out, data, size);
    r->made += size;
    if (!r->stream && !r->queued && r->out.size > WHOLE_AT_ONCE) r->stream = true;
    const size_t behind = r->out.size - r->out_at;
    if (r->out.failed || behind > (r->stream_as ? MOST_STREAM_LAG : MOST_WHOLE) ||
        too_much_in_all(r, behind)) {
        r->front->count.slow++;
        r->gone = true;
        slots_forget(r);
    }
    if (r->stream || r->gone) request_wake(r);
}

void say_end(Request *r)
{
    r->phase = PHASE_OVER;
    if (r->out_at == r->out.size) r->mark_at = os_seconds();
    request_wake(r);
}

void say_whole(Request *r, int status, const char *type, Buf *text)
{
    set_head(r, status, type, NULL);
    r->stream = false;
    buf_clear(&r->out);
    r->out_at = 0;
    if (text && text->data) buf_add(&r->out, text->data, text->size);
    say_end(r);
}

static void error_out(Request *r, const ApiError *e)
{
    Buf text = {0};
    int status = 500;
    r->retry_after = e->retry_after;
    if (r->queued && r->stream_as) {
        api_reply_error(r->route.flavour, e, r->stream_as, NULL, &text);
        if (text.data) say_data(r, text.data, text.size);
        say_end(r);
    } else if (r->queued) { /* no way to say it: the connection breaks off */
        r->gone = true;
        request_wake(r);
    } else {
        api_reply_error(r->route.flavour, e, API_STREAM_NOT, &status, &text);
        say_whole(r, status, "application/json", &text);
    }
    buf_close(&text);
}

void say_error(Request *r, ApiErrorKind kind, const char *format, ...)
{
    ApiError e = {.kind = kind, .retry_after = kind == API_E_UNAVAILABLE ? 5 : 0};
    va_list args;
    va_start(args, format);
    vsnprintf(e.text, sizeof e.text, format, args);
    va_end(args);
    error_out(r, &e);
}

void say_busy(Request *r, int seconds, const char *format, ...)
{
    ApiError e = {.kind = API_E_BUSY, .retry_after = seconds};
    va_list args;
    va_start(args, format);
    vsnprintf(e.text, sizeof e.text, format, args);
    va_end(args);
    error_out(r, &e);
}

/* ---- handing over ---- */

bool say_ready(const Request *r)
{
    return r->phase == PHASE_OVER || (r->head && r->stream);
}

static ssize_t give(void *user, uint64_t position, char *out, size_t most)
{
    Request *r = user;
    size_t n = r->out.size - r->out_at;
    (void)position;
    if (r->gone) return MHD_CONTENT_READER_END_WITH_ERROR;
    if (n == 0) {
        if (r->phase == PHASE_OVER) return MHD_CONTENT_READER_END_OF_STREAM;
        MHD_suspend_connection(r->mhd);
        r->suspended = true;
        return 0;
    }
    if (n > most) n = most;
    memcpy(out, r->out.data + r->out_at, n);
    r->out_at += n;
    r->taken += n;
    if (r->taken >= r->mark) { /* all that was there at the last mark is gone */
        r->mark = r->made;
        r->mark_at = os_seconds();
    }
    return (ssize_t)n;
}

static void add(struct MHD_Response *m, const char *name, const char *value)
{
    if (value && *value) MHD_add_response_header(m, name, value);
}

/* Lines "name: value\n" of the worker; it names the content type elsewhere, and no other header of
 * the protocol's own can come from it. */
static void add_lines(struct MHD_Response *m, char *lines)
{
    for (char *line = lines, *end; line && *line; line = end) {
        end = strchr(line, '\n');
        if (end) *end++ = 0;
        char *colon = strchr(line, ':');
        if (!colon || strncmp(line, "x-bantam-", 9) == 0) continue;
        *colon++ = 0;
        if (strncmp(line, "content-", 8) == 0 || strcmp(line, "transfer-encoding") == 0 ||
            strcmp(line, "connection") == 0)
            continue;
        add(m, line, colon + strspn(colon, " "));
    }
}

static void add_headers(Request *r, struct MHD_Response *m)
{
    char number[16];
    add(m, "Content-Type", r->type);
    add(m, "X-Request-Id", r->request_id);
    add(m, "Allow", r->allow);
    add(m, "X-Content-Type-Options", "nosniff");
    if (r->stream_as) add(m, "Cache-Control", "no-cache");
    if (r->retry_after > 0) {
        snprintf(number, sizeof number, "%d", r->retry_after);
        add(m, "Retry-After", number);
    }
    if (r->status == 401) add(m, "WWW-Authenticate", "Bearer");
    if (r->origin) {
        add(m, "Access-Control-Allow-Origin", r->origin);
        add(m, "Vary", "Origin");
        add(m, "Access-Control-Expose-Headers", "X-Request-Id, Retry-After");
        if (strcmp(r->method, "OPTIONS") == 0) {
            add(m, "Access-Control-Allow-Methods", r->allow);
            add(m, "Access-Control-Allow-Headers",
                "Authorization, Content-Type, X-Api-Key, Anthropic-Version, Anthropic-Beta, "
                "Anthropic-Dangerous-Direct-Browser-Access, X-Request-Id, X-Stainless-Arch, "
                "X-Stainless-Lang, X-Stainless-Os, X-Stainless-Package-Version, "
                "X-Stainless-Runtime, X-Stainless-Runtime-Version, X-Stainless-Retry-Count, "
                "X-Stainless-Timeout, X-Stainless-Helper-Method, User-Agent");
            add(m, "Access-Control-Max-Age", "600");
        }
    }
    if (r->extra) add_lines(m, r->extra);
}

enum MHD_Result say_queue(Request *r)
{
    const bool whole = r->phase == PHASE_OVER;
    const size_t size = r->out.size - r->out_at;
    struct MHD_Response *m;
    if (whole && size == 0)
        m = MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
    else
        m = MHD_create_response_from_callback(whole ? size : MHD_SIZE_UNKNOWN, 16 << 10, give, r,
                                              NULL);
    if (!m) return MHD_NO;
    add_headers(r, m);
    enum MHD_Result result = MHD_queue_response(r->mhd, (unsigned)r->status, m);
    MHD_destroy_response(m);
    r->queued = result == MHD_YES;
    r->mark = r->made;
    r->mark_at = os_seconds();
    r->deadline = 0;
    const int class = r->status / 100;
    if (class >= 1 && class <= 5) r->front->count.by_class[class]++;
    if (r->front->o->log_requests)
        log_line(BT_LOG_INFO, "%s %s %s %d (%s) after %.0f ms", r->request_id, r->method,
                 r->route.name ? r->route.name : "-", r->status, class_of[class % 6],
                 1000 * (os_seconds() - r->began));
    return result;
}
