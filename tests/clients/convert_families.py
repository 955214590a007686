#!/usr/bin/env python3
"""Holds the conversion of every family against `transformers`.

usage: tests/clients/convert_families.py BUILD [NAME ...]

For each case a tiny model with random weights is saved as its makers would publish it, converted
with `bantam convert`, and the logits of random ids are held against the reference's: of the written
file, and of the folder run as it is. Families that `transformers` has no class for are held against
references.py beside this file. Needs torch, transformers, safetensors and numpy (PyPI); no part of
`make test`. A case whose architecture this build does not run is told and passed over.
"""
import json
import os
import sys

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import conversions  # noqa: E402
import references  # noqa: E402

BOUND = 1e-10
N_IDS = 40
BASE = {"vocab_size": 128, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512}
WIDE = {**BASE, "head_dim": 16}
EXPERTS = {**WIDE, "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
SHARED = {**EXPERTS, "shared_expert_intermediate_size": 48}
DELTA = {**WIDE, "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8,
         "linear_value_head_dim": 8, "num_hidden_layers": 4}
MAMBA2 = {"mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 16}
GRANITE = {"embedding_multiplier": 3.0, "logits_scaling": 2.0, "residual_multiplier": 0.5,
           "attention_multiplier": 0.2}
HYBRID = {**BASE, **MAMBA2, **GRANITE, "shared_intermediate_size": 48,
          "layer_types": ["mamba", "attention"]}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 50000.0, "factor": 8.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
ALPHA = {"rope_type": "dynamic", "alpha": 1000.0, "factor": 1.0, "rope_theta": 10000.0}
PLAIN = {k: v for k, v in BASE.items() if k != "num_key_value_heads"}
FALCON = {k: v for k, v in PLAIN.items() if k not in ("intermediate_size",
                                                      "max_position_embeddings")}
MLA = {**BASE, "num_key_value_heads": 4, "q_lora_rank": 32, "kv_lora_rank": 16,
       "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16, "n_routed_experts": 4,
       "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1, "moe_intermediate_size": 32,
       "first_k_dense_replace": 1}

YARN4 = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 16.0, "beta_fast": 32.0,
         "beta_slow": 1.0, "original_max_position_embeddings": 16, "mscale": 1.0,
         "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1}
SEES = {"depth": 1, "hidden_size": 32, "num_heads": 2, "intermediate_size": 32, "patch_size": 4,
        "out_hidden_size": 64}
M_ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
SEEN3 = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2],
         "mrope_interleaved": True}

SEES3 = {**SEES, "num_position_embeddings": 16, "deepstack_visual_indexes": [0]}
SEEN3_MOE = {"text_config": {**EXPERTS, "moe_intermediate_size": 24, "rope_parameters": SEEN3},
             "vision_config": SEES3}


TYPES = ["sliding_attention", "sliding_attention", "full_attention"] * 2
TYPES = TYPES[:4] + TYPES[5:]
TWO_BASES = {"full_attention": {"rope_type": "default", "rope_theta": 1e6},
             "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}
GEMMA4 = {**WIDE, "global_head_dim": 32, "sliding_window": 16, "final_logit_softcapping": 30.0,
          "num_hidden_layers": 3, "layer_types": TYPES[:3], "hidden_size_per_layer_input": 0,
          "num_kv_shared_layers": 0, "rope_parameters": {
              "full_attention": {"rope_type": "proportional", "rope_theta": 1e6,
                                 "partial_rotary_factor": 0.25},
              "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}}
KEYS_AS_VALUES = {"attention_k_eq_v": True, "num_global_key_value_heads": 1}
WINDOW = {"use_sliding_window": True, "sliding_window": 12, "max_window_layers": 2}
FACTORS = [1.0, 1.1, 1.3, 1.7, 2.0, 2.5, 3.0, 4.0]


def without_layer_types(config):
    """config.json as it was before transformers 5."""
    return {k: v for k, v in config.items() if k != "layer_types"}


def window_beside(config):
    """A window that is not used, as Qwen publishes it."""
    return {**without_layer_types(config), "sliding_window": 12, "use_sliding_window": False}


def turn_experts(state):
    """Experts (in, out), as the hub has them."""
    return {n: p.transpose(1, 2).contiguous() if ".mlp.experts." in n else p
            for n, p in state.items()}


# name: (configuration class, arguments, what else: dtype of the weights, the class that loads them,
# how they are stored, how config.json is changed, a bound of its own)
CASES = {
    "llama": ("Llama", {**BASE, "rope_parameters": LLAMA3}, {}),
    "llama-bf16": ("Llama", {**BASE, "tie_word_embeddings": True, "attention_bias": True,
                             "mlp_bias": True}, {"dtype": torch.bfloat16}),
    "mistral": ("Mistral", {**BASE, "head_dim": 32, "sliding_window": None}, {}),
    "mistral-window": ("Mistral", {**BASE, "sliding_window": 12}, {}),
    "mixtral-window": ("Mixtral", {**BASE, "num_local_experts": 4, "sliding_window": 12}, {}),
    "mixtral": ("Mixtral", {**BASE, "num_local_experts": 4}, {}),
    "ministral3": ("Ministral3", WIDE, {}),
    "smollm3": ("SmolLM3", {**BASE, "pad_token_id": 0, "num_hidden_layers": 4}, {}),
    "arcee": ("Arcee", BASE, {}),
    "qwen2": ("Qwen2", BASE, {}),
    "qwen2-window": ("Qwen2", {**BASE, **WINDOW, "num_hidden_layers": 4}, {}),
    "qwen2-window-hub": ("Qwen2", {**BASE, **WINDOW, "num_hidden_layers": 4},
                         {"config": without_layer_types}),
    "qwen2-window-off": ("Qwen2", {**BASE, **WINDOW, "use_sliding_window": False},
                         {"config": window_beside}),
    "qwen2-moe-window": ("Qwen2Moe", {**SHARED, **WINDOW, "num_hidden_layers": 4}, {}),
    "qwen2-moe-window-hub": ("Qwen2Moe", {**SHARED, **WINDOW, "num_hidden_layers": 4},
                             {"config": without_layer_types}),
    "qwen3-window": ("Qwen3", {**WIDE, **WINDOW, "num_hidden_layers": 4}, {}),
    "qwen3-moe-window": ("Qwen3Moe", {**EXPERTS, **WINDOW, "norm_topk_prob": True}, {}),
    "qwen2-moe": ("Qwen2Moe", SHARED, {}),
    "qwen3": ("Qwen3", {**BASE, "head_dim": 32}, {}),
    "qwen3-moe": ("Qwen3Moe", {**EXPERTS, "norm_topk_prob": True}, {}),
    "qwen3-next": ("Qwen3Next", {**SHARED, **DELTA}, {}),
    "qwen3.5": ("Qwen3_5Text", DELTA, {}),
    "qwen3.5-moe": ("Qwen3_5MoeText", {**SHARED, **DELTA}, {}),
    "phi": ("Phi", BASE, {}),
    "phi3": ("Phi3", {**BASE, "pad_token_id": 0}, {}),
    "phimoe": ("Phimoe", {**BASE, "num_local_experts": 8, "sliding_window": None,
                          "attention_bias": True, "lm_head_bias": True}, {}),
    "phimoe-long": ("Phimoe", {
        **BASE, "num_local_experts": 8, "sliding_window": 20, "router_jitter_noise": 0.3,
        "rope_parameters": {
            "rope_type": "longrope", "rope_theta": 10000.0, "short_factor": FACTORS,
            "long_factor": [2 * f for f in FACTORS], "short_mscale": 1.243, "long_mscale": 1.243,
            "original_max_position_embeddings": 256, "factor": 2.0}}, {}),
    "gemma": ("Gemma", WIDE, {}),
    "gemma2": ("Gemma2", {**WIDE, "query_pre_attn_scalar": 24, "sliding_window": 16}, {}),
    "gemma3": ("Gemma3Text", {**WIDE, "num_hidden_layers": 6, "query_pre_attn_scalar": 24,
                              "sliding_window": 16}, {}),
    "gemma3n": ("Gemma3nText", {
        **WIDE, "num_hidden_layers": 5, "intermediate_size": 96, "sliding_window": 16,
        "layer_types": TYPES, "num_kv_shared_layers": 2,
        "activation_sparsity_pattern": [0.9, 0.0, 0.5, 0.0, 0.8], "hidden_size_per_layer_input": 8,
        "vocab_size_per_layer_input": 128, "laurel_rank": 8, "altup_num_inputs": 4,
        "rope_parameters": TWO_BASES}, {}),
    "gemma4": ("Gemma4Text", {
        **GEMMA4, "num_hidden_layers": 5, "layer_types": TYPES, "hidden_size_per_layer_input": 8,
        "vocab_size_per_layer_input": 128, "num_kv_shared_layers": 2,
        "use_double_wide_mlp": True}, {}),
    "gemma4-dense": ("Gemma4Text", {**GEMMA4, **KEYS_AS_VALUES}, {}),
    "gemma4-moe": ("Gemma4Text", {
        **GEMMA4, **KEYS_AS_VALUES, "enable_moe_block": True, "num_experts": 8,
        "top_k_experts": 2, "moe_intermediate_size": 16}, {}),
    "llama4": ("Llama4Text", {**WIDE, "num_local_experts": 4, "intermediate_size_mlp": 80,
                              "num_hidden_layers": 4, "interleave_moe_layer_step": 2}, {}),
    "deepseek-v2": ("DeepseekV2", {**MLA, "topk_method": "group_limited_greedy"}, {}),
    "deepseek-v2-lite": ("DeepseekV2", {**MLA, "q_lora_rank": None, "n_shared_experts": 2,
                                        "n_group": 1}, {}),
    "deepseek-v3": ("DeepseekV3", MLA, {}),
    "mistral4": ("Mistral4", {**MLA, "n_shared_experts": 1, "n_group": 1, "rope_parameters": YARN4},
                 {"class": transformers.Mistral4ForCausalLM}),
    "qwen2-vl": ("Qwen2VL", {
        "text_config": {**BASE, "rope_parameters": M_ROPE},
        "vision_config": {"depth": 1, "embed_dim": 32, "num_heads": 2, "hidden_size": 64,
                          "mlp_ratio": 1, "patch_size": 4}},
        {"class": AutoModelForImageTextToText}),
    "qwen2.5-vl": ("Qwen2_5_VL", {"text_config": {**BASE, "rope_parameters": M_ROPE},
                                  "vision_config": SEES}, {"class": AutoModelForImageTextToText}),
    "qwen3-vl": ("Qwen3VL", {"text_config": {**WIDE, "rope_parameters": SEEN3},
                             "vision_config": SEES3}, {"class": AutoModelForImageTextToText}),
    "qwen3-vl-moe": ("Qwen3VLMoe", SEEN3_MOE, {"class": AutoModelForImageTextToText}),
    "qwen3-vl-moe-hub": ("Qwen3VLMoe", SEEN3_MOE, {"class": AutoModelForImageTextToText,
                                                   "stored": turn_experts}),
    "gpt-oss": ("GptOss", {**WIDE, "num_local_experts": 4}, {}),
    "lfm2": ("Lfm2", {**BASE, "layer_types": ["conv", "full_attention"],
                      "block_multiple_of": 8}, {}),
    "lfm2-moe": ("Lfm2Moe", {**BASE, "layer_types": ["conv", "full_attention"], "num_experts": 4,
                             "moe_intermediate_size": 32, "num_dense_layers": 1}, {}),
    "granite": ("Granite", {**BASE, **GRANITE}, {}),
    "granite-moe": ("GraniteMoe", {**BASE, **GRANITE, "num_local_experts": 4}, {}),
    "granite-shared": ("GraniteMoeShared", {**BASE, "num_local_experts": 4,
                                            "shared_intermediate_size": 48}, {}),
    "granite-hybrid": ("GraniteMoeHybrid", {**HYBRID, "num_local_experts": 4}, {}),
    "granite-hybrid-dense": ("GraniteMoeHybrid", {
        **HYBRID, "num_local_experts": 0, "num_experts_per_tok": 0,
        "position_embedding_type": "rope"}, {}),
    "mamba": ("Mamba", {"vocab_size": 128, "hidden_size": 64, "num_hidden_layers": 2}, {}),
    "falcon-mamba": ("FalconMamba", {"vocab_size": 128, "hidden_size": 64, "state_size": 8,
                                     "num_hidden_layers": 2, "mixer_rms_eps": 1e-3}, {}),
    "mamba2": ("Mamba2", {"vocab_size": 128, "hidden_size": 64, "num_hidden_layers": 2,
                          "num_heads": 8, "head_dim": 16, "state_size": 16, "n_groups": 2}, {}),
    "jamba": ("Jamba", {**BASE, "num_experts": 4, "attn_layer_period": 2, "attn_layer_offset": 1,
                        "expert_layer_period": 2, "expert_layer_offset": 1, "pad_token_id": 0,
                        "use_mamba_kernels": False}, {}),
    "falcon-h1": ("FalconH1", {
        **BASE, **MAMBA2, "mamba_d_ssm": 128, "mamba_n_groups": 2, "embedding_multiplier": 2.5,
        "lm_head_multiplier": 0.3, "key_multiplier": 0.7, "attention_in_multiplier": 1.3,
        "attention_out_multiplier": 0.6, "ssm_in_multiplier": 1.2, "ssm_out_multiplier": 0.8,
        "mlp_multipliers": [0.9, 1.1], "ssm_multipliers": [0.5, 0.6, 0.7, 0.8, 0.9]}, {}),
    "nemotron": ("Nemotron", {**BASE, "attention_bias": True, "mlp_bias": True}, {}),
    "glm4": ("Glm4", {**WIDE, "pad_token_id": 0}, {}),
    "glm4-moe": ("Glm4Moe", {**WIDE, "n_routed_experts": 4, "num_experts_per_tok": 2,
                             "moe_intermediate_size": 32, "n_group": 1, "topk_group": 1,
                             "first_k_dense_replace": 1, "use_qk_norm": True}, {}),
    "minimax-m2": ("MiniMaxM2", {**WIDE, "num_local_experts": 8, "num_experts_per_tok": 2}, {}),
    "olmo": ("Olmo", {**BASE, "pad_token_id": 0, "clip_qkv": 0.5}, {}),
    "olmo2": ("Olmo2", {**BASE, "pad_token_id": 0}, {}),
    "olmo3": ("Olmo3", {**BASE, "pad_token_id": 0, "num_hidden_layers": 4,
                        "sliding_window": 16}, {}),
    "olmoe": ("Olmoe", {**BASE, "num_experts": 8, "num_experts_per_tok": 2}, {}),
    "ernie": ("Ernie4_5", WIDE, {}),
    "ernie-moe": ("Ernie4_5_Moe", {**BASE, "moe_num_experts": 4, "moe_intermediate_size": 32,
                                   "moe_k": 2}, {}),
    "hunyuan": ("HunYuanDenseV1", {**WIDE, "pad_token_id": 0, "rope_parameters": ALPHA}, {}),
    "hunyuan-moe": ("HunYuanMoEV1", {**WIDE, "num_experts": 4, "moe_topk": 2,
                                     "pad_token_id": 0}, {}),
    "exaone4": ("Exaone4", {**WIDE, "sliding_window": 16, "num_hidden_layers": 4}, {}),
    "cohere": ("Cohere", {**BASE, "use_qk_norm": True}, {}),
    "cohere2": ("Cohere2", {**BASE, "sliding_window": 16, "num_hidden_layers": 4}, {}),
    "seed-oss": ("SeedOss", WIDE, {}),
    "starcoder2": ("Starcoder2", BASE, {}),
    "starcoder2-window": ("Starcoder2", {**BASE, "sliding_window": 12}, {}),
    "stablelm": ("StableLm", {**BASE, "qk_layernorm": True}, {}),
    "stablelm-parallel": ("StableLm", {**BASE, "use_parallel_residual": True}, {}),
    "gpt2": ("GPT2", {"vocab_size": 128, "n_embd": 64, "n_layer": 2, "n_head": 4,
                      "n_positions": 512}, {}),
    "gpt-neox": ("GPTNeoX", PLAIN, {}),
    "gpt-neox-serial": ("GPTNeoX", {**PLAIN, "use_parallel_residual": False,
                                    "hidden_act": "gelu_new"}, {}),
    "falcon": ("Falcon", FALCON, {}),
    "falcon-new": ("Falcon", {**FALCON, "new_decoder_architecture": True, "num_kv_heads": 2},
                   {}),
}


SCALE = 0.08  # of random matrices


def scramble(name, p):
    """Random numbers in the place of a parameter's."""
    if p.ndim >= 2:
        p.normal_(0, SCALE)
    elif "norm" in name and not name.endswith("bias"):
        p.copy_(1 + 0.1 * torch.randn_like(p))
    else:
        p.normal_(0, 0.1)


def make(config, more, folder):
    """A model of random weights, saved; what the reference reads back from the folder."""
    torch.manual_seed(0)
    config._attn_implementation = "eager"
    auto = more.get("class", AutoModelForCausalLM)
    model = getattr(auto, "from_config", auto)(config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim == 1 and "norm" in name and p.abs().sum() == 0:  # w of (1 + w)
                p.normal_(0, 0.1)
            else:
                scramble(name, p)
    model.to(more.get("dtype", torch.float32)).save_pretrained(folder)
    if "stored" in more:
        path = os.path.join(folder, "model.safetensors")
        save_file(more["stored"](load_file(path)), path, {"format": "pt"})
    if "config" in more:
        path = os.path.join(folder, "config.json")
        with open(path, encoding="utf-8") as f:
            changed = more["config"](json.load(f))
        with open(path, "w", encoding="utf-8") as f:
            json.dump(changed, f)
    return auto.from_pretrained(folder, dtype=torch.float32).eval()


def of_transformers(name, folder, ids):
    """Saves the case's model; the logits of `ids`."""
    kind, arguments, more = CASES[name]
    model = make(getattr(transformers, kind + "Config")(**arguments), more, folder)
    return model(torch.tensor([ids])).logits[0].double().numpy()


def of_references(name, folder, ids):
    """The same for those of references.py."""
    config, shapes, forward = references.MODELS[name]
    torch.manual_seed(0)
    state = {n: torch.zeros(shape) for n, shape in shapes(config).items()}
    for n, p in state.items():
        scramble(n, p)
    os.mkdir(folder)
    save_file(state, os.path.join(folder, "model.safetensors"))
    with open(os.path.join(folder, "config.json"), "w", encoding="ascii") as f:
        json.dump(config, f)
    return forward({n: p.double() for n, p in state.items()}, config, ids).numpy()


def check(bantam, name, folder):
    """None when all is well, else what is not."""
    more = CASES[name][2] if name in CASES else {}
    ids = np.random.default_rng(1).integers(0, BASE["vocab_size"], N_IDS).tolist()
    with torch.no_grad():
        want = (of_transformers if name in CASES else of_references)(name, folder, ids)

    def answer(path):
        conversions.ask(bantam, "logits", path, "--tokens", ",".join(map(str, ids)), "-o",
                        folder + ".f32", "--no-cache")
        return np.fromfile(folder + ".f32", "<f4").reshape(want.shape)

    return conversions.hold(bantam, name, folder, want, answer, more.get("bound", BOUND))


if __name__ == "__main__":
    conversions.main(__doc__, [*CASES, *references.MODELS], check)
