#!/usr/bin/env python3
"""Writes an adapter as PEFT does, for the small llama that mkmodel makes: make_adapter.py FOLDER
[ROWS OF V]. Plain Python: the numbers are a fixed pattern."""
import json
import os
import struct
import sys


def main():
    folder, kv = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 32
    os.makedirs(folder, exist_ok=True)
    shapes = {}
    for layer in range(2):
        stem = f"base_model.model.model.layers.{layer}."
        for name, rows, columns in (("self_attn.q_proj", 64, 64), ("self_attn.v_proj", kv, 64),
                                    ("mlp.down_proj", 64, 160)):
            shapes[f"{stem}{name}.lora_A.weight"] = (2, columns)
            shapes[f"{stem}{name}.lora_B.weight"] = (rows, 2)
    head, data = {}, b""
    for name, (rows, columns) in shapes.items():
        n = rows * columns
        values = [((i * 7 + len(data)) % 23 - 11) / 12 for i in range(n)]
        head[name] = {"dtype": "F32", "shape": [rows, columns],
                      "data_offsets": [len(data), len(data) + 4 * n]}
        data += struct.pack(f"<{n}f", *values)
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(folder, "adapter_model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)
    with open(os.path.join(folder, "adapter_config.json"), "w", encoding="utf-8") as f:
        json.dump({"peft_type": "LORA", "r": 2, "lora_alpha": 2}, f)


if __name__ == "__main__":
    main()
