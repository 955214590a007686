#!/usr/bin/env python3
"""Writes fuzz/seeds/folder and fuzz/seeds/safetensors: small files of a maker's folder, each whole
and well formed, of every kind that the readers tell apart. Needs nothing but Python."""
import base64
import json
import os
import struct

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "seeds")
TYPES = {"F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "U8": 1}


def write(folder, name, data):
    os.makedirs(os.path.join(HERE, folder), exist_ok=True)
    with open(os.path.join(HERE, folder, name), "wb") as f:
        f.write(data)


def safetensors(tensors, metadata=True):
    header, at = {"__metadata__": {"format": "pt"}} if metadata else {}, 0
    for name, (kind, *shape) in tensors.items():
        n = TYPES[kind]
        for s in shape:
            n *= s
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [at, at + n]}
        at += n
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(i % 7 for i in range(at))


def llama(kind="BF16"):
    layer, more = "model.layers.0.", {}
    for name, shape in (("self_attn.q_proj", (8, 8)), ("self_attn.k_proj", (4, 8)),
                        ("self_attn.v_proj", (4, 8)), ("self_attn.o_proj", (8, 8)),
                        ("mlp.gate_proj", (8, 8)), ("mlp.up_proj", (8, 8)),
                        ("mlp.down_proj", (8, 8))):
        more[layer + name + ".weight"] = (kind, *shape)
        if kind == "F8_E4M3":
            more[layer + name + ".weight_scale_inv"] = ("F32", 1, 1)
    return {"model.embed_tokens.weight": ("BF16", 16, 8), "model.norm.weight": ("BF16", 8),
            layer + "input_layernorm.weight": ("F32", 8),
            layer + "post_attention_layernorm.weight": ("F32", 8), **more}


def tokenizer(**changes):
    split = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
             r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    pre = {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": split}, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}]}
    out = {"added_tokens": [{"id": 6, "content": "<|end|>", "special": True},
                            {"id": 7, "content": "<note>", "special": False}],
           "normalizer": None, "pre_tokenizer": pre,
           "post_processor": {"type": "TemplateProcessing", "single": [
               {"SpecialToken": {"id": "<|end|>"}}, {"Sequence": {"id": "A"}}]},
           "decoder": {"type": "ByteLevel"},
           "model": {"type": "BPE", "ignore_merges": True,
                     "vocab": {"h": 0, "e": 1, "n": 2, "\u0120": 3, "he": 4, "hen": 5},
                     "merges": ["h e", ["he", "n"]]}}
    out.update(changes)
    return b"0" + json.dumps(out).encode()


def field(number, data):
    size = len(data)
    length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
    return bytes([number << 3 | 2]) + length + data


def sentencepiece(kind=2, normalizer=b"identity", charsmap=b""):
    pieces = [("<unk>", 2), ("<s>", 3), ("</s>", 3), ("<0x0A>", 6), ("\u2581", 1), ("h", 1),
              ("e", 1), ("he", 1), ("\u2581he", 1)]
    out = b"".join(field(1, field(1, t.encode()) + b"\x15" + struct.pack("<f", -i)
                         + bytes([0x18, kind])) for i, (t, kind) in enumerate(pieces))
    return b"1" + out + field(2, bytes([0x18, kind])) + field(
        3, field(1, normalizer) + field(2, charsmap) + b"\x18\x01\x20\x01")


def config(**more):
    out = {"model_type": "llama", "num_hidden_layers": 1, "hidden_size": 8, "intermediate_size": 8,
           "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64,
           "rms_norm_eps": 1e-6, "hidden_act": "silu"}
    out.update(more)
    return b"2" + json.dumps(out).encode()


def main():
    write("safetensors", "plain", safetensors(llama()))
    write("safetensors", "kinds", safetensors({k: (k, 2, 3) for k in TYPES}, False))
    write("safetensors", "one", safetensors({"a": ("F32",)}))
    write("folder", "weights-bf16", b"3" + safetensors(llama()))
    write("folder", "weights-f8", b"3" + safetensors(llama("F8_E4M3")))
    write("folder", "tokenizer-bytes", tokenizer())
    low = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    write("folder", "tokenizer-spaces", tokenizer(
        normalizer=low, pre_tokenizer=None, decoder=None,
        model={"type": "BPE", "byte_fallback": True, "merges": [["h", "e"]],
               "vocab": {"<unk>": 0, "<0x0A>": 1, "\u2581": 2, "h": 3, "e": 4, "he": 5}}))
    write("folder", "tokenizer-words", tokenizer(
        normalizer={"type": "BertNormalizer", "lowercase": True}, pre_tokenizer=None,
        model={"type": "WordPiece", "continuing_subword_prefix": "##",
               "vocab": {"[UNK]": 0, "he": 1, "##n": 2}}))
    write("folder", "sentencepiece", sentencepiece())
    blob = struct.pack("<IIII", 8, 0x400, 0, 0)
    write("folder", "sentencepiece-unigram", sentencepiece(1, b"nmt_nfkc", blob))
    write("folder", "tokenizer-unigram", tokenizer(
        normalizer={"type": "Sequence", "normalizers": [
            {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(blob).decode()},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u2581"}]},
        pre_tokenizer={"type": "Sequence", "pretokenizers": [
            {"type": "WhitespaceSplit"},
            {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always"}]},
        post_processor={"type": "RobertaProcessing", "sep": ["<|end|>", 6], "cls": ["<|end|>", 6]},
        model={"type": "Unigram", "unk_id": 0, "byte_fallback": True,
               "vocab": [["<unk>", 0.0], ["<0x0A>", 0.0], ["\u2581", -2.5], ["he", -3]]}))
    write("folder", "config-window", config(
        model_type="qwen2", use_sliding_window=True, sliding_window=8, max_window_layers=0))
    write("folder", "config-phimoe", config(
        model_type="phimoe", num_local_experts=2, num_experts_per_tok=2, rope_scaling={
            "type": "longrope", "short_factor": [1, 2], "long_factor": [1, 2], "long_mscale": 1.2,
            "short_mscale": 1.2, "original_max_position_embeddings": 16}))
    write("folder", "config-roberta", config(
        model_type="xlm-roberta", hidden_act="gelu", pad_token_id=1, layer_norm_eps=1e-5))
    write("folder", "config-nomic", config(
        model_type="nomic_bert", activation_function="gelu", num_experts=2, moe_top_k=1,
        moe_every_n_layers=2, hidden_act="gelu"))
    write("folder", "config", config())
    write("folder", "config-yarn", config(rope_scaling={
        "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "mscale": 1.0,
        "mscale_all_dim": 0.7}))
    write("folder", "config-llama3", config(rope_parameters={
        "rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 64}))
    write("folder", "config-gemma4", config(
        model_type="gemma4_text", head_dim=4, global_head_dim=8, sliding_window=4,
        hidden_act="gelu_pytorch_tanh", layer_types=["full_attention"],
        rope_parameters={"full_attention": {"rope_type": "proportional", "rope_theta": 1e6,
                                            "partial_rotary_factor": 0.25}}))
    write("folder", "config-qwen35", config(
        model_type="qwen3_5_text", linear_num_key_heads=1, linear_num_value_heads=2,
        linear_key_head_dim=4, linear_value_head_dim=4, layer_types=["linear_attention"]))
    write("folder", "config-mamba2", config(model_type="mamba2", num_heads=2, head_dim=8))
    write("folder", "config-deepseek", config(
        model_type="deepseek_v3", q_lora_rank=4, kv_lora_rank=4, qk_rope_head_dim=2,
        qk_nope_head_dim=2, v_head_dim=2, n_routed_experts=2))


main()
