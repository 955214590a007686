/* A model may write anything. The first byte chooses the form, the second what the parser is told;
 * then comes the answer. Whatever it is: the events are the same cut or whole, a call that ends has
 * arguments that are a JSON object, and text is made of bytes of the answer alone. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "fuzz.h"
#include "text/answer.h"
#include "text/json_scan.h"
#include "text/utf8_stream.h"

static const char tools[] =
    "[{\"name\":\"f\",\"parameters\":{\"properties\":{\"a\":{\"type\":\"string\"},\"b\":{\"type\":"
    "\"integer\"},\"c\":{\"type\":[\"object\",\"null\"]},\"d\":{\"type\":\"array\"}}}},{\"name\":"
    "\"now\"}]";

typedef struct Seen {
    Buf joined, text, arguments;
    int last, open;
} Seen;

static void see(Seen *s, const bt_answer_event *e)
{
    int mark = (int)e->kind * 4096 + e->index;
    if (mark != s->last || e->kind == BT_ANSWER_CALL)
        buf_printf(&s->joined, "\n%d %d ", (int)e->kind, (int)e->index);
    s->last = mark;
    switch (e->kind) {
    case BT_ANSWER_CALL:
        if (s->open || !*e->name || !*e->id) abort();
        s->open = 1;
        buf_printf(&s->joined, "%s %s", e->id, e->name);
        buf_clear(&s->arguments);
        return;
    case BT_ANSWER_ARGUMENTS:
        if (!s->open) abort();
        buf_add(&s->arguments, e->text, e->length);
        break;
    case BT_ANSWER_CALL_END: {
        json_t *root = json_loadb(s->arguments.data ? s->arguments.data : "", s->arguments.size,
                                  JSON_ALLOW_NUL, NULL);
        /* jansson refuses numbers that no double holds; they are JSON all the same */
        Span text = {s->arguments.data, s->arguments.size};
        if (!s->open || !(json_is_object(root) || json_scan_whole(text, NULL))) abort();
        json_decref(root);
        s->open = 0;
        break;
    }
    case BT_ANSWER_CALL_VOID:
        if (!s->open) abort();
        s->open = 0;
        break;
    default: break;
    }
    buf_add(&s->joined, e->text, e->length);
    if (e->kind == BT_ANSWER_TEXT) buf_add(&s->text, e->text, e->length);
}

static void parse(const AnswerSource *source, const Buf *text, size_t step, Seen *out)
{
    Answer *a;
    bt_answer_event e;
    if (answer_open(source, &a, NULL) != BT_OK) abort();
    for (size_t at = 0; at < text->size; at += step) {
        size_t n = text->size - at < step ? text->size - at : step;
        if (answer_add(a, text->data + at, n) != BT_OK) abort();
        while (answer_next(a, &e)) see(out, &e);
    }
    if (answer_end(a) != BT_OK) abort();
    while (answer_next(a, &e)) see(out, &e);
    if (out->open) abort();
    buf_add(&out->joined, "", 0);
    answer_close(&a);
}

static void seen_close(Seen *s)
{
    buf_close(&s->joined);
    buf_close(&s->text);
    buf_close(&s->arguments);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t n_forms = 0;
    if (size < 2) return 0;
    while (answer_form_at(n_forms)) n_forms++;
    const AnswerForm *form = answer_form_at(data[0] % n_forms);
    AnswerSource source = {.form = form,
                           .think = answer_think_of(form, (Span){NULL, 0}),
                           .tools = data[1] & 1 ? tools : NULL,
                           .whole_calls = data[1] & 2,
                           .id_seed = 1};
    if (data[1] & 4) source.prompt = span_of(source.think.open);
    if (data[1] & 8) source.prompt = span_of("<|start|>assistant");
    Utf8Stream utf8 = {0};
    Buf text = {0};
    Seen whole = {.last = -1}, cut = {.last = -1};
    utf8_stream_add(&utf8, (const char *)data + 2, size - 2, &text);
    utf8_stream_end(&utf8, &text);
    parse(&source, &text, text.size + 1, &whole);
    parse(&source, &text, 1 + data[1] / 16, &cut);
    if (strcmp(whole.joined.data, cut.joined.data) != 0) abort();
    const char *at = text.data ? text.data : "", *end = at + text.size;
    for (size_t i = 0; i < whole.text.size; i++) {
        if (at < end) at = memchr(at, whole.text.data[i], (size_t)(end - at));
        if (!at || at == end) abort();
        at++;
    }
    seen_close(&whole);
    seen_close(&cut);
    buf_close(&text);
    return 0;
}
