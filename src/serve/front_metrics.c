/* /metrics, in the text format of Prometheus (exposition format 0.0.4). Counts and sizes only. */
#include <string.h>

#include "base/os.h"
#include "serve/front_parts.h"

static void one(Buf *out, const char *name, const char *type, const char *help, double value)
{
    buf_printf(out, "# HELP bantam_%s %s\n# TYPE bantam_%s %s\nbantam_%s %.17g\n", name, help, name,
               type, name, value);
}

/* A label's value: backslash, quote and newline escaped. */
static void label(Buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\\' || *text == '"') buf_char(out, '\\');
        if (*text == '\n')
            buf_text(out, "\\n");
        else
            buf_char(out, *text);
    }
}

static bool is_name(const char *key)
{
    return *key && key[strspn(key, "abcdefghijklmnopqrstuvwxyz_0123456789")] == 0;
}

/* Every number that a worker counts. */
static void worker(Buf *out, const Slot *s, const char *model)
{
    const char *key;
    json_t *value;
    json_object_foreach(s->stats, key, value)
    {
        if (!json_is_number(value) || !is_name(key)) continue;
        buf_printf(out, "bantam_worker_%s{model=\"", key);
        label(out, model);
        buf_printf(out, "\"} %.17g\n", json_number_value(value));
    }
}

static void by_class(const Front *f, Buf *out)
{
    buf_text(out, "# HELP bantam_answers_total Answers by class of status.\n"
                  "# TYPE bantam_answers_total counter\n");
    for (int i = 2; i <= 5; i++)
        buf_printf(out, "bantam_answers_total{class=\"%dxx\"} %llu\n", i,
                   (unsigned long long)f->count.by_class[i]);
}

static void by_key(const Front *f, Buf *out)
{
    if (!f->o->n_keys) return;
    buf_text(out, "# HELP bantam_key_requests_total Requests by label of the key.\n"
                  "# TYPE bantam_key_requests_total counter\n");
    for (size_t i = 0; i < f->o->n_keys; i++) {
        buf_text(out, "bantam_key_requests_total{key=\"");
        label(out, f->o->keys[i].label);
        buf_printf(out, "\"} %llu\n", (unsigned long long)f->use[i].total_requests);
    }
    buf_text(out, "# HELP bantam_key_tokens_total Tokens read and written, by label of the key.\n"
                  "# TYPE bantam_key_tokens_total counter\n");
    for (size_t i = 0; i < f->o->n_keys; i++) {
        buf_text(out, "bantam_key_tokens_total{key=\"");
        label(out, f->o->keys[i].label);
        buf_printf(out, "\"} %llu\n", (unsigned long long)f->use[i].total_tokens);
    }
}

void metrics_write(Front *f, Buf *out)
{
    const Counters *c = &f->count;
    size_t waiting = 0, streams = 0;
    for (const Request *r = f->requests; r; r = r->next) {
        waiting += r->phase == PHASE_MODEL || r->phase == PHASE_QUEUED;
        streams += r->stream && r->queued;
    }
    one(out, "up_seconds", "gauge", "Since this front began.", os_seconds() - f->started);
    one(out, "connections", "gauge", "Open connections.", f->n_clients);
    one(out, "connections_total", "counter", "Connections accepted.", (double)c->connections);
    one(out, "requests_total", "counter", "Requests begun.", (double)c->requests);
    one(out, "requests", "gauge", "Requests that run.", f->n_requests);
    one(out, "requests_waiting", "gauge", "Of these, not yet with a worker.", (double)waiting);
    one(out, "streams", "gauge", "Streams that are open.", (double)streams);
    by_class(f, out);
    one(out, "prompt_tokens_total", "counter", "Tokens of prompts.", (double)c->prompt);
    one(out, "cached_tokens_total", "counter", "Of these, found computed.", (double)c->cached);
    one(out, "completion_tokens_total", "counter", "Tokens written.", (double)c->completion);
    one(out, "queue_seconds_total", "counter", "Waited in the scheduler.",
        (double)c->queued_us / 1e6);
    one(out, "prefill_seconds_total", "counter", "Reading prompts.", (double)c->prefill_us / 1e6);
    one(out, "decode_seconds_total", "counter", "Writing answers.", (double)c->decode_us / 1e6);
    one(out, "clients_vanished_total", "counter", "Clients gone before their answer's end.",
        (double)c->vanished);
    one(out, "clients_slow_total", "counter", "Clients dropped because they were late.",
        (double)c->slow);
    one(out, "clients_silent_total", "counter", "Connections dropped without a request.",
        (double)c->dropped_silent);
    one(out, "malformed_total", "counter", "Requests that were no HTTP.", (double)c->malformed);
    one(out, "refused_host_total", "counter", "Refused: Host.", (double)c->refused_host);
    one(out, "refused_origin_total", "counter", "Refused: Origin.", (double)c->refused_origin);
    one(out, "refused_key_total", "counter", "Refused: API key.", (double)c->refused_key);
    one(out, "worker_deaths_total", "counter", "Workers that ended unasked.",
        (double)c->worker_deaths);
    one(out, "front_resident_bytes", "gauge", "Memory of the front.", (double)os_memory_resident());
    by_key(f, out);
    for (int i = 0; i < SERVE_SLOTS; i++)
        if (f->slot[i].ready) worker(out, &f->slot[i], f->model[f->slot[i].model].api.name);
}
