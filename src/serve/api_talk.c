/* Messages from pieces (see api_talk.h). */
#include "serve/api_talk.h"

#include <string.h>

void talk_begin(Talk *t, ApiRead *r)
{
    *t = (Talk){.r = r};
    t->j.buf = &t->out;
    t->of_calls.buf = &t->calls;
    jout_open(&t->j, '[');
}

void talk_flush(Talk *t)
{
    if (!t->speaking) return;
    jout_open(&t->j, '{');
    jout_put(&t->j, "role", "assistant");
    jout_key(&t->j, "content");
    if (t->said || !t->calls.size)
        jout_text(&t->j, t->text.data ? t->text.data : "", t->text.size);
    else
        jout_null(&t->j);
    if (t->thoughts.size)
        jout_put_text(&t->j, "reasoning_content", t->thoughts.data, t->thoughts.size);
    if (t->calls.size) {
        jout_put_open(&t->j, "tool_calls", '[');
        buf_add(&t->out, t->calls.data, t->calls.size);
        jout_close(&t->j, ']');
    }
    jout_close(&t->j, '}');
    t->n++;
    t->out.failed |= t->text.failed || t->thoughts.failed || t->calls.failed;
    buf_clear(&t->text);
    buf_clear(&t->thoughts);
    buf_clear(&t->calls);
    t->of_calls.comma = t->speaking = t->said = false;
}

void talk_say(Talk *t, const char *role, Span text, Span id)
{
    talk_flush(t);
    jout_open(&t->j, '{');
    jout_put(&t->j, "role", role);
    jout_put_text(&t->j, "content", text.data ? text.data : "", text.size);
    if (id.data) jout_put_text(&t->j, "tool_call_id", id.data, id.size);
    jout_close(&t->j, '}');
    t->n++;
}

void talk_text(Talk *t, Span text, const char *glue)
{
    if (t->said && text.size) buf_text(&t->text, glue);
    buf_add(&t->text, text.data, text.size);
    t->speaking = t->said = true;
}

void talk_think(Talk *t, Span text)
{
    if (t->speaking && (t->said || t->calls.size)) talk_flush(t);
    if (t->thoughts.size) buf_char(&t->thoughts, '\n');
    buf_add(&t->thoughts, text.data, text.size);
    t->speaking = true;
}

void talk_call(Talk *t, Span id, Span name, uint32_t arguments)
{
    JsonOut *j = &t->of_calls;
    Buf text = {0};
    JsonOut inner = {&text};
    jout_open(j, '{');
    jout_put_text(j, "id", id.data, id.size);
    jout_put(j, "type", "function");
    jout_put_open(j, "function", '{');
    jout_put_text(j, "name", name.data, name.size);
    jout_key(j, "arguments");
    if (!arguments) {
        jout_string(j, "{}");
    } else if (api_kind(t->r, arguments) == JSON_KIND_STRING) {
        api_write_node(t->r, j, arguments);
    } else {
        api_write_node(t->r, &inner, arguments);
        jout_text(j, text.data ? text.data : "", text.size);
    }
    jout_close(j, '}');
    jout_close(j, '}');
    t->calls.failed |= text.failed;
    buf_close(&text);
    t->speaking = true;
}

static bool keep_prefill(Talk *t)
{
    if (!t->speaking || t->calls.size || !t->text.size) return true;
    /* white space at its end would be the first token's */
    while (t->text.size && memchr(" \t\r\n", t->text.data[t->text.size - 1], 4)) t->text.size--;
    if (t->text.data) t->text.data[t->text.size] = 0;
    t->speaking = t->said = false;
    buf_clear(&t->thoughts);
    return api_keep_prefill(t->r, &t->text);
}

bool talk_end(Talk *t, bool good, bool prefill)
{
    if (good && prefill) good = keep_prefill(t);
    if (good) {
        talk_flush(t);
        jout_close(&t->j, ']');
        t->r->call->n_messages = t->n;
        good = api_keep(t->r, &t->out, &t->r->call->messages);
    }
    buf_close(&t->out);
    buf_close(&t->text);
    buf_close(&t->thoughts);
    buf_close(&t->calls);
    return good;
}
