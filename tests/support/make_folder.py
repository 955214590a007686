#!/usr/bin/env python3
"""Makes tests/data/folder: a tiny model as makers publish one, and what the reference
implementations answer for it.

    make_folder.py [FOLDER]

A llama of random bf16 weights in two shards with an index, tied, with Llama 3's RoPE factors and
biases; a byte-level tokenizer.json trained on a few lines, with control and user-defined tokens;
the configuration files and a chat template. answers/: logits.f32 of ids.txt (transformers,
float32), and texts.txt with the ids of each line (tokenizers) in texts.ids. Needs torch,
transformers, tokenizers and safetensors (PyPI); the files that it wrote are committed, tests need
none of these.
"""
import json
import os
import shutil
import sys

import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers import decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM

TEXT = ["the hen and the rooster walked to the barn",
        "a bantam is a small hen, and the hen is small", "it's 1234 o'clock; they'll walk there",
        "Straße, café, 日本"]
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
         r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
TEMPLATE = ("{{ bos_token }}{% for m in messages %}"
            "{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endfor %}")


def make_tokenizer(folder):
    tok = Tokenizer(models.BPE(ignore_merges=True))
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    tok.train_from_iterator(TEXT * 3, trainer)
    control = ("<|begin|>", "<|end|>", "<|user|>")
    tok.add_special_tokens([AddedToken(t, special=True) for t in control])
    tok.add_tokens([AddedToken("<note>", special=False, normalized=False)])
    tok.post_processor = processors.TemplateProcessing(
        single="<|begin|> $A", special_tokens=[("<|begin|>", tok.token_to_id("<|begin|>"))])
    tok.save(os.path.join(folder, "tokenizer.json"))
    return tok


def make_model(folder, tok, n_vocab):
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=n_vocab, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, max_position_embeddings=256,
        tie_word_embeddings=True, attention_bias=True, bos_token_id=tok.token_to_id("<|begin|>"),
        eos_token_id=tok.token_to_id("<|end|>"),
        rope_parameters={"rope_type": "llama3", "rope_theta": 10000.0, "factor": 4.0,
                         "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                         "original_max_position_embeddings": 64})
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.normal_(1 if "norm" in name else 0, 0.3)
    model.to(torch.bfloat16).save_pretrained(folder)
    shard(folder)


def shard(folder):
    whole = os.path.join(folder, "model.safetensors")
    tensors = load_file(whole)
    os.remove(whole)
    names = list(tensors)
    parts = [names[: len(names) // 2], names[len(names) // 2:]]
    where = {}
    for i, part in enumerate(parts, 1):
        file = f"model-{i:05d}-of-00002.safetensors"
        save_file({n: tensors[n] for n in part}, os.path.join(folder, file), {"format": "pt"})
        where.update({n: file for n in part})
    total = sum(t.numel() * t.element_size() for t in tensors.values())
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as f:
        json.dump({"metadata": {"total_size": total}, "weight_map": where}, f, indent=1)


def write_json(folder, name, value):
    with open(os.path.join(folder, name), "w") as f:
        json.dump(value, f, indent=1)


def write_answers(folder, tok, n_vocab):
    answers = os.path.join(folder, "answers")
    os.makedirs(answers)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = [(7 * i * i + 3 * i + 1) % n_vocab for i in range(24)]
    with torch.no_grad():
        model(torch.tensor([ids])).logits[0].numpy().tofile(os.path.join(answers, "logits.f32"))
    texts = TEXT + ["<|user|>a <note>hen<|end|>", "  two  spaces", "ünïcödé ½ 12345", "hens'LL"]
    with open(os.path.join(answers, "ids.txt"), "w") as f:
        f.write(" ".join(map(str, ids)) + "\n")
    with open(os.path.join(answers, "texts.txt"), "w") as f, \
            open(os.path.join(answers, "texts.ids"), "w") as g:
        for t in texts:
            f.write(t + "\n")
            g.write(" ".join(map(str, tok.encode(t, add_special_tokens=False).ids)) + "\n")


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "..", "data", "folder")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    tok = make_tokenizer(folder)
    n_vocab = tok.get_vocab_size() + 4  # rows that no token has
    make_model(folder, tok, n_vocab)
    write_json(folder, "tokenizer_config.json",
               {"bos_token": "<|begin|>", "eos_token": {"content": "<|end|>"},
                "add_bos_token": True})
    write_json(folder, "generation_config.json",
               {"eos_token_id": [tok.token_to_id("<|end|>"), tok.token_to_id("<|user|>")]})
    with open(os.path.join(folder, "chat_template.jinja"), "w") as f:
        f.write(TEMPLATE)
    write_answers(folder, tok, n_vocab)


main()
