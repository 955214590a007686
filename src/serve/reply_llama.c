/* completion and infill as clients of llama.cpp's server read them. Source: its published README.
 */
#include <math.h>
#include <string.h>

#include "serve/reply_parts.h"

static void probs(ReplyChoice *c, JsonOut *j)
{
    if (c->probs[0].size) reply_put_probs(c, j, "completion_probabilities");
}

static void ids(ReplyChoice *c, JsonOut *j)
{
    jout_put_open(j, "tokens", '[');
    buf_add(j->buf, c->ids.data, c->ids.size);
    jout_close(j, ']');
    buf_clear(&c->ids);
}

static void text(ApiReply *r, ReplyChoice *c, Span piece, Buf *out)
{
    JsonOut j = sse_begin(out, NULL);
    jout_open(&j, '{');
    jout_put_int(&j, "index", reply_index(r, c));
    jout_put_text(&j, "content", piece.data, piece.size);
    ids(c, &j);
    jout_put_bool(&j, "stop", false);
    jout_put_int(&j, "id_slot", -1);
    probs(c, &j);
    jout_close(&j, '}');
    sse_end(&j);
}

/* As they were drawn with: 0 stands for the default, less for off. */
static double setting(float asked, float otherwise)
{
    double value = asked < 0 ? 0 : (double)(asked > 0 ? asked : otherwise);
    return round(value * 1e6) / 1e6; /* 0.95, not the float next to it */
}

static void settings(const ApiReply *r, JsonOut *j)
{
    const ApiCall *call = r->call;
    const bt_sampler_options *s = &call->sampling, d = bt_sampler_defaults();
    bool greedy = s->greedy || s->temperature < 0;
    jout_put_open(j, "generation_settings", '{');
    jout_put_int(j, "n_predict", call->max_tokens);
    jout_put_real(j, "temperature", greedy ? 0 : setting(s->temperature, d.temperature));
    jout_put_int(j, "top_k", s->top_k < 0 ? 0 : s->top_k > 0 ? s->top_k : d.top_k);
    jout_put_real(j, "top_p", setting(s->top_p, d.top_p));
    jout_put_real(j, "min_p", setting(s->min_p, d.min_p));
    jout_put_real(j, "repeat_penalty", setting(s->repeat_penalty, d.repeat_penalty));
    jout_put_real(j, "presence_penalty", (double)s->presence_penalty);
    jout_put_real(j, "frequency_penalty", (double)s->frequency_penalty);
    jout_put_int(j, "seed", call->seeded ? (int64_t)s->seed : -1);
    jout_put_open(j, "stop", '[');
    for (size_t i = 0; i < call->n_stops; i++)
        jout_text(j, call->stops[i].text, call->stops[i].size);
    jout_close(j, ']');
    jout_close(j, '}');
}

static void result(const ApiReply *r, ReplyChoice *c, Span content, JsonOut *j)
{
    bool word = c->why == API_FINISH_WORD;
    jout_open(j, '{');
    jout_put_int(j, "index", reply_index(r, c));
    jout_put_text(j, "content", content.data, content.size);
    ids(c, j);
    jout_put_int(j, "id_slot", -1);
    jout_put_bool(j, "stop", true);
    jout_put(j, "model", r->info.model);
    jout_put_int(j, "tokens_predicted", c->n_tokens);
    jout_put_int(j, "tokens_evaluated", r->usage.prompt ? r->usage.prompt : r->info.n_prompt);
    settings(r, j);
    jout_put(j, "prompt", "");
    jout_put_bool(j, "truncated", false);
    jout_put(j, "stop_type", word ? "word" : c->why == API_FINISH_STOP ? "eos" : "limit");
    jout_put(j, "stopping_word", word ? buf_span(&c->word).data : "");
    jout_put_int(j, "tokens_cached", r->usage.cached);
    probs(c, j);
}

static void end(ApiReply *r, Buf *out)
{
    for (size_t i = 0; i < r->n_choices; i++) {
        JsonOut j = sse_begin(out, NULL);
        result(r, &r->choices[i], SPAN(""), &j);
        jout_key(&j, "timings");
        reply_timings(&r->usage, &j);
        jout_close(&j, '}');
        sse_end(&j);
    }
}

static void whole(ApiReply *r, Buf *out)
{
    JsonOut j = {out};
    if (r->n_choices > 1) jout_open(&j, '[');
    for (size_t i = 0; i < r->n_choices; i++) {
        result(r, &r->choices[i], buf_span(&r->choices[i].text), &j);
        jout_key(&j, "timings");
        reply_timings(&r->usage, &j);
        jout_close(&j, '}');
    }
    if (r->n_choices > 1) jout_close(&j, ']');
}

const ReplyShape reply_llama = {.id_head = "", .text = text, .end = end, .whole = whole};
