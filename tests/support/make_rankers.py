#!/usr/bin/env python3
"""Makes tests/data/folders/rank-*: tiny rerankers as their makers publish them, and what
transformers says with them.

    make_rankers.py [FOLDER]

answers/rank.txt: a query, then documents, a line each. rank-NAME/: config.json,
model.safetensors (random, float16), tokenizer.json, tokenizer_config.json; answers/rank-NAME.ids:
the ids of each pair, answers/rank-NAME.f32: its score, the sigmoid of the label. Needs torch,
transformers, tokenizers, sentencepiece and safetensors (PyPI); the files that it wrote are
committed, tests need none of these.
"""
import json
import os
import re
import sys

import numpy as np
import tokenizers
import torch
import transformers
from tokenizers import decoders, pre_tokenizers, processors

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "clients"))
sys.path.insert(0, HERE)
import convert_encoders as encoders  # noqa: E402
import make_folders  # noqa: E402

QUERY = "small hen"
DOCUMENTS = ["a hen", "the small bird", "nine old mills", "x", "a hen and a hen and the barn"]
SIZE = {"vocab_size": 96, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 2, "max_position_embeddings": 64, "num_labels": 1}


def pair(tokenizer, text, one, two):
    """Both texts as the maker's tokenizer joins them; `text` is the form of one alone."""
    ids = [(name, tokenizer.token_to_id(name)) for name in (one, two)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{one} $A {two}", pair=text, special_tokens=ids)
    return tokenizer


def word_pieces(types):
    tokenizer, special = encoders.word_pieces()
    text = "[CLS] $A [SEP] $B:1 [SEP]:1" if types else "[CLS] $A [SEP] $B [SEP]"
    return pair(tokenizer, text, "[CLS]", "[SEP]"), special


def pieces():
    tokenizer, special = make_folders.pieces()
    return pair(tokenizer, "<s> $A </s> </s> $B </s>", "<s>", "</s>"), special


def question():
    """The words that a decoder is asked in, as src/engine/rank.c has them."""
    with open(os.path.join(HERE, "..", "..", "src", "engine", "rank.c"), encoding="utf-8") as f:
        found = re.search(r"qwen3_question\[\] =\n(.*?);\n", f.read(), re.S).group(1)
    return "".join(json.loads(part) for part in re.findall(r'"(?:[^"\\]|\\.)*"', found))


def bytes_of_qwen():
    t = tokenizers.Tokenizer(tokenizers.models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(tokenizers.Regex(encoders.QWEN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator([question(), *DOCUMENTS], tokenizers.trainers.BpeTrainer(
        vocab_size=340, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    t.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    t.add_tokens(["<think>", "</think>"])
    return t, {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}


def asked(tokenizer, document):
    text = question().replace("{query}", QUERY).replace("{document}", document)
    return tokenizer.encode(text, add_special_tokens=False)


def paired(tokenizer, document):
    return tokenizer.encode(QUERY, document)


CASES = {
    "rank-bert": ("Bert", {**SIZE, "type_vocab_size": 2}, lambda: word_pieces(True), paired),
    "rank-xlm-roberta": ("XLMRoberta", {**SIZE, "vocab_size": 80, "max_position_embeddings": 66,
                                        "type_vocab_size": 1, "pad_token_id": 1}, pieces, paired),
    "rank-modern-bert": ("ModernBert", {
        **SIZE, **encoders.NO_IDS, "local_attention": 8, "classifier_pooling": "mean",
        "rope_parameters": encoders.ROPES}, lambda: word_pieces(False), paired),
    "rank-qwen3": ("Qwen3", {**SIZE, "vocab_size": 345, "num_key_value_heads": 1, "head_dim": 8,
                             "max_position_embeddings": 1024, "pad_token_id": 340}, bytes_of_qwen,
                   asked),
}


def scores(kind, arguments, tokenizer, encode, folder):
    """Saves the model; the ids and the score of each document."""
    torch.manual_seed(4)
    kind = getattr(transformers, kind + "ForSequenceClassification"), kind
    config = getattr(transformers, kind[1] + "Config")(**arguments)
    config._attn_implementation = "eager"
    model = kind[0](config)
    encoders.scramble(model.named_parameters())
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim >= 2:
                p *= 3
    model.half().save_pretrained(folder)
    model = kind[0].from_pretrained(folder).double().eval()
    ids, out = [], []
    for document in DOCUMENTS:
        e = encode(tokenizer, document)
        types = {}
        if arguments.get("type_vocab_size", 1) > 1:
            types["token_type_ids"] = torch.tensor([e.type_ids])
        ids.append(e.ids)
        out.append(torch.sigmoid(model(torch.tensor([e.ids]), **types).logits[0, 0]).item())
    return ids, out


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "data", "folders")
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    answers = os.path.join(folder, "answers")
    os.makedirs(answers, exist_ok=True)
    with open(os.path.join(answers, "rank.txt"), "w", encoding="ascii") as f:
        f.writelines(line + "\n" for line in [QUERY, *DOCUMENTS])
    for name, (kind, arguments, make, encode) in CASES.items():
        at = os.path.join(folder, name)
        tokenizer, special = make()
        ids, out = scores(kind, arguments, tokenizer, encode, at)
        print(name, [round(s, 4) for s in out])
        tokenizer.save(os.path.join(at, "tokenizer.json"), pretty=False)
        encoders.write_json(special, at, "tokenizer_config.json")
        np.array(out).astype("<f4").tofile(os.path.join(answers, name + ".f32"))
        with open(os.path.join(answers, name + ".ids"), "w", encoding="ascii") as f:
            f.writelines(" ".join(map(str, i)) + "\n" for i in ids)
        os.chmod(os.path.join(at, "model.safetensors"), 0o644)


if __name__ == "__main__":
    main()
