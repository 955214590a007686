/* See desk.h. */
#include "desk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/scratch.h"

/* Calls in the form of Llama 3: at the start of an answer, so that even a model that knows nothing
 * begins with one where it must. */
const char desk_template[] =
    "{# <|start_header_id|> \"parameters\": #}{% if tools %}<|im_start|>system\nTools: "
    "{{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% for c in m.tool_calls or [] %}{{ c.function.name }}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

const char *desk_model(const MakeModel *spec, const char *name)
{
    MakeModel made = spec ? *spec : (MakeModel){0};
    bt_error err;
    if (!made.chat_template) made.chat_template = desk_template;
    if (!made.ctx) made.ctx = 4096;
    const char *path = scratch_path(name);
    if (make_model(&made, path, &err)) fail_msg("%s", err.text);
    return path;
}

/* ---- what comes ---- */

DeskAnswer *desk_answer(Desk *desk, uint64_t id)
{
    for (size_t i = 0; i < desk->n; i++)
        if (desk->list[i].id == id) return &desk->list[i];
    return NULL;
}

static void on_head(void *user, uint64_t id, int status, const char *type, const char *headers)
{
    Desk *desk = user;
    pthread_mutex_lock(&desk->lock);
    DeskAnswer *a = desk_answer(desk, id);
    if (a) {
        a->heads++;
        a->status = status;
        snprintf(a->type, sizeof a->type, "%s", type);
        snprintf(a->headers, sizeof a->headers, "%s", headers);
    }
    pthread_mutex_unlock(&desk->lock);
}

static void on_data(void *user, uint64_t id, const char *bytes, size_t size)
{
    Desk *desk = user;
    pthread_mutex_lock(&desk->lock);
    DeskAnswer *a = desk_answer(desk, id);
    if (a) {
        buf_add(&a->body, bytes, size);
        if (++a->datas == desk->cancel_after) desk->to_cancel = id;
    }
    pthread_mutex_unlock(&desk->lock);
}

static void on_end(void *user, uint64_t id, const WorkerUsage *usage)
{
    Desk *desk = user;
    pthread_mutex_lock(&desk->lock);
    DeskAnswer *a = desk_answer(desk, id);
    if (a) {
        a->ends++;
        a->usage = *usage;
    }
    pthread_mutex_unlock(&desk->lock);
}

void desk_open(Desk *desk, const char *path, const WorkerModel *options)
{
    const WorkerSink sink = {desk, on_head, on_data, on_end};
    WorkerModel m = options ? *options : (WorkerModel){0};
    bt_error err;
    memset(desk, 0, sizeof *desk);
    pthread_mutex_init(&desk->lock, NULL);
    desk->next = 1;
    m.name = "made";
    m.path = path;
    if (!m.n_threads) m.n_threads = 1;
    if (!m.n_running) m.n_running = 8;
    if (!options) m.one_thread = true;
    if (worker_open(&m, &sink, &desk->worker, &err)) fail_msg("%s", err.text);
}

void desk_clear(Desk *desk)
{
    for (size_t i = 0; i < desk->n; i++) buf_close(&desk->list[i].body);
    desk->n = 0;
    desk->to_cancel = 0;
}

void desk_close(Desk *desk)
{
    worker_close(&desk->worker);
    desk_clear(desk);
    pthread_mutex_destroy(&desk->lock);
}

uint64_t desk_send(Desk *desk, const char *method, const char *path, const char *body)
{
    if (desk->n == DESK_MOST) desk_clear(desk);
    const WorkerRequest request = {
        .id = desk->next++,
        .principal = desk->principal,
        .http = {method, path, body ? body : "", body ? strlen(body) : 0, ""}};
    pthread_mutex_lock(&desk->lock);
    desk->list[desk->n++] = (DeskAnswer){.id = request.id};
    pthread_mutex_unlock(&desk->lock);
    worker_request(desk->worker, &request);
    return request.id;
}

void desk_run(Desk *desk)
{
    bt_error err;
    bool idle;
    for (int i = 0; worker_running(desk->worker); i++) {
        if (worker_step(desk->worker, &idle, &err)) fail_msg("%s", err.text);
        if (desk->to_cancel) worker_cancel(desk->worker, desk->to_cancel);
        if (i > 100000) fail_msg("it does not end");
    }
}

DeskAnswer *desk_ask(Desk *desk, const char *path, const char *body)
{
    uint64_t id = desk_send(desk, body ? "POST" : "GET", path, body);
    desk_run(desk);
    DeskAnswer *a = desk_answer(desk, id);
    assert_non_null(a);
    assert_int_equal(a->ends, 1);
    return a;
}

/* ---- looking ---- */

json_t *desk_json(const DeskAnswer *a)
{
    json_error_t why;
    json_t *root =
        a->body.data ? json_loads(a->body.data, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why) : NULL;
    if (!root) fail_msg("status %d, no JSON: %.400s", a->status, a->body.data);
    return root;
}

json_t *desk_good(Desk *desk, const char *path, const char *body)
{
    DeskAnswer *a = desk_ask(desk, path, body);
    if (a->status != 200) fail_msg("%s: %d %s", path, a->status, a->body.data);
    assert_int_equal(a->heads, 1);
    return desk_json(a);
}

json_t *desk_events(const DeskAnswer *a)
{
    json_t *all = json_array();
    json_error_t why;
    bool sse = strstr(a->type, "event-stream") != NULL;
    if (a->status != 200) fail_msg("status %d: %s", a->status, a->body.data);
    for (const char *at = a->body.data; at && *at;) {
        size_t n = strcspn(at, "\n");
        const char *line = at;
        size_t size = n;
        at += n + (at[n] == '\n');
        if (sse && strncmp(line, "data: ", 6) != 0) continue;
        if (sse) line += 6, size -= 6;
        if (!size || (size == 6 && memcmp(line, "[DONE]", 6) == 0)) continue;
        json_t *event = json_loadb(line, size, JSON_ALLOW_NUL, &why);
        if (!event) fail_msg("no JSON: %.*s", (int)size, line);
        json_array_append_new(all, event);
    }
    return all;
}

json_t *desk_at(const json_t *root, const char *path)
{
    char key[64];
    union {
        const json_t *from;
        json_t *to;
    } at = {root};
    while (*path && at.from) {
        size_t n = strcspn(path, ".");
        snprintf(key, sizeof key, "%.*s", (int)n, path);
        at.to = json_is_array(at.from) ? json_array_get(at.from, (size_t)strtol(key, NULL, 10))
                                       : json_object_get(at.from, key);
        path += n + (path[n] == '.');
    }
    return at.to;
}

const char *desk_text(const json_t *root, const char *path)
{
    const char *text = json_string_value(desk_at(root, path));
    if (!text) {
        char *all = json_dumps(root, 0);
        fail_msg("no text at '%s' in %s", path, all);
    }
    return text;
}

long long desk_number(const json_t *root, const char *path)
{
    json_t *value = desk_at(root, path);
    if (!json_is_integer(value)) {
        char *all = json_dumps(root, 0);
        fail_msg("no number at '%s' in %s", path, all);
    }
    return json_integer_value(value);
}

void desk_joined(const json_t *events, const char *path, Buf *out)
{
    size_t i;
    json_t *event;
    json_array_foreach(events, i, event)
    {
        const char *text = json_string_value(desk_at(event, path));
        if (text) buf_text(out, text);
    }
}
