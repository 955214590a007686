/* Names of tensors that most families share, and those of transformers without experts. */
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
    {"layers.#.block_sparse_moe.gate", "ffn_gate_inp"},
    {"layers.#.block_sparse_moe.experts.*.w1", "ffn_gate_exps"},
    {"layers.#.block_sparse_moe.experts.*.w2", "ffn_down_exps"},
    {"layers.#.block_sparse_moe.experts.*.w3", "ffn_up_exps"},
    {0},
};

const TensorRule rules_phi2[] = {
    {"final_layernorm", "output_norm"},
    {"layers.#.self_attn.dense", "attn_output"},
    {"layers.#.mlp.fc1", "ffn_up"},
    {"layers.#.mlp.fc2", "ffn_down"},
    {0},
};

const TensorRule rules_fused[] = {
    {"layers.#.self_attn.qkv_proj", "attn_qkv"},
    {"layers.#.mlp.gate_up_proj", "ffn_up"},
    /* GLM 4 */
    {"layers.#.post_self_attn_layernorm", "post_attention_norm"},
    {"layers.#.post_mlp_layernorm", "post_ffw_norm"},
    {0},
};

/* Gemma stores w of (1 + w). */
const TensorRule rules_gemma[] = {
    {"norm", "output_norm", op_add_one, 0},
    {"layers.#.input_layernorm", "attn_norm", op_add_one, 0},
    {"layers.#.post_attention_layernorm", "ffn_norm", op_add_one, 0},
    {0},
};

const TensorRule rules_gemma2[] = {
    {"norm", "output_norm", op_add_one, 0},
    {"layers.#.input_layernorm", "attn_norm", op_add_one, 0},
    {"layers.#.post_attention_layernorm", "post_attention_norm", op_add_one, 0},
    {"layers.#.pre_feedforward_layernorm", "ffn_norm", op_add_one, 0},
    {"layers.#.post_feedforward_layernorm", "post_ffw_norm", op_add_one, 0},
    {"layers.#.self_attn.q_norm", "attn_q_norm", op_add_one, 0},
    {"layers.#.self_attn.k_norm", "attn_k_norm", op_add_one, 0},
    {0},
};

/* Gemma 3n and 4 store their norms as they are multiplied. */
const TensorRule rules_gemma4[] = {
    {"layers.#.post_attention_layernorm", "post_attention_norm"},
    {"layers.#.pre_feedforward_layernorm", "ffn_norm"},
    {"layers.#.post_feedforward_layernorm", "post_ffw_norm"},
    {"layers.#.post_feedforward_layernorm_1", "post_ffw_norm_1"},
    {"layers.#.pre_feedforward_layernorm_2", "pre_ffw_norm_2"},
    {"layers.#.post_feedforward_layernorm_2", "post_ffw_norm_2"},
    {"embed_tokens_per_layer", "per_layer_token_embd"},
    {"per_layer_model_projection", "per_layer_model_proj"},
    {"per_layer_projection_norm", "per_layer_proj_norm"},
    {"layers.#.per_layer_input_gate", "inp_gate"},
    {"layers.#.per_layer_projection", "proj"},
    {"layers.#.post_per_layer_input_norm", "post_norm"},
    {"layers.#.layer_scalar", "layer_output_scale.weight"},
    {"layers.#.router.proj", "ffn_gate_inp"},
    {"layers.#.router.scale", "ffn_gate_inp.scale"},
    {"layers.#.router.per_expert_scale", "ffn_down_exps.scale"},
    {"layers.#.experts.gate_up_proj", "ffn_gate_up_exps.weight"},
    {"layers.#.experts.down_proj", "ffn_down_exps.weight"},
    {"layers.#.moe.gate_up_proj", "ffn_gate_up_exps.weight"},
    {"layers.#.moe.down_proj", "ffn_down_exps.weight"},
    {"layers.#.moe.per_expert_scale", "ffn_down_exps.scale"},
    {"altup_projections.*", "altup_proj", NULL, STACK_STREAMS},
    {"altup_unembed_projections.*", "altup_unembd_proj", NULL, STACK_STREAMS},
    {"layers.#.altup.correction_coefs", "altup_correct_coef"},
    {"layers.#.altup.prediction_coefs", "altup_predict_coef"},
    {"layers.#.altup.modality_router", "altup_router"},
    {"layers.#.altup.router_norm", "altup_router_norm"},
    {"layers.#.altup.correct_output_scale", "altup_correct_scale.weight"},
    {"layers.#.laurel.linear_left", "laurel_l"},
    {"layers.#.laurel.linear_right", "laurel_r"},
    {"layers.#.laurel.post_laurel_norm", "laurel_post_norm"},
    {0},
};

/* Norms of what comes out. */
const TensorRule rules_after[] = {
    {"layers.#.post_attention_layernorm", "post_attention_norm"},
    {"layers.#.post_feedforward_layernorm", "post_ffw_norm"},
    {0},
};

const TensorRule rules_seed_oss[] = {
    {"layers.#.post_attention_layernorm", "post_attention_norm"},
    {0},
};

const TensorRule rules_starcoder2[] = {
    {"layers.#.mlp.c_fc", "ffn_up"},
    {"layers.#.mlp.c_proj", "ffn_down"},
    {0},
};

const TensorRule rules_stablelm[] = {
    {"layers.#.self_attn.q_layernorm.norms.*", "attn_q_norm", NULL, STACK_HEADS},
    {"layers.#.self_attn.k_layernorm.norms.*", "attn_k_norm", NULL, STACK_KV_HEADS},
    {0},
};

/* Its linear layers are stored (in, out). */
const TensorRule rules_gpt2[] = {
    {"wte", "token_embd"},
    {"wpe", "position_embd"},
    {"ln_f", "output_norm"},
    {"h.#.ln_1", "attn_norm"},
    {"h.#.ln_2", "ffn_norm"},
    {"h.#.attn.c_attn", "attn_qkv", op_transpose, 0},
    {"h.#.attn.c_proj", "attn_output", op_transpose, 0},
    {"h.#.mlp.c_fc", "ffn_up", op_transpose, 0},
    {"h.#.mlp.c_proj", "ffn_down", op_transpose, 0},
    {0},
};

const TensorRule rules_gptneox[] = {
    {"embed_in", "token_embd"},
    {"embed_out", "output"},
    {"final_layer_norm", "output_norm"},
    {"layers.#.attention.query_key_value", "attn_qkv", op_group_qkv, 0},
    {"layers.#.attention.dense", "attn_output"},
    {"layers.#.mlp.dense_h_to_4h", "ffn_up"},
    {"layers.#.mlp.dense_4h_to_h", "ffn_down"},
    {0},
};

const TensorRule rules_falcon[] = {
    {"word_embeddings", "token_embd"},
    {"ln_f", "output_norm"},
    {"h.#.input_layernorm", "attn_norm"},
    {"h.#.ln_mlp", "attn_norm"},
    {"h.#.ln_attn", "attn_norm_2"},
    {"h.#.self_attention.query_key_value", "attn_qkv", op_group_qkv, 0},
    {"h.#.self_attention.dense", "attn_output"},
    {"h.#.mlp.dense_h_to_4h", "ffn_up"},
    {"h.#.mlp.dense_4h_to_h", "ffn_down"},
    {0},
};

const TensorRule rules_internlm2[] = {
    {"tok_embeddings", "token_embd"},
    {"output", "output"},
    {"layers.#.attention_norm", "attn_norm"},
    {"layers.#.ffn_norm", "ffn_norm"},
    {"layers.#.attention.wqkv", "attn_q", op_ungroup_qkv, 0},
    {"layers.#.attention.wqkv", "attn_k", op_ungroup_qkv, 1},
    {"layers.#.attention.wqkv", "attn_v", op_ungroup_qkv, 2},
    {"layers.#.attention.wo", "attn_output"},
    {"layers.#.feed_forward.w1", "ffn_gate"},
    {"layers.#.feed_forward.w2", "ffn_down"},
    {"layers.#.feed_forward.w3", "ffn_up"},
    {0},
};

/* Nemotron's norms are stored as w of (1 + w), their biases as they are. */
const TensorRule rules_nemotron[] = {
    {"norm.weight", "output_norm.weight", op_add_one, 0},
    {"norm.bias", "output_norm.bias"},
    {"layers.#.input_layernorm.weight", "attn_norm.weight", op_add_one, 0},
    {"layers.#.input_layernorm.bias", "attn_norm.bias"},
    {"layers.#.post_attention_layernorm.weight", "ffn_norm.weight", op_add_one, 0},
    {"layers.#.post_attention_layernorm.bias", "ffn_norm.bias"},
    {0},
};

const TensorRule rules_hunyuan[] = {
    {"layers.#.self_attn.query_layernorm", "attn_q_norm"},
    {"layers.#.self_attn.key_layernorm", "attn_k_norm"},
    {"layers.#.mlp.gate.wg", "ffn_gate_inp"},
    {"layers.#.mlp.experts.*.gate_proj", "ffn_gate_exps"},
    {"layers.#.mlp.experts.*.up_proj", "ffn_up_exps"},
    {"layers.#.mlp.experts.*.down_proj", "ffn_down_exps"},
    {"layers.#.mlp.shared_mlp.gate_proj", "ffn_gate_shexp"},
    {"layers.#.mlp.shared_mlp.up_proj", "ffn_up_shexp"},
    {"layers.#.mlp.shared_mlp.down_proj", "ffn_down_shexp"},
    {0},
};
