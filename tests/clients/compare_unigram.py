#!/usr/bin/env python3
"""Holds ids of unigram vocabularies (GGUF's "t5") against sentencepiece and tokenizers.

usage: tests/clients/compare_unigram.py BUILD [-n N] [--seed S] [--write FOLDER]

Vocabularies are trained here, by sentencepiece on the project's own documents and a few lines in
other scripts: with its usual normaliser (nmt_nfkc) and with none, with byte tokens and without,
squeezing spaces or not. Each is read as tokenizer.model and held against sentencepiece, and, put in
XLM-R's order as tokenizer.json, against tokenizers, on random texts: code points assigned in
Unicode 14, and made of common pieces. tokenizers looks the normaliser up by grapheme and takes the
shortest text that fits, where sentencepiece takes the longest wherever it begins; texts that these
two normalise differently are counted and passed over for it. --write keeps the small vocabulary of
tests/data/folders/unigram. Needs sentencepiece and tokenizers (PyPI); no part of `make test`.
"""
import argparse
import glob
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import unicodedata

import sentencepiece
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

HERE = os.path.dirname(os.path.abspath(__file__))
CONFIG = {"model_type": "llama", "num_hidden_layers": 1, "hidden_size": 64, "rms_norm_eps": 1e-6,
          "num_attention_heads": 4, "intermediate_size": 96, "max_position_embeddings": 512}
LINES = ["Ёлка, щука и ёж: съешь же ещё этих мягких французских булок", "日本語の文章、カタカナとひらがな",
         "한국어 문장은 여기에 있습니다", "मेरा नाम क्या है", "ὁ βίος βραχύς, ἡ δὲ τέχνη μακρή",
         "Übung, Straße, naïve café, ﬁnal １２３ ㎏", "שלום עולם", "مرحبا بالعالم", "😀 👍🏽 🎉"]
VARIANTS = {
    "plain": {},
    "bytes": {"byte_fallback": True},
    "identity": {"normalization_rule_name": "identity"},
    "spaces": {"remove_extra_whitespaces": False, "byte_fallback": True},
    "bare": {"add_dummy_prefix": False},
}
ASSIGNED = [chr(c) for c in range(1, 0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs")]


def corpus():
    lines = []
    for name in sorted(glob.glob(os.path.join(HERE, "..", "..", "docs", "*.md"))):
        with open(name, encoding="utf-8") as f:
            lines += [line.strip() for line in f if len(line) > 20]
    return lines + LINES * 12


def train(folder, size, lines, **more):
    prefix = os.path.join(folder, "trained")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=prefix, model_type="unigram", vocab_size=size,
        hard_vocab_limit=False, minloglevel=2, num_threads=1,
        **{"character_coverage": 0.9995, **more})
    with open(prefix + ".model", "rb") as f:
        return f.read()


def fields(blob):
    """(number, value) of a protobuf message: integers and bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            value |= (blob[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if blob[at - 1] < 128:
                return value

    while at < len(blob):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            size = {1: 8, 2: 0, 5: 4}[key & 7] or varint()
            yield key >> 3, blob[at:at + size]
            at += size


def as_json(blob):
    """The same vocabulary in XLM-R's order: <s>, <pad>, </s>, <unk>, then the pieces."""
    m = sentencepiece.SentencePieceProcessor(model_proto=blob)
    normalizer = dict(fields(dict(fields(blob))[3]))
    ids = [i for i in range(len(m)) if not m.is_control(i) and not m.is_unknown(i)]
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [(m.id_to_piece(i), m.get_score(i)) for i in ids] + [("<mask>", 0.0)]
    fallback = any(m.is_byte(i) for i in ids)
    t = tokenizers.Tokenizer(models.Unigram(pieces, unk_id=3, byte_fallback=fallback))
    if normalizer.get(2):
        t.normalizer = normalizers.Precompiled(normalizer[2])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(),
                                               pre_tokenizers.Metaspace()])
    t.decoder = decoders.Metaspace()
    t.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    t.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    return t


def texts_of(rng, n, lines):
    words = " ".join(lines).split()
    texts = ["", " ", "   ", "a", " a", "a ", "  a  b  ", "\t\n", "\u2581", " \u2581 x",
             "ﬁ ﬀ e\u0301", "\u3000x\u00a0y", "a" * 300, "か\u3099が", "é" * 50, "e\u0301\u0302" * 9]
    for _ in range(n):
        texts.append("".join(rng.choice(ASSIGNED) for _ in range(rng.randint(1, 40))))
        picked = [rng.choice(words) for _ in range(rng.randint(1, 12))]
        texts.append(rng.choice([" ", "  ", "", "\n", "\u3000"]).join(picked))
        mixed = list(" ".join(picked))
        for _ in range(rng.randint(0, 6)):
            mixed.insert(rng.randrange(len(mixed) + 1), rng.choice(ASSIGNED))
        texts.append("".join(mixed))
    return texts


def ours(build, folder, texts):
    with open(os.path.join(folder, "config.json"), "w", encoding="ascii") as f:
        json.dump(CONFIG, f)
    frames = b"".join(struct.pack("<I", len(b)) + b for b in (t.encode() for t in texts))
    run = subprocess.run([os.path.join(build, "tests", "tok-lines"), folder], input=frames,
                         stdout=subprocess.PIPE, check=False)
    if run.returncode:
        sys.exit(f"{folder}: tok-lines fails with {run.returncode}")
    return [[int(i) for i in line.split()] for line in run.stdout.decode().split("\n")[:-1]]


def tie(score, a, b):
    """Two cuts of the same sum: sentencepiece adds floats, and their rounding decides."""
    return score and sorted(a) == sorted(b) and abs(sum(map(score, a)) - sum(map(score, b))) < 1e-9


def hold(name, texts, mine, theirs, score=None):
    bad = [(t, a, b) for t, a, b in zip(texts, mine, theirs, strict=True) if a != b]
    ties = [x for x in bad if tie(score, *x[1:])]
    bad = [x for x in bad if x not in ties]
    for text, a, b in bad[:3]:
        print(f"  {ascii(text[:60])}: ours {a[:16]} theirs {b[:16]}")
    print(f"{name}: {len(texts) - len(bad)} of {len(texts)} texts equal"
          + f", {len(ties)} of them cut otherwise by rounding" * bool(ties), flush=True)
    return len(bad)


def against_sentencepiece(build, name, blob, texts, scratch):
    folder = os.path.join(scratch, name + "-model")
    os.makedirs(folder)
    with open(os.path.join(folder, "tokenizer.model"), "wb") as f:
        f.write(blob)
    other = sentencepiece.SentencePieceProcessor(model_proto=blob)
    return hold(name + ", tokenizer.model", texts, ours(build, folder, texts),
                [other.encode(t) for t in texts], other.get_score)


def against_tokenizers(build, name, blob, texts, scratch):
    folder = os.path.join(scratch, name + "-json")
    os.makedirs(folder)
    t = as_json(blob)
    t.save(os.path.join(folder, "tokenizer.json"))
    alike = sentencepiece.SentencePieceNormalizer(
        model_proto=blob, add_dummy_prefix=False, escape_whitespaces=False,
        remove_extra_whitespaces=False)
    same = [x for x in texts
            if "\u2581" not in x and alike.normalize(x) == t.normalizer.normalize_str(x)]
    print(f"  {len(texts) - len(same)} texts normalised otherwise by tokenizers")
    return hold(name + ", tokenizer.json", same, ours(build, folder, same),
                [t.encode(x, add_special_tokens=False).ids for x in same])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("build")
    parser.add_argument("-n", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    lines, bad = corpus(), 0
    texts = texts_of(random.Random(options.seed), options.n, lines)
    with tempfile.TemporaryDirectory() as scratch:
        for name, more in VARIANTS.items():
            blob = train(scratch, 1200, lines, **more)
            bad += against_sentencepiece(options.build, name, blob, texts, scratch)
            if name in ("plain", "bytes"):
                bad += against_tokenizers(options.build, name, blob, texts, scratch)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
