#!/usr/bin/env python3
"""Holds models that turn texts into vectors against `transformers`, from the folder to the vector.

usage: tests/clients/convert_encoders.py BUILD [NAME ...]

For each case a tiny model with random weights is saved as its makers publish it, with a small
tokenizer.json and what sentence-transformers puts beside (modules.json, the pooling's config.json,
dense layers). Texts are cut by the package `tokenizers`, go through the reference and are pooled
here, in numpy; `bantam embed` must give the same vectors, from the converted file and from the
folder. Needs torch, transformers, tokenizers, safetensors and numpy (PyPI); no part of `make test`.
"""
import json
import os
import string
import sys
import tempfile

import numpy as np
import tokenizers
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import decoders, normalizers, pre_tokenizers, processors

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import compare_unigram as unigram  # noqa: E402
import conversions  # noqa: E402
import references  # noqa: E402

BOUND = 1e-10
DTYPE = torch.float32  # of saved weights
TEXTS = ["a small bird", "b", "The river runs past nine old mills and then it turns to the sea",
         "zz top and other words which are longer", "1 2 3 4 5 6 7 8 9 0 and so on and so on"]
SIZE = {"vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4,
        "num_attention_heads": 4, "max_position_embeddings": 128}
ROPES = {"full_attention": {"rope_type": "default", "rope_theta": 160000.0},
         "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}
NO_IDS = {"pad_token_id": 0, "bos_token_id": None, "eos_token_id": None,
          "cls_token_id": None, "sep_token_id": None}


def hub_nomic(c):
    """nomic_bert's own names in config.json, as they are on the hub."""
    return {"model_type": "nomic_bert", "architectures": ["NomicBertModel"], "n_embd": 32,
            "n_layer": 4, "n_head": 4, "n_inner": 48, "n_positions": 128, "vocab_size": 96,
            "activation_function": "swiglu", "layer_norm_epsilon": 1e-12, "type_vocab_size": 2,
            "rotary_emb_base": 1000, "rotary_emb_fraction": 1.0, "rotary_emb_interleaved": False,
            "qkv_proj_bias": False, "mlp_fc1_bias": False, "mlp_fc2_bias": False,
            "prenorm": False, "use_rms_norm": False, "causal": False, "pad_token_id": 0,
            "rotary_scaling_factor": None, "use_flash_attn": True, "scale_attn_weights": True}


def hub_modern(c):
    """ModernBERT's config.json before transformers 5."""
    c = {k: v for k, v in c.items() if k not in ("rope_parameters", "layer_types")}
    return {**c, "global_rope_theta": 160000.0, "local_rope_theta": 10000.0}


def unigrams():
    """A vocabulary of XLM-R's kind, and order."""
    with tempfile.TemporaryDirectory() as scratch:
        t = unigram.as_json(unigram.train(scratch, 200, unigram.corpus()[:400],
                                          character_coverage=0.98))
    return t, {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>",
               "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"}


def bytes_of_roberta():
    t = tokenizers.Tokenizer(tokenizers.models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(TEXTS, tokenizers.trainers.BpeTrainer(
        vocab_size=300, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"]))
    t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return t, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
        r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def bytes_of_qwen():
    """Puts <|endoftext|> last, though its configuration names another end."""
    t = tokenizers.Tokenizer(tokenizers.models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(tokenizers.Regex(QWEN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(TEXTS, tokenizers.trainers.BpeTrainer(
        vocab_size=298, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    t.add_special_tokens(["<|endoftext|>", "<|im_end|>"])
    end = "<|endoftext|>"
    t.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
            single=f"$A {end}", special_tokens=[(end, t.token_to_id(end))])])
    return t, {"eos_token": "<|im_end|>", "pad_token": end}


# name: (class, arguments, pooling, what else: the shapes of dense layers after it, a config.json of
# another form)
CASES = {
    "bert": ("Bert", {**SIZE, "type_vocab_size": 2}, "cls", {}),
    "bert-mean": ("Bert", {**SIZE, "type_vocab_size": 2, "layer_norm_eps": 1e-5}, "mean", {}),
    "nomic-bert": ("NomicBert", {**SIZE, "pad_token_id": 0, "rope_parameters": {
        "rope_type": "default", "rope_theta": 1000.0}}, "mean", {}),
    "nomic-bert-hub": ("NomicBert", {**SIZE, "pad_token_id": 0, "rope_parameters": {
        "rope_type": "default", "rope_theta": 1000.0}}, "mean", {"config": hub_nomic}),
    "modern-bert": ("ModernBert", {**SIZE, **NO_IDS, "local_attention": 8,
                                   "rope_parameters": ROPES}, "cls", {}),
    "modern-bert-hub": ("ModernBert", {**SIZE, **NO_IDS, "local_attention": 8,
                                       "rope_parameters": ROPES}, "mean", {"config": hub_modern}),
    "gemma-embedding": ("Gemma3Text", {
        **SIZE, "num_hidden_layers": 6, "num_key_value_heads": 2, "head_dim": 16,
        "query_pre_attn_scalar": 16, "sliding_window": 8, "use_bidirectional_attention": True},
        "mean", {"dense": [(48, 32), (32, 48)]}),
    "xlm-roberta": ("XLMRoberta", {**SIZE, "vocab_size": 260, "pad_token_id": 1,
                                   "max_position_embeddings": 130, "type_vocab_size": 1},
                    "mean", {"tokenizer": unigrams}),
    "roberta": ("Roberta", {**SIZE, "vocab_size": 300, "pad_token_id": 1, "type_vocab_size": 1,
                            "max_position_embeddings": 130}, "cls",
                {"tokenizer": bytes_of_roberta}),
    "nomic-bert-moe": (None, {**references.NOMIC, "vocab_size": 260}, "mean",
                       {"tokenizer": unigrams}),
    "qwen3-embedding": ("Qwen3", {**SIZE, "num_key_value_heads": 2, "head_dim": 16,
                                  "vocab_size": 300}, "lasttoken", {"tokenizer": bytes_of_qwen}),
}


def write_json(value, *path):
    os.makedirs(os.path.dirname(os.path.join(*path)), exist_ok=True)
    with open(os.path.join(*path), "w", encoding="ascii") as f:
        json.dump(value, f)


def word_pieces():
    letters = string.ascii_lowercase + string.digits
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *("##" + c for c in letters)]
    names += ["the", "and", "##er", "##ds", "##lls", "wo", "riv", "small", "bird"]
    vocab = {n: i for i, n in enumerate(names)}
    t = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocab, unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(lowercase=True)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    t.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    t.add_special_tokens(names[:4])
    return t, {"cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]",
               "pad_token": "[PAD]"}


def modules(folder, pooling, dense):
    rows = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling",
             "type": "sentence_transformers.models.Pooling"}]
    write_json({f"pooling_mode_{m}": m.startswith(pooling) for m in (
        "cls_token", "mean_tokens", "max_tokens", "lasttoken")}, folder, "1_Pooling", "config.json")
    for i, weight in enumerate(dense):
        path = f"{i + 2}_Dense"
        rows.append({"idx": i + 2, "name": str(i + 2), "path": path,
                     "type": "sentence_transformers.models.Dense"})
        write_json({"in_features": weight.shape[1], "out_features": weight.shape[0], "bias": False,
                    "activation_function": "torch.nn.modules.linear.Identity"}, folder, path,
                   "config.json")
        save_file({"linear.weight": weight}, os.path.join(folder, path, "model.safetensors"))
    write_json(rows, folder, "modules.json")


def is_norm(name):
    return ("norm" in name.lower() or "_ln" in name) and name.endswith("weight")


def scramble(parameters):
    with torch.no_grad():
        for name, p in parameters:
            if p.ndim >= 2:
                p.normal_(0, 0.15)
            elif is_norm(name) and p.abs().sum() > 0:
                p.copy_(1 + 0.1 * torch.randn_like(p))
            else:
                p.normal_(0, 0.1)


def of_transformers(kind, arguments, folder):
    """Saves a model; what gives the hidden states of ids."""
    config = getattr(transformers, kind + "Config")(**arguments)
    config._attn_implementation = "eager"
    model = getattr(transformers, kind + "Model")(config)
    scramble(model.named_parameters())
    model.to(DTYPE).save_pretrained(folder)
    model = getattr(transformers, kind + "Model").from_pretrained(folder).double().eval()
    return lambda ids: model(torch.tensor([ids])).last_hidden_state[0]


def of_references(kind, config, folder):
    state = {n: torch.ones(shape) for n, shape in references.nomic_shapes(config).items()}
    scramble(state.items())
    state = {n: p.to(DTYPE) for n, p in state.items()}
    os.mkdir(folder)
    save_file(state, os.path.join(folder, "model.safetensors"))
    write_json(config, folder, "config.json")
    state = {n: p.double() for n, p in state.items()}
    return lambda ids: references.nomic(state, config, ids)


def make(case, folder, texts=None):
    """Saves the case; the vectors of the texts (TEXTS), and their ids."""
    kind, arguments, pooling, more = case
    torch.manual_seed(0)
    run_model = (of_transformers if kind else of_references)(kind, arguments, folder)
    tokenizer, special = more.get("tokenizer", word_pieces)()
    tokenizer.save(os.path.join(folder, "tokenizer.json"))
    write_json(special, folder, "tokenizer_config.json")
    dense = [torch.randn(shape) / 4 for shape in more.get("dense", [])]
    modules(folder, pooling, dense)
    if "config" in more:
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
            saved = json.load(f)
        write_json(more["config"](saved), folder, "config.json")
    vectors, ids = [], []
    for text in texts or TEXTS:
        ids.append(tokenizer.encode(text).ids)
        rows = run_model(ids[-1])
        one = {"mean": rows.mean(0), "cls": rows[0], "lasttoken": rows[-1]}[pooling]
        for weight in dense:
            one = weight.double() @ one
        vectors.append((one / one.norm()).numpy())
    return np.array(vectors), ids


def check(bantam, name, folder):
    """None when all is well, else what is not."""
    with torch.no_grad():
        want, _ = make(CASES[name], folder)

    def answer(path):
        done = conversions.ask(bantam, "embed", path, "--json", "--no-cache", "--prefix", "",
                               *TEXTS)
        return np.array(json.loads(done.stdout)["embeddings"])

    return conversions.hold(bantam, name, folder, want, answer, BOUND)


if __name__ == "__main__":
    conversions.main(__doc__, CASES, check)
