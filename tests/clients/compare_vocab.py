#!/usr/bin/env python3
"""Holds the merges of `bantam vocab` against the trainer of the package tokenizers.

    compare_vocab.py BUILD TEXT [SIZE]

TEXT is cut into words by Qwen2's rule, as `bantam vocab` does by default. Needs pip install
tokenizers gguf.
"""
import json
import os
import subprocess
import sys
import tempfile
import time

from gguf import GGUFReader
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

OWN = 5  # special tokens and markers
WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
         r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def theirs(path, size):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(WORDS), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    trainer = trainers.BpeTrainer(
        vocab_size=size - OWN, min_frequency=2, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    with open(path, encoding="utf-8", newline="") as handle:
        t.train_from_iterator([handle.read().strip("\r\n")], trainer)
    model = json.loads(t.to_str())["model"]
    merges = [" ".join(m) if isinstance(m, list) else m for m in model["merges"]]
    return merges, sorted(model["vocab"], key=model["vocab"].get)


def strings(reader, key):
    field = reader.fields["tokenizer.ggml." + key]
    return [bytes(field.parts[i]).decode() for i in field.data]


def main():
    build, path, size = sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 4096
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "v.gguf")
        start = time.time()
        subprocess.run([os.path.join(build, "bantam"), "vocab", path, "-o", out, "--size",
                        str(size)], check=True)
        middle = time.time()
        merges, tokens = theirs(path, size)
        end = time.time()
        reader = GGUFReader(out)
        ours = strings(reader, "merges")
        same = ours == merges and strings(reader, "tokens")[:-OWN] == tokens
    for i, (a, b) in enumerate(zip(ours, merges)):
        if a != b:
            print(f"merge {i}: ours '{a}', theirs '{b}'")
            break
    print(f"{'same' if same else 'DIFFERENT'}: {len(ours)} merges; "
          f"{middle - start:.1f} s, theirs {end - middle:.1f} s")
    sys.exit(not same)


if __name__ == "__main__":
    main()
