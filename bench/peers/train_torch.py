#!/usr/bin/env python3
"""Training of a llama-type model in PyTorch, for `bench/train`: the same shapes, the same batch,
AdamW, float32 or bf16 by autocast. Prints one JSON line: tokens a second of the best and of the
median step, what torch is and by which library it multiplies.

    train_torch.py --threads 2 --steps 6 --precision bf16 --width 256 --layers 8 --heads 4 \
        --kv-heads 2 --ffn 896 --vocab 4096 --context 512 --batch 8 [--compile]
"""
import argparse
import json
import time

import torch
from torch import nn
from torch.nn import functional as F


class Norm(nn.Module):
    """RMSNorm."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight, 1e-5)


def turned(x, cos, sin):
    """Rotates the halves of each head."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


class Block(nn.Module):
    """Pre-norm attention with grouped heads, then a gated feed-forward."""

    def __init__(self, o):
        super().__init__()
        self.heads, self.kv_heads, self.head = o.heads, o.kv_heads, o.width // o.heads
        self.norm, self.ffn_norm = Norm(o.width), Norm(o.width)
        self.query = nn.Linear(o.width, o.heads * self.head, bias=False)
        self.key = nn.Linear(o.width, o.kv_heads * self.head, bias=False)
        self.value = nn.Linear(o.width, o.kv_heads * self.head, bias=False)
        self.out = nn.Linear(o.heads * self.head, o.width, bias=False)
        self.gate = nn.Linear(o.width, o.ffn, bias=False)
        self.up = nn.Linear(o.width, o.ffn, bias=False)
        self.down = nn.Linear(o.ffn, o.width, bias=False)

    def forward(self, x, cos, sin):
        b, t, d = x.shape
        h = self.norm(x)
        q = self.query(h).view(b, t, self.heads, self.head).transpose(1, 2)
        k = self.key(h).view(b, t, self.kv_heads, self.head).transpose(1, 2)
        v = self.value(h).view(b, t, self.kv_heads, self.head).transpose(1, 2)
        q, k = turned(q, cos, sin).to(v.dtype), turned(k, cos, sin).to(v.dtype)
        group = self.heads // self.kv_heads
        k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(a.transpose(1, 2).reshape(b, t, d))
        h = self.ffn_norm(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Model(nn.Module):
    """Tied embeddings."""

    def __init__(self, o):
        super().__init__()
        self.embed = nn.Embedding(o.vocab, o.width)
        self.blocks = nn.ModuleList(Block(o) for _ in range(o.layers))
        self.norm = Norm(o.width)
        half = o.width // o.heads // 2
        angle = torch.outer(torch.arange(o.context), 10000.0 ** (-torch.arange(half) / half))
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02)

    def forward(self, ids, targets):
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        logits = F.linear(self.norm(x), self.embed.weight)
        return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())


def options():
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("threads", 2), ("steps", 6), ("width", 256), ("layers", 8), ("heads", 4),
                        ("kv-heads", 2), ("ffn", 896), ("vocab", 4096), ("context", 512),
                        ("batch", 8)):
        parse.add_argument("--" + name, type=int, default=value)
    parse.add_argument("--precision", choices=("f32", "bf16"), default="bf16")
    parse.add_argument("--compile", action="store_true", help="torch.compile the model")
    return parse.parse_args()


def main():
    o = options()
    torch.set_num_threads(o.threads)
    torch.manual_seed(1)
    model = Model(o)
    size = sum(p.numel() for p in model.parameters())
    run = torch.compile(model) if o.compile else model
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1, fused=True)
    seconds, losses = [], []
    for step in range(o.steps + 1):
        ids = torch.randint(o.vocab, (o.batch, o.context + 1))
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=o.precision == "bf16"):
            loss = run(ids[:, :-1].contiguous(), ids[:, 1:].contiguous())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=False)
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
    seconds = sorted(seconds[1:])  # the first makes its kernels
    tokens = o.batch * o.context
    print(json.dumps({
        "program": "torch " + torch.__version__ + (" compiled" if o.compile else ""),
        "blas": "MKL " + str(torch.backends.mkl.is_available()) + ", oneDNN "
                + str(torch.backends.mkldnn.is_available()),
        "precision": o.precision, "parameters": size, "batch": tokens,
        "tokens_per_s": round(tokens / seconds[0], 1),
        "tokens_per_s_median": round(tokens / seconds[len(seconds) // 2], 1),
        "loss": round(losses[-1], 3)}))


if __name__ == "__main__":
    main()
