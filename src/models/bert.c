/* BERT (arXiv 1810.04805) and its kin: encoders, whose rows see each other both ways, with a
 * LayerNorm of the stream after each sum: x = norm(x + attention x), x = norm(x + ffn x). BERT adds
 * learned positions and the first token type to the embedding (RoBERTa's positions are stored
 * without the rows that it skips); Nomic BERT (arXiv 2402.01613) turns q and k by halves instead
 * and has a gated feed-forward part; with experts (arXiv 2502.07972) every second layer is an
 * ungated mixture by softmax, weights as they are. The hidden rows are the answer: there is no
 * head. T tokens this step; D model. */
#include "models/block_attention.h"
#include "models/block_ffn.h"
#include "models/block_rope.h"
#include "models/model.h"

typedef struct BertLayer {
    Attention attention;
    Ffn ffn;
    const Norm *attn_norm, *ffn_norm; /* (D) of the sums */
    const float *ffn_bias;            /* (D) of a mixture's result, or NULL */
} BertLayer;

typedef struct Bert {
    int32_t n_layers;
    Rope rope; /* Nomic BERT */
    bool turns;
    const Weight *embedding, *positions; /* positions NULL: turned by angles */
    const float *type;                   /* (D) added to every row, or NULL */
    const float *second; /* (D) added to rows of the second of two texts; NULL: there is none */
    int32_t separator;   /* the token after which that begins */
    const Norm *embedding_norm;
    BertLayer *layer;
} Bert;

/* The first row of token_types, and how much the second is more: texts are fed in pairs to
 * rerankers alone, whose second text begins after the first separator. */
static void load_types(Loader *ld, Bert *m)
{
    int64_t ne[3], d = ld->hyper.n_embd;
    uint32_t separator = UINT32_MAX;
    if (loader_failed(ld) || !loader_shape(ld, -1, "token_types", ne)) return;
    if (ne[1] < 1 || ne[1] > MODEL_MOST_LAYERS) {
        loader_fail(ld, BT_E_FORMAT, "tensor 'token_types.weight' has %lld rows", (long long)ne[1]);
        return;
    }
    m->type = loader_floats(ld, -1, "token_types.weight", d, ne[1], REQUIRED);
    if (!m->type || ne[1] < 2 || ld->hyper.pooling != POOLING_RANK) return;
    gguf_get_u32(ld->gguf, "tokenizer.ggml.seperator_token_id", false, &separator, NULL);
    if (separator > INT32_MAX) return;
    float *more = loader_memory(ld, (size_t)d, sizeof *more);
    for (int64_t i = 0; more && i < d; i++) more[i] = m->type[d + i] - m->type[i];
    m->second = more;
    m->separator = (int32_t)separator;
}

/* What Nomic's code adds to the result of its experts. GGUF has no tensor for it: our converter
 * writes the key expert_output_bias, (layers, D), where it is not 0. */
static const float *output_biases(Loader *ld)
{
    int64_t n = (int64_t)ld->hyper.n_layers * ld->hyper.n_embd;
    float *bias = loader_memory(ld, (size_t)n, sizeof *bias);
    int32_t have = bias ? loader_float_array(ld, "expert_output_bias", bias, (int32_t)n) : 0;
    if (!have) return NULL;
    if (have != n)
        loader_fail(ld, BT_E_FORMAT,
                    "key '%s.expert_output_bias' has %d numbers; %lld are expected", ld->arch, have,
                    (long long)n);
    return bias;
}

static void load_layer(Loader *ld, int32_t l, const FfnOptions *ffn, bool turns, BertLayer *w)
{
    w->attention = block_attention_load(ld, l, &(AttentionOptions){0});
    if (!turns) w->attention.rope = NO_ROPE;
    w->attn_norm = loader_norm(ld, l, "attn_output_norm", ld->hyper.n_embd, true, REQUIRED);
    w->ffn = block_ffn_load(ld, l, ffn);
    w->ffn_norm = loader_norm(ld, l, "layer_output_norm", ld->hyper.n_embd, true, REQUIRED);
}

/* Layers l with l % every == 1 are mixtures; 0: none is. */
static Bert *load(Loader *ld, const FfnOptions *ffn, bool turns, int32_t every)
{
    FfnOptions mixture = *ffn;
    mixture.experts = true;
    ld->encoder = true;
    loader_hyper(ld);
    Bert *m = loader_memory(ld, 1, sizeof *m);
    if (loader_failed(ld)) return NULL;
    const Hyper *h = &ld->hyper;
    m->n_layers = h->n_layers;
    m->turns = turns;
    if (turns) m->rope = block_rope(ld, false, 10000);
    m->embedding = loader_embedding(ld);
    if (!turns) m->positions = loader_table(ld, "position_embd", h->n_embd, REQUIRED);
    load_types(ld, m);
    m->embedding_norm = loader_norm(ld, -1, "token_embd_norm", h->n_embd, true, REQUIRED);
    m->layer = loader_memory(ld, (size_t)h->n_layers, sizeof *m->layer);
    for (int32_t l = 0; l < h->n_layers && !loader_failed(ld); l++)
        load_layer(ld, l, every > 0 && l % every == 1 ? &mixture : ffn, turns, &m->layer[l]);
    return loader_failed(ld) ? NULL : m;
}

/* 1 for the rows that come after a separator of their sequence, which lie together. */
static void mark_second(const Step *s, int32_t separator, float *of_row)
{
    for (int32_t i = 0; i < s->n_rows; i++) {
        bool begins = i == 0 || s->rows[i].sequence != s->rows[i - 1].sequence;
        bool after = !begins && (of_row[i - 1] > 0 || s->rows[i - 1].token == separator);
        of_row[i] = after ? 1 : 0;
    }
}

static Tensor add_second(Step *s, const Bert *m, Tensor x)
{
    size_t n = (size_t)s->n_rows;
    float *none = step_memory(s, n * sizeof *none), *second = step_memory(s, n * sizeof *second);
    if (step_failed(s)) return x;
    bool computes = s->backend->ops->computes; /* else there is no memory behind these */
    for (size_t i = 0; computes && i < n; i++) none[i] = 0;
    if (computes) mark_second(s, m->separator, second);
    Tensor more = op_add_vector(s, op_mul_rows(s, x, none), m->second);
    return op_add(s, x, op_mul_rows(s, more, second));
}

static Tensor bert_forward(Step *s, const void *model)
{
    const Bert *m = model;
    RopeTable rope = {0};
    if (m->turns) rope = op_rope_table(s, &m->rope);
    size_t mark = step_mark(s);
    Tensor x = op_embed(s, m->embedding, 1); /* (T,D) */
    if (m->type) x = op_add_vector(s, x, m->type);
    if (m->second) x = add_second(s, m, x);
    if (m->positions) x = op_add(s, x, op_embed_positions(s, m->positions));
    x = step_keep(s, mark, op_norm(s, x, m->embedding_norm));
    for (int32_t l = 0; l < m->n_layers; l++) {
        const BertLayer *w = &m->layer[l];
        Tensor a = op_add(s, x, block_attention(s, &w->attention, &rope, l, x));
        x = step_keep(s, mark, op_norm(s, a, w->attn_norm));
        Tensor f = op_add(s, x, block_ffn(s, &w->ffn, x));
        if (w->ffn_bias) f = op_add_vector(s, f, w->ffn_bias);
        x = step_keep(s, mark, op_norm(s, f, w->ffn_norm));
    }
    return op_wanted(s, x);
}

static const void *bert_load(Loader *ld)
{
    return load(ld, &(FfnOptions){.activation = ACT_GELU, .ungated = true}, false, 0);
}

static const void *nomic_bert_load(Loader *ld)
{
    return load(ld, &(FfnOptions){.activation = ACT_SILU}, true, 0);
}

static const void *nomic_moe_load(Loader *ld)
{
    int32_t every = loader_int(ld, "moe_every_n_layers", 2, MODEL_MOST_LAYERS, LOADER_REQUIRED);
    FfnOptions ffn = {.activation = ACT_GELU, .ungated = true};
    Bert *m = load(ld, &ffn, true, every);
    const float *bias = m ? output_biases(ld) : NULL;
    for (int32_t l = 0; bias && !loader_failed(ld) && l < m->n_layers; l++)
        if (m->layer[l].ffn.router) m->layer[l].ffn_bias = bias + (int64_t)l * ld->hyper.n_embd;
    return loader_failed(ld) ? NULL : m;
}

const Arch arch_bert = {"bert", bert_load, bert_forward};
const Arch arch_nomic_bert_moe = {"nomic-bert-moe", nomic_moe_load, bert_forward};
const Arch arch_nomic_bert = {"nomic-bert", nomic_bert_load, bert_forward};
