#!/usr/bin/env python3
"""Trains the same small model here and with PyTorch, from the same numbers on the same tokens, and
compares losses, gradient norms and the weights at the end.

    tests/clients/compare_training.py BANTAM WORKFOLDER

Needs torch, transformers and gguf (PyPI); the test suite does not. Everything in between is ours or
theirs: packing, forward, cross entropy, backward, clipping, AdamW, the schedule.
"""
import json
import math
import os
import subprocess
import sys

import gguf
import torch
import transformers

torch.set_num_threads(1)
STEPS, RATE, CLIP = 12, 1e-2, 1.0
TEXT = ("A bantam is a small hen. Any small kind of fowl may be called so, and most large breeds "
        "have a bantam beside them, a third or a quarter of their size.")
BASE = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "vocab_size": 320,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
        "rms_norm_eps": 1e-6, "tie_word_embeddings": True}
FAMILIES = {
    "qwen3": {"head_dim": 32, "rope_theta": 10000.0},
    "qwen2": {"rope_theta": 10000.0, "tie_word_embeddings": False},
    "phi3": {"rope_theta": 10000.0, "tie_word_embeddings": False, "pad_token_id": 0,
             "eos_token_id": 1, "bos_token_id": 1},
    "gemma3_text": {"head_dim": 16, "sliding_window": 16, "query_pre_attn_scalar": 16,
                    "hidden_activation": "gelu_pytorch_tanh", "rope_theta": 10000.0},
}
NAMES = [("token_embd", "model.embed_tokens"), ("output_norm", "model.norm"), ("output", "lm_head"),
         ("attn_norm", "input_layernorm"), ("attn_q_norm", "self_attn.q_norm"),
         ("attn_k_norm", "self_attn.k_norm"), ("attn_qkv", "self_attn.qkv_proj"),
         ("attn_q", "self_attn.q_proj"), ("attn_k", "self_attn.k_proj"),
         ("attn_v", "self_attn.v_proj"), ("attn_output", "self_attn.o_proj"),
         ("ffn_gate", "mlp.gate_proj"), ("ffn_down", "mlp.down_proj")]


def their_name(name, family):
    """The maker's name of a tensor of the file."""
    parts = name.split(".")
    stem = parts[2] if parts[0] == "blk" else parts[0]
    table = dict(NAMES)
    table["ffn_up"] = "mlp.gate_up_proj" if family == "phi3" else "mlp.up_proj"
    gemma = family.startswith("gemma")
    table["ffn_norm"] = "pre_feedforward_layernorm" if gemma else "post_attention_layernorm"
    table["post_attention_norm"] = "post_attention_layernorm"
    table["post_ffw_norm"] = "post_feedforward_layernorm"
    layer = f"model.layers.{parts[1]}." if parts[0] == "blk" else ""
    return layer + table[stem] + "." + parts[-1]


def read(path, family):
    """Weights of a file under the makers' names."""
    out = {}
    for tensor in gguf.GGUFReader(path).tensors:
        value = torch.tensor(tensor.data.copy())
        name = their_name(tensor.name, family)
        if family.startswith("gemma") and "norm" in name:
            value = value - 1
        out[name] = value
    return out


def bantam(program, *args):
    """Runs a command; its standard output."""
    return subprocess.run([program, *args], check=True, stdout=subprocess.PIPE).stdout


def compare(program, family):
    """Worst differences of one family: loss, gradient norm, weights."""
    config = dict(BASE, model_type=family, **FAMILIES[family])
    with open("config.json", "w", encoding="utf-8") as f:
        json.dump(config, f)
    line = ["train", "-c", "config.json", "--tokenizer", "tok.gguf", "--data", "page.txt",
            "--type", "f32", "--precision", "f32", "--ctx", "256", "--batch", "2", "--restart",
            "--warmup", "-1", "--schedule", "constant", "--clip", str(CLIP), "-q", "-t", "1"]
    bantam(program, *line, "--steps", "1", "--lr", "1e-30", "--weight-decay", "-1", "-o",
           "at0.gguf")
    bantam(program, *line, "--steps", str(STEPS), "--lr", str(RATE), "-o", "end.gguf")
    ours = [json.loads(s) for s in open("end.gguf.training/metrics.jsonl", encoding="utf-8")]
    ids = [int(i) for i in bantam(program, "tokenize", "-m", "tok.gguf", "-f", "page.txt").split()]
    reader = gguf.GGUFReader("tok.gguf")
    ids.append(int(reader.fields["tokenizer.ggml.eos_token_id"].parts[-1][0]))
    config["torch_dtype"] = "float32"
    model = transformers.AutoModelForCausalLM.from_config(
        transformers.AutoConfig.for_model(**config), attn_implementation="eager").float()
    missing = model.load_state_dict(read("at0.gguf", family), strict=False)
    assert not missing.unexpected_keys, missing
    assert all("lm_head" in k for k in missing.missing_keys), missing
    model.tie_weights()
    decayed = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() < 2]
    optim = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1},
                               {"params": rest, "weight_decay": 0.0}], lr=RATE, betas=(0.9, 0.95))
    x = torch.tensor([ids])
    worst = [0.0, 0.0]
    for step in range(STEPS):
        optim.zero_grad()
        logits = model(x[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits[0], x[0, 1:])
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optim.step()
        worst[0] = max(worst[0], abs(ours[step]["loss"] - loss.item()))
        worst[1] = max(worst[1], abs(ours[step]["grad_norm"] / norm.item() - 1))
    assert ours[0]["tokens"] == len(ids) - 1, (ours[0], len(ids))
    end = read("end.gguf", family)
    theirs = model.state_dict()
    apart = max((end[k] - theirs[k]).abs().max().item() for k in end)
    print(f"{family:12} loss {ours[0]['loss']:.4f} to {ours[-1]['loss']:.4f}, apart at most "
          f"{worst[0]:.2g}; gradient norms {worst[1]:.2g} of theirs; weights {apart:.2g}")
    return worst[0] < 2e-3 and worst[1] < 1e-2 and math.isfinite(apart)


def main():
    """Exit code 1 when a family differs."""
    program = os.path.abspath(sys.argv[1])
    os.makedirs(sys.argv[2], exist_ok=True)
    os.chdir(sys.argv[2])
    with open("page.txt", "w", encoding="utf-8") as f:
        f.write(TEXT)
    bantam(program, "vocab", "page.txt", "-o", "tok.gguf", "--size", "320", "-q")
    good = [compare(program, family) for family in FAMILIES]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
