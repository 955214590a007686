/* Gemma 3n: a few streams instead of one (AltUp, arXiv 2301.13310). Before a layer all are
 * predicted from all; attention and feed-forward work on the first; what they changed there
 * corrects the others, and the inputs of the layer's own are added to all but the first. A low-rank
 * branch beside attention (Laurel), gates cut to their largest values in some layers, and shared
 * state. T tokens; D model, A streams, F ffn. */
#include <math.h>

#include "models/block_gemma.h"
#include "models/block_rope.h"

#define PERIOD 5 /* of layers that see everything */

typedef struct Gemma3nLayer {
    const Norm *attn_norm, *attn_post_norm, *ffn_norm, *ffn_post_norm; /* (D) */
    Attention attention;
    Ffn ffn;
    bool sparse;
    float deviations; /* gates below mean + this many are 0 */
    const Weight *laurel_l, *laurel_r;
    const Norm *laurel_norm, *router_norm;    /* (D) */
    const Weight *router, *predict, *correct; /* (A,D) (A A,A) (A,A) */
    const float *correct_scale;               /* (D) */
    PerLayerUse own;
} Gemma3nLayer;

typedef struct Gemma3n {
    Decoder base; /* embedding, angles, head; its layers are not used */
    PerLayer own;
    int32_t streams;
    const Weight *spread, *gather; /* (A - 1) matrices (D,D): to the other streams, and back */
    Gemma3nLayer *layer;
} Gemma3n;

/* The file's mean and deviation rule a layer; minus infinity: dense. */
static void sparsity(Loader *ld, int32_t l, Gemma3nLayer *w)
{
    float of[MODEL_MOST_LAYERS];
    int32_t n = loader_float_array(ld, "activation_sparsity_scale", of, MODEL_MOST_LAYERS);
    if (l >= n) return;
    w->sparse = isfinite(of[l]);
    w->deviations = of[l];
}

static void load_altup(Loader *ld, int32_t l, int32_t a, Gemma3nLayer *w)
{
    int32_t d = ld->hyper.n_embd;
    w->router = loader_matrix(ld, l, "altup_router", d, a, REQUIRED);
    w->router_norm = loader_norm(ld, l, "altup_router_norm", d, false, REQUIRED);
    w->predict = loader_matrix(ld, l, "altup_predict_coef", a, (int64_t)a * a, REQUIRED);
    w->correct = loader_matrix(ld, l, "altup_correct_coef", a, a, REQUIRED);
    w->correct_scale = loader_vector(ld, l, "altup_correct_scale", d, REQUIRED);
}

static void load_laurel(Loader *ld, int32_t l, Gemma3nLayer *w)
{
    int64_t d = ld->hyper.n_embd, ne[3] = {0}; /* no key names its rank */
    loader_shape(ld, l, "laurel_l", ne);
    w->laurel_l = loader_matrix(ld, l, "laurel_l", d, ne[1], REQUIRED);
    w->laurel_r = loader_matrix(ld, l, "laurel_r", ne[1], d, REQUIRED);
    w->laurel_norm = loader_norm(ld, l, "laurel_post_norm", d, false, REQUIRED);
}

static void load_layer(Loader *ld, int32_t l, int32_t span, Gemma3n *m)
{
    AttentionOptions o = {.qk_norm = QK_NORM_HEADS};
    FfnOptions ffn = {.activation = ACT_GELU_TANH};
    Gemma3nLayer *w = &m->layer[l];
    int32_t d = ld->hyper.n_embd;
    w->attn_norm = loader_norm(ld, l, "attn_norm", d, false, REQUIRED);
    w->attn_post_norm = loader_norm(ld, l, "post_attention_norm", d, false, REQUIRED);
    w->ffn_norm = loader_norm(ld, l, "ffn_norm", d, false, REQUIRED);
    w->ffn_post_norm = loader_norm(ld, l, "post_ffw_norm", d, false, REQUIRED);
    w->attention = block_gemma_attention(ld, l, &o, block_windowed(ld, l, PERIOD) ? span : 0);
    w->ffn = block_ffn_load(ld, l, &ffn);
    sparsity(ld, l, w);
    load_laurel(ld, l, w);
    load_altup(ld, l, m->streams, w);
    w->own = block_per_layer_use(ld, &m->own, l);
}

static void load_base(Loader *ld, Decoder *base)
{
    const Hyper *h = &ld->hyper;
    base->n_layers = h->n_layers;
    base->embedding_scale = sqrtf((float)h->n_embd);
    base->logit_cap = loader_float(ld, "final_logit_softcapping", 30);
    base->rope[0] = block_rope(ld, false, 1e6f);
    base->rope[1] = block_rope_plain(ld, false, loader_float(ld, "rope.freq_base_swa", 10000),
                                     2 * base->rope[0].half);
    base->n_ropes = 2;
    base->embedding = loader_embedding(ld);
    base->norm = loader_norm(ld, -1, "output_norm", h->n_embd, false, REQUIRED);
    base->head = loader_head(ld);
}

static const void *gemma3n_load(Loader *ld)
{
    loader_hyper(ld);
    Gemma3n *m = loader_memory(ld, 1, sizeof *m);
    if (loader_failed(ld)) return NULL;
    const Hyper *h = &ld->hyper;
    int32_t d = h->n_embd;
    int32_t span = loader_int(ld, "attention.sliding_window", 1, INT32_MAX, LOADER_REQUIRED);
    m->streams = loader_int(ld, "altup.num_inputs", 2, 16, 4);
    if (loader_int(ld, "altup.active_idx", 0, 15, 0) != 0)
        loader_fail(ld, BT_E_UNSUPPORTED, "key 'gemma3n.altup.active_idx': only 0 is known");
    m->layer = loader_memory(ld, (size_t)h->n_layers, sizeof *m->layer);
    block_share_kv(ld, PERIOD);
    load_base(ld, &m->base);
    m->spread = loader_matrices(ld, -1, "altup_proj", d, d, m->streams - 1, REQUIRED);
    m->gather = loader_matrices(ld, -1, "altup_unembd_proj", d, d, m->streams - 1, REQUIRED);
    m->own = block_per_layer_load(ld);
    if (!loader_failed(ld) && !m->own.width)
        loader_fail(ld, BT_E_FORMAT, "key 'gemma3n.embedding_length_per_layer_input' is missing");
    for (int32_t l = 0; l < h->n_layers && !loader_failed(ld); l++) load_layer(ld, l, span, m);
    return loader_failed(ld) ? NULL : m;
}

/* x (T,D), n times side by side: (T,n,D). */
static Tensor repeat(Step *s, Tensor x, int32_t n)
{
    Tensor all = x;
    for (int32_t i = 1; i < n; i++) all = op_join(s, all, x);
    return op_split(s, all, n);
}

/* Stream i alone: (T,D). */
static Tensor stream(Step *s, Tensor streams, int32_t i, int32_t n)
{
    int32_t d = streams.width;
    return op_part(s, op_merge(s, streams), i * d, n * d);
}

/* tanh of how much the router sees each stream in x: (T,A). */
static Tensor modalities(Step *s, const Gemma3nLayer *w, Tensor x)
{
    Tensor h = op_scale(s, op_norm(s, x, w->router_norm), 1 / (float)x.width);
    return op_activate(s, op_linear(s, h, w->router), ACT_TANH);
}

static Tensor feed_forward(Step *s, const Gemma3nLayer *w, Tensor x)
{
    const Ffn *f = &w->ffn;
    if (!w->sparse) return block_ffn(s, f, x);
    Tensor gate = op_cut(s, op_linear(s, x, f->gate), w->deviations); /* (T,F) */
    return op_linear(s, op_gate(s, op_linear(s, x, f->up), gate, f->activation), f->down);
}

/* What attention, Laurel and feed-forward make of the first stream: (T,D). */
static Tensor activate(Step *s, const Gemma3nLayer *w, int32_t l, const RopeTable *ropes, Tensor x)
{
    size_t mark = step_mark(s);
    Tensor h = op_norm(s, x, w->attn_norm);
    Tensor low = op_linear(s, op_linear(s, h, w->laurel_l), w->laurel_r);
    low = op_add(s, h, op_norm(s, low, w->laurel_norm));
    Tensor a = block_attention(s, &w->attention, ropes, l, h);
    a = op_add(s, x, op_norm(s, a, w->attn_post_norm));
    x = step_keep(s, mark, op_scale(s, op_add(s, a, low), sqrtf(0.5f)));
    Tensor f = feed_forward(s, w, op_norm(s, x, w->ffn_norm));
    return step_keep(s, mark, op_add(s, x, op_norm(s, f, w->ffn_post_norm)));
}

/* One layer over the streams (T,A,D). */
static Tensor layer_forward(Step *s, const Gemma3n *m, int32_t l, const RopeTable *ropes,
                            Tensor own, Tensor streams)
{
    const Gemma3nLayer *w = &m->layer[l];
    Tensor seen = modalities(s, w, stream(s, streams, 0, 1));
    Tensor p = op_mix(s, streams, op_linear(s, seen, w->predict)); /* (T,A,D) */
    Tensor first = stream(s, p, 0, 1), none = {0};                 /* part of p: changes with it */
    Tensor y = activate(s, w, l, ropes, first);
    Tensor c = op_linear(s, modalities(s, w, y), w->correct); /* (T,A), 1 less than the factors */
    p = op_spread(s, p, op_spread(s, y, first, none, -1, 0), c, 1, 0);
    Tensor f = op_mul_vector(s, first, w->correct_scale);
    f = block_per_layer_add(s, &m->own, &w->own, l, f, own); /* (T,D) */
    return op_spread(s, p, f, none, 1, 1);                   /* (T,A,D) */
}

/* The mean of the streams, the others brought back and to the size of the first. */
static Tensor together(Step *s, const Gemma3n *m, Tensor streams)
{
    int32_t n = m->streams;
    Tensor first = stream(s, streams, 0, 1), sum = first;
    Tensor others = op_split(s, stream(s, streams, 1, n - 1), n - 1);
    others = op_level(s, op_linear_heads(s, others, m->gather), first);
    for (int32_t i = 0; i < n - 1; i++) sum = op_add(s, sum, stream(s, others, i, 1));
    return op_scale(s, sum, 1 / (float)n);
}

static Tensor gemma3n_forward(Step *s, const void *model)
{
    const Gemma3n *m = model;
    const Decoder *base = &m->base;
    RopeTable ropes[] = {op_rope_table(s, &base->rope[0]), op_rope_table(s, &base->rope[1])};
    int32_t n = m->streams;
    size_t mark = step_mark(s);
    Tensor x = op_embed(s, base->embedding, base->embedding_scale);                  /* (T,D) */
    Tensor own = step_keep(s, mark, block_per_layer(s, &m->own, base->n_layers, x)); /* (T, L P) */
    mark = step_mark(s);
    x = op_embed(s, base->embedding, base->embedding_scale);
    Tensor others = op_level(s, op_linear_heads(s, repeat(s, x, n - 1), m->spread), x);
    Tensor streams = op_split(s, op_join(s, x, op_merge(s, others)), n); /* (T,A,D) */
    streams = step_keep(s, mark, streams);
    for (int32_t l = 0; l < base->n_layers; l++)
        streams = step_keep(s, mark, layer_forward(s, m, l, ropes, own, streams));
    streams = op_split(s, op_wanted(s, op_merge(s, streams)), n);
    x = op_norm(s, together(s, m, streams), base->norm); /* (wanted,D) */
    return s->hidden ? x : op_cap(s, op_linear(s, x, base->head), base->logit_cap);
}

const Arch arch_gemma3n = {"gemma3n", gemma3n_load, gemma3n_forward};
