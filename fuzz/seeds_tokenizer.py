#!/usr/bin/env python3
"""Seeds of fuzz_tokenizer for unigram vocabularies: seeds_tokenizer.py FOLDER

Some pieces and the compiled normaliser of tests/data/folders/xlm-roberta, in the layout that
fuzz_tokenizer.c reads, with texts that use them.
"""
import base64
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
KIND = 48  # the model "t5", with scores and types
TEXTS = ["the hen and the rooster", "  spaces \t here  ", "\uff21\uff22 \ufb01nal cafe\u0301",
         "x\u200by \u4e2d\u6587!", "\u2581already", "hhhhhhhhhhhh"]


def main():
    path = os.path.join(HERE, "..", "tests", "data", "folders", "xlm-roberta", "tokenizer.json")
    with open(path, encoding="utf-8") as f:
        t = json.load(f)
    blob = base64.b64decode(t["normalizer"]["precompiled_charsmap"])
    for i, text in enumerate(TEXTS):
        vocab = t["model"]["vocab"][: 60]
        out = bytes([KIND, 0, len(vocab), 0])
        for n, (piece, score) in enumerate(vocab):
            token = piece.encode()[:23]
            kind = 2 if n == 3 else 3 if n < 3 else 1 + 5 * (i == 4 and n > 50)
            out += bytes([kind, max(0, int(128 + score)), 1, len(token)]) + token
        out += bytes([1, 3, 4, 0, 0, 0, 0, 0, 0, 0, i % 3, (i + 1) % 3])
        map_ = blob if i != 5 else b""
        out += len(map_).to_bytes(2, "little") + map_ + bytes([i % 3, 5]) + text.encode()
        with open(os.path.join(sys.argv[1], f"unigram_{i:02}"), "wb") as f:
            f.write(out)


main()
