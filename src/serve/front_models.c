/* The catalogue as the front knows it, what is answered from it, and the way of a request to the
 * worker of its model. The supervisor owns the catalogue; rows come as JSON (control.h). */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/os.h"
#include "serve/front_parts.h"

/* ---- rows ---- */

static const char *text_of(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

static int64_t number_of(const json_t *o, const char *key)
{
    return (int64_t)json_number_value(json_object_get(o, key));
}

static bool is(const json_t *o, const char *key)
{
    return json_is_true(json_object_get(o, key));
}

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static void row_gone(Model *m)
{
    json_decref(m->row);
    mem_free(m->aliases);
    m->row = NULL;
    m->aliases = NULL;
    m->here = false;
}

static const char *either(const char *first, const char *second)
{
    return first ? first : second;
}

/* What api_reply_* are given points into the row. */
static void lay_out(Model *m)
{
    const json_t *d = json_object_get(m->row, "describe"),
                 *can = json_object_get(d, "capabilities");
    const json_t *aliases = json_object_get(m->row, "aliases");
    const json_t *ready = json_object_get(m->row, "ready");
    ApiModel *a = &m->api;
    *a = (ApiModel){
        .name = text_of(m->row, "name"),
        .architecture = or_empty(text_of(d, "architecture")),
        .quantization = or_empty(text_of(d, "type")),
        .digest = or_empty(text_of(m->row, "digest")),
        .template_text = either(text_of(m->row, "template"), text_of(d, "template")),
        .license = either(text_of(m->row, "license"), text_of(d, "license")),
        .messages = text_of(m->row, "messages"),
        .system = text_of(m->row, "system"),
        .parameters = text_of(m->row, "parameters"),
        .metadata = text_of(m->row, "metadata_text"),
        .size = (uint64_t)number_of(m->row, "size"),
        .memory = (uint64_t)number_of(ready, "memory"),
        .n_params = (uint64_t)number_of(d, "parameters"),
        .modified = number_of(m->row, "modified"),
        .expires = number_of(m->row, "expires"),
        .n_ctx_train = (int32_t)number_of(d, "n_ctx_train"),
        .n_ctx = (int32_t)number_of(ready, "n_ctx"),
        .n_slots = (int32_t)number_of(ready, "n_slots"),
        .n_embd = (int32_t)number_of(d, "n_embd"),
        .n_layers = (int32_t)number_of(d, "n_layers"),
        .n_vocab = (int32_t)number_of(d, "n_vocab"),
        .chat = is(can, "chat"),
        .tools = is(can, "tools"),
        .thinking = is(can, "thinking"),
        .embeds = is(can, "embeds"),
        .reranks = is(can, "reranks"),
        .insert = is(can, "insert"),
        .vision = is(can, "vision"),
        .error = text_of(m->row, "error"),
    };
    a->loaded = a->expires != 0;
    m->aliases = mem_zalloc(json_array_size(aliases) + 1, sizeof *m->aliases);
    for (size_t i = 0; m->aliases && i < json_array_size(aliases); i++) {
        const char *alias = json_string_value(json_array_get(aliases, i));
        if (alias) m->aliases[a->n_aliases++] = alias;
    }
    a->aliases = m->aliases;
}

static int add_json(const char *data, size_t size, void *user)
{
    buf_add(user, data, size);
    return 0;
}

static void take_row(Front *f, const RingMessage *m)
{
    ControlModel c;
    if (!control_read(m, &c, sizeof c) || c.index >= CONTROL_MODELS) return;
    json_t *row = json_loadb((const char *)m->data + sizeof c, m->head.size - sizeof c, 0, NULL);
    if (!json_is_object(row) || !text_of(row, "name")) {
        json_decref(row);
        return;
    }
    /* Its metadata goes out again as text. */
    const json_t *meta = json_object_get(json_object_get(row, "describe"), "metadata");
    Buf text = {0};
    if (json_is_object(meta)) json_dump_callback(meta, add_json, &text, JSON_COMPACT);
    if (text.size) json_object_set_new(row, "metadata_text", json_stringn(text.data, text.size));
    buf_close(&text);
    Model *model = &f->model[c.index];
    row_gone(model);
    model->row = row;
    model->here = true;
    lay_out(model);
}

static void answer_admin(Front *f, const RingMessage *m)
{
    ControlNumber n;
    if (!control_read(m, &n, sizeof n)) return;
    Request *r = request_find(f, (uint64_t)n.a);
    if (!r || r->phase != PHASE_ADMIN) return;
    const char *text = (const char *)m->data + sizeof n;
    if (n.b == 200) {
        Buf out = {0};
        buf_text(&out, "{\"status\":\"success\"}");
        say_whole(r, 200, "application/json", &out);
        buf_close(&out);
    } else {
        say_error(r,
                  n.b == 404   ? API_E_MODEL
                  : n.b >= 500 ? API_E_INTERNAL
                               : API_E_INVALID,
                  "%s", text);
    }
}

void models_control(Front *f, const RingMessage *m)
{
    ControlModel c;
    ControlNumber n;
    switch (m->head.kind) {
    case CONTROL_MODEL: take_row(f, m); break;
    case CONTROL_MODEL_GONE:
        if (control_read(m, &c, sizeof c) && c.index < CONTROL_MODELS) row_gone(&f->model[c.index]);
        break;
    case CONTROL_ORDER:
        f->n_order = m->head.size / 2 < CONTROL_MODELS ? m->head.size / 2 : CONTROL_MODELS;
        memcpy(f->order, m->data, 2 * f->n_order);
        break;
    case CONTROL_EXPIRES:
        if (!control_read(m, &n, sizeof n) || n.a < 0 || n.a >= CONTROL_MODELS) break;
        f->model[n.a].api.expires = n.b;
        f->model[n.a].api.loaded = n.b != 0;
        break;
    case CONTROL_ANSWER: answer_admin(f, m); break;
    case CONTROL_LOOKED: look_done(f); break;
    default: break;
    }
}

/* ---- names ---- */

static bool same_name(const char *known, const char *asked)
{
    const size_t n = strlen(known), a = strlen(asked);
    static const char latest[] = ":latest";
    if (strcasecmp(known, asked) == 0) return true;
    if (a == n + 7 && strncasecmp(known, asked, n) == 0) return strcasecmp(asked + n, latest) == 0;
    if (n == a + 7 && strncasecmp(known, asked, a) == 0) return strcasecmp(known + a, latest) == 0;
    return false;
}

int models_find(const Front *f, const char *name)
{
    for (size_t i = 0; i < f->n_order; i++) {
        const Model *m = &f->model[f->order[i] % CONTROL_MODELS];
        if (!m->here) continue;
        if (!*name || strcmp(name, "default") == 0 || same_name(m->api.name, name))
            return f->order[i];
        for (size_t k = 0; k < m->api.n_aliases; k++)
            if (same_name(m->aliases[k], name)) return f->order[i];
    }
    return -1;
}

static bool no_such_model(Request *r, const char *name)
{
    if (!*name)
        say_error(r, API_E_MODEL, "there is no model here; 'bantam list' shows some");
    else
        say_error(r, API_E_MODEL, "there is no model '%.200s' here", name);
    return false;
}

/* The model that the body, the path or the query names; false when answered, or when it waits. */
static bool model_named(Request *r, int *out)
{
    char name[WIRE_MAX_MODEL] = "";
    const char *query = MHD_lookup_connection_value(r->mhd, MHD_GET_ARGUMENT_KIND, "model");
    if (r->route.kind == API_MODEL && r->route.tail)
        snprintf(name, sizeof name, "%.*s", (int)r->route.tail_size, r->route.tail);
    else if (r->body.data)
        api_find_model(r->body.data, r->body.size, name, sizeof name);
    else if (query)
        snprintf(name, sizeof name, "%s", query);
    if (!*name && r->route.needs_model) {
        say_error(r, API_E_INVALID, "the body names no model");
        return false;
    }
    *out = models_find(r->front, name);
    if (*out >= 0) return true;
    return !look_first(r) && no_such_model(r, name);
}

/* ---- to a worker ---- */

static void to_slot_of_response(Request *r)
{
    char id[256];
    snprintf(id, sizeof id, "%.*s", (int)r->route.tail_size, r->route.tail ? r->route.tail : "");
    const int slot = api_response_slot(id);
    if (slot < 0 || slot >= SERVE_SLOTS || !r->front->slot[slot].ready) {
        say_error(r, API_E_NOT_FOUND, "there is no response '%.200s' (any more)", id);
        return;
    }
    r->model = r->front->slot[slot].model;
    slots_add(r, slot);
}

static void dispatch(Request *r)
{
    Front *f = r->front;
    int index;
    if (r->route.kind == API_RESPONSE_GET || r->route.kind == API_RESPONSE_DELETE ||
        r->route.kind == API_RESPONSE_ITEMS) {
        to_slot_of_response(r);
        return;
    }
    if (!model_named(r, &index)) return;
    Model *m = &f->model[index];
    r->model = index;
    if (m->slot >= 0 && f->slot[m->slot].ready && f->slot[m->slot].state == SLOT_RUNNING) {
        slots_add(r, m->slot);
        return;
    }
    if (r->route.kind == API_SLOTS) { /* asking how it goes loads nothing */
        Buf none = {0};
        buf_text(&none, "[]");
        say_whole(r, 200, "application/json", &none);
        buf_close(&none);
        return;
    }
    r->phase = PHASE_MODEL;
    line_add(&m->waiting, r);
    if (m->asked) return;
    m->asked = true;
    slots_tell(f, CONTROL_LOAD, index, 0);
}

/* ---- from the catalogue ---- */

static void list_models(Request *r, Buf *out)
{
    const Front *f = r->front;
    const bool anthropic =
        MHD_lookup_connection_value(r->mhd, MHD_HEADER_KIND, "anthropic-version") != NULL;
    ApiModel *list = mem_zalloc(f->n_order + 1, sizeof *list);
    size_t n = 0;
    for (size_t i = 0; list && i < f->n_order; i++) {
        const Model *m = &f->model[f->order[i] % CONTROL_MODELS];
        if (m->here && (r->route.kind != API_RUNNING || m->api.loaded)) list[n++] = m->api;
    }
    if (list)
        api_reply_models(&r->route, list, n, anthropic, out);
    else
        out->failed = true;
    mem_free(list);
}

static bool one_model(Request *r, Buf *out)
{
    int index;
    if (!model_named(r, &index)) return false;
    api_reply_model(&r->route, &r->front->model[index].api,
                    MHD_lookup_connection_value(r->mhd, MHD_HEADER_KIND, "anthropic-version"), out);
    return true;
}

/* To the supervisor, as pairs; false when answered. */
static bool to_supervisor(Request *r, const ApiCall *call)
{
    Front *f = r->front;
    const ControlNumber n = {(int64_t)r->id, 0};
    Buf pairs = {0};
    buf_add(&pairs, "verb", 5);
    buf_add(&pairs, r->route.name, strlen(r->route.name) + 1);
    for (size_t i = 0; i < call->n_pairs; i++) {
        buf_add(&pairs, call->pairs[i].key, strlen(call->pairs[i].key) + 1);
        buf_add(&pairs, call->pairs[i].value, strlen(call->pairs[i].value) + 1);
    }
    RingResult result = pairs.failed ? RING_FULL
                                     : control_send(&f->control, CONTROL_ADMIN, &n, sizeof n,
                                                    pairs.data, pairs.size);
    buf_close(&pairs);
    if (result == RING_OK)
        r->phase = PHASE_ADMIN;
    else if (result == RING_BROKEN)
        say_error(r, API_E_TOO_LARGE, "that is too much at once");
    else
        say_busy(r, 1, "the supervisor is busy");
    return false;
}

/* What the API layer alone knows how to read or to say. False when answered. */
static bool by_call(Request *r, Buf *out, const char **type)
{
    const ApiHttp http = {.method = strcmp(r->method, "HEAD") == 0 && r->route.kind != API_REFUSED
                                        ? "GET"
                                        : r->method,
                          .path = r->path,
                          .body = r->body.data ? r->body.data : "",
                          .body_size = r->body.size,
                          .headers = r->headers.data};
    const ApiInfo info = {.model = ""};
    ApiCall *call = NULL;
    ApiError e = {0};
    bool good = api_parse(&http, NULL, &call, &e) == BT_OK;
    if (!good)
        say_error(r, e.kind, "%s", e.text);
    else if (r->route.where == API_BY_SUPERVISOR)
        good = to_supervisor(r, call);
    else {
        api_reply_simple(call, &info, out);
        *type = api_reply_type(call);
    }
    api_call_close(&call);
    return good;
}

static void answer(Request *r)
{
    Front *f = r->front;
    Buf out = {0};
    const char *type = "application/json";
    int status = 200;
    bool good = true;
    switch (r->route.kind) {
    case API_HEALTH:
        status = f->draining ? 503 : 200;
        buf_printf(&out, "{\"status\":\"%s\"}", f->draining ? "shutting down" : "ok");
        break;
    case API_METRICS:
        type = "text/plain; version=0.0.4; charset=utf-8";
        metrics_write(f, &out);
        break;
    case API_MODELS:
        if (look_first(r)) return;
        list_models(r, &out);
        break;
    case API_RUNNING: list_models(r, &out); break;
    case API_MODEL:
    case API_PROPS: good = one_model(r, &out); break;
    default: good = by_call(r, &out, &type); break;
    }
    if (good && out.failed)
        say_error(r, API_E_INTERNAL, "not enough memory");
    else if (good)
        say_whole(r, status, type, &out);
    buf_close(&out);
}

void models_take(Request *r)
{
    if (r->route.where == API_BY_WORKER)
        dispatch(r);
    else
        answer(r);
}
