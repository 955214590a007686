#!/usr/bin/env python3
"""Writes a GGUF model of a published model's shape with random weights, for timing.

    bench/make_model.py PRESET OUT.gguf [--type q4_k|q4_0|q8_0] [--layers N] [--vocab N]
    bench/make_model.py --list

Random blocks cost the same arithmetic and the same memory traffic as trained ones; the text is
nonsense. The presets are families whose layers are more than attention and a dense feed-forward:
recurrent states, short convolutions, compressed attention, per-layer inputs, experts. --layers
writes the first N layers only (the layer pattern stays), so that time and size can be scaled: what
a layer costs does not depend on how many there are. Decay rates and steps are of the size that
trained models have, so that states neither vanish nor grow.

As usual mixes have it, --type q4_k writes the head and the embedding in Q6_K; rows that are no
multiple of 256 fall back to Q5_0 and Q8_0. Needs numpy. Writes as it goes: memory stays small.
"""
import argparse
import struct
import sys

import numpy as np

U32, I32, F32, BOOL, STR, ARRAY = 4, 5, 6, 7, 8, 9
# name: (number in GGUF, values a block, bytes a block, {offset: factor of the block's scale})
TYPES = {
    "f32": (0, 1, 4),
    "q4_0": (2, 32, 18),
    "q5_0": (6, 32, 22),
    "q8_0": (8, 32, 34),
    "q4_k": (12, 256, 144),
    "q6_k": (14, 256, 210),
    "mxfp4": (39, 32, 17),
}
POOL = 1 << 14  # different blocks of a type; they are repeated


def pack_string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def pack_value(value):
    if isinstance(value, bool):
        return struct.pack("<I?", BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", U32, value)
    if isinstance(value, float):
        return struct.pack("<If", F32, value)
    if isinstance(value, str):
        return struct.pack("<I", STR) + pack_string(value)
    kind, code = (BOOL, "?") if isinstance(value[0], bool) else (I32, "i")
    if isinstance(value[0], float):
        kind, code = F32, "f"
    head = struct.pack("<IIQ", ARRAY, kind, len(value))
    return head + struct.pack(f"<{len(value)}{code}", *value)


def blocks(rng, name, std):
    """Random blocks of a type as bytes; values spread about as a normal of that deviation."""
    _, _, size = TYPES[name]
    data = rng.integers(0, 256, size=(POOL, size), dtype=np.uint8)

    def half(column, scale):
        varied = scale * (0.7 + 0.6 * rng.random(POOL))
        data[:, column : column + 2] = varied.astype(np.float16).view(np.uint8).reshape(POOL, 2)

    if name == "q4_k":  # codes of 0..15 about a minimum, scales of 0..63
        half(0, std / 143)
        half(2, 7.5 * std / 143)
    elif name == "q6_k":
        half(208, std / 1330)
    elif name == "mxfp4":
        data[:, 0] = round(127 + np.log2(std / 2.7))
    else:  # one scale in front
        half(0, std / {"q4_0": 4.6, "q5_0": 9.2, "q8_0": 74}[name])
    return data.tobytes()


class Model:
    """Keys and tensors of a file; tensors: (name, dims, type, how to fill)."""

    def __init__(self, options, arch, layers, embd, vocab, ctx, **keys):
        self.type = options.type
        self.arch, self.embd = arch, embd
        self.layers = min(options.layers or layers, layers)
        self.vocab = options.vocab or vocab
        self.keys, self.tensors = [], []
        self.keys += [("general.architecture", arch), ("general.name", options.preset),
                      ("tokenizer.ggml.model", "no_vocab")]
        self.key(vocab_size=self.vocab, context_length=ctx, embedding_length=embd,
                 block_count=self.layers, **{"attention.layer_norm_rms_epsilon": 1e-6}, **keys)
        self.table("token_embd")

    def key(self, **keys):
        self.keys += [(f"{self.arch}.{name.replace('__', '.')}", v) for name, v in keys.items()]

    def matrix(self, name, n, k, experts=0, kind=None):
        """(n, k) with rows of k; several of them for experts or heads."""
        kind = kind or self.type
        if k % TYPES[kind][1]:
            kind = "q8_0" if kind == "q6_k" else "q5_0" if k % 32 == 0 else "f32"
        dims = (k, n, experts) if experts else (k, n)
        self.tensors.append((name + ".weight", dims, kind, ("spread", 1 / np.sqrt(k))))

    def table(self, name, width=None):
        high = "q6_k" if self.type == "q4_k" else self.type
        self.matrix(name, self.vocab, width or self.embd, kind=high)

    def vector(self, name, dims, low=0.9, high=1.1):
        dims = (dims,) if isinstance(dims, int) else dims
        self.tensors.append((name, dims, "f32", ("between", low, high)))

    def norm(self, name, n):
        self.vector(name + ".weight", n)

    def finish(self, head=True):
        self.norm("output_norm", self.embd)
        if head:
            self.table("output")

    # ---- layers ----

    def attention(self, p, heads, kv, width, gated=False, qk_norm=False):
        self.matrix(p + "attn_q", heads * width * (2 if gated else 1), self.embd)
        self.matrix(p + "attn_k", kv * width, self.embd)
        self.matrix(p + "attn_v", kv * width, self.embd)
        self.matrix(p + "attn_output", self.embd, heads * width)
        if qk_norm:
            self.norm(p + "attn_q_norm", width)
            self.norm(p + "attn_k_norm", width)

    def dense(self, p, width, suffix=""):
        self.matrix(p + "ffn_gate" + suffix, width, self.embd)
        self.matrix(p + "ffn_up" + suffix, width, self.embd)
        self.matrix(p + "ffn_down" + suffix, self.embd, width)

    def experts(self, p, count, width, kind=None):
        self.matrix(p + "ffn_gate_inp", count, self.embd, kind="f32")
        self.matrix(p + "ffn_gate_exps", width, self.embd, count, kind)
        self.matrix(p + "ffn_up_exps", width, self.embd, count, kind)
        self.matrix(p + "ffn_down_exps", self.embd, width, count, kind)

    def conv(self, name, taps, channels, bias):
        self.vector(name + ".weight", (taps, channels), -0.5, 0.5)
        if bias:
            self.vector(name + ".bias", channels, -0.1, 0.1)

    def mamba2(self, p, heads, width, state, norm):
        inner = heads * width
        self.matrix(p + "ssm_in", 2 * inner + 2 * state + heads, self.embd)
        self.conv(p + "ssm_conv1d", 4, inner + 2 * state, True)
        self.vector(p + "ssm_dt.bias", heads, -4, -1)
        self.vector(p + "ssm_a", (1, heads), -8, -1)
        self.vector(p + "ssm_d", (1, heads))
        if norm:
            self.vector(p + "ssm_norm.weight", (inner, 1))
        self.matrix(p + "ssm_out", self.embd, inner)

    def delta(self, p, keys, heads, width):
        self.matrix(p + "attn_qkv", (2 * keys + heads) * width, self.embd)
        self.matrix(p + "attn_gate", heads * width, self.embd)
        self.matrix(p + "ssm_alpha", heads, self.embd)
        self.matrix(p + "ssm_beta", heads, self.embd)
        self.conv(p + "ssm_conv1d", 4, (2 * keys + heads) * width, False)
        self.vector(p + "ssm_dt.bias", heads, -4, -1)
        self.vector(p + "ssm_a", heads, -8, -1)
        self.norm(p + "ssm_norm", width)
        self.matrix(p + "ssm_out", self.embd, heads * width)

    # ---- writing ----

    def write(self, path, seed):
        rng, at, infos, pools = np.random.default_rng(seed), 0, [], {}
        for name, dims, kind, _ in self.tensors:
            number, values, size = TYPES[kind]
            infos.append(pack_string(name) + struct.pack("<I", len(dims)) +
                         struct.pack(f"<{len(dims)}Q", *dims) + struct.pack("<IQ", number, at))
            at += -(-int(np.prod(dims)) // values * size // 32) * 32
        with open(path, "wb") as f:
            f.write(b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.keys)))
            f.write(b"".join(pack_string(k) + pack_value(v) for k, v in self.keys))
            f.write(b"".join(infos))
            f.write(bytes(-f.tell() % 32))
            for _, dims, kind, fill in self.tensors:
                count = int(np.prod(dims))
                if fill[0] == "between" or kind == "f32":
                    low, high = fill[1:] if fill[0] == "between" else (-fill[1], fill[1])
                    f.write(rng.uniform(low, high, count).astype("<f4").tobytes())
                else:
                    _, values, size = TYPES[kind]
                    if (kind, fill[1]) not in pools:
                        pools[kind, fill[1]] = blocks(rng, kind, fill[1])
                    pool, left = pools[kind, fill[1]], count // values * size
                    while left:
                        left -= f.write(pool[: min(left, len(pool))])
                f.write(bytes(-f.tell() % 32))
        return at


# ---- presets: shapes as their makers publish them ----


def deepseek_v2_lite(o):
    m = Model(o, "deepseek2", 27, 2048, 102400, 163840, feed_forward_length=10944)
    heads, rank, nope, rope, value = 16, 512, 128, 64, 128
    m.key(attention__head_count=heads, attention__head_count_kv=1, attention__kv_lora_rank=rank,
          attention__key_length=rank + rope, attention__value_length=rank,
          attention__key_length_mla=nope + rope, attention__value_length_mla=value,
          rope__dimension_count=rope, rope__freq_base=10000.0, leading_dense_block_count=1,
          expert_feed_forward_length=1408, expert_count=64, expert_used_count=6,
          expert_shared_count=2, expert_weights_scale=1.0, expert_gating_func=1)
    for layer in range(m.layers):
        p = f"blk.{layer}."
        m.norm(p + "attn_norm", m.embd)
        m.matrix(p + "attn_q", heads * (nope + rope), m.embd)
        m.matrix(p + "attn_kv_a_mqa", rank + rope, m.embd)
        m.norm(p + "attn_kv_a_norm", rank)
        m.matrix(p + "attn_k_b", rank, nope, heads, "q8_0")
        m.matrix(p + "attn_v_b", value, rank, heads, "q8_0")
        m.matrix(p + "attn_output", m.embd, heads * value)
        m.norm(p + "ffn_norm", m.embd)
        if layer == 0:
            m.dense(p, 10944)
        else:
            m.experts(p, 64, 1408)
            m.dense(p, 2 * 1408, "_shexp")
    m.finish()
    return m


def qwen35(o, arch, layers, embd, heads, kv, ff, experts=0):
    extra = {"expert_count": experts, "expert_used_count": 8, "expert_feed_forward_length": ff,
             "expert_shared_feed_forward_length": ff} if experts else {}
    m = Model(o, arch, layers, embd, 248320, 262144, feed_forward_length=ff, **extra)
    keys, values, width, head = 16, 32, 128, 256
    m.key(attention__head_count=heads, attention__head_count_kv=kv, attention__key_length=head,
          attention__value_length=head, rope__dimension_count=head // 4, rope__freq_base=1e7,
          rope__dimension_sections=[11, 11, 10, 0], full_attention_interval=4, ssm__conv_kernel=4,
          ssm__inner_size=values * width, ssm__state_size=width, ssm__time_step_rank=values,
          ssm__group_count=keys)
    for layer in range(m.layers):
        p = f"blk.{layer}."
        m.norm(p + "attn_norm", embd)
        if layer % 4 == 3:
            m.attention(p, heads, kv, head, gated=True, qk_norm=True)
        else:
            m.delta(p, keys, values, width)
        m.norm(p + "post_attention_norm", embd)
        if experts:
            m.experts(p, experts, ff)
            m.dense(p, ff, "_shexp")
            m.vector(p + "ffn_gate_inp_shexp.weight", embd, -0.02, 0.02)
        else:
            m.dense(p, ff)
    m.finish()
    return m


def granite_h(o, embd, heads, kv, mamba_heads, ff, experts=0, shared=0):
    attends = (5, 15, 25, 35)
    m = Model(o, "granitehybrid", 40, embd, 100352, 131072, feed_forward_length=ff)
    width, state = 64, 128
    m.key(attention__head_count=heads, rope__scaling__finetuned=False, embedding_scale=12.0,
          residual_scale=0.22, logit_scale=6.0, attention__scale=0.0078125, ssm__conv_kernel=4,
          ssm__inner_size=mamba_heads * width, ssm__state_size=state,
          ssm__time_step_rank=mamba_heads, ssm__group_count=1,
          attention__head_count_kv=[kv if i in attends else 0 for i in range(m.layers)])
    if experts:
        m.key(expert_count=experts, expert_used_count=6,
              expert_shared_feed_forward_length=shared)
    for layer in range(m.layers):
        p = f"blk.{layer}."
        m.norm(p + "attn_norm", embd)
        if layer in attends:
            m.attention(p, heads, kv, embd // heads)
        else:
            m.mamba2(p, mamba_heads, width, state, True)
        m.norm(p + "ffn_norm", embd)
        if experts:
            m.experts(p, experts, ff)
            m.dense(p, shared, "_shexp")
        else:
            m.dense(p, ff)
    m.finish()
    return m


def falcon_h1(o):
    heads, kv, width, ff, state = 8, 2, 128, 4096, 256
    m = Model(o, "falcon-h1", 24, 2048, 65536, 131072, feed_forward_length=ff)
    m.key(attention__head_count=heads, attention__head_count_kv=kv, attention__key_length=width,
          attention__value_length=width, rope__freq_base=1e11, ssm__conv_kernel=4,
          ssm__inner_size=3072, ssm__state_size=state, ssm__time_step_rank=48, ssm__group_count=1)
    for layer in range(m.layers):
        p = f"blk.{layer}."
        m.norm(p + "attn_norm", m.embd)
        m.attention(p, heads, kv, width)
        m.mamba2(p, 48, 64, state, False)
        m.norm(p + "ffn_norm", m.embd)
        m.dense(p, ff)
    m.finish()
    return m


def falcon_mamba(o):
    inner, state, rank = 8192, 16, 256
    m = Model(o, "mamba", 64, 4096, 65024, 8192)
    m.key(ssm__conv_kernel=4, ssm__inner_size=inner, ssm__state_size=state,
          ssm__time_step_rank=rank, ssm__dt_b_c_rms=True)
    for layer in range(m.layers):
        p = f"blk.{layer}."
        m.norm(p + "attn_norm", m.embd)
        m.matrix(p + "ssm_in", 2 * inner, m.embd)
        m.conv(p + "ssm_conv1d", 4, inner, True)
        m.matrix(p + "ssm_x", rank + 2 * state, inner)
        m.matrix(p + "ssm_dt", inner, rank)
        m.vector(p + "ssm_dt.bias", inner, -4, -1)
        m.vector(p + "ssm_a", (state, inner), -8, -1)
        m.vector(p + "ssm_d", inner)
        m.matrix(p + "ssm_out", m.embd, inner)
    m.finish(head=False)
    return m


def lfm2(o):
    attends = (2, 5, 8, 10, 12, 14)
    m = Model(o, "lfm2", 16, 2048, 65536, 128000, feed_forward_length=8192)
    m.key(attention__head_count=32, rope__freq_base=1e6, shortconv__l_cache=3,
          attention__head_count_kv=[8 if i in attends else 0 for i in range(m.layers)])
    for layer in range(m.layers):
        p = f"blk.{layer}."
        m.norm(p + "attn_norm", m.embd)
        if layer in attends:
            m.attention(p, 32, 8, 64, qk_norm=True)
        else:
            m.matrix(p + "shortconv.in_proj", 3 * m.embd, m.embd)
            m.conv(p + "shortconv.conv", 3, m.embd, False)
            m.matrix(p + "shortconv.out_proj", m.embd, m.embd)
        m.norm(p + "ffn_norm", m.embd)
        m.dense(p, 8192)
    m.norm("token_embd_norm", m.embd)
    return m


def gemma3n_e2b(o):
    heads, kv, width, ff, own, streams, rank, shared = 8, 2, 256, 8192, 256, 4, 64, 10
    m = Model(o, "gemma3n", 30, 2048, 262144, 32768, feed_forward_length=ff)
    full, n = m.layers - min(shared, m.layers // 3), m.layers
    m.key(attention__head_count=heads, attention__head_count_kv=kv, attention__key_length=width,
          attention__value_length=width, attention__sliding_window=512, rope__freq_base=1e6,
          altup__active_idx=0, altup__num_inputs=streams, embedding_length_per_layer_input=own,
          attention__shared_kv_layers=n - full,
          activation_sparsity_scale=[1.6448536 if i < 10 else -np.inf for i in range(n)],
          attention__sliding_window_pattern=[i % 5 != 4 for i in range(n)])
    m.table("per_layer_token_embd", n * own)
    m.matrix("per_layer_model_proj", n * own, m.embd)
    m.norm("per_layer_proj_norm", own)
    m.matrix("altup_proj", m.embd, m.embd, streams - 1)
    m.matrix("altup_unembd_proj", m.embd, m.embd, streams - 1)
    for layer in range(n):
        p = f"blk.{layer}."
        m.matrix(p + "attn_q", heads * width, m.embd)
        m.norm(p + "attn_q_norm", width)
        if layer < full:
            m.matrix(p + "attn_k", kv * width, m.embd)
            m.matrix(p + "attn_v", kv * width, m.embd)
            m.norm(p + "attn_k_norm", width)
        m.matrix(p + "attn_output", m.embd, heads * width)
        m.dense(p, ff)
        for name in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm",
                     "altup_router_norm", "laurel_post_norm", "post_norm",
                     "altup_correct_scale"):
            m.norm(p + name, m.embd)
        m.matrix(p + "altup_correct_coef", streams, streams, kind="f32")
        m.matrix(p + "altup_predict_coef", streams * streams, streams, kind="f32")
        m.matrix(p + "altup_router", streams, m.embd, kind="f32")
        m.matrix(p + "laurel_l", rank, m.embd)
        m.matrix(p + "laurel_r", m.embd, rank)
        m.matrix(p + "inp_gate", own, m.embd)
        m.matrix(p + "proj", m.embd, own)
    m.finish(head=False)
    return m


def gpt_oss_20b(o):
    heads, kv, width, ff, experts = 64, 8, 64, 2880, 32
    m = Model(o, "gpt-oss", 24, 2880, 201088, 131072, feed_forward_length=ff)
    m.key(attention__head_count=heads, attention__head_count_kv=kv, attention__key_length=width,
          attention__value_length=width, attention__sliding_window=128, rope__freq_base=150000.0,
          rope__scaling__type="yarn", rope__scaling__factor=32.0,
          rope__scaling__original_context_length=4096, expert_count=experts, expert_used_count=4,
          expert_feed_forward_length=ff)
    for layer in range(m.layers):
        p = f"blk.{layer}."
        m.norm(p + "attn_norm", m.embd)
        m.vector(p + "attn_sinks.weight", heads, -1, 1)
        m.attention(p, heads, kv, width)
        for name, n in (("attn_q", heads * width), ("attn_k", kv * width), ("attn_v", kv * width),
                        ("attn_output", m.embd), ("ffn_gate_inp", experts),
                        ("ffn_gate_exps", (ff, experts)), ("ffn_up_exps", (ff, experts)),
                        ("ffn_down_exps", (m.embd, experts))):
            m.vector(f"{p}{name}.bias", n, -0.1, 0.1)
        m.norm(p + "post_attention_norm", m.embd)
        m.experts(p, experts, ff, "mxfp4")
    m.finish()
    return m


PRESETS = {
    "deepseek-v2-lite": deepseek_v2_lite,
    "qwen35-4b": lambda o: qwen35(o, "qwen35", 32, 2560, 16, 4, 9216),
    "qwen35-35b-a3b": lambda o: qwen35(o, "qwen35moe", 40, 2048, 16, 2, 512, 256),
    "granite-4-h-micro": lambda o: granite_h(o, 2048, 32, 8, 64, 8192),
    "granite-4-h-tiny": lambda o: granite_h(o, 1536, 12, 4, 48, 512, 64, 1024),
    "falcon-h1-1.5b": falcon_h1,
    "falcon-mamba-7b": falcon_mamba,
    "lfm2-1.2b": lfm2,
    "gemma3n-e2b": gemma3n_e2b,
    "gpt-oss-20b": gpt_oss_20b,
}


def main():
    a = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("preset", nargs="?", choices=sorted(PRESETS))
    a.add_argument("out", nargs="?")
    a.add_argument("--type", default="q4_k", choices=["q4_k", "q4_0", "q8_0"])
    a.add_argument("--layers", type=int, default=0, help="the first N only")
    a.add_argument("--vocab", type=int, default=0, help="tokens; default: the model's")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--list", action="store_true", help="names of the presets")
    o = a.parse_args()
    if o.list:
        print("\n".join(sorted(PRESETS)))
        return 0
    if not o.preset or not o.out:
        a.error("PRESET and OUT.gguf are needed")
    model = PRESETS[o.preset](o)
    size = model.write(o.out, o.seed)
    print(f"{o.out}: {model.layers} layers, {size / 1e6:.0f} MB of weights")
    return 0


if __name__ == "__main__":
    sys.exit(main())
