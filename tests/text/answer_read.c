/* Putting events together (see answer_read.h). */
#include "answer_read.h"

#include "base/mem.h"

static void join(Read *r, const bt_answer_event *e)
{
    int mark = (int)e->kind * 1000 + e->index;
    if (mark != r->last || e->kind == BT_ANSWER_CALL)
        buf_printf(&r->all, "\n%d %d: ", (int)e->kind, (int)e->index);
    r->last = mark;
    if (e->kind == BT_ANSWER_CALL)
        buf_printf(&r->all, "%s %s", e->id, e->name);
    else
        buf_add(&r->all, e->text, e->length);
}

static void take(Read *r, Answer *a)
{
    bt_answer_event e;
    while (answer_next(a, &e)) {
        join(r, &e);
        if (e.kind == BT_ANSWER_TEXT) buf_add(&r->text, e.text, e.length);
        if (e.kind == BT_ANSWER_REASONING) buf_add(&r->reasoning, e.text, e.length);
        if (e.index < 0 || e.index >= READ_CALLS) continue;
        ReadCall *call = &r->calls[e.index];
        switch (e.kind) {
        case BT_ANSWER_CALL:
            buf_text(&call->id, e.id);
            buf_text(&call->name, e.name);
            if (r->n <= e.index) r->n = e.index + 1;
            break;
        case BT_ANSWER_ARGUMENTS: buf_add(&call->arguments, e.text, e.length); break;
        case BT_ANSWER_CALL_END: call->ended = true; break;
        default: call->void_ = true; break;
        }
    }
}

void read_answer(const AnswerSource *source, const char *text, size_t size, const size_t *sizes,
                 size_t n_sizes, Read *out)
{
    Answer *a = NULL;
    *out = (Read){.last = -1};
    out->status = answer_open(source, &a, NULL);
    for (size_t at = 0, i = 0; !out->status && at < size; i++) {
        size_t n = n_sizes ? sizes[i % n_sizes] : size;
        if (n > size - at) n = size - at;
        out->status = answer_add(a, text + at, n);
        if (!out->status) take(out, a);
        at += n;
    }
    if (!out->status) out->status = answer_end(a);
    if (!out->status) take(out, a);
    answer_close(&a);
    Buf *const all[] = {&out->text, &out->reasoning, &out->all};
    for (size_t i = 0; i < 3; i++) buf_add(all[i], "", 0); /* never NULL */
}

void read_close(Read *r)
{
    buf_close(&r->text);
    buf_close(&r->reasoning);
    buf_close(&r->all);
    for (int i = 0; i < READ_CALLS; i++) {
        buf_close(&r->calls[i].id);
        buf_close(&r->calls[i].name);
        buf_close(&r->calls[i].arguments);
    }
}

json_t *read_json(const Read *r)
{
    json_t *calls = json_array();
    for (int i = 0; i < r->n; i++) {
        const ReadCall *call = &r->calls[i];
        if (call->void_) continue;
        json_t *arguments = json_loadb(call->arguments.data ? call->arguments.data : "",
                                       call->arguments.size, JSON_ALLOW_NUL, NULL);
        if (!call->ended || !json_is_object(arguments)) {
            json_decref(arguments);
            json_decref(calls);
            return NULL;
        }
        json_array_append_new(
            calls, json_pack("{s:s,s:o}", "name", call->name.data, "arguments", arguments));
    }
    return json_pack("{s:s#,s:s#,s:o}", "content", r->text.data, (int)r->text.size, "reasoning",
                     r->reasoning.data, (int)r->reasoning.size, "calls", calls);
}
