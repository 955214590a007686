#!/usr/bin/env python3
"""Makes tests/data/families: tiny models with random weights and what the published reference
implementations (transformers) answer for them.

    make_fixtures.py [--out FOLDER] [--folders FOLDER] [NAME ...]    all cases, or those named

--folders also saves each model as its maker would publish it (config.json, safetensors in float16),
in a folder of its name: what a converter reads.

Needs torch, transformers, numpy and gguf (PyPI). The files that it wrote are committed; the tests
need none of these packages. A case is a function in fixtures/: it makes a model, says which keys
and tensors of a GGUF carry it, and which settings must matter. Everything is random from a seed
that the name gives, rounded to float16, so that matrices can be stored as F16 without loss; the
reference runs in float64 wherever its own code does not fall back to float32. A case is refused if

  - a parameter of the model is not carried by the file,
  - dropping any one tensor (zero; one for norms), or any of the settings named as mattering,
    changes the answers by less than 1e-3 of their size: what cannot be seen is not tested,
  - float32 and float64 disagree: then rounding decides (a tie of experts, say), not the formula.
"""
import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import torch  # noqa: E402

from fixtures import case  # noqa: E402
from fixtures import axes, encoders, gemma, latent, others  # noqa: E402,F401
from fixtures import plain, recurrent, scaled  # noqa: E402,F401
from fixtures import rankers  # noqa: E402,F401


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--out", default=os.path.join(here, "..", "data", "families"))
    parser.add_argument("--folders")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    os.makedirs(options.out, exist_ok=True)
    wanted = options.names or list(case.CASES)
    failed = [name for name in wanted if not case.make(name, options.out, options.folders)]
    case.write_manifest(options.out)
    axes.write(os.path.join(options.out, "positions.txt"))
    if failed:
        sys.exit("refused: " + ", ".join(failed))


if __name__ == "__main__":
    main()
