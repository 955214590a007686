/* Requests that are no HTTP, and last words to a connection.
 *
 * libmicrohttpd refuses what it cannot read with pages of its own and offers no way to replace
 * them. They are all that it writes by sendmsg, a call that this process gave up: so it fails, and
 * closes the connection. Before that it tells us twice: on_done, while the status it meant is still
 * to be had, and when the socket is about to go. Then the answer goes out from here, in the shape
 * of the API that the path belongs to. (Over TLS, whose library needs that call, its page goes out
 * as it is.)
 *
 * A socket that is closed while bytes of the client lie unread takes the answer with it: the kernel
 * resets the connection. Such a one is held a moment longer under another descriptor, and what
 * still comes is thrown away. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/watch.h"
#include "serve/front_parts.h"

#define HELD_SECONDS 2.0
#define MOST_THROWN  ((size_t)32 << 20) /* bytes of one that is held */

/* ---- what libmicrohttpd says ---- */

void bad_log(void *user, const char *format, va_list args)
{
    Front *f = user;
    char line[256];
    vsnprintf(line, sizeof line, format, args);
    for (const char *c = line; (c = strpbrk(c, "0123456789")); c += strspn(c, "0123456789")) {
        const long n = strtol(c, NULL, 10);
        if (n >= 400 && n <= 599) f->refused_as = (int)n;
    }
}

/* The request's first line was read: from here on on_done is called, however it ends. */
void *bad_begins(void *user, const char *uri, struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    Client *c = info ? info->socket_context : NULL;
    (void)user;
    if (c && uri) snprintf(c->path, sizeof c->path, "%.*s", (int)strcspn(uri, "?"), uri);
    return NULL;
}

/* ---- answering ---- */

static const char *reason(int status, ApiErrorKind *kind)
{
    *kind = API_E_INVALID;
    switch (status) {
    case 408: return "the request did not come within its time";
    case 413: *kind = API_E_TOO_LARGE; return "the body is larger than anything taken here";
    case 414: return "the request's first line is longer than this server reads";
    case 431: return "the headers are longer than this server reads (20 KiB)";
    case 500: *kind = API_E_INTERNAL; return "not enough memory";
    case 505: return "this server speaks HTTP/1.1 and HTTP/1.0";
    default: return "this is no HTTP/1.1 request";
    }
}

/* As far as the socket takes it at once, which is all of it unless the client reads nothing. */
static void say(Front *f, Client *c, int status, const Buf *given)
{
    Buf out = {0}, body = {0};
    ApiError e = {0};
    ApiRoute route = {0};
    const char *why = reason(status, &e.kind);
    if (given && given->size) {
        buf_add(&body, given->data, given->size);
    } else {
        snprintf(e.text, sizeof e.text, "%s", why);
        api_routes("POST", c->path, &route);
        api_reply_error(route.flavour, &e, API_STREAM_NOT, NULL, &body);
    }
    buf_printf(&out,
               "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Type: application/json\r\n"
               "X-Content-Type-Options: nosniff\r\nContent-Length: %zu\r\n\r\n",
               status, MHD_get_reason_phrase_for((unsigned)status), body.size);
    buf_add(&out, body.data, body.size);
    if (!out.failed && !body.failed) {
        const ssize_t sent = send(c->fd, out.data, out.size, MSG_NOSIGNAL | MSG_DONTWAIT);
        f->count.malformed++;
        f->count.by_class[status / 100]++;
        if (f->o->log_requests)
            log_line(BT_LOG_INFO, "a request that cannot be read: %d%s", status,
                     sent < 0 ? " (not delivered)" : "");
    }
    buf_close(&out);
    buf_close(&body);
}

void bad_late(Front *f, Client *c)
{
    if (!f->o->tls_cert && c->path[0]) say(f, c, 408, NULL);
}

/* libmicrohttpd is done with the request `r` (NULL: it was none) and may close the connection. */
void bad_done(Client *c, struct MHD_Connection *mhd, Request *r, bool good, uint64_t turn)
{
    c->done = turn;
    if (good) {
        c->path[0] = 0;
        return;
    }
    if (r && (r->queued || r->gone)) {
        c->told = true; /* part of an answer went out: there is no place for another */
        return;
    }
    const union MHD_ConnectionInfo *status =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_HTTP_STATUS);
    if (status) {
        c->refused_as = (int)status->http_status;
    } else if (r && r->refused && r->phase == PHASE_OVER) { /* its body had no end */
        c->refused_as = r->status;
        c->last = r->out;
        r->out = (Buf){0};
    }
}

/* ---- holding ---- */

static void let_go(Front *f, int i)
{
    watch_remove(f->watch, f->held[i].fd);
    close(f->held[i].fd);
    f->held[i] = f->held[--f->n_held];
    if (i < f->n_held) /* it has another number now */
        watch_add(f->watch, f->held[i].fd, (uint64_t)(TAG_HELD + i), true);
}

static void hold(Front *f, int fd)
{
    const int other = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (other < 0) return;
    shutdown(other, SHUT_WR);
    if (f->n_held == MOST_HELD) let_go(f, 0);
    const int at = f->n_held++;
    f->held[at] = (Held){other, os_seconds() + HELD_SECONDS, 0};
    watch_add(f->watch, other, (uint64_t)(TAG_HELD + at), true);
}

static bool throw_away(Held *h)
{
    char part[16 << 10];
    ssize_t n = 0;
    for (int i = 0; i < 64 && (n = recv(h->fd, part, sizeof part, MSG_DONTWAIT)) > 0; i++)
        h->thrown += (size_t)n;
    return h->thrown < MOST_THROWN && (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)));
}

void held_event(Front *f, int i)
{
    if (i < f->n_held && !throw_away(&f->held[i])) let_go(f, i);
}

void held_sweep(Front *f, double now)
{
    for (int i = f->n_held - 1; i >= 0; i--)
        if (now > f->held[i].until) let_go(f, i);
}

/* The socket is about to be closed. */
void bad_closed(Front *f, Client *c)
{
    char byte;
    const ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    const bool reset = n < 0 && errno != EAGAIN, plain = !f->o->tls_cert;
    int status = c->refused_as;
    /* Not the client, not we, and not the end of an answer: its first line was refused. */
    if (!status && c->owes && !c->path[0] && n != 0 && c->done != f->turn)
        status = f->refused_as ? f->refused_as : 400;
    if (plain && status && !c->told && !reset) say(f, c, status, &c->last);
    if (plain && !reset && n != 0 && (n > 0 || status || c->cut)) hold(f, c->fd);
    buf_close(&c->last);
}

/* ---- heads that libmicrohttpd takes, and a strict reader does not ---- */

typedef struct Heads {
    int lengths, codings, hosts;
    bool bad, other_coding;
} Heads;

static bool is_token(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] <= ' ' || s[i] == 127 || strchr("\"(),/:;<=>?@[\\]{}", s[i])) return false;
    return n > 0;
}

static bool is_field(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (((unsigned char)s[i] < 32 && s[i] != '\t') || s[i] == 127) return false;
    return true;
}

static bool is(const char *a, size_t n, const char *b)
{
    return strlen(b) == n && strncasecmp(a, b, n) == 0;
}

static enum MHD_Result look(void *user, enum MHD_ValueKind kind, const char *key, size_t key_size,
                            const char *value, size_t value_size)
{
    Heads *h = user;
    (void)kind;
    if (!is_token(key, key_size) || (value && !is_field(value, value_size))) h->bad = true;
    if (is(key, key_size, "content-length")) h->lengths++;
    if (is(key, key_size, "host")) h->hosts++;
    if (is(key, key_size, "transfer-encoding")) {
        h->codings++;
        h->other_coding |= !value || !is(value, value_size, "chunked");
    }
    return MHD_YES;
}

/* Two readers of one connection must not differ on where a body ends. */
bool bad_head(Request *r, size_t path_size)
{
    Heads h = {0};
    MHD_get_connection_values_n(r->mhd, MHD_HEADER_KIND, look, &h);
    int status = 400;
    const char *why = NULL;
    if (path_size > WIRE_MAX_PATH) {
        status = 414;
        why = "the path is longer than anything here";
    } else if (h.bad) {
        why = "a header has bytes that may not be there";
    } else if (h.lengths > 1 || h.hosts > 1) {
        why = "Content-Length and Host may come once";
    } else if (h.lengths && h.codings) {
        why = "Content-Length and Transfer-Encoding exclude each other";
    } else if (h.codings > 1 || h.other_coding) {
        status = 501;
        why = "the only Transfer-Encoding here is chunked";
    }
    if (!why) return false;
    r->front->count.malformed++;
    say_error(r, API_E_INVALID, "%s", why);
    r->status = status;
    return true;
}
