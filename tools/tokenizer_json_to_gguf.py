#!/usr/bin/env python3
"""Writes a GGUF with a vocabulary and no weights from a maker's tokenizer.json.

usage: tools/tokenizer_json_to_gguf.py TOKENIZER.json PRE OUT.gguf [--model gpt2|gemma4|llama]

PRE is what tokenizer.ggml.pre shall say. For checks against other tokenizers (see
tests/clients/tokenizers.py); models are converted by the program itself. `llama` writes scores
that fall with the id, which is how SentencePiece orders the vocabularies it trains.
"""
import argparse
import json
import struct

NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = 1, 2, 3, 4, 5, 6


def text(s):
    b = s if isinstance(s, bytes) else s.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(b)) + b


def key(name, value):
    head = text(name)
    if isinstance(value, str):
        return head + struct.pack("<I", 8) + text(value)
    if isinstance(value, bool):
        return head + struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return head + struct.pack("<II", 4, value)
    kind, form = (8, None) if isinstance(value[0], str) else \
                 (6, "f") if isinstance(value[0], float) else (5, "i")
    head += struct.pack("<IIQ", 9, kind, len(value))
    if kind == 8:
        return head + b"".join(text(v) for v in value)
    return head + struct.pack(f"<{len(value)}{form}", *value)


def convert(path, pre, out, model):
    data = json.load(open(path, encoding="utf-8"))
    vocab = dict(data["model"]["vocab"])
    added = {a["content"]: a for a in data["added_tokens"]}
    size = max(max(vocab.values()), max([a["id"] for a in added.values()], default=0)) + 1
    tokens, types = [f"[PAD{i}]" for i in range(size)], [UNUSED] * size
    for token, i in vocab.items():
        hexa = len(token) == 6 and token.startswith("<0x") and token.endswith(">")
        tokens[i], types[i] = token, BYTE if hexa and model != "gpt2" else NORMAL
    for token, a in added.items():
        # GGUF holds the user's tokens as they stand in a text.
        tokens[a["id"]] = token if model == "gpt2" or a["special"] else token.replace("▁", " ")
        types[a["id"]] = CONTROL if a["special"] else USER
    merges = [m if isinstance(m, str) else " ".join(m) for m in data["model"]["merges"]]
    keys = [key("general.architecture", "llama"), key("tokenizer.ggml.model", model),
            key("tokenizer.ggml.pre", pre), key("tokenizer.ggml.tokens", tokens),
            key("tokenizer.ggml.token_type", types)]
    if model == "llama":
        keys.append(key("tokenizer.ggml.scores", [-float(i) for i in range(size)]))
        keys.append(key("tokenizer.ggml.add_space_prefix", False))
    else:
        keys.append(key("tokenizer.ggml.merges", merges))
    for name, options in (("bos", ("<bos>", "<s>", "<|begin_of_text|>", "<BOS_TOKEN>")),
                          ("eos", ("<eos>", "</s>", "<|eot_id|>", "<|im_end|>")),
                          ("unknown", ("<unk>",))):
        for option in options:
            if option in added:
                keys.append(key(f"tokenizer.ggml.{name}_token_id", added[option]["id"]))
                break
    with open(out, "wb") as f:
        f.write(struct.pack("<4sIQQ", b"GGUF", 3, 0, len(keys)))
        f.write(b"".join(keys))


def main():
    args = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    args.add_argument("json")
    args.add_argument("pre")
    args.add_argument("out")
    args.add_argument("--model", default="gpt2", choices=("gpt2", "gemma4", "llama"))
    a = args.parse_args()
    convert(a.json, a.pre, a.out, a.model)


main()
