/* The front's process: listening, giving up rights, and the loop that waits for clients, workers
 * and the supervisor at once. See front.h. */
#include "serve/front.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/sandbox.h"
#include "base/watch.h"
#include "serve/front_parts.h"

enum { EVENTS = 256, SWEEP_MS = 250 };
enum { EXIT_NO_LISTENING = 2, EXIT_BROKEN = 3 };

/* ---- listening ---- */

static int listen_on(const char *host, int port)
{
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } a = {0};
    socklen_t size = sizeof a.four;
    const int yes = 1;
    a.four.sin_family = AF_INET;
    a.four.sin_port = htons((uint16_t)port);
    if (inet_pton(AF_INET, host, &a.four.sin_addr) != 1) {
        memset(&a, 0, sizeof a);
        a.six.sin6_family = AF_INET6;
        a.six.sin6_port = htons((uint16_t)port);
        size = sizeof a.six;
        if (inet_pton(AF_INET6, host, &a.six.sin6_addr) != 1) {
            errno = EINVAL;
            return -1;
        }
    }
    int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (a.any.sa_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
    if (bind(fd, &a.any, size) == 0 && listen(fd, 4096) == 0) return fd;
    const int why = errno;
    close(fd);
    errno = why;
    return -1;
}

static int port_of(int fd)
{
    struct sockaddr_storage a;
    socklen_t size = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &size) != 0) return 0;
    return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
                                         : ((struct sockaddr_in *)&a)->sin_port);
}

static bt_status start_listening(Front *f, bt_error *err)
{
    const FrontOptions *o = f->o;
    const bool local = strcmp(o->host, "localhost") == 0;
    const char *host = local ? "127.0.0.1" : o->host;
    int fd = -1, port = o->port;
    for (int i = 0; i < o->ports && fd < 0 && port <= 65535; i++, port++) {
        fd = listen_on(host, port);
        if (fd < 0 && errno != EADDRINUSE) break;
    }
    if (fd < 0)
        return bt_fail(err, BT_E_SYSTEM, "cannot listen at %s port %d: %s%s", o->host, o->port,
                       strerror(errno), errno == EADDRINUSE ? "; choose another with --port" : "");
    f->port = port_of(fd);
    f->listener[f->n_listeners++] = fd;
    if (local && (fd = listen_on("::1", f->port)) >= 0) f->listener[f->n_listeners++] = fd;
    const bool six = strchr(o->host, ':') != NULL;
    snprintf(f->url, sizeof f->url, "%s://%s%s%s:%d", o->tls_cert ? "https" : "http",
             six ? "[" : "", local ? "127.0.0.1" : o->host, six ? "]" : "", f->port);
    return BT_OK;
}

/* ---- rights ---- */

/* How many connections there may be: as many as were asked for, if the system gives that many
 * descriptors. At that bound the oldest silent ones go; past the system's own nobody would. */
static int connections(int wanted)
{
    enum { USUAL = 16384, OTHERS = 128 + MOST_HELD, LEAST = 64 };
    struct rlimit limit;
    const int most = wanted ? wanted : USUAL;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return most;
    const rlim_t want = (rlim_t)most + OTHERS;
    if (limit.rlim_cur < want) {
        const bool enough = limit.rlim_max == RLIM_INFINITY || limit.rlim_max > want;
        limit.rlim_cur = enough ? want : limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur >= want) return most;
    return limit.rlim_cur > OTHERS + LEAST ? (int)(limit.rlim_cur - OTHERS) : LEAST;
}

/* Sockets that whoever started us left open are nothing to us, and might lead somewhere. */
static void close_strangers(const Front *f)
{
    struct stat st;
    for (int fd = 3; fd < 1024; fd++) {
        if (fstat(fd, &st) != 0 || !S_ISSOCK(st.st_mode)) continue;
        bool ours = false;
        for (int i = 0; i < f->n_listeners; i++) ours |= fd == f->listener[i];
        if (!ours) close(fd);
    }
}

static bt_status give_up_rights(const Front *f, bt_error *err)
{
    close_strangers(f);
    SandboxReport report;
    const SandboxOptions box = {.accepts = true, .tls = f->o->tls_cert != NULL};
    return sandbox_enter(&box, &report, err);
}

/* ---- the loop ---- */

static void hear_supervisor(Front *f)
{
    RingMessage m;
    RingResult result;
    while ((result = ring_receive(&f->control, &m)) == RING_OK) {
        ControlSlot slot;
        ControlNumber n;
        switch (m.head.kind) {
        case CONTROL_SLOT:
            if (control_read(&m, &slot, sizeof slot)) slots_control(f, &slot);
            break;
        case CONTROL_DRAIN:
            if (!control_read(&m, &n, sizeof n)) break;
            f->draining = true;
            f->drain_until = os_seconds() + (double)n.a;
            break;
        case CONTROL_CHECK: slots_check(f); break;
        default: models_control(f, &m); break;
        }
    }
    if (result == RING_BROKEN) watch_child_ends(EXIT_BROKEN);
}

static int time_to_sleep(Front *f)
{
    int ms = SWEEP_MS;
    for (int i = 0; i < f->n_listeners; i++) {
        MHD_UNSIGNED_LONG_LONG wish;
        if (MHD_get_timeout(f->daemon[i], &wish) == MHD_YES && wish < (unsigned)ms) ms = (int)wish;
    }
    if (f->more || !ring_arm(&f->control)) return 0;
    for (int i = 0; i < SERVE_SLOTS; i++)
        if (f->slot[i].joined && !ring_arm(&f->slot[i].port)) return 0;
    return ms;
}

static void hear_events(Front *f, const WatchEvent *events, int n)
{
    for (int i = 0; i < n; i++) {
        const uint64_t tag = events[i].tag;
        if (tag == TAG_CONTROL) {
            ring_bell_clear(&f->control);
        } else if (tag >= TAG_SLOT && tag < TAG_SLOT + SERVE_SLOTS) {
            os_bell_clear(f->slot[tag - TAG_SLOT].memory->to_front[0]);
            slots_pump(&f->slot[tag - TAG_SLOT]);
        } else if (tag >= TAG_HELD && tag < TAG_HELD + MOST_HELD) {
            held_event(f, (int)(tag - TAG_HELD));
        } else if (tag > UINT32_MAX) {
            Request *r = request_find(f, tag);
            if (r && events[i].gone) request_gone(r);
        }
    }
}

/* Streams that still run when the time is over end with an error of their API. */
static void drain(Front *f, double now)
{
    if (!f->draining || f->drained) return;
    if (now >= f->drain_until) {
        for (Request *r = f->requests, *next; r; r = next) {
            next = r->next;
            if (r->phase == PHASE_OVER) continue;
            slots_forget(r);
            say_error(r, API_E_UNAVAILABLE, "the server is shutting down");
        }
    }
    if (f->requests && now < f->drain_until + 5) return;
    f->drained = true;
    slots_drain(f);
    control_send(&f->control, CONTROL_DRAINED, "", 0, NULL, 0);
}

void front_turn(Front *f, int most_ms)
{
    WatchEvent events[EVENTS];
    const int ms = time_to_sleep(f);
    hear_events(f, events, watch_wait(f->watch, events, EVENTS, ms < most_ms ? ms : most_ms));
    f->more = false;
    f->turn++;
    f->refused_as = 0;
    hear_supervisor(f);
    slots_receive(f);
    for (int i = 0; i < f->n_listeners; i++) MHD_run(f->daemon[i]);
    const double now = os_seconds();
    if (now - f->swept >= SWEEP_MS / 1000.0) {
        slots_sweep(f, now - f->swept);
        f->swept = now;
        http_sweep(f, now);
    }
    drain(f, now);
}

/* ---- start ---- */

bt_status front_open(Front *f, const FrontOptions *o, bt_error *err)
{
    memset(f, 0, sizeof *f);
    f->o = o;
    if (ring_join(&f->control, o->control, RING_FRONT, true, err)) return BT_E_FORMAT;
    f->most_clients = connections(o->most_connections);
    f->model = mem_zalloc(CONTROL_MODELS, sizeof *f->model);
    f->table = mem_zalloc(MOST_REQUESTS, sizeof *f->table);
    f->use = mem_zalloc(o->n_keys + 1, sizeof *f->use);
    if (!f->model || !f->table || !f->use) return bt_fail_memory(err, "the server", 0);
    for (int i = 0; i < CONTROL_MODELS; i++) f->model[i].slot = -1;
    f->started = os_seconds();
    bt_status status = watch_open(&f->watch, err);
    if (!status) status = start_listening(f, err);
    if (!status) status = http_open(f, err);
    for (int i = 0; i < f->n_listeners && !status; i++) {
        const union MHD_DaemonInfo *info =
            MHD_get_daemon_info(f->daemon[i], MHD_DAEMON_INFO_EPOLL_FD);
        if (!info || !watch_add(f->watch, info->epoll_fd, (uint64_t)(TAG_HTTP + i), true))
            status = bt_fail(err, BT_E_SYSTEM, "libmicrohttpd has no epoll here");
    }
    if (!watch_add(f->watch, ring_bell(&f->control), TAG_CONTROL, true) && !status)
        status = bt_fail(err, BT_E_SYSTEM, "cannot watch the supervisor");
    for (int i = 0; i < SERVE_SLOTS && !status; i++) {
        f->slot[i].memory = &o->slots[i];
        f->slot[i].model = -1;
        if (!watch_add(f->watch, o->slots[i].to_front[0], (uint64_t)(TAG_SLOT + i), true))
            status = bt_fail(err, BT_E_SYSTEM, "cannot watch the workers");
    }
    return status;
}

int front_main(const FrontOptions *options)
{
    static Front front; /* large; the process has one */
    Front *f = &front;
    bt_error err = {0};
    bt_status status = front_open(f, options, &err);
    if (status == BT_E_FORMAT) return EXIT_BROKEN; /* there is nobody to tell */
    if (!status) status = give_up_rights(f, &err);
    if (status) {
        ring_send_wait(&f->control, CONTROL_REFUSED, 0, &(RingPart){err.text, strlen(err.text)}, 1,
                       1000);
        return EXIT_NO_LISTENING;
    }
    hear_supervisor(f); /* the catalogue, before the first client */
    ring_send_wait(&f->control, CONTROL_LISTENING, 0, &(RingPart){f->url, strlen(f->url)}, 1, 1000);
    while (!f->drained) front_turn(f, SWEEP_MS);
    return 0;
}
