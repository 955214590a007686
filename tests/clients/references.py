"""Forwards of families whose makers publish code of their own on the hub and that `transformers`
has no class for: InternLM 2, Ling 2 (bailing_moe_v2), DeepSeek MoE 1 and Nomic Embed v2. Written
from the published descriptions (the technical reports; names of modules and keys of config.json as
in the makers' modeling files), in plain PyTorch and float64.

A model is its config.json and a table of shapes; `forward(state, config, ids)` gives the logits of
one sequence (of Nomic's, the hidden states).
"""
import torch
import torch.nn.functional as F

BASE = {"vocab_size": 128, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
        "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "hidden_act": "silu",
        "tie_word_embeddings": False}


def rms(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def linear(state, name, x):
    return F.linear(x, state[name + ".weight"], state.get(name + ".bias"))


def rotate(x, base, width):
    """Halves of the first `width` numbers of each head; x (T, H, E)."""
    t = torch.arange(x.shape[0], dtype=torch.float64)
    angle = t[:, None] / base ** (torch.arange(0, width, 2, dtype=torch.float64) / width)
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    a, b, rest = x[..., : width // 2], x[..., width // 2: width], x[..., width:]
    return torch.cat((a * cos - b * sin, b * cos + a * sin, rest), dim=-1)


def attend(q, k, v, causal=True):
    """Attention, q (T, H, E), k and v (T, K, E): query head h reads key head h / (H / K)."""
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    scores = torch.einsum("qhe,khe->hqk", q, k) / q.shape[-1] ** 0.5
    n = q.shape[0]
    if causal:
        scores = scores.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), float("-inf"))
    return torch.einsum("hqk,khe->qhe", scores.softmax(-1), v).flatten(1)


def gated(state, name, x, names=("gate_proj", "up_proj", "down_proj")):
    gate, up, down = (f"{name}.{n}" for n in names)
    return linear(state, down, F.silu(linear(state, gate, x)) * linear(state, up, x))


def mixture(state, name, x, chosen, weights):
    """chosen, weights (T, used)."""
    out = torch.zeros_like(x)
    for t in range(x.shape[0]):
        for e, w in zip(chosen[t].tolist(), weights[t]):
            out[t] += w * gated(state, f"{name}.experts.{e}", x[t])
    return out


# ---- InternLM 2 (arXiv 2403.17297): q, k and v of a key head's group stand together in wqkv ----

INTERNLM2 = {**{k: v for k, v in BASE.items() if k != "tie_word_embeddings"},
             "model_type": "internlm2", "architectures": ["InternLM2ForCausalLM"], "bias": False,
             "rope_scaling": {"type": "dynamic", "factor": 2.0}}


def internlm2_shapes(c):
    d, f = c["hidden_size"], c["intermediate_size"]
    e = d // c["num_attention_heads"]
    rows = (c["num_attention_heads"] + 2 * c["num_key_value_heads"]) * e
    shapes = {"model.tok_embeddings.weight": (c["vocab_size"], d), "model.norm.weight": (d,),
              "output.weight": (c["vocab_size"], d)}
    for i in range(c["num_hidden_layers"]):
        at = f"model.layers.{i}."
        shapes |= {at + "attention_norm.weight": (d,), at + "ffn_norm.weight": (d,),
                   at + "attention.wqkv.weight": (rows, d), at + "attention.wo.weight": (d, d),
                   at + "feed_forward.w1.weight": (f, d), at + "feed_forward.w3.weight": (f, d),
                   at + "feed_forward.w2.weight": (d, f)}
        if c["bias"]:
            shapes |= {at + "attention.wqkv.bias": (rows,), at + "attention.wo.bias": (d,)}
    return shapes


def internlm2(s, c, ids):
    heads, kv, eps = c["num_attention_heads"], c["num_key_value_heads"], c["rms_norm_eps"]
    e, group = c["hidden_size"] // heads, heads // kv
    x = s["model.tok_embeddings.weight"][ids]
    for i in range(c["num_hidden_layers"]):
        at = f"model.layers.{i}."
        h = rms(x, s[at + "attention_norm.weight"], eps)
        p = linear(s, at + "attention.wqkv", h).view(len(ids), kv, group + 2, e)
        q = rotate(p[:, :, :group].reshape(len(ids), heads, e), c["rope_theta"], e)
        k = rotate(p[:, :, group], c["rope_theta"], e)
        x = x + linear(s, at + "attention.wo", attend(q, k, p[:, :, group + 1]))
        h = rms(x, s[at + "ffn_norm.weight"], eps)
        x = x + gated(s, at + "feed_forward", h, ("w1", "w3", "w2"))
    return linear(s, "output", rms(x, s["model.norm.weight"], eps))


# ---- DeepSeek MoE 16B (arXiv 2401.06066): softmax over all experts, weights as they are ----

DEEPSEEK = {**BASE, "model_type": "deepseek", "architectures": ["DeepseekForCausalLM"],
            "num_hidden_layers": 3, "n_routed_experts": 8, "n_shared_experts": 2,
            "num_experts_per_tok": 3, "moe_intermediate_size": 24, "first_k_dense_replace": 1,
            "moe_layer_freq": 1, "norm_topk_prob": False, "scoring_func": "softmax",
            "attention_bias": False, "rope_scaling": None}


def llama_shapes(c):
    d, e = c["hidden_size"], c["hidden_size"] // c["num_attention_heads"]
    shapes = {"model.embed_tokens.weight": (c["vocab_size"], d), "model.norm.weight": (d,),
              "lm_head.weight": (c["vocab_size"], d)}
    for i in range(c["num_hidden_layers"]):
        at = f"model.layers.{i}."
        shapes |= {at + "input_layernorm.weight": (d,),
                   at + "post_attention_layernorm.weight": (d,),
                   at + "self_attn.q_proj.weight": (d, d), at + "self_attn.o_proj.weight": (d, d),
                   at + "self_attn.k_proj.weight": (e * c["num_key_value_heads"], d),
                   at + "self_attn.v_proj.weight": (e * c["num_key_value_heads"], d)}
    return shapes


def gated_shapes(at, d, f):
    return {at + ".gate_proj.weight": (f, d), at + ".up_proj.weight": (f, d),
            at + ".down_proj.weight": (d, f)}


def moe_shapes(c, experts, shared):
    d, f = c["hidden_size"], c["moe_intermediate_size"]
    shapes = {}
    for i in range(c["num_hidden_layers"]):
        at = f"model.layers.{i}.mlp"
        if i < c["first_k_dense_replace"]:
            shapes |= gated_shapes(at, d, c["intermediate_size"])
            continue
        shapes[at + ".gate.weight"] = (experts, d)
        for n in range(experts):
            shapes |= gated_shapes(f"{at}.experts.{n}", d, f)
        shapes |= gated_shapes(at + ".shared_experts", d, f * shared)
    return shapes


def deepseek_shapes(c):
    return {**llama_shapes(c), **moe_shapes(c, c["n_routed_experts"], c["n_shared_experts"])}


def deepseek(s, c, ids):
    heads, kv, eps = c["num_attention_heads"], c["num_key_value_heads"], c["rms_norm_eps"]
    e = c["hidden_size"] // heads
    x = s["model.embed_tokens.weight"][ids]
    for i in range(c["num_hidden_layers"]):
        at = f"model.layers.{i}."
        h = rms(x, s[at + "input_layernorm.weight"], eps)
        q, k, v = (linear(s, f"{at}self_attn.{n}_proj", h).view(len(ids), -1, e) for n in "qkv")
        q, k = rotate(q, c["rope_theta"], e), rotate(k, c["rope_theta"], e)
        x = x + linear(s, at + "self_attn.o_proj", attend(q, k, v))
        h = rms(x, s[at + "post_attention_layernorm.weight"], eps)
        if i < c["first_k_dense_replace"]:
            x = x + gated(s, at + "mlp", h)
            continue
        scores = linear(s, at + "mlp.gate", h).softmax(-1)
        weights, chosen = scores.topk(c["num_experts_per_tok"], dim=-1)
        if c["norm_topk_prob"]:
            weights = weights / weights.sum(-1, keepdim=True)
        x = x + mixture(s, at + "mlp", h, chosen, weights) + gated(s, at + "mlp.shared_experts", h)
    return linear(s, "lm_head", rms(x, s["model.norm.weight"], eps))


# ---- Ling 2, Ring 2 (bailing_moe_v2; arXiv 2510.22115): half of each head turns, norms of heads,
# groups of experts by the sum of their two best (score + bias), weights sum to 1, times a factor --

LING2 = {**BASE, "model_type": "bailing_moe_v2", "architectures": ["BailingMoeV2ForCausalLM"],
         "num_hidden_layers": 3, "head_dim": 32, "partial_rotary_factor": 0.5, "num_experts": 8,
         "num_shared_experts": 1, "num_experts_per_tok": 3, "n_group": 4, "topk_group": 2,
         "moe_intermediate_size": 24, "moe_shared_expert_intermediate_size": 24,
         "first_k_dense_replace": 1, "norm_topk_prob": True, "score_function": "sigmoid",
         "routed_scaling_factor": 2.5, "use_qk_norm": True, "use_qkv_bias": False,
         "use_bias": False, "moe_router_enable_expert_bias": True, "num_nextn_predict_layers": 0,
         "router_dtype": "fp32", "rope_scaling": None, "use_rmsnorm": True}


def ling2_shapes(c):
    d, e = c["hidden_size"], c["head_dim"]
    heads, kv = c["num_attention_heads"], c["num_key_value_heads"]
    shapes = {"model.word_embeddings.weight": (c["vocab_size"], d), "model.norm.weight": (d,),
              "lm_head.weight": (c["vocab_size"], d), **moe_shapes(c, c["num_experts"], 1)}
    for i in range(c["num_hidden_layers"]):
        at = f"model.layers.{i}."
        shapes |= {at + "input_layernorm.weight": (d,),
                   at + "post_attention_layernorm.weight": (d,),
                   at + "attention.query_key_value.weight": ((heads + 2 * kv) * e, d),
                   at + "attention.query_layernorm.weight": (e,),
                   at + "attention.key_layernorm.weight": (e,),
                   at + "attention.dense.weight": (d, heads * e)}
        if i >= c["first_k_dense_replace"]:
            shapes[at + "mlp.gate.expert_bias"] = (c["num_experts"],)
    return shapes


def ling2_choice(s, c, at, h):
    scores = linear(s, at + "mlp.gate", h).sigmoid()
    wanted = scores + s[at + "mlp.gate.expert_bias"]
    groups = wanted.view(len(h), c["n_group"], -1)
    best = groups.topk(2, dim=-1)[0].sum(-1).topk(c["topk_group"], dim=-1)[1]
    kept = torch.zeros(groups.shape[:2], dtype=torch.bool).scatter_(1, best, True)
    wanted = groups.masked_fill(~kept[:, :, None], float("-inf")).flatten(1)
    chosen = wanted.topk(c["num_experts_per_tok"], dim=-1)[1]
    weights = scores.gather(1, chosen)
    return chosen, weights / weights.sum(-1, keepdim=True) * c["routed_scaling_factor"]


def ling2(s, c, ids):
    heads, kv, eps = c["num_attention_heads"], c["num_key_value_heads"], c["rms_norm_eps"]
    e, base = c["head_dim"], c["rope_theta"]
    width = int(e * c["partial_rotary_factor"])
    x = s["model.word_embeddings.weight"][ids]
    for i in range(c["num_hidden_layers"]):
        at = f"model.layers.{i}."
        h = rms(x, s[at + "input_layernorm.weight"], eps)
        p = linear(s, at + "attention.query_key_value", h).view(len(ids), heads + 2 * kv, e)
        q, k, v = p.split((heads, kv, kv), dim=1)
        q = rotate(rms(q, s[at + "attention.query_layernorm.weight"], eps), base, width)
        k = rotate(rms(k, s[at + "attention.key_layernorm.weight"], eps), base, width)
        x = x + linear(s, at + "attention.dense", attend(q, k, v))
        h = rms(x, s[at + "post_attention_layernorm.weight"], eps)
        if i < c["first_k_dense_replace"]:
            x = x + gated(s, at + "mlp", h)
            continue
        chosen, weights = ling2_choice(s, c, at, h)
        x = x + mixture(s, at + "mlp", h, chosen, weights) + gated(s, at + "mlp.shared_experts", h)
    return linear(s, "lm_head", rms(x, s["model.norm.weight"], eps))


# ---- Nomic Embed v2 (arXiv 2502.07972): norms after the sums, biases everywhere, every second
# layer a mixture: softmax over all experts, the best ones' weights as they are, a bias at the end

NOMIC = {"model_type": "nomic_bert", "architectures": ["NomicBertModel"], "n_embd": 32,
         "n_layer": 4, "n_head": 4, "n_inner": 48, "n_positions": 128, "vocab_size": 96,
         "activation_function": "gelu", "layer_norm_epsilon": 1e-5, "type_vocab_size": 1,
         "rotary_emb_base": 10000, "rotary_emb_fraction": 1.0, "rotary_emb_interleaved": False,
         "qkv_proj_bias": True, "mlp_fc1_bias": True, "mlp_fc2_bias": True, "num_experts": 4,
         "moe_top_k": 2, "moe_every_n_layers": 2, "moe_normalize_expert_weights": False,
         "num_shared_experts": 0, "expert_choice_router": False, "prenorm": False,
         "use_rms_norm": False, "causal": False, "pad_token_id": 1, "rotary_scaling_factor": None}


def nomic_shapes(c):
    d, f, n = c["n_embd"], c["n_inner"], c["num_experts"]
    shapes = {"embeddings.word_embeddings.weight": (c["vocab_size"], d),
              "embeddings.token_type_embeddings.weight": (1, d),
              "emb_ln.weight": (d,), "emb_ln.bias": (d,)}
    for i in range(c["n_layer"]):
        at = f"encoder.layers.{i}."
        shapes |= {at + "attn.Wqkv.weight": (3 * d, d), at + "attn.Wqkv.bias": (3 * d,),
                   at + "attn.out_proj.weight": (d, d), at + "attn.out_proj.bias": (d,)}
        for norm in ("norm1", "norm2"):
            shapes |= {f"{at}{norm}.weight": (d,), f"{at}{norm}.bias": (d,)}
        if i % c["moe_every_n_layers"] != 1:
            shapes |= {at + "mlp.fc1.weight": (f, d), at + "mlp.fc1.bias": (f,),
                       at + "mlp.fc2.weight": (d, f), at + "mlp.fc2.bias": (d,)}
            continue
        shapes |= {at + "mlp.router.layer.weight": (n, d), at + "mlp.experts.bias": (d,),
                   at + "mlp.experts.mlp.w1": (n * f, d), at + "mlp.experts.mlp.w2": (n * f, d)}
    return shapes


def layer_norm(s, name, c, x):
    return F.layer_norm(x, x.shape[-1:], s[name + ".weight"], s[name + ".bias"],
                        c["layer_norm_epsilon"])


def nomic_mixture(s, c, at, x):
    n = c["num_experts"]
    best, chosen = linear(s, at + "router.layer", x).softmax(-1).topk(c["moe_top_k"], dim=-1)
    w1, w2 = (s[f"{at}experts.mlp.{w}"].view(n, c["n_inner"], -1) for w in ("w1", "w2"))
    out = torch.zeros_like(x)
    for t in range(x.shape[0]):
        for e, weight in zip(chosen[t].tolist(), best[t]):
            out[t] += weight * (F.gelu(w1[e] @ x[t]) @ w2[e])
    return out + s[at + "experts.bias"]


def nomic(s, c, ids):
    """Hidden states (T, D)."""
    x = s["embeddings.word_embeddings.weight"][ids] + s["embeddings.token_type_embeddings.weight"]
    x = layer_norm(s, "emb_ln", c, x)
    e = c["n_embd"] // c["n_head"]
    for i in range(c["n_layer"]):
        at = f"encoder.layers.{i}."
        q, k, v = linear(s, at + "attn.Wqkv", x).view(len(ids), 3, c["n_head"], e).unbind(1)
        q, k = rotate(q, c["rotary_emb_base"], e), rotate(k, c["rotary_emb_base"], e)
        x = x + linear(s, at + "attn.out_proj", attend(q, k, v, causal=False))
        x = layer_norm(s, at + "norm1", c, x)
        if i % c["moe_every_n_layers"] == 1:
            h = nomic_mixture(s, c, at + "mlp.", x)
        else:
            h = linear(s, at + "mlp.fc2", F.gelu(linear(s, at + "mlp.fc1", x)))
        x = layer_norm(s, at + "norm2", c, x + h)
    return x


MODELS = {
    "internlm2": (INTERNLM2, internlm2_shapes, internlm2),
    "internlm2-bias": ({**INTERNLM2, "bias": True, "rope_scaling": None}, internlm2_shapes,
                       internlm2),
    "deepseek": (DEEPSEEK, deepseek_shapes, deepseek),
    "ling2": (LING2, ling2_shapes, ling2),
}
