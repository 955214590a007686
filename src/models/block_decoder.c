/* The decoder that most families are (see block_decoder.h). T tokens this step; D model, V
 * vocabulary. */
#include "models/block_decoder.h"

#include "models/block_rope.h"
#include "ops/tape.h"

/* The norm of that name, one without weights, or none. */
static const Norm *stream_norm(Loader *ld, int32_t layer, const char *name, const DecoderOptions *o,
                               LoaderNeed need)
{
    if (!o->weightless) return loader_norm(ld, layer, name, ld->hyper.n_embd, o->centred, need);
    Norm *norm = loader_memory(ld, 1, sizeof *norm);
    if (norm) *norm = (Norm){.eps = ld->hyper.eps, .centred = o->centred};
    return norm;
}

static void load_norms(Loader *ld, int32_t l, const DecoderOptions *o, DecoderLayer *w)
{
    if (o->order != NORM_AFTER) {
        LoaderNeed need = o->parallel ? OPTIONAL : REQUIRED;
        LoaderNeed first = o->first_bare && l == 0 ? OPTIONAL : REQUIRED;
        w->attn_norm = stream_norm(ld, l, "attn_norm", o, first);
        if (o->no_ffn) return;
        w->ffn_norm = stream_norm(ld, l, o->ffn_norm ? o->ffn_norm : "ffn_norm", o, need);
    }
    if (o->order != NORM_BEFORE) {
        w->attn_post_norm = stream_norm(ld, l, "post_attention_norm", o, REQUIRED);
        w->ffn_post_norm = stream_norm(ld, l, "post_ffw_norm", o, REQUIRED);
    }
}

bool block_has_experts(Loader *ld)
{
    return loader_int(ld, "expert_count", 0, MODEL_MOST_EXPERTS, 0) > 0;
}

static bool windowed(Loader *ld, int32_t layer, int32_t period, bool first_full)
{
    int32_t flags[MODEL_MOST_LAYERS];
    if (loader_int(ld, "attention.sliding_window", 0, INT32_MAX, 0) < 1) return false;
    int32_t n = loader_array(ld, "attention.sliding_window_pattern", 0, MODEL_MOST_LAYERS, flags,
                             MODEL_MOST_LAYERS);
    if (n > 1) return layer < n && flags[layer];
    if (n == 1) period = flags[0];
    return period < 1 || (first_full ? layer : layer + 1) % period != 0;
}

bool block_windowed(Loader *ld, int32_t layer, int32_t period)
{
    return windowed(ld, layer, period, false);
}

bool block_windowed_after(Loader *ld, int32_t layer, int32_t period)
{
    return windowed(ld, layer, period, true);
}

void block_decoder_windows(Loader *ld, Decoder *m, bool all)
{
    int32_t flags[MODEL_MOST_LAYERS];
    if (!m || loader_failed(ld)) return;
    int32_t span = loader_int(ld, "attention.sliding_window", 0, INT32_MAX, 0);
    int32_t n = loader_array(ld, "attention.sliding_window_pattern", 0, 1, flags, m->n_layers);
    if (!span) return;
    if (n && n != m->n_layers)
        loader_fail(ld, BT_E_FORMAT,
                    "key '%s.attention.sliding_window_pattern' has %d flags for %d layers",
                    ld->arch, n, m->n_layers);
    for (int32_t l = 0; l < m->n_layers; l++)
        if (n ? flags[l] != 0 : all)
            block_attention_span(ld, &m->layer[l].attention, l, STATE_KV_WINDOW, span);
}

static FfnOptions ffn_options(const Loader *ld, const DecoderOptions *o, int32_t l)
{
    FfnOptions ffn = o->ffn;
    if (o->routed) ffn.experts = loader_has(ld, l, "ffn_gate_inp");
    if (o->expert_step > 0)
        ffn.experts = l >= o->first_expert_layer && (l + 1) % o->expert_step == 0;
    return ffn;
}

static void load_layer(Loader *ld, int32_t l, const DecoderOptions *o, DecoderLayer *w)
{
    FfnOptions ffn = ffn_options(ld, o, l);
    AttentionOptions attention = {o->qk_norm, o->centred, o->gated};
    w->scale = 1;
    load_norms(ld, l, o, w);
    if (!o->attends || o->attends(ld, l)) w->attention = block_attention_load(ld, l, &attention);
    if (o->no_rope) w->attention.rope = NO_ROPE;
    if (!o->no_ffn) w->ffn = block_ffn_load(ld, l, &ffn);
}

Decoder *block_decoder_load(Loader *ld, const DecoderOptions *o)
{
    loader_hyper(ld);
    const Hyper *h = &ld->hyper;
    Decoder *m = loader_memory(ld, 1, sizeof *m);
    if (loader_failed(ld)) return NULL;
    m->n_layers = h->n_layers;
    m->parallel = o->parallel;
    m->no_ffn = o->no_ffn;
    m->embedding_scale = m->residual_scale = m->logit_scale = 1;
    m->layer = loader_memory(ld, (size_t)h->n_layers, sizeof *m->layer);
    if (!o->no_rope) {
        m->rope[0] = block_rope(ld, o->adjacent, o->rope_base > 0 ? o->rope_base : 10000);
        m->n_ropes = 1;
    }
    m->embedding = loader_embedding(ld);
    for (int32_t l = 0; l < h->n_layers && !loader_failed(ld); l++)
        load_layer(ld, l, o, &m->layer[l]);
    m->norm = stream_norm(ld, -1, o->norm ? o->norm : "output_norm", o, REQUIRED);
    m->head = loader_head(ld);
    return loader_failed(ld) ? NULL : m;
}

static Tensor maybe_norm(Step *s, Tensor x, const Norm *norm)
{
    return norm ? op_norm(s, x, norm) : x;
}

static Tensor maybe_scale(Step *s, Tensor x, float alpha)
{
    return alpha == 1 ? x : op_scale(s, x, alpha);
}

/* What the layers of one step share. */
typedef struct Run {
    const Decoder *m;
    RopeTable ropes[DECODER_MOST_ROPES];
    size_t mark; /* of the stream */
} Run;

static Tensor mix(Step *s, const Run *run, int32_t l, Tensor x)
{
    const DecoderLayer *w = &run->m->layer[l];
    if (w->mixer) return w->mixer(s, run->m, l, run->ropes, x);
    return block_attention(s, &w->attention, run->ropes, l, x);
}

/* One layer: the stream x (T,D) and what attention and feed-forward add to it. */
static Tensor layer_forward(Step *s, const void *context, int32_t l, Tensor x)
{
    const Run *run = context;
    const Decoder *m = run->m;
    const DecoderLayer *w = &m->layer[l];
    Tensor h = maybe_norm(s, x, w->attn_norm);
    Tensor a = maybe_norm(s, mix(s, run, l, h), w->attn_post_norm);
    a = maybe_scale(s, a, m->residual_scale);
    if (m->no_ffn) {
        x = op_add(s, x, a);
    } else if (m->parallel) {
        if (w->ffn_norm) h = op_norm(s, x, w->ffn_norm);
        Tensor f = maybe_norm(s, block_ffn(s, &w->ffn, h), w->ffn_post_norm);
        x = op_add(s, x, op_add(s, a, maybe_scale(s, f, m->residual_scale)));
    } else {
        x = step_keep(s, run->mark, op_add(s, x, a));
        h = maybe_norm(s, x, w->ffn_norm);
        Tensor f = maybe_norm(s, block_ffn(s, &w->ffn, h), w->ffn_post_norm);
        x = op_add(s, x, maybe_scale(s, f, m->residual_scale));
    }
    return step_keep(s, run->mark, maybe_scale(s, x, w->scale));
}

/* Logits of these rows of the stream; the normed rows when the step wants hidden states. */
static Tensor head(Step *s, const void *model, Tensor x)
{
    const Decoder *m = model;
    x = maybe_norm(s, x, m->norm);
    if (s->hidden || step_failed(s)) return x;
    x = maybe_scale(s, op_linear(s, x, m->head), m->logit_scale); /* (wanted,V) */
    return op_cap(s, x, m->logit_cap);
}

Tensor block_decoder_head(Step *s, const Decoder *m, Tensor x)
{
    x = op_wanted(s, x);
    if (!s->hidden && !m->head)
        step_fail(s, BT_E_UNSUPPORTED, "the model gives embeddings and has no logits");
    return tape_head(s, head, m, m->head ? m->head->n : 0, x);
}

Tensor block_decoder_forward(Step *s, const void *model)
{
    const Decoder *m = model;
    Run run = {.m = m};
    for (int i = 0; i < m->n_ropes; i++) run.ropes[i] = op_rope_table(s, &m->rope[i]);
    run.mark = step_mark(s);
    Tensor x = op_embed(s, m->embedding, m->embedding_scale); /* (T,D) */
    if (m->positions) x = op_add(s, x, op_embed_positions(s, m->positions));
    x = step_keep(s, run.mark, maybe_norm(s, x, m->embedding_norm));
    for (int32_t l = 0; l < m->n_layers; l++)
        x = step_block(s, layer_forward, &run, sizeof run, l, x);
    return block_decoder_head(s, m, x);
}
