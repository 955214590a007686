#!/usr/bin/env python3
"""Makes tests/data/folders: tiny models as their makers publish them, whose conversion has a turn
of its own, and the logits of transformers for them.

    make_folders.py [FOLDER]

NAME/config.json and model.safetensors (random, float16), answers/NAME.f32: logits of the ids 7 i
mod 48. Of those that embed: tokenizer.json too, vectors of the lines of answers/texts.txt, and
their ids in answers/NAME.ids. What a case shows stands beside it below. Needs torch, transformers,
tokenizers, sentencepiece and safetensors (PyPI); the files that it wrote are committed, tests need
none of these.
"""
import json
import os
import sys
import tempfile

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "clients"))
import compare_unigram as unigram  # noqa: E402
import convert_encoders as encoders  # noqa: E402
import convert_families as families  # noqa: E402
import references  # noqa: E402

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


# White space of all sorts, full width letters and a ligature, an accent that is written apart,
# something that vanishes: enough of a normaliser to show that it is followed.
RULES = {"09": "20", "A": "20", "3000": "20", "A0": "20", "FF21": "41", "FF22": "42",
         "FB01": "66 69", "65 301": "E9", "200B": ""}
TEXTS = ["the hen and the rooster", "  spaces \t here  ", "\uff21\uff22 \ufb01nal caf\u0065\u0301",
         "x\u200by \u4e2d\u6587!"]


def pieces():
    lines = ["the hen and the rooster walked to the barn", "a small hen, and a café there",
             "spaces here, AB final words", "already", "x y z!"] * 8
    with tempfile.TemporaryDirectory() as scratch:
        rules = os.path.join(scratch, "rules.tsv")
        with open(rules, "w", encoding="ascii") as f:
            f.writelines(f"{a}\t{b}\n" for a, b in RULES.items())
        return unigram.as_json(unigram.train(scratch, 70, lines,
                                             normalization_rule_tsv=rules)), SPECIAL


SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>",
           "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"}
EMBED = {
    # positions that begin after the padding's, a unigram vocabulary
    "xlm-roberta": ("XLMRoberta", {
        "vocab_size": 80, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 2, "max_position_embeddings": 66, "type_vocab_size": 1,
        "pad_token_id": 1}, "mean", {"tokenizer": pieces}),
    # experts, and what is added to their results
    "nomic-moe": (None, {**references.NOMIC, "vocab_size": 80, "n_embd": 16, "n_inner": 24,
                         "n_layer": 2, "n_head": 2, "n_positions": 64}, "mean",
                  {"tokenizer": pieces}),
}


def embedders(folder):
    encoders.DTYPE = torch.float16
    with open(os.path.join(folder, "answers", "texts.txt"), "w", encoding="utf-8") as f:
        f.writelines(t + "\n" for t in TEXTS)
    for name, case in EMBED.items():
        at = os.path.join(folder, name)
        vectors, ids = encoders.make(case, at, TEXTS)
        vectors.astype("<f4").tofile(os.path.join(folder, "answers", name + ".f32"))
        with open(os.path.join(folder, "answers", name + ".ids"), "w", encoding="ascii") as f:
            f.writelines(" ".join(map(str, i)) + "\n" for i in ids)
        with open(os.path.join(at, "tokenizer.json"), encoding="utf-8") as f:
            tokenizer = json.load(f)
        with open(os.path.join(at, "tokenizer.json"), "w", encoding="ascii") as f:
            json.dump(tokenizer, f)


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "data", "folders")
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    os.makedirs(os.path.join(folder, "answers"), exist_ok=True)
    ids = torch.tensor([[7 * i % TINY["vocab_size"] for i in range(N_IDS)]])
    embedders(folder)
    for name, (kind, arguments, more) in CASES.items():
        families.SCALE = 0.4
        config = getattr(transformers, kind + "Config")(**arguments)
        more = {"class": AutoModelForCausalLM, **more}
        model = families.make(config, more, os.path.join(folder, name))
        model(ids).logits[0].numpy().astype("<f4").tofile(
            os.path.join(folder, "answers", name + ".f32"))
        os.remove(os.path.join(folder, name, "generation_config.json"))
    for name in (*CASES, *EMBED):
        os.chmod(os.path.join(folder, name, "model.safetensors"), 0o644)


if __name__ == "__main__":
    main()
