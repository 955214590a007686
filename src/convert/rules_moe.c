/* Names of tensors of families with experts. Makers store experts one by one, or all in one tensor
 * with gate above up. */
#include "convert/rules.h"

#define EXPERTS                                                                                    \
    {"layers.#.mlp.experts.*.gate_proj", "ffn_gate_exps"},                                         \
        {"layers.#.mlp.experts.*.up_proj", "ffn_up_exps"},                                         \
        {"layers.#.mlp.experts.*.down_proj", "ffn_down_exps"},                                     \
        {"layers.#.mlp.experts.gate_up_proj", "ffn_gate_exps.weight", op_rows, PART(0, 2)},        \
        {"layers.#.mlp.experts.gate_up_proj", "ffn_up_exps.weight", op_rows, PART(1, 2)},          \
    {                                                                                              \
        "layers.#.mlp.experts.down_proj", "ffn_down_exps.weight"                                   \
    }

#define SHARED(name)                                                                               \
    {"layers.#.mlp." name ".gate_proj", "ffn_gate_shexp"},                                         \
        {"layers.#.mlp." name ".up_proj", "ffn_up_shexp"},                                         \
    {                                                                                              \
        "layers.#.mlp." name ".down_proj", "ffn_down_shexp"                                        \
    }

const TensorRule rules_qwen_moe[] = {
    {"layers.#.mlp.gate", "ffn_gate_inp"},
    EXPERTS,
    SHARED("shared_expert"),
    {"layers.#.mlp.shared_expert_gate", "ffn_gate_inp_shexp", op_vector, 0},
    {0},
};

/* Experts of Qwen 3 VL stand (in, out) on the hub, (out, in) where transformers 5 saved them. */
const TensorRule rules_qwen3vl_moe[] = {
    {"layers.#.mlp.gate", "ffn_gate_inp"},
    {"layers.#.mlp.experts.gate_up_proj", "ffn_gate_exps.weight", op_either_rows, PART(0, 2)},
    {"layers.#.mlp.experts.gate_up_proj", "ffn_up_exps.weight", op_either_rows, PART(1, 2)},
    {"layers.#.mlp.experts.down_proj", "ffn_down_exps.weight", op_either_columns, 0},
    {0},
};

/* DeepSeek 1: llama's order of q and k. */
const TensorRule rules_deepseek[] = {
    {"layers.#.self_attn.q_proj", "attn_q", op_heads, 0},
    {"layers.#.self_attn.k_proj", "attn_k", op_heads, 1},
    {"layers.#.mlp.gate", "ffn_gate_inp"},
    EXPERTS,
    SHARED("shared_experts"),
    {0},
};

/* DeepSeek 2 and 3, Mistral 4, GLM 4.5, Ling 2. */
const TensorRule rules_deepseek2[] = {
    {"layers.#.self_attn.q_a_proj", "attn_q_a"},
    {"layers.#.self_attn.q_a_layernorm", "attn_q_a_norm"},
    {"layers.#.self_attn.q_b_proj", "attn_q_b"},
    {"layers.#.self_attn.kv_a_proj_with_mqa", "attn_kv_a_mqa"},
    {"layers.#.self_attn.kv_a_layernorm", "attn_kv_a_norm"},
    {"layers.#.self_attn.kv_b_proj", "attn_k_b", op_kv_b, 0},
    {"layers.#.self_attn.kv_b_proj", "attn_v_b", op_kv_b, 1},
    {"layers.#.mlp.gate", "ffn_gate_inp"},
    {"layers.#.mlp.gate.e_score_correction_bias", "exp_probs_b.bias"},
    EXPERTS,
    SHARED("shared_experts"),
    {0},
};

const TensorRule rules_glm4moe[] = {
    {"layers.#.post_attention_layernorm", "post_attention_norm"},
    {"layers.#.mlp.gate", "ffn_gate_inp"},
    {"layers.#.mlp.gate.e_score_correction_bias", "exp_probs_b.bias"},
    EXPERTS,
    SHARED("shared_experts"),
    {0},
};

const TensorRule rules_bailing[] = {
    {"word_embeddings", "token_embd"},
    {"layers.#.attention.query_key_value", "attn_qkv"},
    {"layers.#.attention.dense", "attn_output"},
    {"layers.#.attention.query_layernorm", "attn_q_norm"},
    {"layers.#.attention.key_layernorm", "attn_k_norm"},
    {"layers.#.mlp.gate", "ffn_gate_inp"},
    {"layers.#.mlp.gate.expert_bias", "exp_probs_b.bias"},
    EXPERTS,
    SHARED("shared_experts"),
    {0},
};

const TensorRule rules_ernie_moe[] = {
    {"layers.#.mlp.gate", "ffn_gate_inp"},
    {"layers.#.mlp.moe_statics.e_score_correction_bias", "exp_probs_b.bias", op_vector, 0},
    EXPERTS,
    SHARED("shared_experts"),
    {0},
};

const TensorRule rules_block_moe[] = {
    {"layers.#.block_sparse_moe.gate", "ffn_gate_inp"},
    {"layers.#.block_sparse_moe.e_score_correction_bias", "exp_probs_b.bias"},
    {"layers.#.block_sparse_moe.experts.*.w1", "ffn_gate_exps"},
    {"layers.#.block_sparse_moe.experts.*.w2", "ffn_down_exps"},
    {"layers.#.block_sparse_moe.experts.*.w3", "ffn_up_exps"},
    {0},
};

#define GRANITE_FFN                                                                                \
    {"layers.#.block_sparse_moe.router.layer", "ffn_gate_inp"},                                    \
        {"layers.#.block_sparse_moe.input_linear.weight", "ffn_gate_exps.weight", op_rows,         \
         PART(0, 2)},                                                                              \
        {"layers.#.block_sparse_moe.input_linear.weight", "ffn_up_exps.weight", op_rows,           \
         PART(1, 2)},                                                                              \
    {                                                                                              \
        "layers.#.block_sparse_moe.output_linear", "ffn_down_exps"                                 \
    }

const TensorRule rules_granite[] = {
    {"layers.#.self_attn.q_proj", "attn_q", op_heads, 0},
    {"layers.#.self_attn.k_proj", "attn_k", op_heads, 1},
    GRANITE_FFN,
    {"layers.#.shared_mlp.input_linear", "ffn_gate_shexp", op_rows, PART(0, 2)},
    {"layers.#.shared_mlp.input_linear", "ffn_up_shexp", op_rows, PART(1, 2)},
    {"layers.#.shared_mlp.output_linear", "ffn_down_shexp"},
    {0},
};

#define MAMBA2_STATE(from)                                                                         \
    {from ".conv1d.weight", "ssm_conv1d.weight", op_squeeze, 0},                                   \
        {from ".conv1d.bias", "ssm_conv1d.bias"}, {from ".dt_bias", "ssm_dt.bias"},                \
        {from ".A_log", "ssm_a", op_column, 1}, {from ".D", "ssm_d", op_column, 0},                \
    {                                                                                              \
        from ".norm", "ssm_norm", op_groups, 0                                                     \
    }

#define MAMBA2(from) {from ".in_proj", "ssm_in"}, {from ".out_proj", "ssm_out"}, MAMBA2_STATE(from)

/* Granite 4: a shared part alone is its feed-forward where there are no experts. */
const TensorRule rules_granite_hybrid[] = {
    {"layers.#.self_attn.q_proj", "attn_q", op_heads, 0},
    {"layers.#.self_attn.k_proj", "attn_k", op_heads, 1},
    GRANITE_FFN,
    {"layers.#.shared_mlp.input_linear", "ffn_gate_shexp", op_rows, PART(0, 2)},
    {"layers.#.shared_mlp.input_linear", "ffn_up_shexp", op_rows, PART(1, 2)},
    {"layers.#.shared_mlp.output_linear", "ffn_down_shexp"},
    MAMBA2("layers.#.mamba"),
    {0},
};

const TensorRule rules_granite_hybrid_dense[] = {
    {"layers.#.self_attn.q_proj", "attn_q", op_heads, 0},
    {"layers.#.self_attn.k_proj", "attn_k", op_heads, 1},
    {"layers.#.shared_mlp.input_linear", "ffn_gate", op_rows, PART(0, 2)},
    {"layers.#.shared_mlp.input_linear", "ffn_up", op_rows, PART(1, 2)},
    {"layers.#.shared_mlp.output_linear", "ffn_down"},
    MAMBA2("layers.#.mamba"),
    {0},
};

/* Falcon H1 multiplies at every turn; its files hold weights that are multiplied already. */
const TensorRule rules_falcon_h1[] = {
    {"embed_tokens", "token_embd", op_multiplied, MULTIPLIED_EMBEDDING},
    {"lm_head", "output", op_multiplied, MULTIPLIED_HEAD},
    {"layers.#.self_attn.q_proj", "attn_q", op_multiplied, MULTIPLIED_Q},
    {"layers.#.self_attn.k_proj", "attn_k", op_multiplied, MULTIPLIED_K},
    {"layers.#.self_attn.v_proj", "attn_v", op_multiplied, MULTIPLIED_Q},
    {"layers.#.self_attn.o_proj", "attn_output", op_multiplied, MULTIPLIED_O},
    {"final_layernorm", "output_norm"},
    {"layers.#.pre_ff_layernorm", "ffn_norm"},
    {"layers.#.feed_forward.gate_proj", "ffn_gate", op_multiplied, MULTIPLIED_GATE},
    {"layers.#.feed_forward.up_proj", "ffn_up"},
    {"layers.#.feed_forward.down_proj", "ffn_down", op_multiplied, MULTIPLIED_DOWN},
    {"layers.#.mamba.in_proj", "ssm_in", op_multiplied, MULTIPLIED_SSM_IN},
    {"layers.#.mamba.out_proj", "ssm_out", op_multiplied, MULTIPLIED_SSM_OUT},
    MAMBA2_STATE("layers.#.mamba"),
    {0},
};

const TensorRule rules_mamba2[] = {
    {"embeddings", "token_embd"},
    {"norm_f", "output_norm"},
    {"layers.#.norm", "attn_norm"},
    MAMBA2("layers.#.mixer"),
    {0},
};

#define MAMBA(from)                                                                                \
    {from ".in_proj", "ssm_in"}, {from ".out_proj", "ssm_out"}, {from ".x_proj", "ssm_x"},         \
        {from ".dt_proj", "ssm_dt"}, {from ".conv1d.weight", "ssm_conv1d.weight", op_squeeze, 0},  \
        {from ".conv1d.bias", "ssm_conv1d.bias"}, {from ".A_log", "ssm_a", op_neg_exp, 0},         \
    {                                                                                              \
        from ".D", "ssm_d"                                                                         \
    }

const TensorRule rules_mamba[] = {
    {"embeddings", "token_embd"},   {"embedding", "token_embd"}, {"norm_f", "output_norm"},
    {"layers.#.norm", "attn_norm"}, MAMBA("layers.#.mixer"),     {0},
};

const TensorRule rules_jamba[] = {
    {"final_layernorm", "output_norm"},
    {"layers.#.pre_ff_layernorm", "ffn_norm"},
    {"layers.#.feed_forward.gate_proj", "ffn_gate"},
    {"layers.#.feed_forward.up_proj", "ffn_up"},
    {"layers.#.feed_forward.down_proj", "ffn_down"},
    {"layers.#.feed_forward.router", "ffn_gate_inp"},
    {"layers.#.feed_forward.experts.*.gate_proj", "ffn_gate_exps"},
    {"layers.#.feed_forward.experts.*.up_proj", "ffn_up_exps"},
    {"layers.#.feed_forward.experts.*.down_proj", "ffn_down_exps"},
    {"layers.#.mamba.dt_layernorm", "ssm_dt_norm"},
    {"layers.#.mamba.b_layernorm", "ssm_b_norm"},
    {"layers.#.mamba.c_layernorm", "ssm_c_norm"},
    MAMBA("layers.#.mamba"),
    {0},
};

/* Llama 4 stores experts (in, out); its RoPE turns neighbours already. */
const TensorRule rules_llama4[] = {
    {"layers.#.feed_forward.router", "ffn_gate_inp"},
    {"layers.#.feed_forward.experts.gate_up_proj", "ffn_gate_exps.weight", op_transpose_rows,
     PART(0, 2)},
    {"layers.#.feed_forward.experts.gate_up_proj", "ffn_up_exps.weight", op_transpose_rows,
     PART(1, 2)},
    {"layers.#.feed_forward.experts.down_proj", "ffn_down_exps.weight", op_transpose, 0},
    {"layers.#.feed_forward.shared_expert.gate_proj", "ffn_gate_shexp"},
    {"layers.#.feed_forward.shared_expert.up_proj", "ffn_up_shexp"},
    {"layers.#.feed_forward.shared_expert.down_proj", "ffn_down_shexp"},
    {"layers.#.feed_forward.gate_proj", "ffn_gate"},
    {"layers.#.feed_forward.up_proj", "ffn_up"},
    {"layers.#.feed_forward.down_proj", "ffn_down"},
    {0},
};

/* gpt-oss: rows of gate and up alternate; blocks of MXFP4 lie (out, in), floats (in, out). */
const TensorRule rules_gpt_oss[] = {
    {"layers.#.post_attention_layernorm", "post_attention_norm"},
    {"layers.#.self_attn.sinks", "attn_sinks.weight"},
    {"layers.#.mlp.router", "ffn_gate_inp"},
    {"layers.#.mlp.experts.gate_up_proj", "ffn_gate_exps.weight", op_alternate, 0},
    {"layers.#.mlp.experts.gate_up_proj", "ffn_up_exps.weight", op_alternate, 1},
    {"layers.#.mlp.experts.gate_up_proj_blocks", "ffn_gate_exps.weight", op_alternate, 0},
    {"layers.#.mlp.experts.gate_up_proj_blocks", "ffn_up_exps.weight", op_alternate, 1},
    {"layers.#.mlp.experts.gate_up_proj_bias", "ffn_gate_exps.bias", op_alternate, 0},
    {"layers.#.mlp.experts.gate_up_proj_bias", "ffn_up_exps.bias", op_alternate, 1},
    {"layers.#.mlp.experts.down_proj", "ffn_down_exps.weight", op_experts_turned, 0},
    {"layers.#.mlp.experts.down_proj_blocks", "ffn_down_exps.weight", op_experts_turned, 0},
    {"layers.#.mlp.experts.down_proj_bias", "ffn_down_exps.bias", op_experts_turned, 0},
    {0},
};

const TensorRule rules_lfm2[] = {
    {"embedding_norm", "token_embd_norm"},
    {"layers.#.operator_norm", "attn_norm"},
    {"layers.#.ffn_norm", "ffn_norm"},
    {"layers.#.self_attn.q_layernorm", "attn_q_norm"},
    {"layers.#.self_attn.k_layernorm", "attn_k_norm"},
    {"layers.#.self_attn.out_proj", "attn_output"},
    {"layers.#.conv.in_proj", "shortconv.in_proj"},
    {"layers.#.conv.out_proj", "shortconv.out_proj"},
    {"layers.#.conv.conv", "shortconv.conv", op_squeeze, 0},
    {"layers.#.feed_forward.w1", "ffn_gate"},
    {"layers.#.feed_forward.w2", "ffn_down"},
    {"layers.#.feed_forward.w3", "ffn_up"},
    {"layers.#.feed_forward.gate", "ffn_gate_inp"},
    {"layers.#.feed_forward.expert_bias", "exp_probs_b.bias"},
    {"layers.#.feed_forward.experts.*.w1", "ffn_gate_exps"},
    {"layers.#.feed_forward.experts.*.w2", "ffn_down_exps"},
    {"layers.#.feed_forward.experts.*.w3", "ffn_up_exps"},
    {0},
};

/* Norms of Qwen 3 Next and 3.5 hold w of (1 + w), but that of the delta net. */
#define QWEN_NEXT                                                                                  \
    {"norm", "output_norm", op_add_one, 0},                                                        \
        {"layers.#.input_layernorm", "attn_norm", op_add_one, 0},                                  \
        {"layers.#.post_attention_layernorm", "post_attention_norm", op_add_one, 0},               \
        {"layers.#.self_attn.q_norm", "attn_q_norm", op_add_one, 0},                               \
        {"layers.#.self_attn.k_norm", "attn_k_norm", op_add_one, 0},                               \
        {"layers.#.linear_attn.norm", "ssm_norm"}, {"layers.#.mlp.gate", "ffn_gate_inp"}, EXPERTS, \
        SHARED("shared_expert"),                                                                   \
    {                                                                                              \
        "layers.#.mlp.shared_expert_gate", "ffn_gate_inp_shexp", op_vector, 0                      \
    }

const TensorRule rules_qwen3next[] = {
    QWEN_NEXT,
    {"layers.#.linear_attn.in_proj_qkvz", "attn_qkv", op_delta_qkvz, 0},
    {"layers.#.linear_attn.in_proj_qkvz", "attn_gate", op_delta_qkvz, 1},
    {"layers.#.linear_attn.in_proj_ba", "ssm_ba"},
    {"layers.#.linear_attn.conv1d.weight", "ssm_conv1d.weight", op_squeeze, 0},
    {"layers.#.linear_attn.dt_bias", "ssm_dt.bias"},
    {"layers.#.linear_attn.A_log", "ssm_a", op_neg_exp, 0},
    {"layers.#.linear_attn.out_proj", "ssm_out"},
    {0},
};

const TensorRule rules_qwen35[] = {
    QWEN_NEXT,
    {"layers.#.linear_attn.in_proj_qkv", "attn_qkv", op_delta_heads, DELTA_AFTER_QK | DELTA_WIDE},
    {"layers.#.linear_attn.in_proj_z", "attn_gate", op_delta_heads, DELTA_WIDE},
    {"layers.#.linear_attn.in_proj_a", "ssm_alpha", op_delta_heads, 0},
    {"layers.#.linear_attn.in_proj_b", "ssm_beta", op_delta_heads, 0},
    {"layers.#.linear_attn.conv1d.weight", "ssm_conv1d.weight", op_delta_heads,
     DELTA_AFTER_QK | DELTA_WIDE | DELTA_CONV},
    {"layers.#.linear_attn.dt_bias", "ssm_dt.bias", op_delta_heads, 0},
    {"layers.#.linear_attn.A_log", "ssm_a", op_delta_heads, DELTA_NEG_EXP},
    {"layers.#.linear_attn.out_proj", "ssm_out", op_delta_heads, DELTA_WIDE | DELTA_COLUMNS},
    {0},
};
