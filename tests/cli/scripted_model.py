#!/usr/bin/env python3
"""A GGUF model that says one thing, whatever it is asked.

    tests/cli/scripted_model.py OUT.gguf PIECE ...

Attention and the feed-forward part give nothing, so the next token depends on the last one alone;
each piece is a token of its own, and the output matrix leads from the line break that ends the
prompt to the first piece, from each to the next, and from the last to the end. So the loop around
a model (calls held to their schema, carried out, answered) can be tested without one that was
trained. The file says that it is the assistant (bantam.assistant).
"""
import random
import struct
import sys

WIDTH, HEADS, FF = 128, 4, 32
TEMPLATE = ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
            "{% for c in m.tool_calls or [] %}<tool_call>{{ c | tojson }}</tool_call>{% endfor %}"
            "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
            "{% endif %}")
SPECIAL = ["<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"]
U32, F32, STRING, ARRAY, I32 = 4, 6, 8, 9, 5


def stand_ins():
    """GPT-2's character for each byte."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table, hidden = {}, 0
    for byte in range(256):
        table[byte] = chr(byte) if byte in seen else chr(256 + hidden)
        hidden += byte not in seen
    return table


def string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def key(name, kind, value):
    out = string(name) + struct.pack("<I", kind)
    if kind == STRING:
        return out + string(value)
    if kind == ARRAY:
        element, values = value
        out += struct.pack("<IQ", element, len(values))
        return out + b"".join(string(v) if element == STRING else struct.pack("<i", v)
                              for v in values)
    return out + struct.pack("<I" if kind == U32 else "<f", value)


def main():
    path, pieces = sys.argv[1], sys.argv[2:]
    byte = stand_ins()
    letters = [byte[b] for b in range(256)]
    plain = {}
    for piece in pieces:
        if piece not in SPECIAL:
            plain.setdefault(piece, "".join(byte[b] for b in piece.encode()))
    joined = byte[32] + "t"
    tokens = letters + [joined] + [t for t in plain.values() if t not in letters] + SPECIAL
    n = len(tokens)
    types = [1] * (n - 4) + [3, 3, 4, 4]
    ids = {text: i for i, text in enumerate(tokens)}
    chain = [ids[byte[10]]] + [ids[plain.get(p, p)] for p in pieces] + [ids["<|im_end|>"]]

    random.seed(1)
    embedding = [[random.choice((-1.0, 1.0)) for _ in range(WIDTH)] for _ in range(n)]
    output = [[0.0] * WIDTH for _ in range(n)]
    for last, token in zip(chain, chain[1:]):
        output[token] = [a + b for a, b in zip(output[token], embedding[last])]

    def zeros(*shape):
        size = 1
        for s in shape:
            size *= s
        return shape, [0.0] * size

    ones = ((WIDTH,), [1.0] * WIDTH)
    kv = WIDTH // HEADS
    tensors = {
        "token_embd.weight": ((WIDTH, n), [x for row in embedding for x in row]),
        "output.weight": ((WIDTH, n), [x for row in output for x in row]),
        "output_norm.weight": ones, "blk.0.attn_norm.weight": ones, "blk.0.ffn_norm.weight": ones,
        "blk.0.attn_q.weight": zeros(WIDTH, WIDTH), "blk.0.attn_k.weight": zeros(WIDTH, kv),
        "blk.0.attn_v.weight": zeros(WIDTH, kv), "blk.0.attn_output.weight": zeros(WIDTH, WIDTH),
        "blk.0.ffn_gate.weight": zeros(WIDTH, FF), "blk.0.ffn_up.weight": zeros(WIDTH, FF),
        "blk.0.ffn_down.weight": zeros(FF, WIDTH)}
    keys = [key("general.architecture", STRING, "llama"), key("general.name", STRING, "scripted"),
            key("bantam.assistant", STRING, "hatchling-tools"),
            key("llama.context_length", U32, 2048), key("llama.embedding_length", U32, WIDTH),
            key("llama.block_count", U32, 1), key("llama.feed_forward_length", U32, FF),
            key("llama.attention.head_count", U32, HEADS),
            key("llama.attention.head_count_kv", U32, 1),
            key("llama.rope.dimension_count", U32, kv),
            key("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
            key("tokenizer.ggml.model", STRING, "gpt2"),
            key("tokenizer.ggml.pre", STRING, "llama-bpe"),
            key("tokenizer.ggml.tokens", ARRAY, (STRING, tokens)),
            key("tokenizer.ggml.token_type", ARRAY, (I32, types)),
            key("tokenizer.ggml.merges", ARRAY, (STRING, [byte[32] + " t"])),
            key("tokenizer.ggml.eos_token_id", U32, ids["<|im_end|>"]),
            key("tokenizer.chat_template", STRING, TEMPLATE)]
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(keys)) + b"".join(keys)
    data = b""
    for name, (shape, values) in tensors.items():
        head += string(name) + struct.pack("<I", len(shape))
        head += struct.pack(f"<{len(shape)}Q", *shape) + struct.pack("<IQ", 0, len(data))
        data += struct.pack(f"<{len(values)}f", *values)
        data += b"\0" * (-len(data) % 32)
    with open(path, "wb") as out:
        out.write(head + b"\0" * (-len(head) % 32) + data)


if __name__ == "__main__":
    main()
