/* A server whose workers are make-believe, for tests/serve/front.py: everything but the model is
 * the real thing, the sandbox of the worker too. What a worker does is said in the request's body,
 * as words anywhere in it:
 *
 *   tokens=N ms=N   so many pieces of an answer, so far apart
 *   stream          as server-sent events
 *   size=N          one piece of N bytes
 *   echo            answers with the body
 *   hang            never answers
 *   crash           ends with a signal
 *   garbage         writes nonsense over its ring
 *
 * A model whose name begins with "broken" cannot be loaded, "slow" takes half a second. */
#include <dirent.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/sandbox.h"
#include "serve/config.h"
#include "serve/supervisor.h"

typedef struct Job {
    struct Job *next;
    uint64_t id;
    Buf body;
    bool whole, headed, stream;
    long left, ms;
    uint32_t made;
    double next_at;
} Job;

static Job *jobs;
static RingPort port;
static bool draining;
static uint64_t cancelled, most_at_once, steps;

static long word(const Job *j, const char *name, long otherwise)
{
    const char *at = j->body.data ? strstr(j->body.data, name) : NULL;
    return at ? strtol(at + strlen(name), NULL, 10) : otherwise;
}

static bool says(const Job *j, const char *name)
{
    return j->body.data && strstr(j->body.data, name);
}

static Job *find(uint64_t id)
{
    Job *j = jobs;
    while (j && j->id != id) j = j->next;
    return j;
}

static void drop(Job *j)
{
    Job **at = &jobs;
    while (*at && *at != j) at = &(*at)->next;
    if (*at) *at = j->next;
    buf_close(&j->body);
    mem_free(j);
}

static void end(Job *j)
{
    WireUsage u = {.prompt = 7, .cached = 3, .completion = j->made, .queued_us = 10};
    wire_send_end(&port, j->id, &u);
    drop(j);
}

static void begin(Job *j)
{
    if (says(j, "crash")) raise(SIGKILL);
    if (says(j, "garbage")) {
        const unsigned char junk[64] = {0xff, 0xee, 0x01};
        const RingPart part = {junk, sizeof junk};
        ring_send(&port, WIRE_HEAD, j->id, &part, 1);
    }
    j->whole = true;
    j->stream = says(j, "stream");
    j->left = word(j, "tokens=", 1);
    j->ms = word(j, "ms=", 0);
    j->next_at = os_seconds();
    if (says(j, "hang")) j->next_at += 1e9;
}

static void step(Job *j, double now)
{
    char piece[128];
    steps++;
    if (!j->headed)
        wire_send_head(&port, j->id, 200, j->stream ? "text/event-stream" : "application/json",
                       "x-fake: 1\n");
    j->headed = true;
    const long size = word(j, "size=", 0);
    if (size > 0) {
        char *data = mem_zalloc(1, (size_t)size);
        memset(data, 'x', (size_t)size);
        wire_send_data(&port, j->id, data, (size_t)size);
        mem_free(data);
    } else if (says(j, "echo")) {
        wire_send_data(&port, j->id, j->body.data, j->body.size);
    } else {
        int n = snprintf(piece, sizeof piece, j->stream ? "data: {\"n\":%u}\n\n" : "{\"n\":%u}\n",
                         j->made);
        wire_send_data(&port, j->id, piece, (size_t)n);
    }
    j->made++;
    j->next_at = now + (double)j->ms / 1000;
    if (--j->left > 0) return;
    if (j->stream) wire_send_data(&port, j->id, "data: [DONE]\n\n", 14);
    end(j);
}

static void check(uint64_t id)
{
    EgressTry tries[96];
    Buf text = {0};
    size_t n = sandbox_try_egress(tries, 96);
    for (size_t i = 0; i < n && i < 96; i++)
        buf_printf(&text, "%s\t%s\t%s\n", tries[i].refused ? "refused" : "open", tries[i].name,
                   tries[i].answer);
    wire_send_text(&port, WIRE_REPORT, id, text.data ? text.data : "");
    buf_close(&text);
}

static void hear(const RingMessage *m)
{
    WireRequestView view;
    Job *j = find(m->head.id);
    switch (m->head.kind) {
    case WIRE_REQUEST:
        if (!wire_read_request(m, &view)) _exit(9);
        j = mem_zalloc(1, sizeof *j);
        j->id = m->head.id;
        j->next = jobs;
        jobs = j;
        break;
    case WIRE_BODY:
        if (j) buf_add(&j->body, m->data, m->head.size);
        break;
    case WIRE_BODY_END:
        if (j) begin(j);
        break;
    case WIRE_CANCEL:
        cancelled++;
        if (j) drop(j);
        break;
    case WIRE_RESET:
        while (jobs) drop(jobs);
        wire_send_text(&port, WIRE_READY, 0, "{\"memory\":1000,\"n_ctx\":4096}");
        break;
    case WIRE_CHECK: check(m->head.id); break;
    case WIRE_DRAIN: draining = true; break;
    default: _exit(8);
    }
}

static int worker(void *user, const ServeModel *model, const RingSlot *slot, int index)
{
    RingMessage m;
    char stats[256];
    double told = 0;
    (void)user;
    (void)index;
    if (ring_join(&port, slot, RING_WORKER, false, NULL)) return 2;
    if (strncmp(model->name, "slow", 4) == 0) usleep(500000);
    const SandboxOptions box = {0};
    sandbox_enter(&box, NULL, NULL);
    if (strncmp(model->name, "broken", 6) == 0) {
        wire_send_text(&port, WIRE_FAILED, 0, "this file is no model");
        return 1;
    }
    wire_send_text(&port, WIRE_READY, 0, "{\"memory\":1000,\"n_ctx\":4096}");
    while (!draining || jobs) {
        RingResult r = RING_OK;
        while ((r = ring_receive(&port, &m)) == RING_OK) hear(&m);
        if (r == RING_BROKEN) return 2;
        double now = os_seconds(), next = now + 1;
        for (Job *j = jobs, *after; j; j = after) {
            after = j->next;
            if (j->whole && j->next_at <= now)
                step(j, now);
            else if (j->whole && j->next_at < next)
                next = j->next_at;
        }
        for (const Job *j = jobs; j; j = j->next)
            if (j->whole && j->next_at < next) next = j->next_at;
        uint64_t n = 0;
        for (const Job *j = jobs; j; j = j->next) n++;
        if (n > most_at_once) most_at_once = n;
        if (now > told + 0.2) {
            told = now;
            snprintf(stats, sizeof stats,
                     "{\"running\":%llu,\"cancelled\":%llu,\"most_at_once\":%llu,"
                     "\"requests_running\":%llu,\"steps\":%llu}",
                     (unsigned long long)n, (unsigned long long)cancelled,
                     (unsigned long long)most_at_once, (unsigned long long)n,
                     (unsigned long long)steps);
            wire_send_text(&port, WIRE_STATS, 0, stats);
        }
        const double wait = next - os_seconds();
        if (wait > 0 && !draining) ring_wait(&port, wait > 0.2 ? 200 : (int)(wait * 1000) + 1);
    }
    return 0;
}

static int describe(void *user, const ServeModel *model, int fd)
{
    static const char text[] =
        "{\"architecture\":\"fake\",\"type\":\"Q4_K_M\",\"parameters\":12,\"n_ctx_train\":4096,"
        "\"n_embd\":8,\"n_layers\":1,\"n_vocab\":10,\"template\":null,\"license\":null,"
        "\"capabilities\":{\"completion\":true,\"chat\":true},\"metadata\":{\"a\":1}}";
    (void)user;
    if (strncmp(model->name, "broken", 6) == 0) return write(fd, "error: no model\n", 16) < 0;
    return write(fd, text, sizeof text - 1) < 0;
}

/* Each file of a folder is a model. */
static const char *folder;

static bool find_files(void *user, Catalogue *now)
{
    DIR *d = opendir(folder);
    (void)user;
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[1024];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (e->d_name[0] == '.' || stat(path, &st) != 0) continue;
        const int at = catalogue_add(now, e->d_name, path);
        if (at < 0) break;
        now->models[at].found = true;
        now->models[at].size = (uint64_t)st.st_size;
    }
    if (d) closedir(d);
    return d != NULL;
}

static void listening(void *user, const char *url, bool first)
{
    (void)user;
    printf("%s %s\n", first ? "ready" : "again", url);
    fflush(stdout);
}

static void log_to_stderr(void *user, bt_log_level level, const char *line)
{
    (void)user;
    (void)level;
    fprintf(stderr, "%s\n", line);
}

static char *slurp(const char *path)
{
    Buf text = {0};
    char part[4096];
    size_t n;
    FILE *f = fopen(path, "re");
    while (f && (n = fread(part, 1, sizeof part, f)) > 0) buf_add(&text, part, n);
    if (f) fclose(f);
    return buf_take(&text);
}

int main(int argc, char **argv)
{
    Catalogue catalogue = {0};
    ServeConfig config = {0};
    bt_error err = {0};
    SupervisorOptions o = {.catalogue = &catalogue,
                           .keep_alive_ms = 600000,
                           .drain_seconds = 2,
                           .worker = worker,
                           .describe = describe,
                           .listening = listening};
    o.front.host = "localhost";
    o.front.ports = 1;
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        if (!strcmp(name, "--model")) catalogue_add(&catalogue, value, "/dev/null");
        if (!strcmp(name, "--alias")) catalogue_alias(&catalogue.models[catalogue.n - 1], value);
        if (!strcmp(name, "--key") && config_add_key(&config, value, "test", &err)) return 2;
        if (!strcmp(name, "--concurrent"))
            config.keys[config.n_keys - 1].concurrent = (int)strtol(value, NULL, 10);
        if (!strcmp(name, "--per-minute"))
            config.keys[config.n_keys - 1].per_minute = (int)strtol(value, NULL, 10);
        if (!strcmp(name, "--origin")) config.origins[config.n_origins++] = mem_strdup(value);
        if (!strcmp(name, "--port")) o.front.port = (int)strtol(value, NULL, 10);
        if (!strcmp(name, "--keep")) o.keep_alive_ms = strtol(value, NULL, 10);
        if (!strcmp(name, "--state")) o.state_path = value;
        if (!strcmp(name, "--header")) o.front.header_seconds = strtod(value, NULL);
        if (!strcmp(name, "--body")) o.front.body_seconds = strtod(value, NULL);
        if (!strcmp(name, "--silent")) o.front.silent_seconds = strtod(value, NULL);
        if (!strcmp(name, "--stalled")) o.front.stalled_seconds = strtod(value, NULL);
        if (!strcmp(name, "--answers")) o.front.most_answers = (uint64_t)strtol(value, NULL, 10);
        if (!strcmp(name, "--folder")) {
            folder = value;
            o.find = find_files;
            find_files(NULL, &catalogue);
        }
        if (!strcmp(name, "--write")) o.front.write_seconds = strtod(value, NULL);
        if (!strcmp(name, "--connections")) o.front.most_connections = (int)strtol(value, NULL, 10);
        if (!strcmp(name, "--bodies")) o.front.most_bodies = (uint64_t)strtol(value, NULL, 10);
        if (!strcmp(name, "--cert")) o.front.tls_cert = slurp(value);
        if (!strcmp(name, "--cert-key")) o.front.tls_key = slurp(value);
        if (!strcmp(name, "--log")) bt_log_set(log_to_stderr, NULL, BT_LOG_DEBUG);
    }
    o.front.log_requests = true;
    o.front.keys = config.keys;
    o.front.n_keys = config.n_keys;
    o.front.origins = (const char *const *)config.origins;
    o.front.n_origins = config.n_origins;
    int code = supervisor_run(&o, &err);
    if (err.status) fprintf(stderr, "fake_serve: %s\n", err.text);
    catalogue_close(&catalogue);
    config_close(&config);
    return code;
}
