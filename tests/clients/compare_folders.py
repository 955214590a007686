#!/usr/bin/env python3
"""Holds the ids of a maker's tokenizer.json, read by us, against those of the `tokenizers` package.

usage: tests/clients/compare_folders.py BUILD TOKENIZER.json [MODEL_TYPE] [-n N] [--texts DIR]

The file is put in a folder with a config.json of MODEL_TYPE (default llama), as makers publish it,
and read from there: what the pre-tokenizer is, which normaliser, which tokens are special, is
recognised. Texts are N (10,000) random strings of code points assigned in Unicode 14 - all of them,
not only common scripts - a few made of common pieces and special tokens, and every file *.inp of
DIR. In the made-up ones a written U+2581 becomes "_" where it stands for a space in tokens: GGUF
cannot tell the two apart. Needs the package (pip install tokenizers) and the file; neither is part
of `make test`.
"""
import argparse
import glob
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import unicodedata

import tokenizers

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from compare_tokenizers import made_up  # noqa: E402

CONFIG = {"num_hidden_layers": 1, "hidden_size": 64, "num_attention_heads": 4,
          "intermediate_size": 96, "max_position_embeddings": 512, "rms_norm_eps": 1e-6}
assert unicodedata.unidata_version == "14.0.0", "run with Python 3.11, whose Unicode is 14"
ASSIGNED = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs")]


def random_text(rng):
    return "".join(rng.choice(ASSIGNED) for _ in range(rng.randint(1, 40)))


def texts_of(options, special, low_line):
    rng, known = random.Random(options.seed), set(ASSIGNED)
    texts = [random_text(rng) for _ in range(options.n)]
    made = ["".join(c for c in made_up(rng, special) if c in known)
            for _ in range(options.n // 5)]
    texts += [t.replace("\u2581", "_") if low_line else t for t in made]
    for name in sorted(glob.glob(os.path.join(options.texts or "", "*.inp"))):
        with open(name, encoding="utf-8", newline="") as f:
            texts += f.read().split("\n__ggml_vocab_test__\n")
    return texts


def ours(options, texts):
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(options.json, os.path.join(folder, "tokenizer.json"))
        beside = os.path.join(os.path.dirname(options.json), "tokenizer_config.json")
        if os.path.exists(beside):
            shutil.copy(beside, folder)
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
            json.dump({**CONFIG, "model_type": options.model_type}, f)
        frames = b"".join(struct.pack("<I", len(b)) + b for b in (t.encode() for t in texts))
        run = subprocess.run([os.path.join(options.build, "tests", "tok-lines"), folder],
                             input=frames, stdout=subprocess.PIPE, check=True)
    return [[int(i) for i in line.split()] for line in run.stdout.decode().split("\n")[:-1]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("build")
    parser.add_argument("json")
    parser.add_argument("model_type", nargs="?", default="llama")
    parser.add_argument("-n", type=int, default=10000)
    parser.add_argument("--texts")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    other = tokenizers.Tokenizer.from_file(options.json)
    special = [t.content for t in other.get_added_tokens_decoder().values()]
    low_line = b'"byte_fallback":true' in open(options.json, "rb").read().replace(b" ", b"")
    texts = texts_of(options, special, low_line)
    bad = 0
    for text, mine in zip(texts, ours(options, texts), strict=True):
        theirs = other.encode(text, add_special_tokens=False).ids
        if mine == theirs:
            continue
        bad += 1
        if bad <= 5:
            at = next((i for i, (x, y) in enumerate(zip(mine, theirs)) if x != y),
                      min(len(mine), len(theirs)))
            print(f"{ascii(text[:60])}: from id {at}: ours {mine[at:at + 6]}"
                  f" {[other.id_to_token(i) for i in mine[at:at + 6]]} theirs"
                  f" {theirs[at:at + 6]} {[other.id_to_token(i) for i in theirs[at:at + 6]]}")
    print(f"{options.json}: {len(texts) - bad} of {len(texts)} texts equal")
    sys.exit(1 if bad else 0)


main()
