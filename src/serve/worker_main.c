/* A worker's process (see worker_main.h): this thread is the intake, another one steps. */
#include "serve/worker_main.h"

#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/os.h"
#include "base/sandbox.h"
#include "io/find.h"
#include "serve/wire.h"
#include "serve/worker_inner.h"

enum { MOST_BODY = API_MAX_BODY, MOST_ARRIVING = 256, STATS_MS = 1000, SLEEP_MS = 500 };

/* A request whose body is still coming. */
typedef struct Arriving {
    uint64_t id;
    WireRequest fixed;
    char *path, *headers;
    Buf body;
} Arriving;

typedef struct Process {
    RingPort port;
    Worker *worker;
    const WorkerModel *model;
    Arriving arriving[MOST_ARRIVING];
    size_t n_arriving;
    atomic_bool drain, over, broken; /* over: no more steps */
    double told;                     /* os_seconds of the last STATS */
    pthread_t steps;
} Process;

/* ---- rights ---- */

static void grant(SandboxOptions *o, SandboxGrant *rows, size_t most, const char *path, bool write)
{
    struct stat st;
    if (path && o->n_grants < most && stat(path, &st) == 0)
        rows[o->n_grants++] = (SandboxGrant){path, write};
}

/* `writes`: the cache and what is remembered on disk too. */
static bt_status enter_box(const WorkerModel *m, bool writes, bt_error *err)
{
    enum { MOST = 32 + 2 * FIND_MAX_PARTS };
    static const char *const machine[] = {"/proc/meminfo", "/proc/cpuinfo", "/proc/self",
                                          "/sys/fs/cgroup", "/sys/devices/system"};
    SandboxGrant rows[MOST];
    SandboxOptions options = {.grants = rows};
    SandboxReport report;
    Buf files = {0};
    if (m->no_sandbox) return BT_OK;
    find_model_files(m->path, &files);
    for (size_t i = 0; i < m->n_adapters && writes; i++)
        find_model_files(m->adapters[i].path, &files);
    for (size_t at = 0; at < files.size && !files.failed; at += strlen(files.data + at) + 1)
        grant(&options, rows, MOST, files.data + at, false);
    if (writes) grant(&options, rows, MOST, m->cache_dir, true);
    if (writes) grant(&options, rows, MOST, m->spill_dir, true);
    for (size_t i = 0; i < sizeof machine / sizeof *machine; i++)
        grant(&options, rows, MOST, machine[i], false);
#ifdef BANTAM_SANITIZED
    options.wide = true;
#endif
    bt_status status = sandbox_enter(&options, &report, err);
    buf_close(&files);
    return status;
}

/* The terminal's signals are the supervisor's affair: it says DRAIN, or ends us. */
static void leave_signals(void)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    static const int all[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) sigaction(all[i], &ignore, NULL);
}

/* ---- the sink: answers into the ring ---- */

static void sent(Process *p, RingResult result)
{
    if (result == RING_OK) return;
    atomic_store(&p->broken, true);
    ring_wake_mine(&p->port);
}

static void sink_head(void *user, uint64_t id, int status, const char *type, const char *headers)
{
    Process *p = user;
    sent(p, wire_send_head(&p->port, id, status, type, headers));
}

static void sink_data(void *user, uint64_t id, const char *bytes, size_t size)
{
    Process *p = user;
    sent(p, wire_send_data(&p->port, id, bytes, size));
}

static void sink_end(void *user, uint64_t id, const WorkerUsage *u)
{
    Process *p = user;
    const WireUsage usage = {u->prompt,    u->cached,     u->completion, 0,
                             u->queued_us, u->prefill_us, u->decode_us};
    sent(p, wire_send_end(&p->port, id, &usage));
}

static void tell(Process *p, uint16_t kind, uint64_t id, const char *text)
{
    sent(p, wire_send_text(&p->port, kind, id, text));
}

/* ---- requests that arrive ---- */

static void forget(Process *p, Arriving *a)
{
    mem_free(a->path);
    mem_free(a->headers);
    buf_close(&a->body);
    *a = p->arriving[--p->n_arriving];
    p->arriving[p->n_arriving] = (Arriving){0};
}

static Arriving *find(Process *p, uint64_t id)
{
    for (size_t i = 0; i < p->n_arriving; i++)
        if (p->arriving[i].id == id) return &p->arriving[i];
    return NULL;
}

/* A front that breaks the rules gets an end and nothing else. */
static void turn_away(Process *p, uint64_t id)
{
    static const WorkerUsage none;
    sink_head(p, id, 503, "application/json", "retry-after: 1\n");
    sink_end(p, id, &none);
}

static void on_request(Process *p, const RingMessage *m)
{
    WireRequestView view;
    if (!wire_read_request(m, &view) || view.fixed.body_size > MOST_BODY ||
        p->n_arriving == MOST_ARRIVING || find(p, m->head.id)) {
        turn_away(p, m->head.id);
        return;
    }
    Arriving *a = &p->arriving[p->n_arriving++];
    *a = (Arriving){m->head.id, view.fixed, mem_strdup(view.path), mem_strdup(view.headers), {0}};
    if (a->path && a->headers) return;
    forget(p, a);
    turn_away(p, m->head.id);
}

static void on_body(Process *p, const RingMessage *m)
{
    Arriving *a = find(p, m->head.id);
    if (!a) return;
    if (a->body.size + m->head.size > a->fixed.body_size)
        a->body.failed = true; /* more than it said */
    else
        buf_add(&a->body, m->data, m->head.size);
}

static void on_body_end(Process *p, uint64_t id)
{
    static const char *const methods[] = {"", "GET", "POST", "DELETE"};
    Arriving *a = find(p, id);
    if (!a) return;
    bool good = !a->body.failed && a->body.size == a->fixed.body_size && a->fixed.method >= 1 &&
                a->fixed.method <= 3;
    if (good) {
        const WorkerRequest request = {.id = id,
                                       .principal = a->fixed.principal,
                                       .http = {methods[a->fixed.method], a->path,
                                                a->body.data ? a->body.data : "", a->body.size,
                                                a->headers}};
        worker_request(p->worker, &request);
    } else {
        turn_away(p, id);
    }
    forget(p, a);
}

static void on_cancel(Process *p, uint64_t id)
{
    static const WorkerUsage none;
    Arriving *a = find(p, id);
    if (a) {
        forget(p, a);
        sink_end(p, id, &none);
    } else {
        worker_cancel(p->worker, id);
    }
}

static void tell_ready(Process *p)
{
    Buf text = {0};
    bt_error err = {0};
    if (worker_ready(p->worker, &text, &err) == BT_OK)
        tell(p, WIRE_READY, 0, text.data);
    else
        tell(p, WIRE_READY, 0, "{}");
    buf_close(&text);
}

static void tell_stats(Process *p, bool now)
{
    Buf text = {0};
    if (!now && (os_seconds() - p->told) * 1000 < STATS_MS) return;
    p->told = os_seconds();
    worker_stats(p->worker, &text);
    if (!text.failed) tell(p, WIRE_STATS, 0, text.data);
    buf_close(&text);
}

static void try_ways_out(Process *p, uint64_t id)
{
    enum { WAYS = 64 };
    EgressTry ways[WAYS];
    size_t n = sandbox_try_egress(ways, WAYS);
    Buf text = {0};
    for (size_t i = 0; i < n && i < WAYS; i++)
        buf_printf(&text, "%s\t%s\t%s\n", ways[i].refused ? "refused" : "open", ways[i].name,
                   ways[i].answer);
    tell(p, WIRE_REPORT, id, text.failed || !text.data ? "" : text.data);
    buf_close(&text);
}

static void on_message(Process *p, const RingMessage *m)
{
    switch (m->head.kind) {
    case WIRE_REQUEST: on_request(p, m); break;
    case WIRE_BODY: on_body(p, m); break;
    case WIRE_BODY_END: on_body_end(p, m->head.id); break;
    case WIRE_CANCEL: on_cancel(p, m->head.id); break;
    case WIRE_DRAIN:
        worker_drain(p->worker);
        atomic_store(&p->drain, true);
        break;
    case WIRE_RESET:
        while (p->n_arriving) forget(p, &p->arriving[0]);
        worker_cancel_all(p->worker);
        tell_ready(p);
        tell_stats(p, true);
        break;
    case WIRE_CHECK: try_ways_out(p, m->head.id); break;
    default: break; /* of a front that is newer, or taken over: nothing is done for it */
    }
}

/* ---- the two threads ---- */

static void *step_main(void *arg)
{
    Process *p = arg;
    bt_error err = {0};
    while (!atomic_load(&p->over)) {
        bool idle = false;
        if (worker_step(p->worker, &idle, &err) != BT_OK) {
            worker_words(p->model, "cannot go on", &err);
            tell(p, WIRE_FAILED, 0, err.text);
            atomic_store(&p->broken, true);
            ring_wake_mine(&p->port);
            break;
        }
        if (idle) worker_wait(p->worker, SLEEP_MS);
    }
    return NULL;
}

/* Also ends when the supervisor is no more: nobody could say DRAIN then. */
static void intake(Process *p)
{
    RingMessage message;
    const pid_t parent = getppid();
    while (!atomic_load(&p->broken) && getppid() == parent) {
        RingResult result = ring_receive(&p->port, &message);
        if (result == RING_BROKEN) break;
        if (result == RING_OK) on_message(p, &message);
        size_t running = worker_running(p->worker);
        if (running) tell_stats(p, false);
        if (atomic_load(&p->drain) && !running && !p->n_arriving) return;
        if (result == RING_EMPTY) {
            if (!running) tell_stats(p, false);
            ring_wait(&p->port, running || atomic_load(&p->drain) ? 50 : SLEEP_MS);
        }
    }
    atomic_store(&p->broken, true);
}

static int run(Process *p, const WorkerMain *o)
{
    const WorkerSink sink = {p, sink_head, sink_data, sink_end};
    bt_error err = {0};
    /* Folders are made while that is still allowed; without one nothing is kept there. */
    if (o->model.cache_dir) os_make_dirs(o->model.cache_dir, &err);
    if (o->model.spill_dir) os_make_dirs(o->model.spill_dir, &err);
    bt_status status = enter_box(&o->model, true, &err);
    if (!status) status = worker_open(&o->model, &sink, &p->worker, &err);
    if (status) {
        worker_words(&o->model, "cannot be loaded", &err);
        tell(p, WIRE_FAILED, 0, err.text);
        return 1;
    }
    p->model = &o->model;
    tell_ready(p);
    if (pthread_create(&p->steps, NULL, step_main, p) != 0) {
        tell(p, WIRE_FAILED, 0, "the thread that steps cannot be started");
        worker_close(&p->worker);
        return 1;
    }
    intake(p);
    atomic_store(&p->over, true);
    worker_wake(p->worker);
    pthread_join(p->steps, NULL);
    bool broken = atomic_load(&p->broken);
    worker_close(&p->worker); /* what runs gets its end; remembered beginnings go to disk */
    return broken ? 2 : 0;
}

int worker_main(const WorkerMain *options)
{
    bt_error err = {0};
    leave_signals();
    Process *p = mem_zalloc(1, sizeof *p);
    if (!p) return 1;
    if (ring_join(&p->port, options->slot, RING_WORKER, false, &err) != BT_OK) {
        mem_free(p);
        return 2;
    }
    int code = run(p, options);
    while (p->n_arriving) forget(p, &p->arriving[0]);
    ring_part(&p->port);
    mem_free(p);
    return code;
}

int worker_describe_main(const WorkerModel *m, int fd_out)
{
    const bt_model_options options = {.vocab_only = true, .no_cache = true, .n_threads = 1};
    bt_model *model = NULL;
    bt_error err = {0};
    Buf text = {0};
    leave_signals();
    bt_status status = enter_box(m, false, &err);
    if (!status) status = bt_model_open(m->path, &options, &model, &err);
    if (!status) status = worker_describe(model, m->template_name, m->jinja, &text, &err);
    if (status) {
        worker_words(m, NULL, &err);
        buf_clear(&text);
        buf_printf(&text, "error: %s", err.text);
    }
    if (os_write_all(fd_out, text.data ? text.data : "error: ", text.data ? text.size : 7, &err))
        status = BT_E_IO;
    if (model) bt_model_close(&model);
    buf_close(&text);
    return status ? 1 : 0;
}
