/* Per-layer inputs and shared state (see block_gemma.h). T tokens; D model, L layers, P numbers a
 * layer. */
#include "models/block_gemma.h"

#include <math.h>

PerLayer block_per_layer_load(Loader *ld)
{
    int64_t d = ld->hyper.n_embd, n = ld->hyper.n_layers;
    PerLayer p = {.width = loader_int(ld, "embedding_length_per_layer_input", 0, 4096, 0)};
    if (!p.width) return p;
    p.table = loader_table(ld, "per_layer_token_embd", n * p.width, REQUIRED);
    p.project = loader_matrix(ld, -1, "per_layer_model_proj", d, n * p.width, REQUIRED);
    p.norm = loader_norm(ld, -1, "per_layer_proj_norm", p.width, false, REQUIRED);
    return p;
}

PerLayerUse block_per_layer_use(Loader *ld, const PerLayer *p, int32_t layer)
{
    int64_t d = ld->hyper.n_embd;
    if (!p->width) return (PerLayerUse){0};
    return (PerLayerUse){.gate = loader_matrix(ld, layer, "inp_gate", d, p->width, REQUIRED),
                         .project = loader_matrix(ld, layer, "proj", p->width, d, REQUIRED),
                         .norm = loader_norm(ld, layer, "post_norm", d, false, REQUIRED)};
}

Tensor block_per_layer(Step *s, const PerLayer *p, int32_t n_layers, Tensor x)
{
    size_t mark = step_mark(s);
    Tensor of_x = op_scale(s, op_linear(s, x, p->project), 1 / sqrtf((float)x.width));
    of_x = op_merge(s, op_norm(s, op_split(s, of_x, n_layers), p->norm)); /* (T, L P) */
    Tensor of_token = op_embed_tokens(s, p->table, sqrtf((float)p->width));
    return step_keep(s, mark, op_scale(s, op_add(s, of_x, of_token), sqrtf(0.5f)));
}

Tensor block_per_layer_add(Step *s, const PerLayer *p, const PerLayerUse *use, int32_t layer,
                           Tensor x, Tensor all)
{
    Tensor mine = op_part(s, all, layer * p->width, p->width);              /* (T,P) */
    Tensor h = op_gate(s, mine, op_linear(s, x, use->gate), ACT_GELU_TANH); /* (T,P) */
    return op_norm(s, op_linear(s, h, use->project), use->norm);            /* (T,D) */
}

void block_share_kv(Loader *ld, int32_t period)
{
    int32_t n = ld->hyper.n_layers;
    int32_t first = n - loader_int(ld, "attention.shared_kv_layers", 0, n, 0);
    for (int32_t l = first; l < n && !loader_failed(ld); l++) {
        int32_t from = first - 1;
        while (from >= 0 && block_windowed(ld, from, period) != block_windowed(ld, l, period))
            from--;
        if (from < 0) {
            loader_fail(ld, BT_E_FORMAT,
                        "key '%s.attention.shared_kv_layers': layer %d has no layer of its kind to "
                        "share with",
                        ld->arch, l);
            return;
        }
        ld->layers[l] = ld->layers[from];
        ld->layers[l].kind = STATE_KV_SHARED;
        ld->layers[l].from = from;
    }
}

const Norm *block_plain_norm(Loader *ld)
{
    Norm *norm = loader_memory(ld, 1, sizeof *norm);
    if (norm) norm->eps = ld->hyper.eps;
    return norm;
}

Attention block_gemma_attention(Loader *ld, int32_t layer, const AttentionOptions *options,
                                int32_t span)
{
    Attention a = block_attention_load(ld, layer, options);
    a.options.scale = 1;
    a.v_norm = block_plain_norm(ld);
    if (span > 0) {
        a.rope = 1;
        block_attention_span(ld, &a, layer, STATE_KV_WINDOW, span);
    }
    return a;
}
