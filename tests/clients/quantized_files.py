#!/usr/bin/env python3
"""Holds files of every type that `bantam quantize` writes against other readers of GGUF.

usage: tests/clients/quantized_files.py BUILD [--node FOLDER]

A small random model is made, an importance matrix gathered, and the model written in every type.
The Python package `gguf` must read each file and the importance matrix, and its own dequantisation
must be near the original. With --node (a folder with node_modules/node-llama-cpp) llama.cpp loads
each file too, and its distribution over the next token is held against ours: two engines that each
round activations in their own way differ by a divergence of some 1e-4. No part of `make test`.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import gguf
import numpy as np

MOST_APART = 1e-3  # nats
IDS = [3 + (i * 37 + i * i) % 250 for i in range(40)]
N_VOCAB = 512


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def relative_errors(reader, original):
    """{type: mean over its tensors of |x - y|^2 / |x|^2}; None for one the package cannot read."""
    errors = {}
    for tensor in reader.tensors:
        source = original[tensor.name]
        x = gguf.quants.dequantize(source.data, source.tensor_type)
        try:
            y = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        except NotImplementedError:
            errors[tensor.tensor_type.name] = None
            continue
        errors.setdefault(tensor.tensor_type.name, []).append(
            float(((x - y) ** 2).sum() / (x ** 2).sum()))
    return {name: float(np.mean(e)) if e else e for name, e in errors.items()}


def divergence(path, bantam, other):
    """Of another engine's probabilities {token: p} from ours."""
    out = path + ".logits"
    run(bantam, "logits", path, "--tokens", ",".join(map(str, IDS)), "-o", out, "-q")
    x = np.fromfile(out, "<f4").reshape(-1, N_VOCAB)[-1].astype(np.float64)
    log_q = x - x.max() - np.log(np.exp(x - x.max()).sum())
    return sum(p * (np.log(p) - log_q[t]) for t, p in other if p > 1e-9)


def main():
    parse = argparse.ArgumentParser()
    parse.add_argument("build")
    parse.add_argument("--node", metavar="FOLDER", help="holds node_modules/node-llama-cpp")
    options = parse.parse_args()
    bantam = os.path.join(options.build, "bantam")
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        model, matrix = os.path.join(folder, "m.gguf"), os.path.join(folder, "m.imatrix.gguf")
        run(os.path.join(options.build, "tests/support/mkmodel"), "llama", model, "--embd", "256",
            "--ff", "512", "--head-dim", "64", "--vocab", "spm", "--size", str(N_VOCAB))
        run(bantam, "imatrix", model, "-f", __file__, "-o", matrix, "-c", "128", "-q")
        names = {t.name for t in gguf.GGUFReader(matrix).tensors}
        print("importance matrix:", len(names), "tensors")
        original = {t.name: t for t in gguf.GGUFReader(model).tensors}
        files = []
        for row in json.loads(run(bantam, "quantize", "--types", "--json")):
            path = os.path.join(folder, row["type"] + ".gguf")
            run(bantam, "quantize", model, path, row["type"], "--imatrix", matrix, "-q")
            files.append((row["type"], path))
        peer = {}
        if options.node:
            script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "next_token.mjs")
            lines = run("node", script, options.node, ",".join(map(str, IDS)),
                        *[path for _, path in files])
            peer = {j["file"]: j for j in map(json.loads, lines.splitlines())}
        for name, path in files:
            try:
                errors = relative_errors(gguf.GGUFReader(path), original)
                text = " ".join(f"{t} {e:.2g}" if e is not None else f"{t} not known there"
                                for t, e in errors.items() if e is None or e > 0)
            except ValueError as error:  # a type newer than the package
                text = f"package gguf: {error}"
            if path in peer and "error" in peer[path]:
                text, bad = text + "; llama.cpp: " + peer[path]["error"], bad + 1
            elif path in peer:
                apart = divergence(path, bantam, peer[path]["next"])
                text += f"; llama.cpp apart by {apart:.1e}"
                bad += not apart < MOST_APART
            print(f"{name:10} {text}")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
