"""What the programs here that convert made-up models share: asking bantam, holding its answers
against the reference's, and the turns through their cases."""
import argparse
import os
import subprocess
import sys
import tempfile

import torch
import transformers

PASSED_OVER = "passed over: this build does not run it"


class Refused(Exception):
    """bantam ended with an error; what it said."""


def ask(*arguments):
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False)
    if done.returncode:
        raise Refused(done.stderr.strip())
    return done


def hold(bantam, name, folder, want, answer, bound):
    """Converts a folder. None when what answer(path) gives is `want`, of the written file and of
    the folder as it is, else what is not."""
    out = folder + ".gguf"
    if "does not run here" in ask(bantam, "convert", folder, out).stderr:
        return PASSED_OVER
    told = [((answer(path) - want) ** 2).sum() / (want ** 2).sum() for path in (out, folder)]
    print(f"{name}: nmse {told[0]:.1e}, from the folder {told[1]:.1e}", flush=True)
    return None if max(told) <= bound else f"more than {bound:g}"


def main(doc, cases, check):
    """Runs check(bantam, name, folder) for the cases named on the command line, or all; each has a
    folder of its own to make."""
    parser = argparse.ArgumentParser(description=doc.split("\n")[0])
    parser.add_argument("build")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    bad = 0
    for name in options.names or cases:
        with tempfile.TemporaryDirectory() as scratch:
            try:
                fault = check(os.path.join(options.build, "bantam"), name,
                              os.path.join(scratch, name))
            except Refused as refusal:
                fault = str(refusal)
        if fault:
            print(f"{name}: {fault}", flush=True)
            bad += fault != PASSED_OVER
    sys.exit(1 if bad else 0)
