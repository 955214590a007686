/* See api_case.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "api_case.h"
#include "base/mem.h"

char *case_quotes(const char *text)
{
    char *copy = mem_strdup(text);
    for (char *p = copy; *p; p++)
        if (*p == '\'') *p = '"';
    return copy;
}

ApiCall *case_parse(const char *path, const char *body, const ApiDefaults *defaults, ApiError *err)
{
    ApiCall *call = NULL;
    char *text = case_quotes(body);
    const char *slash = strchr(path, ' ');
    char method[8] = "POST";
    if (slash) {
        memcpy(method, path, (size_t)(slash - path));
        method[slash - path] = 0;
        path = slash + 1;
    }
    ApiHttp http = {.method = method, .path = path, .body = text, .body_size = strlen(text)};
    bt_status status = api_parse(&http, defaults, &call, err);
    assert_int_equal(status == BT_OK, call != NULL);
    mem_free(text);
    return call;
}

static void text(Buf *out, const char *name, const char *value)
{
    if (value && *value) buf_printf(out, "%s=%s\n", name, value);
}

static void number(Buf *out, const char *name, double value, double none)
{
    if (value != none) buf_printf(out, "%s=%g\n", name, value);
}

static void dump_prompts(const ApiCall *c, Buf *out)
{
    for (size_t i = 0; i < c->n_prompts; i++) {
        buf_printf(out, "prompt[%zu]=", i);
        for (size_t k = 0; k < c->prompts[i].n_parts; k++) {
            const ApiPart *p = &c->prompts[i].parts[k];
            if (k) buf_char(out, '|');
            if (p->text) buf_add(out, p->text, p->size);
            for (size_t t = 0; !p->text && t < p->n_ids; t++)
                buf_printf(out, "%s%d", t ? "," : "#", (int)p->ids[t]);
        }
        buf_char(out, '\n');
    }
}

static void dump_sampling(const ApiCall *c, Buf *out)
{
    const bt_sampler_options *s = &c->sampling;
    number(out, "greedy", s->greedy, 0);
    number(out, "temperature", (double)s->temperature, 0);
    number(out, "top_k", s->top_k, 0);
    number(out, "top_p", (double)s->top_p, 0);
    number(out, "min_p", (double)s->min_p, 0);
    number(out, "repeat_penalty", (double)s->repeat_penalty, 0);
    number(out, "presence", (double)s->presence_penalty, 0);
    number(out, "frequency", (double)s->frequency_penalty, 0);
    number(out, "last_n", s->penalty_last_n, 0);
    number(out, "mirostat", s->mirostat, 0);
    if (c->seeded) buf_printf(out, "seed=%lld\n", (long long)s->seed);
    for (size_t i = 0; i < s->n_bias; i++)
        buf_printf(out, "bias[%d]=%g\n", (int)s->bias[i].token, (double)s->bias[i].bias);
}

void case_dump(const ApiCall *c, Buf *out)
{
    static const char *const holds[] = {"", "json", "schema", "gbnf"};
    static const char *const choices[] = {"", "none", "required", "named"};
    static const char *const thinks[] = {"", "on", "off"};
    text(out, "model", c->model);
    number(out, "stream", c->stream, API_STREAM_NOT);
    text(out, "messages", c->messages);
    text(out, "tools", c->tools);
    text(out, "choice", choices[c->tool_choice]);
    number(out, "one_call", c->one_call, 0);
    text(out, "variables", c->variables);
    text(out, "instructions", c->instructions);
    text(out, "prefill", c->prefill);
    text(out, "think", thinks[c->think]);
    number(out, "thoughts", c->show_thoughts, 1);
    dump_prompts(c, out);
    text(out, "suffix", c->suffix);
    text(out, "prefix", c->prefix.text);
    text(out, "infill", c->infill_suffix.text);
    number(out, "echo", c->echo, 0);
    dump_sampling(c, out);
    number(out, "n", c->n, 1);
    number(out, "max", c->max_tokens, -1);
    number(out, "top", c->n_top, -1);
    for (size_t i = 0; i < c->n_stops; i++) text(out, "stop", c->stops[i].text);
    text(out, "hold", holds[c->hold]);
    text(out, "hold_text", c->hold_text);
    number(out, "ignore_eos", c->ignore_eos, 0);
    number(out, "no_cache", c->no_cache, 0);
    for (size_t i = 0; i < c->n_adapters; i++)
        buf_printf(out, "adapter=%s:%g\n", c->adapters[i].name, (double)c->adapters[i].scale);
    if (c->keep_alive_ms != API_KEEP_DEFAULT)
        buf_printf(out, "keep=%lld\n", (long long)c->keep_alive_ms);
    number(out, "usage", c->include_usage, 0);
    number(out, "dimensions", c->dimensions, 0);
    number(out, "base64", c->base64, 0);
    number(out, "cut", c->cut_inputs, 0);
    text(out, "query", c->query.text);
    for (size_t i = 0; i < c->n_documents; i++) text(out, "document", c->documents[i].text);
    number(out, "top_n", c->top_n, 0);
    text(out, "previous", c->previous_response_id);
    for (size_t i = 0; i < c->n_extra; i++)
        buf_printf(out, "extra=%s:%s\n", c->extra[i].key, c->extra[i].value);
    for (size_t i = 0; i < c->n_pairs; i++)
        buf_printf(out, "%s: %s\n", c->pairs[i].key, c->pairs[i].value);
}

void case_reads(const char *path, const char *body, const char *expected)
{
    ApiError err;
    Buf out = {0};
    ApiCall *call = case_parse(path, body, NULL, &err);
    if (!call) print_error("%s: %s\n", err.field, err.text);
    assert_non_null(call);
    case_dump(call, &out);
    char *lines = case_quotes(expected);
    assert_string_equal(out.data ? out.data : "", lines);
    mem_free(lines);
    buf_close(&out);
    api_call_close(&call);
    assert_null(call);
}

void case_refuses(const char *path, const char *body, int status, const char *field,
                  const char *words)
{
    ApiError err;
    ApiCall *call = case_parse(path, body, NULL, &err);
    assert_null(call);
    if (!strstr(err.text, words)) print_error("%s\n", err.text);
    assert_non_null(strstr(err.text, words));
    assert_string_equal(err.field, field);
    assert_int_equal(api_error_http(err.kind), status);
}

/* ---- replies */

const ApiInfo case_info = {
    .model = "m", .unique = 1, .created = 1700000000, .slot = 3, .n_prompt = 9, .n_cached = 4};

static void play_choice(ApiReply *r, int choice, const CaseEvent *events, size_t n, Buf *out)
{
    char id[16];
    for (size_t i = 0; i < n; i++) {
        const CaseEvent *e = &events[i];
        bool call = e->kind == BT_ANSWER_CALL;
        snprintf(id, sizeof id, "call_%d", (int)e->index);
        bt_answer_event event = {.kind = e->kind,
                                 .index = e->index,
                                 .id = call ? id : NULL,
                                 .name = call ? e->text : NULL,
                                 .text = call ? NULL : e->text,
                                 .length = call || !e->text ? 0 : strlen(e->text)};
        api_reply_event(r, choice, &event, NULL, out);
    }
}

void case_play(const char *path, const char *body, const CaseEvent *events, size_t n, ApiFinish why,
               const char *word, Buf *out)
{
    static const ApiUsage usage = {.prompt = 9,
                                   .cached = 4,
                                   .completion = 5,
                                   .reasoning = 2,
                                   .load_us = 3,
                                   .prefill_us = 2000,
                                   .decode_us = 5000,
                                   .total_us = 8000};
    ApiError err;
    ApiReply *r;
    ApiCall *call = case_parse(path, body, NULL, &err);
    assert_non_null(call);
    assert_int_equal(api_reply_open(call, &case_info, &r, &err), BT_OK);
    int choices = call->n * (call->n_prompts > 1 ? (int)call->n_prompts : 1);
    api_reply_start(r, out);
    for (int c = 0; c < choices; c++) {
        play_choice(r, c, events, n, out);
        api_reply_choice_end(r, c, why, word, 5, out);
    }
    api_reply_end(r, &usage, out);
    assert_false(api_reply_failed(r));
    api_reply_close(&r);
    api_call_close(&call);
}

void case_sends(const char *path, const char *body, const CaseEvent *events, size_t n,
                ApiFinish why, const char *word, const char *expected)
{
    Buf out = {0};
    char *wanted = case_quotes(expected);
    case_play(path, body, events, n, why, word, &out);
    assert_string_equal(out.data ? out.data : "", wanted);
    mem_free(wanted);
    buf_close(&out);
}
