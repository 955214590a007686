/* Connections and requests, as libmicrohttpd hands them over: what is refused before a body is
 * read, the body, and the moments when a request sleeps, wakes, and is over. Deadlines are ours,
 * because libmicrohttpd's begin anew with each byte: a connection that is late is shut down, and
 * libmicrohttpd then closes it as it would any that broke. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/os.h"
#include "base/watch.h"
#include "serve/front_parts.h"

/* In GnuTLS's words; by itself it would still speak 1.0 and 1.1 (RFC 8996 tells not to). */
#define TLS_VERSIONS "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

#define POOL_BYTES ((size_t)20 << 10) /* of a connection: its headers, and what is on its way */

static double or_usual(double given, double usual)
{
    return given > 0 ? given : usual;
}

/* ---- connections ---- */

static void owes_headers(Front *f, Client *c, double seconds)
{
    c->owes = true;
    c->deadline = os_seconds() + seconds;
    c->prev = f->newest;
    c->next = NULL;
    if (f->newest)
        f->newest->next = c;
    else
        f->oldest = c;
    f->newest = c;
}

static void owes_nothing(Front *f, Client *c)
{
    if (!c->owes) return;
    if (c->prev)
        c->prev->next = c->next;
    else
        f->oldest = c->next;
    if (c->next)
        c->next->prev = c->prev;
    else
        f->newest = c->prev;
    c->owes = false;
}

static void drop(Client *c)
{
    shutdown(c->fd, SHUT_RDWR);
}

/* Room for new ones at the cost of those that stayed silent longest. */
static void make_room(Front *f)
{
    if (f->n_clients < f->most_clients - f->most_clients / 16 || !f->oldest) return;
    drop(f->oldest);
    f->count.dropped_silent++;
    owes_nothing(f, f->oldest);
}

static void on_client(void *user, struct MHD_Connection *mhd, void **context,
                      enum MHD_ConnectionNotificationCode code)
{
    Front *f = user;
    Client *c = *context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        c = mem_zalloc(1, sizeof *c);
        *context = c;
        if (!c || !info) return; /* its first request is refused */
        c->fd = info->connect_fd;
        f->n_clients++;
        f->count.connections++;
        make_room(f);
        owes_headers(f, c, or_usual(f->o->header_seconds, 10));
    } else if (c) {
        bad_closed(f, c);
        owes_nothing(f, c);
        f->n_clients--;
        mem_free(c);
        *context = NULL;
    }
}

/* ---- the table of requests ---- */

Request *request_find(Front *f, uint64_t id)
{
    Request *r = f->table[id % MOST_REQUESTS];
    return r && r->id == id ? r : NULL;
}

static bool request_place(Front *f, Request *r)
{
    for (uint32_t i = 0; i < MOST_REQUESTS; i++) {
        const uint32_t at = (f->next_place + i) % MOST_REQUESTS;
        if (f->table[at]) continue;
        f->table[at] = r;
        f->next_place = at + 1;
        /* front, number, place: never the same twice, and never as small as a tag of watch */
        r->id = (f->o->run + 1) << 52 | (++f->serial & 0xfffffffff) << 16 | at;
        return true;
    }
    return false;
}

static void request_close(Request *r)
{
    Front *f = r->front;
    slots_forget(r);
    access_done(r);
    f->bodies -= r->body_counted;
    f->answers -= r->out_counted;
    f->table[r->id % MOST_REQUESTS] = NULL;
    f->n_requests--;
    if (r->prev)
        r->prev->next = r->next;
    else
        f->requests = r->next;
    if (r->next) r->next->prev = r->prev;
    buf_close(&r->headers);
    buf_close(&r->body);
    buf_close(&r->out);
    mem_free(r->origin);
    mem_free(r->type);
    mem_free(r->extra);
    mem_free(r);
}

/* The access handler may be called many times before this: it makes the request, once. */
static Request *request_open(Front *f, struct MHD_Connection *mhd, const char *url,
                             const char *method)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    if (!info || !info->socket_context) return NULL;
    if (strlen(method) >= sizeof((Request *)0)->method) method = "?"; /* none that we know */
    Request *r = mem_zalloc(1, sizeof *r);
    if (!r) return NULL;
    r->front = f;
    r->mhd = mhd;
    r->client = info->socket_context;
    if (!request_place(f, r)) {
        mem_free(r);
        return NULL;
    }
    owes_nothing(f, r->client);
    r->next = f->requests;
    if (r->next) r->next->prev = r;
    f->requests = r;
    f->n_requests++;
    f->count.requests++;
    r->key = -1;
    r->model = r->slot = -1;
    r->began = os_seconds();
    r->deadline = r->began + or_usual(f->o->body_seconds, 60);
    memcpy(r->method, method, strlen(method) + 1);
    snprintf(r->path, sizeof r->path, "%s", url);
    return r;
}

/* ---- what is looked at before the body ---- */

static const char *header(const Request *r, const char *name)
{
    return MHD_lookup_connection_value(r->mhd, MHD_HEADER_KIND, name);
}

/* Those that a worker is shown; nothing that could end a line, and never what proves who asks. */
static void keep_headers(Request *r)
{
    static const char *const names[] = {"accept", "anthropic-version", "anthropic-beta",
                                        "user-agent"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = header(r, names[i]);
        if (!value || strpbrk(value, "\r\n")) continue;
        if (r->headers.size + strlen(value) + 64 > WIRE_MAX_HEADERS) continue;
        buf_printf(&r->headers, "%s: %s\n", names[i], value);
    }
    const char *given = header(r, "x-request-id");
    size_t n = given ? strspn(given, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                     "0123456789-_.")
                     : 0;
    if (n && n < sizeof r->request_id && !given[n])
        snprintf(r->request_id, sizeof r->request_id, "%s", given);
    else
        snprintf(r->request_id, sizeof r->request_id, "req_%016llx", (unsigned long long)r->id);
    buf_printf(&r->headers, "x-request-id: %s\n", r->request_id);
}

/* JSON, or what clients send who do not say: curl's -d, plain text, nothing. */
static bool type_is_read(const char *type)
{
    static const char *const taken[] = {"application/json", "application/x-www-form-urlencoded",
                                        "text/plain", "text/json"};
    if (!type || !*type) return true;
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        const size_t n = strlen(taken[i]);
        if (strncasecmp(type, taken[i], n) == 0 && (!type[n] || strchr("; \t", type[n])))
            return true;
    }
    const char *slash = strchr(type, '/'), *plus = slash ? strstr(slash, "+json") : NULL;
    return plus != NULL;
}

static bool may(Request *r)
{
    Front *f = r->front;
    const char *host = header(r, "host"), *origin = header(r, "origin");
    if (!access_host(f, host)) {
        f->count.refused_host++;
        say_error(r, API_E_FORBIDDEN,
                  "the Host header names another machine; if '%.100s' is a name of this one, "
                  "allow it with --allow-host",
                  host ? host : "");
        return false;
    }
    if (origin && !access_origin(f, origin, host)) {
        f->count.refused_origin++;
        say_error(r, API_E_FORBIDDEN,
                  "pages of '%.100s' may not ask this server; --cors allows them", origin);
        return false;
    }
    if (origin) r->origin = mem_strdup(origin);
    if (strcmp(r->method, "OPTIONS") == 0) return true;
    const int key = access_key(f, r->mhd);
    if (key == -2 && !r->route.open) {
        f->count.refused_key++;
        say_error(r, API_E_KEY, "this server wants an API key: 'Authorization: Bearer KEY'");
        return false;
    }
    r->key = key < 0 ? -1 : key;
    if (r->key >= 0) {
        memcpy(&r->principal, f->o->keys[r->key].hash, sizeof r->principal);
        r->principal |= 1; /* 0 means none */
    }
    return true;
}

static void allowed_methods(Request *r)
{
    static const char *const lists[] = {"OPTIONS",
                                        "GET, HEAD, OPTIONS",
                                        "POST, OPTIONS",
                                        "GET, HEAD, POST, OPTIONS",
                                        "DELETE, OPTIONS",
                                        "GET, HEAD, DELETE, OPTIONS",
                                        "POST, DELETE, OPTIONS",
                                        "GET, HEAD, POST, DELETE, OPTIONS"};
    ApiRoute unused;
    r->allow = lists[(api_routes("GET", r->path, &unused) ? 1 : 0) +
                     (api_routes("POST", r->path, &unused) ? 2 : 0) +
                     (api_routes("DELETE", r->path, &unused) ? 4 : 0)];
}

static void refuse_route(Request *r)
{
    if (strcmp(r->route.name, "method") == 0) {
        allowed_methods(r);
        say_error(r, API_E_METHOD, "%s takes %s, not %s", r->path, r->allow, r->method);
    } else {
        say_error(r, API_E_NOT_FOUND, "there is no %s here", r->path);
    }
}

/* True: the body is worth reading (if only to be dropped). False: the answer goes out now. */
static bool look_at(Request *r, const char *url)
{
    Front *f = r->front;
    const char *length = header(r, "content-length"), *coding = header(r, "content-encoding");
    const bool known = api_routes(r->method, r->path, &r->route);
    const uint64_t most = known ? r->route.body_limit : 0;
    const bool models = r->route.kind == API_MODELS || r->route.kind == API_MODEL;
    if (models && r->route.flavour == API_OPENAI && header(r, "anthropic-version"))
        r->route.flavour = API_ANTHROPIC; /* its errors are read by Anthropic's clients */
    keep_headers(r);
    unsigned long long size = 0;
    if (length && sscanf(length, "%llu", &size) != 1) size = 0;
    if (bad_head(r, strlen(url))) { /* where its body ends is not known */
        r->refused = r->client->cut = true;
        return false;
    }
    if (!may(r)) {
        r->refused = true;
    } else if (strcmp(r->method, "OPTIONS") == 0) {
        r->refused = true;
        allowed_methods(r);
        say_whole(r, 204, NULL, NULL);
    } else if (!known) {
        r->refused = true;
        refuse_route(r);
    } else if (most && size > most) {
        say_error(r, API_E_TOO_LARGE, "the body has %llu bytes; %s takes at most %llu", size,
                  r->path, (unsigned long long)most);
        r->refused = true;
    } else if (most && (coding || !type_is_read(header(r, "content-type")))) {
        say_error(r, API_E_INVALID, "the body must be JSON, not %.60s %.60s", coding ? coding : "",
                  header(r, "content-type") ? header(r, "content-type") : "");
        r->status = 415;
        r->refused = true;
    } else if (f->draining && !r->route.open) {
        say_error(r, API_E_UNAVAILABLE, "the server is shutting down");
        r->refused = true;
    } else if (size && f->bodies + size > (f->o->most_bodies ? f->o->most_bodies : 512u << 20)) {
        say_busy(r, 2, "too many bodies are on their way; try again");
        r->refused = true;
    }
    /* A client that sends a small body reads the answer after it; a large one is not waited for. */
    r->client->cut = r->refused && size > 64 << 10;
    return !r->client->cut;
}

/* ---- the body ---- */

static void drop_body(Request *r)
{
    buf_close(&r->body);
    r->front->bodies -= r->body_counted;
    r->body_counted = 0;
}

/* What a buffer takes when so much more is in it: not what it holds, twice as much at worst. */
static uint64_t room_for(const Buf *b, size_t more)
{
    uint64_t room = b->capacity ? b->capacity : 64;
    while (room < b->size + more + 1) room *= 2;
    return room;
}

static bool take_body(Request *r, const char *data, size_t size)
{
    Front *f = r->front;
    const uint64_t most = f->o->most_bodies ? f->o->most_bodies : 512u << 20;
    if (r->refused || !r->route.has_body) { /* dropped, but not without end */
        r->body_sent += size;
        return r->body_sent <= 1 << 20;
    }
    if (r->body.size + size > r->route.body_limit) {
        r->refused = true;
        drop_body(r);
        say_error(r, API_E_TOO_LARGE, "the body is larger than %u bytes, which %s takes at most",
                  r->route.body_limit, r->path);
        return true;
    }
    if (f->bodies - r->body_counted + room_for(&r->body, size) > most) {
        r->refused = true;
        drop_body(r);
        say_busy(r, 2, "too many bodies are on their way; try again");
        return true;
    }
    buf_add(&r->body, data, size);
    f->bodies += r->body.capacity - r->body_counted;
    r->body_counted = r->body.capacity;
    if (!r->body.failed) return true;
    r->refused = true;
    drop_body(r);
    say_error(r, API_E_INTERNAL, "not enough memory");
    return true;
}

static void body_is_here(Request *r)
{
    r->deadline = 0;
    watch_add(r->front->watch, r->client->fd, r->id, false);
    if (r->refused) return;
    if (!access_limits(r)) return;
    models_take(r);
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *mhd, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **context)
{
    Front *f = user;
    Request *r = *context;
    (void)version;
    if (!r) {
        r = *context = request_open(f, mhd, url, method);
        if (!r) return MHD_NO;
        return look_at(r, url) ? MHD_YES : say_queue(r);
    }
    if (r->gone || r->queued) return r->gone ? MHD_NO : MHD_YES;
    if (*size) {
        const bool good = take_body(r, data, *size);
        *size = 0;
        return good ? MHD_YES : MHD_NO;
    }
    if (r->deadline > 0) body_is_here(r);
    if (say_ready(r)) return say_queue(r);
    MHD_suspend_connection(mhd);
    r->suspended = true;
    return MHD_YES;
}

void request_wake(Request *r)
{
    if (!r->suspended) return;
    r->suspended = false;
    r->front->more = true;
    MHD_resume_connection(r->mhd);
}

void request_gone(Request *r)
{
    if (r->gone || r->phase == PHASE_OVER) return;
    r->gone = true;
    r->front->count.vanished++;
    slots_forget(r);
    request_wake(r);
}

static void on_done(void *user, struct MHD_Connection *mhd, void **context,
                    enum MHD_RequestTerminationCode code)
{
    Front *f = user;
    Request *r = *context;
    const bool good = code == MHD_REQUEST_TERMINATED_COMPLETED_OK;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    *context = NULL;
    if (info && info->socket_context) bad_done(info->socket_context, mhd, r, good, f->turn);
    if (!r) return;
    if (!good && r->phase != PHASE_OVER && !r->gone) f->count.vanished++;
    watch_remove(f->watch, r->client->fd);
    owes_headers(f, r->client, or_usual(f->o->idle_seconds, 120));
    request_close(r);
}

/* ---- deadlines ---- */

void http_sweep(Front *f, double now)
{
    held_sweep(f, now);
    look_sweep(f, now);
    for (Client *c = f->oldest, *next; c; c = next) {
        next = c->next;
        if (now < c->deadline) continue;
        bad_late(f, c);
        drop(c);
        owes_nothing(f, c);
        f->count.dropped_silent++;
    }
    const double write_s = or_usual(f->o->write_seconds, 30);
    const double load_s = or_usual(f->o->load_seconds, 600);
    for (Request *r = f->requests, *next; r; r = next) {
        next = r->next;
        const bool behind = r->queued && (r->out.size > r->out_at || r->phase == PHASE_OVER);
        if (r->deadline > 0 ? now > r->deadline : behind && now > r->mark_at + write_s) {
            f->count.slow++;
            r->gone = true;
            slots_forget(r);
            if (!r->queued) bad_late(f, r->client);
            drop(r->client);
            request_wake(r);
        } else if (r->phase == PHASE_MODEL && now > r->began + load_s) {
            slots_forget(r);
            say_busy(r, 30, "the model did not load within %.0f seconds", load_s);
        }
    }
}

/* ---- start ---- */

static bool loopback(const char *host)
{
    return strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
           strcmp(host, "::1") == 0;
}

bt_status http_open(Front *f, bt_error *err)
{
    const FrontOptions *o = f->o;
    const unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
                           /* TURBO: it leaves closing a connection's sending half to us */
                           (o->tls_cert ? MHD_USE_TLS : MHD_USE_TURBO);
    const unsigned each = loopback(o->host)     ? 0
                          : o->most_per_address ? (unsigned)o->most_per_address
                                                : 512;
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)o->tls_cert},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)o->tls_key},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)TLS_VERSIONS},
        {MHD_OPTION_END, 0, NULL},
    };
    if (!o->tls_cert) tls[0] = tls[3];
    for (int i = 0; i < f->n_listeners; i++) {
        f->daemon[i] = MHD_start_daemon(
            flags, (uint16_t)f->port, NULL, NULL, on_request, f, MHD_OPTION_EXTERNAL_LOGGER,
            bad_log, f, MHD_OPTION_URI_LOG_CALLBACK, bad_begins, f, MHD_OPTION_LISTEN_SOCKET,
            f->listener[i], MHD_OPTION_CONNECTION_MEMORY_LIMIT, POOL_BYTES,
            MHD_OPTION_CONNECTION_LIMIT, (unsigned)f->most_clients,
            MHD_OPTION_PER_IP_CONNECTION_LIMIT, each, MHD_OPTION_NOTIFY_COMPLETED, on_done, f,
            MHD_OPTION_NOTIFY_CONNECTION, on_client, f, MHD_OPTION_STRICT_FOR_CLIENT, 1,
            MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
        if (!f->daemon[i])
            return bt_fail(err, BT_E_SYSTEM,
                           o->tls_cert ? "libmicrohttpd does not start: is the certificate, or its "
                                         "key, no PEM file?"
                                       : "libmicrohttpd does not start (no epoll, or no memory)");
    }
    return BT_OK;
}
