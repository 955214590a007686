/* Gemma 4: norms around each part; layers of a window and, one in several, layers that see
 * everything, with wider heads, another number of KV heads and sometimes keys as values; values are
 * normed without weights, scores not scaled. Small models have inputs of each layer's own and
 * layers that share state; the sparse one has experts beside the dense part, both fed by the same
 * stream. T tokens; D model, P numbers a layer, N experts. */
#include <math.h>

#include "models/block_gemma.h"
#include "models/block_rope.h"

typedef struct Gemma4Layer {
    const Norm *attn_norm, *attn_post_norm, *ffn_norm, *ffn_post_norm; /* (D) */
    Attention attention;
    Ffn dense, moe; /* moe.router NULL: dense alone */
    const Norm *dense_post_norm, *moe_norm, *moe_post_norm, *router_norm;
    PerLayerUse own;
    float scale;
} Gemma4Layer;

typedef struct Gemma4 {
    Decoder base; /* embedding, angles, head; its layers are not used */
    PerLayer own;
    bool keys_as_values; /* in full layers */
    Gemma4Layer *layer;
} Gemma4;

/* Heads of full layers are key_length wide, those of window layers key_length_swa. */
static void shapes(Loader *ld)
{
    const Hyper *h = &ld->hyper;
    int32_t near = loader_int(ld, "attention.key_length_swa", 1, 4096, h->e_k);
    for (int32_t l = 0; l < h->n_layers && !loader_failed(ld); l++) {
        int32_t e = block_windowed(ld, l, 6) ? near : h->e_k;
        ld->layers[l].e_k = ld->layers[l].e_v = e;
    }
    block_share_kv(ld, 6);
}

/* The router reads norm(x) * scale / sqrt(D). */
static const Norm *router_norm(Loader *ld, int32_t l)
{
    int32_t d = ld->hyper.n_embd;
    const float *scale = loader_floats(ld, l, "ffn_gate_inp.scale", d, 1, REQUIRED);
    float *weight = loader_memory(ld, (size_t)d, sizeof *weight);
    Norm *norm = loader_memory(ld, 1, sizeof *norm);
    if (!scale || !norm) return NULL;
    for (int32_t i = 0; i < d; i++) weight[i] = scale[i] / sqrtf((float)d);
    *norm = (Norm){.weight = weight, .eps = ld->hyper.eps};
    return norm;
}

static void load_experts(Loader *ld, int32_t l, Gemma4Layer *w)
{
    FfnOptions o = {.experts = true, .activation = ACT_GELU_TANH, .renormalise = true};
    int32_t d = ld->hyper.n_embd;
    w->moe = block_ffn_load(ld, l, &o);
    w->router_norm = router_norm(ld, l);
    w->dense_post_norm = loader_norm(ld, l, "post_ffw_norm_1", d, false, REQUIRED);
    w->moe_norm = loader_norm(ld, l, "pre_ffw_norm_2", d, false, REQUIRED);
    w->moe_post_norm = loader_norm(ld, l, "post_ffw_norm_2", d, false, REQUIRED);
}

/* In models that take keys for values no full layer has a value projection. */
static bool keys_are_values(Loader *ld)
{
    for (int32_t l = 0; l < ld->hyper.n_layers; l++)
        if (!block_windowed(ld, l, 6) && loader_has(ld, l, "attn_v")) return false;
    return true;
}

static void load_layer(Loader *ld, int32_t l, int32_t span, Gemma4 *m)
{
    bool window = block_windowed(ld, l, 6);
    AttentionOptions o = {.qk_norm = QK_NORM_HEADS, .keys_as_values = !window && m->keys_as_values};
    FfnOptions dense = {.activation = ACT_GELU_TANH};
    Gemma4Layer *w = &m->layer[l];
    int32_t d = ld->hyper.n_embd;
    w->attn_norm = loader_norm(ld, l, "attn_norm", d, false, REQUIRED);
    w->attn_post_norm = loader_norm(ld, l, "post_attention_norm", d, false, REQUIRED);
    w->ffn_norm = loader_norm(ld, l, "ffn_norm", d, false, REQUIRED);
    w->ffn_post_norm = loader_norm(ld, l, "post_ffw_norm", d, false, REQUIRED);
    w->attention = block_gemma_attention(ld, l, &o, window ? span : 0);
    w->dense = block_ffn_load(ld, l, &dense);
    if (ld->hyper.n_experts > 0 || loader_has(ld, l, "ffn_gate_inp")) load_experts(ld, l, w);
    w->own = block_per_layer_use(ld, &m->own, l);
    const float *scale = loader_vector(ld, l, "layer_output_scale", 1, OPTIONAL);
    w->scale = scale ? *scale : 1;
}

static const void *gemma4_load(Loader *ld)
{
    loader_hyper(ld);
    Gemma4 *m = loader_memory(ld, 1, sizeof *m);
    if (loader_failed(ld)) return NULL;
    const Hyper *h = &ld->hyper;
    int32_t span = loader_int(ld, "attention.sliding_window", 1, INT32_MAX, LOADER_REQUIRED);
    m->layer = loader_memory(ld, (size_t)h->n_layers, sizeof *m->layer);
    shapes(ld);
    m->keys_as_values = keys_are_values(ld);
    Decoder *base = &m->base;
    base->n_layers = h->n_layers;
    base->embedding_scale = sqrtf((float)h->n_embd);
    base->logit_scale = 1;
    base->logit_cap = loader_float(ld, "final_logit_softcapping", 0);
    base->rope[0] = block_rope(ld, false, 1e6f);
    int32_t near = loader_int(ld, "attention.key_length_swa", 1, 4096, h->e_k);
    base->rope[1] = block_rope_plain(ld, false, loader_float(ld, "rope.freq_base_swa", 10000),
                                     loader_int(ld, "rope.dimension_count_swa", 2, near, near));
    base->n_ropes = 2;
    base->embedding = loader_embedding(ld);
    m->own = block_per_layer_load(ld);
    for (int32_t l = 0; l < h->n_layers && !loader_failed(ld); l++) load_layer(ld, l, span, m);
    base->norm = loader_norm(ld, -1, "output_norm", h->n_embd, false, REQUIRED);
    base->head = loader_head(ld);
    return loader_failed(ld) ? NULL : m;
}

static Tensor feed_forward(Step *s, const Gemma4Layer *w, Tensor x)
{
    Tensor y = block_ffn(s, &w->dense, op_norm(s, x, w->ffn_norm)); /* (T,D) */
    if (w->moe.router) {
        const Ffn *f = &w->moe;
        Tensor e = op_moe(s, op_norm(s, x, w->moe_norm), op_norm(s, x, w->router_norm), f->router,
                          f->gate, f->up, f->down, &f->moe);
        y = op_add(s, op_norm(s, y, w->dense_post_norm), op_norm(s, e, w->moe_post_norm));
    }
    return op_norm(s, y, w->ffn_post_norm);
}

static Tensor gemma4_forward(Step *s, const void *model)
{
    const Gemma4 *m = model;
    const Decoder *base = &m->base;
    RopeTable ropes[] = {op_rope_table(s, &base->rope[0]), op_rope_table(s, &base->rope[1])};
    size_t mark = step_mark(s);
    Tensor own = {0};
    if (m->own.width) {
        Tensor x = op_embed(s, base->embedding, base->embedding_scale);
        own = step_keep(s, mark, block_per_layer(s, &m->own, base->n_layers, x)); /* (T, L P) */
    }
    mark = step_mark(s);
    Tensor x = op_embed(s, base->embedding, base->embedding_scale); /* (T,D) */
    for (int32_t l = 0; l < base->n_layers; l++) {
        const Gemma4Layer *w = &m->layer[l];
        Tensor a = block_attention(s, &w->attention, ropes, l, op_norm(s, x, w->attn_norm));
        x = step_keep(s, mark, op_add(s, x, op_norm(s, a, w->attn_post_norm)));
        x = step_keep(s, mark, op_add(s, x, feed_forward(s, w, x)));
        if (m->own.width) x = op_add(s, x, block_per_layer_add(s, &m->own, &w->own, l, x, own));
        x = step_keep(s, mark, w->scale == 1 ? x : op_scale(s, x, w->scale));
    }
    return block_decoder_head(s, base, x);
}

const Arch arch_gemma4 = {"gemma4", gemma4_load, gemma4_forward};
