#!/usr/bin/env python3
"""Makes tests/data/folders: tiny models as their makers publish them, whose conversion has a turn
of its own, and the logits of transformers for them.

    make_folders.py [FOLDER]

NAME/config.json and model.safetensors (random, float16), answers/NAME.f32: logits of the ids 7 i
mod 48. What a case shows stands beside it below. Needs torch, transformers and safetensors (PyPI);
the files that it wrote are committed, tests need none of these.
"""
import os
import sys

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "clients"))
import convert_families as families  # noqa: E402

N_IDS = 30
TINY = {"vocab_size": 48, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}
EXPERTS = {**TINY, "head_dim": 8, "num_experts": 4, "num_experts_per_tok": 2,
           "moe_intermediate_size": 12}
SEES = {"depth": 1, "hidden_size": 8, "num_heads": 1, "intermediate_size": 8, "patch_size": 2,
        "out_hidden_size": 16, "num_position_embeddings": 4, "deepstack_visual_indexes": [0]}
AXES = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1],
        "mrope_interleaved": True}
HALF = {"dtype": torch.float16}

CASES = {
    # a window in all layers
    "mistral-window": ("Mistral", {**TINY, "sliding_window": 8}, HALF),
    # a window in the second layer, said as before transformers 5
    "qwen2-window": ("Qwen2", {**TINY, "use_sliding_window": True, "sliding_window": 8,
                               "max_window_layers": 1},
                     {**HALF, "config": families.without_layer_types}),
    # SparseMixer, LayerNorm, biases of the head
    "phimoe": ("Phimoe", {**TINY, "num_local_experts": 4, "router_jitter_noise": 0.3,
                          "attention_bias": True, "lm_head_bias": True}, HALF),
    # the exact GELU
    "gpt-neox": ("GPTNeoX", {**{k: v for k, v in TINY.items() if k != "num_key_value_heads"},
                             "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0,
                                                 "partial_rotary_factor": 0.5}}, HALF),
    # experts (in, out), a head that only one of two configs ties
    "qwen3-vl-moe": ("Qwen3VLMoe", {"text_config": {**EXPERTS, "rope_parameters": AXES},
                                    "vision_config": SEES},
                     {**HALF, "stored": families.turn_experts,
                      "class": AutoModelForImageTextToText}),
}


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "data", "folders")
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    os.makedirs(os.path.join(folder, "answers"), exist_ok=True)
    ids = torch.tensor([[7 * i % TINY["vocab_size"] for i in range(N_IDS)]])
    for name, (kind, arguments, more) in CASES.items():
        families.SCALE = 0.4
        config = getattr(transformers, kind + "Config")(**arguments)
        more = {"class": AutoModelForCausalLM, **more}
        model = families.make(config, more, os.path.join(folder, name))
        model(ids).logits[0].numpy().astype("<f4").tofile(
            os.path.join(folder, "answers", name + ".f32"))
        os.chmod(os.path.join(folder, name, "model.safetensors"), 0o644)
        os.remove(os.path.join(folder, name, "generation_config.json"))


if __name__ == "__main__":
    main()
