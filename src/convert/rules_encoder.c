/* Names of tensors of encoders. */
#include "convert/rules.h"

#define BERT_LAYER(from)                                                                           \
    {from ".attention.self.query", "attn_q"}, {from ".attention.self.key", "attn_k"},              \
        {from ".attention.self.value", "attn_v"}, {from ".attention.output.dense", "attn_output"}, \
        {from ".attention.output.LayerNorm", "attn_output_norm"},                                  \
        {from ".intermediate.dense", "ffn_up"}, {from ".output.dense", "ffn_down"},                \
    {                                                                                              \
        from ".output.LayerNorm", "layer_output_norm"                                              \
    }

#define BERT                                                                                       \
    {"embeddings.word_embeddings", "token_embd"},                                                  \
        {"embeddings.position_embeddings", "position_embd", op_positions, 0},                      \
        {"embeddings.token_type_embeddings", "token_types"},                                       \
        {"embeddings.LayerNorm", "token_embd_norm"}, {"embeddings.position_ids", NULL},            \
        BERT_LAYER("encoder.layer.#")

/* Neither the pooler nor a head belongs to embedding. */
const TensorRule rules_bert[] = {
    BERT,
    {"pooler.dense", NULL},
    {"lm_head.dense", NULL}, /* of RoBERTa's masked language model */
    {"lm_head.layer_norm", NULL},
    {"lm_head.decoder", NULL},
    {"lm_head.bias", NULL},
    {0},
};

const TensorRule rules_bert_rank[] = {
    BERT,
    {"pooler.dense", "cls"},
    {"classifier", "cls.output"},
    {0},
};

/* Its head has the first matrix inside. */
const TensorRule rules_roberta_rank[] = {
    BERT,
    {"pooler.dense", NULL},
    {"classifier.dense", "cls"},
    {"classifier.out_proj", "cls.output"},
    {0},
};

#define NOMIC                                                                                      \
    {"embeddings.word_embeddings", "token_embd"},                                                  \
        {"embeddings.token_type_embeddings", "token_types"}, {"emb_ln", "token_embd_norm"},        \
        {"encoder.layers.#.attn.Wqkv", "attn_qkv"},                                                \
        {"encoder.layers.#.attn.out_proj", "attn_output"},                                         \
        {"encoder.layers.#.norm1", "attn_output_norm"},                                            \
        {"encoder.layers.#.norm2", "layer_output_norm"},                                           \
    {                                                                                              \
        "encoder.layers.#.mlp.fc2", "ffn_down"                                                     \
    }

const TensorRule rules_nomic[] = {
    NOMIC,
    {"encoder.layers.#.mlp.fc11", "ffn_up"},
    {"encoder.layers.#.mlp.fc12", "ffn_gate"},
    {0},
};

/* Nomic with experts: two matrices in each part; those of the experts stand one below the other,
 * both (inner, model). */
const TensorRule rules_nomic_moe[] = {
    NOMIC,
    {"encoder.layers.#.mlp.fc1", "ffn_up"},
    {"encoder.layers.#.mlp.router.layer", "ffn_gate_inp"},
    {"encoder.layers.#.mlp.experts.mlp.w1", "ffn_up_exps.weight", op_experts_below, 0},
    {"encoder.layers.#.mlp.experts.mlp.w2", "ffn_down_exps.weight", op_experts_below, 1},
    {"encoder.layers.#.mlp.experts.bias", NULL}, /* a key: setup_nomic() */
    {0},
};

#define MODERN                                                                                     \
    {"embeddings.tok_embeddings", "token_embd"}, {"embeddings.norm", "token_embd_norm"},           \
        {"final_norm", "output_norm"}, {"layers.#.attn_norm", "attn_norm"},                        \
        {"layers.#.attn.Wqkv", "attn_qkv"}, {"layers.#.attn.Wo", "attn_output"},                   \
        {"layers.#.mlp_norm", "ffn_norm"}, {"layers.#.mlp.Wi", "ffn_up"},                          \
    {                                                                                              \
        "layers.#.mlp.Wo", "ffn_down"                                                              \
    }

const TensorRule rules_modern[] = {
    MODERN,
    {"head.dense", NULL}, /* of the masked language model */
    {"head.norm", NULL},
    {"decoder", NULL},
    {0},
};

const TensorRule rules_modern_rank[] = {
    MODERN, {"head.dense", "cls"}, {"head.norm", "cls.norm"}, {"classifier", "cls.output"}, {0},
};

/* Of a decoder. */
const TensorRule rules_score[] = {
    {"score", "cls.output"},
    {0},
};
