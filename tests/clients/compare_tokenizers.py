#!/usr/bin/env python3
"""Compares our ids with those of the `tokenizers` package on made-up texts.

usage: tests/clients/compare_tokenizers.py BUILD TOKENIZER.json PRE [--model M] [-n N] [--seed S]
       tests/clients/compare_tokenizers.py BUILD TOKENIZER.json rules

The second form takes a byte-level vocabulary and puts each pre-tokenizer's regular expressions on
it in turn, so that our hand-made scanners are held against a regular expression engine.

Needs the package (pip install tokenizers) and a maker's tokenizer.json; neither is part of `make
test`. Texts mix scripts, odd and unassigned characters, runs of spaces, digits, contractions and
the vocabulary's own special tokens. Vocabularies that normalise (NFC) get texts that are so
already: GGUF does not say that they do, and no program that reads GGUF does it.
"""
import argparse
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import unicodedata

import tokenizers

HERE = os.path.dirname(os.path.abspath(__file__))
CONVERT = os.path.join(HERE, "..", "..", "tools", "tokenizer_json_to_gguf.py")
BLOCKS = [(0x20, 0x7E)] * 4 + [
    (0xA0, 0xFF), (0x100, 0x24F), (0x250, 0x2AF), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF),
    (0x590, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F), (0x1100, 0x11FF), (0x1E00, 0x1FFF),
    (0x2000, 0x206F), (0x20A0, 0x214F), (0x2150, 0x218F), (0x2460, 0x24FF), (0x2500, 0x27BF),
    (0x2C60, 0x2C7F), (0x3000, 0x30FF), (0x3100, 0x312F), (0x4E00, 0x9FFF), (0xA720, 0xA7FF),
    (0xAC00, 0xD7A3), (0xF900, 0xFAFF), (0xFE00, 0xFE4F), (0xFF00, 0xFFEF), (0x10400, 0x1044F),
    (0x1D400, 0x1D7FF), (0x1F000, 0x1FAFF), (0x20000, 0x2A6DF), (0xE0100, 0xE01EF)]
PIECES = ["'s", "'T", "'re", "'VE", "'ll", "'LL", "'d", "'", "''", " ", "  ", "   ", "\n", "\n\n",
          "\r\n", "\r", "\t", "\t\t", " \n", "\n ", "\u00a0", "\u3000", "\u2028", "\u0085",
          "\u200b",
          "1", "12",
          "123", "1234", "12345678901", "½", "٣٤", "Ⅷ", "²", "hello", "Hello", "HELLO",
          "hELLO", "world", "the", " the", "DŽ", "Dž", "ʰ", "ª", "中文", "日本語", "テスト", "한국어",
          "русский",
          "ÉCOLE", "École", "e\u0301", "नमस्ते", "ไทย", "😀", "👩\u200d👩\u200d👧", "❤\ufe0f",
          "...", "!!", "//", "/", "\\", "a/b", "://", "_", "__", "-", "--", "(", ")", "{", "}", "=",
          "==", "+", "<", ">", "|", "$", "#", "@", "a.b", "x_y", "fooBar", "FooBAR", "▁", "▁▁", "Ġ",
          "𠀀", "〇", "〆", "々", "\ufffd", "\U0001d400", "ⅷ", "ſ", "ß", "İ", "ı", "\u0000", "\x1f"]

CASES = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
ENDS = r"\s*[\r\n]+|\s+(?!\S)|\s+"


def cl100k(digits, word=r"\p{L}+", tail=r"[\r\n]*", not_other=r"\s\p{L}\p{N}", ends=ENDS):
    return (rf"{CASES}|[^\r\n\p{{L}}\p{{N}}]?{word}|\p{{N}}{digits}| ?[^{not_other}]+{tail}|{ends}")


def cased(digits, suffix, tail="/", no_han=""):
    upper = rf"[\p{{Lu}}\p{{Lt}}\p{{Lm}}\p{{Lo}}\p{{M}}{no_han}]"
    lower = rf"[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}{no_han}]"
    start = r"[^\r\n\p{L}\p{N}]?"
    return (rf"{start}{upper}*{lower}+{suffix}|{start}{upper}+{lower}*{suffix}|\p{{N}}{digits}|"
            rf" ?[^\s\p{{L}}\p{{N}}]+[\r\n{tail}]*|{ENDS}")


EAST = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
EAST1 = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
DEEPSEEK3 = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|"""
             r"""[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|""" + ENDS)
BLOOM = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"
SPACES = "|".join([r"\s*[\r\n]+"] + [rf"\s{{{n}}}(?!\S)" for n in (512, 256, 128, 64, 32, 16, 8, 4)]
                  + [r"\s{1,2}(?!\S)", r"\s{1}"])
RULES = {
    "default": [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
    "llama-bpe": [cl100k("{1,3}")],
    "smaug-bpe": [cl100k("{1,3}")],
    "jais-2": [cl100k("{1,3}", ends=SPACES)],
    "minicpm5": [r"\p{N}{1,3}", cl100k("+")],
    "qwen2": [cl100k("")],
    "qwen35": [cl100k("", r"[\p{L}\p{M}]+", not_other=r"\s\p{L}\p{M}\p{N}")],
    "seed-coder": [cl100k("", tail="", not_other=r"\s\p{L}\p{N}\r\n")],
    "exaone-moe": [cl100k("", r"(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+", r"[\r\n/]?",
                          ends=r"\s*[\r\n]|\s+(?!\S)|\s+")],
    "gpt-2": [GPT2],
    "starcoder": [r"\p{N}", GPT2],
    "falcon": [r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"],
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", EAST1, r"\p{N}"],
    "deepseek-v3": [r"\p{N}{1,3}", EAST, DEEPSEEK3],
    "gpt-4o": [cased("{1,3}", f"{CASES}?")],
    "tekken": [cased("", "")],
    "kimi-k2": [r"\p{Han}+|" + cased("{1,3}", f"{CASES}?", "", r"&&[^\p{Han}]")],
    "bloom": [BLOOM],
    "viking": [BLOOM, r"\p{N}"],
    "superbpe": [r"\p{N}+", r"(?=(\d{3})+(?!\d))"],
    "youtu": ["[\uac00-\ud7a3\u3131-\u318e]+|[\uff01\u2026\u201c\u201d\u2018\u2019\u2014"
              "\uff1a\uff1b\uff0c\u3001-\u303f\ufe30-\ufe4f]+|[\u3105-\u312f]+|" + EAST,
              cased("", f"{CASES}?")],
    "chameleon": [r"([\t\n]|    |  )", r"\p{N}", r"[\p{P}!-/:-@\[-`{-~]", GPT2],
    "tiny_aya": [r"\d{1,3}(?=(?:\d{3})*\b)", cased("{1,3}", f"{CASES}?")],
}
WHOLE_WORDS = ("llama-bpe", "minicpm5", "tekken", "youtu")


def with_rule(path, pre):
    data = json.load(open(path, encoding="utf-8"))
    data["normalizer"] = None
    data["model"]["ignore_merges"] = pre in WHOLE_WORDS
    splits = [{"type": "Split", "pattern": {"Regex": r}, "behavior": "Isolated", "invert": False}
              for r in RULES[pre]]
    bytes_only = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                  "use_regex": False}
    data["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": splits + [bytes_only]}
    return tokenizers.Tokenizer.from_str(json.dumps(data))


def character(rng):
    while True:
        low, high = rng.choice(BLOCKS) if rng.random() < 0.97 else (0, 0x10FFFF)
        c = rng.randint(low, high)
        if not 0xD800 <= c <= 0xDFFF:
            return chr(c)


def made_up(rng, special):
    parts = []
    for _ in range(rng.randint(1, 25)):
        kind = rng.random()
        if kind < 0.5:
            parts.append(rng.choice(PIECES))
        elif kind < 0.8:
            parts.append("".join(character(rng) for _ in range(rng.randint(1, 6))))
        elif kind < 0.9:
            parts.append(character(rng) * rng.randint(1, 40))
        elif kind < 0.97 or not special:
            parts.append(rng.choice(PIECES) * rng.randint(1, 70))
        else:
            parts.append(rng.choice(special))
    return "".join(parts)


def ours(a, pre, texts):
    with tempfile.TemporaryDirectory() as folder:
        gguf = os.path.join(folder, "vocab.gguf")
        subprocess.run([sys.executable, CONVERT, a.json, pre, gguf, "--model", a.model],
                       check=True)
        frames = b"".join(struct.pack("<I", len(b)) + b for b in (t.encode() for t in texts))
        run = subprocess.run([os.path.join(a.build, "tests", "tok-lines"), gguf], input=frames,
                             stdout=subprocess.PIPE, check=True)
    return [[int(i) for i in line.split()] for line in run.stdout.decode().split("\n")[:-1]]


def compare(a, pre, other):
    """How many texts have other ids."""
    normal = other.normalizer is not None and "NFC" in repr(other.normalizer)
    special = [t.content for t in other.get_added_tokens_decoder().values()]
    rng = random.Random(a.seed)
    texts = [made_up(rng, special) for _ in range(a.n)]
    if a.model != "gpt2":  # a written U+2581 cannot be told from a space
        texts = [t.replace("▁", "_") for t in texts]
    if normal:
        texts = [unicodedata.normalize("NFC", t) for t in texts]
        other.normalizer = tokenizers.normalizers.Sequence([])
    bad = 0
    for text, mine in zip(texts, ours(a, pre, texts), strict=True):
        theirs = other.encode(text, add_special_tokens=False).ids
        if mine == theirs:
            continue
        bad += 1
        if bad > 3:
            continue
        at = next((i for i, (x, y) in enumerate(zip(mine, theirs)) if x != y),
                  min(len(mine), len(theirs)))
        print(f"differs from id {at} on: ours {[other.id_to_token(i) for i in mine[at:at + 5]]}"
              f" theirs {[other.id_to_token(i) for i in theirs[at:at + 5]]}")
        before = len(other.decode(theirs[:at], skip_special_tokens=False))
        print("  text", ascii(text[max(0, before - 30):before + 30]))
    print(f"{pre}: {len(texts) - bad} of {len(texts)} texts equal, "
          f"{sum(len(t.encode()) for t in texts)} bytes", flush=True)
    return bad


def main():
    args = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    args.add_argument("build")
    args.add_argument("json")
    args.add_argument("pre")
    args.add_argument("--model", default="gpt2")
    args.add_argument("-n", type=int, default=5000)
    args.add_argument("--seed", type=int, default=1)
    a = args.parse_args()
    if a.pre == "rules":
        bad = sum(compare(a, pre, with_rule(a.json, pre)) for pre in RULES)
    else:
        bad = compare(a, a.pre, tokenizers.Tokenizer.from_file(a.json))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
