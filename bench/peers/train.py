#!/usr/bin/env python3
"""Training here and in PyTorch, turn by turn: the same model, batch, optimiser and precision.

    bench/peers/train.py BENCH_TRAIN PYTHON [--turns 3] [--precision bf16] [sizes ...]

BENCH_TRAIN is the program bench-train (ninja -C build bench/bench-train), PYTHON one with torch.
Sizes (--width 256 --layers 8 ...) go to both. Prints what each says, then the ratio of the medians
of their best steps; only turns of one run can be compared.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys


def run(command):
    """The JSON line that a program prints."""
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, universal_newlines=True)
    line = done.stdout.strip().splitlines()[-1]
    print(line, flush=True)
    return json.loads(line)["tokens_per_s"]


def main():
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parse.add_argument("bench_train")
    parse.add_argument("python")
    parse.add_argument("--turns", type=int, default=3)
    parse.add_argument("--precision", choices=("f32", "bf16"), default="bf16")
    options, sizes = parse.parse_known_args()
    torch = os.path.join(os.path.dirname(os.path.abspath(__file__)), "train_torch.py")
    ours, theirs = [], []
    for _ in range(options.turns):
        ours.append(run([options.bench_train] + sizes
                        + (["--bf16"] if options.precision == "bf16" else [])))
        theirs.append(run([options.python, torch, "--precision", options.precision] + sizes))
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(f"{options.precision}: {ratio:.2f} times PyTorch's tokens a second")
    return 0


if __name__ == "__main__":
    sys.exit(main())
