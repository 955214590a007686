/* Names of tensors that most families share, and those of the plain transformers. */
#include "convert/rules.h"

const TensorRule rules_common[] = {
    {"embed_tokens", "token_embd"},
    {"norm", "output_norm"},
    {"lm_head", "output"},
    {"layers.#.input_layernorm", "attn_norm"},
    {"layers.#.self_attn.q_proj", "attn_q"},
    {"layers.#.self_attn.k_proj", "attn_k"},
    {"layers.#.self_attn.v_proj", "attn_v"},
    {"layers.#.self_attn.o_proj", "attn_output"},
    {"layers.#.self_attn.q_norm", "attn_q_norm"},
    {"layers.#.self_attn.k_norm", "attn_k_norm"},
    {"layers.#.post_attention_layernorm", "ffn_norm"},
    {"layers.#.mlp.gate_proj", "ffn_gate"},
    {"layers.#.mlp.up_proj", "ffn_up"},
    {"layers.#.mlp.down_proj", "ffn_down"},
    {0},
};

const TensorRule rules_llama[] = {
    {"layers.#.self_attn.q_proj", "attn_q", op_heads, 0},
    {"layers.#.self_attn.k_proj", "attn_k", op_heads, 1},
    {0},
};
