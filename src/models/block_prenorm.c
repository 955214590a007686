/* The plain pre-norm decoder (see block_prenorm.h). T tokens this step; D model, V vocabulary. */
#include "models/block_prenorm.h"

#include "models/block_attention.h"
#include "models/block_ffn.h"
#include "models/block_rope.h"

typedef struct Layer {
    const float *attn_norm, *ffn_norm; /* (D) */
    Attention attention;
    Ffn ffn;
} Layer;

typedef struct Prenorm {
    int32_t n_layers;
    float eps;
    Rope rope;
    const Weight *embedding, *head;
    const float *norm; /* (D) */
    Layer *layer;
} Prenorm;

const void *block_prenorm_load(Loader *ld, const PrenormOptions *o)
{
    loader_hyper(ld);
    const Hyper *h = &ld->hyper;
    Prenorm *m = loader_memory(ld, 1, sizeof *m);
    if (loader_failed(ld)) return NULL;
    m->n_layers = h->n_layers;
    m->eps = h->eps;
    m->layer = loader_memory(ld, (size_t)h->n_layers, sizeof *m->layer);
    m->rope = block_rope(ld, o->adjacent, 10000);
    m->embedding = loader_embedding(ld);
    for (int32_t l = 0; l < h->n_layers && !loader_failed(ld); l++) {
        Layer *w = &m->layer[l];
        w->attn_norm = loader_vector(ld, l, "attn_norm", h->n_embd, REQUIRED);
        w->attention = block_attention_load(ld, l, o->head_norms);
        w->ffn_norm = loader_vector(ld, l, "ffn_norm", h->n_embd, REQUIRED);
        w->ffn = block_ffn_load(ld, l, o->experts, o->renormalise);
    }
    m->norm = loader_vector(ld, -1, "output_norm", h->n_embd, REQUIRED);
    m->head = loader_head(ld);
    return m;
}

Tensor block_prenorm_forward(Step *s, const void *model)
{
    const Prenorm *m = model;
    RopeTable rope = op_rope_table(s, &m->rope);
    size_t mark = step_mark(s);
    Tensor x = op_embed(s, m->embedding); /* (T,D) */
    for (int32_t l = 0; l < m->n_layers; l++) {
        const Layer *w = &m->layer[l];
        Tensor h = op_rmsnorm(s, x, w->attn_norm, m->eps);
        x = op_add(s, x, block_attention(s, &w->attention, &rope, l, h));
        x = step_keep(s, mark, x);
        h = op_rmsnorm(s, x, w->ffn_norm, m->eps);
        x = op_add(s, x, block_ffn(s, &w->ffn, h));
        x = step_keep(s, mark, x);
    }
    x = op_rmsnorm(s, op_wanted(s, x), m->norm, m->eps);
    return op_linear(s, x, m->head); /* (wanted,V) */
}
