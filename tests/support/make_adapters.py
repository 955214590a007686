#!/usr/bin/env python3
"""Makes tests/data/adapters: tiny models, adapters as PEFT saves them, and what PEFT answers.

    make_adapters.py --bantam PROGRAM [--out FOLDER] [--folders FOLDER] [NAME ...]

Needs torch, transformers and peft (PyPI), and the program, whose `convert` turns the models into
GGUF. The files that it wrote are committed; the tests need none of these. Everything is random from
a seed; models are rounded to float16, so that F16 holds them; PEFT runs in float64. The same folder
serves for reading what our program wrote: --check NAME FOLDER prints how far PEFT's logits with
FOLDER are from those in the fixture.
"""
import argparse
import os
import shutil
import subprocess
import tempfile

import numpy
import torch
import transformers as t
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file

COMMON = dict(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
              num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
              pad_token_id=0, bos_token_id=1, eos_token_id=2)
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
TRAINED = ["llama-dora", "qwen2", "qwen3", "phi3"]  # gradients too
TOKENS = [(7 * i * i + 3 * i + 5) % 64 for i in range(24)]

CASES = {
    "llama": (lambda: t.LlamaConfig(**COMMON),
              dict(r=3, lora_alpha=5, target_modules=LINEAR + ["lm_head", "embed_tokens"],
                   rank_pattern={"layers.1.self_attn.q_proj": 2},
                   alpha_pattern={r".*\.down_proj": 7})),
    "llama-tied": (lambda: t.LlamaConfig(**COMMON, tie_word_embeddings=True),
                   dict(r=2, lora_alpha=2, target_modules=["embed_tokens", "v_proj"])),
    "llama-dora": (lambda: t.LlamaConfig(**COMMON, attention_bias=True),
                   dict(r=2, lora_alpha=3, target_modules=LINEAR, use_dora=True)),
    "qwen2": (lambda: t.Qwen2Config(**COMMON),
              dict(r=4, lora_alpha=4, target_modules=LINEAR, use_rslora=True)),
    "qwen3": (lambda: t.Qwen3Config(**COMMON, head_dim=16),
              dict(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj", "down_proj"])),
    "gemma3": (lambda: t.Gemma3TextConfig(**COMMON, head_dim=8, query_pre_attn_scalar=8,
                                          sliding_window=8,
                                          layer_types=["sliding_attention", "full_attention"]),
               dict(r=2, lora_alpha=4, target_modules=LINEAR + ["embed_tokens"])),
    "phi3": (lambda: t.Phi3Config(**COMMON),
             dict(r=2, lora_alpha=6, use_dora=True,
                  target_modules=["qkv_proj", "o_proj", "gate_up_proj", "down_proj"])),
    "qwen3moe": (lambda: t.Qwen3MoeConfig(**COMMON, head_dim=8, num_experts=4,
                                          num_experts_per_tok=2, moe_intermediate_size=24,
                                          norm_topk_prob=True),
                 dict(r=2, lora_alpha=4, target_modules=["q_proj", "o_proj", "gate"],
                      target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"])),
}


def make_base(name):
    torch.manual_seed(sum(name.encode()))
    config = CASES[name][0]()
    config._experts_implementation = "eager"  # the others know no float64
    model = t.AutoModelForCausalLM.from_config(config)
    for key, p in model.named_parameters():
        spread = 1 if key.endswith("norm.weight") else 3 / p.shape[-1] ** 0.5
        p.data = (torch.randn_like(p) * spread * 0.5 + ("norm" in key)).half().float()
    return model


def logits_of(model):
    with torch.no_grad():
        return model.double().eval()(torch.tensor([TOKENS])).logits[0].float().numpy()


def shake(model, name):
    """An adapter that was trained: nothing of it is still zero."""
    torch.manual_seed(sum(name.encode()) + 1)
    for key, p in model.named_parameters():
        if "lora_magnitude" in key:
            p.data *= 1 + 0.3 * torch.randn_like(p)
        elif "lora_" in key:
            p.data = (torch.randn_like(p) * 0.25).half().float()


def save_gradients(model, folder):
    """Of the mean cross entropy of each next token, laid out as the adapter itself."""
    ids = torch.tensor(TOKENS)
    logits = model.double().eval()(ids[None]).logits[0]
    torch.nn.functional.cross_entropy(logits[:-1], ids[1:]).backward()
    grads = {n: p.grad.float().contiguous() for n, p in model.named_parameters()
             if p.grad is not None}
    os.makedirs(folder, exist_ok=True)
    save_file(get_peft_model_state_dict(model, grads),
              os.path.join(folder, "adapter_model.safetensors"))
    shutil.copy(os.path.join(folder, "..", "adapter_config.json"), folder)


def make(name, out, program, folders):
    here = os.path.join(out, name)
    os.makedirs(here, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = os.path.join(folders or scratch, name)
        base = make_base(name)
        base.save_pretrained(folder)
        subprocess.run([program, "convert", folder, os.path.join(here, "model.gguf"), "--type",
                        "f16", "-q"], check=True)
    plain = logits_of(base)
    model = get_peft_model(base.float(), LoraConfig(task_type="CAUSAL_LM", **CASES[name][1]))
    shake(model, name)
    model.save_pretrained(here, save_embedding_layers=False)
    answer = logits_of(model)
    answer.tofile(os.path.join(here, "logits.f32"))
    if name in TRAINED:
        save_gradients(model, os.path.join(here, "gradients"))
    for extra in ("README.md",):
        if os.path.exists(os.path.join(here, extra)):
            os.remove(os.path.join(here, extra))
    moved = ((answer - plain) ** 2).sum() / (plain ** 2).sum()
    print(f"{name}: moved by {moved:.3f}", flush=True)
    if moved < 1e-2:
        raise SystemExit("the adapter hardly matters: its check would not see it")


def check(name, folder, out):
    model = PeftModel.from_pretrained(make_base(name), folder)
    want = numpy.fromfile(os.path.join(out, name, "logits.f32"), dtype=numpy.float32)
    got = logits_of(model).ravel()
    print(f"{name}: {((got - want) ** 2).sum() / (want ** 2).sum():.3g}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--out", default=os.path.join(here, "..", "data", "adapters"))
    parser.add_argument("--bantam")
    parser.add_argument("--folders")
    parser.add_argument("--check", nargs=2)
    parser.add_argument("names", nargs="*")
    o = parser.parse_args()
    torch.set_num_threads(1)
    if o.check:
        check(*o.check, o.out)
        return
    for name in o.names or CASES:
        make(name, o.out, o.bantam, o.folders)
    with open(os.path.join(o.out, "tokens.txt"), "w") as f:
        f.write(",".join(map(str, TOKENS)) + "\n")


if __name__ == "__main__":
    main()
