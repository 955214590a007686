#!/usr/bin/env python3
"""Makes tests/data/gradients: tiny models with random weights, and what PyTorch's autograd says of
them for a step of several documents.

    make_gradients.py [--out FOLDER] [NAME ...]    all cases, or those named

Needs torch, transformers, numpy and gguf (PyPI). The files that it wrote are committed; the tests
need none of these packages. A case is a function in fixtures/gradients.py and is made as those of
make_fixtures.py are. NAME.gguf is the model, NAME.grad.gguf has a tensor of the same name for each
of its parameters: the gradient of the mean loss, key gradients.loss that loss, key gradients.rows
what was fed. Documents do not see each other: each is run alone, in float64 wherever the reference
does not fall back to float32. Row i (counted over all documents) is weighed by weight_of(i), its
target is the row after it; the last row of a document has none. A case is refused where float32 and
float64 disagree, where a parameter gets no gradient, or where dropping a document changes nothing.
"""
import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import gguf  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

from fixtures import case  # noqa: E402
from fixtures import gradients  # noqa: E402

LENGTHS = [9, 21, 1, 14]


def weight_of(row):
    """0 for a row in five, as if it were part of a prompt."""
    return 0.0 if row % 5 == 0 else 1 + row % 3 / 4


def loss_of(model, ids):
    total, weight, row = 0, 0, 0
    for length in LENGTHS:
        logits = model(input_ids=torch.tensor([ids[row:row + length]]), use_cache=False).logits[0]
        for i in range(length - 1):
            w = weight_of(row + i)
            nll = -torch.log_softmax(logits[i].double(), -1)[ids[row + i + 1]]
            total, weight = total + w * nll, weight + w
        row += length
    return total / weight


def gradients_of(model, ids):
    model.zero_grad()
    loss = loss_of(model, ids)
    loss.backward()
    return loss.item(), {n: p.grad.double().numpy().copy() for n, p in model.named_parameters()}


class Model(case.Case):
    """A case whose parameters have gradients: reading one means its values."""

    def get(self, name):
        return dict(self.m.named_parameters())[name].detach().float().numpy()

    def shifted(self, data):
        return data + 1


class Gradients(case.Case):
    """The same file, gradients in the place of parameters: names and turns are the builder's."""

    def __init__(self, made, values):
        super().__init__(made.name, made.arch, made.note, made.kind, made.bound)
        self.m, self.names, self.values = made.m, made.names, values
        self.prefix, self.config = made.prefix, made.config

    def model(self, cls, config, prefix="model.layers."):
        return self.m

    def get(self, name):
        return self.values[name]

    def shifted(self, data):
        return data  # a constant that is added has no gradient

    def store(self, name, data):
        if not name.startswith(("rope_freqs", "rope_factors")):
            self.tensors[name] = np.ascontiguousarray(data, dtype=np.float32)


def problems(model, ids, loss, want):
    found = []
    single, got = gradients_of(model.float(), ids)
    model.double()
    for name, g in want.items():
        size = np.linalg.norm(g)
        if not size > 1e-6:
            found.append(f"{name} has a gradient of {size:g}")
        elif not np.linalg.norm(g - got[name]) < 1e-4 * size:
            found.append(f"{name}: float32 and float64 are apart")
    if not abs(single - loss) < 1e-5:
        found.append("the loss in float32 and float64 is apart")
    return found


def make(name, out):
    build, arch, note, kind, bound = gradients.CASES[name]
    c = Model(name, arch, note, kind, bound)
    build(c)
    ids = case.tokens()[:sum(LENGTHS)]
    loss, values = gradients_of(c.m.double(), ids)
    found = problems(c.m, ids, loss, values)
    c.m.float()
    c.write(os.path.join(out, name + ".gguf"))
    g = Gradients(c, values)
    build(g)
    write(g, os.path.join(out, name + ".grad.gguf"), loss, ids)
    if set(g.tensors) != {n for n in c.tensors if not n.startswith("rope_f")}:
        found.append("some parameter has no gradient in the file")
    print(f"{name}: loss {loss:.6f}, {sum(v.size for v in values.values())} parameters")
    for problem in found:
        print("  " + problem)
    return not found


def write(g, path, loss, ids):
    w = gguf.GGUFWriter(path, g.arch)
    w.add_float64("gradients.loss", loss)
    w.add_array("gradients.lengths", LENGTHS)
    w.add_array("gradients.tokens", ids)
    w.add_array("gradients.weights", [weight_of(i) for i in range(len(ids))])
    for name, data in g.tensors.items():
        w.add_tensor(name, data)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--out", default=os.path.join(here, "..", "data", "gradients"))
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.makedirs(options.out, exist_ok=True)
    failed = [n for n in options.names or list(gradients.CASES) if not make(n, options.out)]
    if failed:
        sys.exit("refused: " + ", ".join(failed))


if __name__ == "__main__":
    main()
