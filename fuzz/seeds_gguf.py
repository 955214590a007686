#!/usr/bin/env python3
"""Writes the seeds of fuzz_gguf: seeds_gguf.py FOLDER MKMODEL

Small files that between them hold every metadata type, nested arrays, several tensor types, both
versions and a vocabulary; the fuzzer does the damage.
"""
import struct
import subprocess
import sys

U8, I8, U16, I16, U32, I32, F32, BOOL, STR, ARR, U64, I64, F64 = range(13)
FORM = {U8: "<B", I8: "<b", U16: "<H", I16: "<h", U32: "<I", I32: "<i", F32: "<f", BOOL: "<?",
        U64: "<Q", I64: "<q", F64: "<d"}


def string(text):
    return struct.pack("<Q", len(text)) + text.encode()


def value(kind, v):
    if kind == STR:
        return string(v)
    if kind == ARR:
        element, items = v
        return struct.pack("<IQ", element, len(items)) + b"".join(value(element, i) for i in items)
    return struct.pack(FORM[kind], v)


def gguf(version, keys, tensors, alignment=32):
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys))
    for name, kind, v in keys:
        out += string(name) + struct.pack("<I", kind) + value(kind, v)
    data = b""
    for name, dims, kind, size in tensors:
        out += string(name) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims)
        out += struct.pack("<IQ", kind, len(data))
        data += bytes(range(size % 256)) + bytes(size - size % 256)
        data += bytes(-len(data) % alignment)
    return out + bytes(-len(out) % alignment) + data


def main():
    folder, mkmodel = sys.argv[1:]
    scalars = [("u8", U8, 255), ("i8", I8, -1), ("u16", U16, 7), ("i16", I16, -7), ("u32", U32, 9),
               ("i32", I32, -9), ("f32", F32, 1.5), ("bool", BOOL, True), ("s", STR, "text"),
               ("u64", U64, 2**63), ("i64", I64, -2**63), ("f64", F64, 0.1)]
    arrays = [("l" + name, ARR, (kind, [v, v])) for name, kind, v in scalars]
    nested = [("deep", ARR, (ARR, [(ARR, [(STR, ["a", "b"])]), (U8, [1, 2, 3]), (F32, [])]))]
    tensors = [("f32", (4, 2), 0, 32), ("q4_0", (32, 3), 2, 54), ("i8", (5,), 24, 5),
               ("four", (1, 2, 1, 2), 1, 8), ("q6_k", (256,), 14, 210)]
    split = [("split.no", U16, 0), ("split.count", U16, 1), ("split.tensors.count", I32, 0)]
    files = {
        "types": gguf(3, scalars + arrays + nested, tensors),
        "version2": gguf(2, scalars, tensors[:2]),
        "aligned": gguf(3, [("general.alignment", U32, 8)], tensors, 8),
        "split": gguf(3, split, []),
        "empty": gguf(3, [], []),
    }
    for name, data in files.items():
        with open(f"{folder}/{name}.gguf", "wb") as f:
            f.write(data)
    small = "--embd 32 --ff 32 --layers 1 --heads 1 --kv-heads 1 --head-dim 32 --type q4_0".split()
    subprocess.run([mkmodel, "llama", f"{folder}/model.gguf", *small, "--vocab", "none", "--size",
                    "32", "--tied"], check=True)
    subprocess.run([mkmodel, "qwen3moe", f"{folder}/vocab.gguf", *small, "--experts", "2",
                    "--template", "chatml", "--tied"], check=True)


main()
