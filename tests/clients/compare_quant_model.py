#!/usr/bin/env python3
"""A trained model quantised by us and by another engine's library, type by type: squared error of
the weights (with importance: weighed by it), and the divergence of the answers from the original's.

    compare_quant_model.py BANTAM LIBRARIES SOURCE TEXT [--imatrix FILE] [--special] [--types A,B]
                           [--windows N]

Not a test: it needs a model of width 256 or more in F32, F16 or BF16, the Python packages numpy and
gguf, and the folder of libllama and libggml, such as that in the npm package node-llama-cpp,
@node-llama-cpp/linux-x64/bins/linux-x64. Both files are read by our reader, which is held against
golden data. The two should agree in every tensor's type; our error should be a hundredth above
theirs at most."""
import argparse
import ctypes as c
import glob
import json
import os
import subprocess
import tempfile

import numpy as np
from gguf import GGUFReader

# general.file_type of each mix (src/quant/mixes.def)
MIXES = {"Q8_0": 7, "Q6_K": 18, "Q5_K_M": 17, "Q5_K_S": 16, "Q5_1": 9, "Q5_0": 8, "Q4_K_M": 15,
         "Q4_K_S": 14, "Q4_1": 3, "Q4_0": 2, "IQ4_NL": 25, "IQ4_XS": 30, "Q3_K_L": 13,
         "Q3_K_M": 12, "Q3_K_S": 11, "IQ3_M": 27, "IQ3_S": 26, "IQ3_XS": 22, "IQ3_XXS": 23,
         "Q2_K": 10, "Q2_K_S": 21, "IQ2_M": 29, "IQ2_S": 28, "IQ2_XS": 20, "IQ2_XXS": 19,
         "IQ1_M": 31, "IQ1_S": 24, "TQ2_0": 37, "TQ1_0": 36}
NEEDS_IMPORTANCE = {"IQ3_XS", "IQ3_XXS", "Q2_K_S", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M",
                    "IQ1_S"}


class Importance(c.Structure):
    _fields_ = [("name", c.c_char_p), ("data", c.POINTER(c.c_float)), ("size", c.c_size_t)]


class Params(c.Structure):  # as in releases of 2026; room is left for what newer ones add
    _fields_ = ([(n, c.c_int32) for n in ("threads", "mix", "output", "embedding")]
                + [(n, c.c_bool) for n in ("again", "quantise_output", "copy", "pure", "split",
                                           "dry")]
                + [("importance", c.POINTER(Importance)), ("keys", c.c_void_p),
                   ("types", c.c_void_p), ("prune", c.c_void_p), ("more", c.c_char * 64)])


class Peer:
    def __init__(self, folder):
        def load(name):
            return c.CDLL(sorted(glob.glob(os.path.join(folder, name)))[0], c.RTLD_GLOBAL)
        load("libggml-base*.so*")
        ggml, self.llama = load("libggml.*so*"), load("libllama.*so*")
        ggml.ggml_backend_load_all_from_path(folder.encode())
        self.log = c.CFUNCTYPE(None, c.c_int, c.c_char_p, c.c_void_p)(lambda *_: None)
        self.llama.llama_log_set(self.log, None)
        self.llama.llama_backend_init()
        self.llama.llama_model_quantize_default_params.restype = Params
        self.llama.llama_model_quantize.argtypes = [c.c_char_p, c.c_char_p, c.POINTER(Params)]

    def quantize(self, source, to, mix, importance):
        p = self.llama.llama_model_quantize_default_params()
        p.threads, p.mix = os.cpu_count() or 1, MIXES[mix]
        rows = (Importance * (len(importance) + 1))()
        kept = [(c.c_float * len(v))(*v) for v in importance.values()]
        for row, name, data in zip(rows, importance, kept):
            row.name, row.size = name.encode(), len(data)
            row.data = c.cast(data, c.POINTER(c.c_float))
        if importance:
            p.importance = rows
        return self.llama.llama_model_quantize(source.encode(), to.encode(), c.byref(p)) == 0


def tensors(path):
    return {t.name: (t.tensor_type.name, t.data) for t in GGUFReader(path).tensors}


def read_importance(path):
    raw = {t.name: np.asarray(t.data, np.float64).reshape(-1) for t in GGUFReader(path).tensors}
    return {n[:-8]: (raw[n] / max(1.0, raw[n[:-8] + ".counts"][0])).astype(np.float32)
            for n in raw if n.endswith(".in_sum2")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("bantam", "libraries", "source", "text"):
        parser.add_argument(name)
    parser.add_argument("--imatrix")
    parser.add_argument("--special", action="store_true")
    parser.add_argument("--types", default=",".join(MIXES))
    parser.add_argument("--windows", default="60")
    o = parser.parse_args()
    peer, importance = Peer(o.libraries), read_importance(o.imatrix) if o.imatrix else {}
    folder = tempfile.mkdtemp(prefix="bantam-quant-")
    ours, theirs, plain, whole = (os.path.join(folder, n + ".gguf") for n in "abcd")

    def run(*words):
        done = subprocess.run([o.bantam, *words, "-q", "--json"], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
        return json.loads(done.stdout)

    def errors(path, weights):
        run("quantize", path, plain, "F32", "--requantize")
        read = tensors(plain)
        apart = {n: (np.asarray(x, np.float64) - np.asarray(read[n][1], np.float64)) ** 2
                 for n, (_, x) in source.items()}
        return {n: float((d * weights[n] if n in weights and weights[n].size == d.shape[-1]
                          else d).sum()) for n, d in apart.items()}

    def divergence(path):
        return run("compare", o.source, path, "-f", o.text, "-c", "256", "--windows", o.windows,
                   "--no-cache", *(["--special"] if o.special else []))

    run("quantize", o.source, whole, "F32")
    source = tensors(whole)
    print(f"{'type':8} {'':7} {'error':>6} {'worst':>6} {'KL':>6}   "
          "ours and theirs: KL mean, 99 %, same likeliest")
    for mix in o.types.split(","):
        for use in [{}] * (mix not in NEEDS_IMPORTANCE) + [importance] * bool(importance):
            run("quantize", o.source, ours, mix, *(["--imatrix", o.imatrix] if use else []))
            if not peer.quantize(whole, theirs, mix, use):
                print(f"{mix:8} not written by the other engine")
                continue
            a, b = errors(ours, use), errors(theirs, use)
            worst = max(a[n] / b[n] for n in a if b[n] > 0)
            x, y = divergence(ours), divergence(theirs)
            kinds = tensors(ours), tensors(theirs)
            other = [n for n in source if kinds[0][n][0] != kinds[1][n][0]]
            error = sum(a.values()) / sum(b.values())
            print(f"{mix:8} {'imatrix' if use else '':7} {error:6.3f} {worst:6.3f} "
                  f"{x['kl_mean'] / y['kl_mean']:6.3f}   "
                  + "   ".join(f"{z['kl_mean']:.5f} {z['kl_99']:.4f} {100 * z['same_top']:.1f} %"
                               for z in (x, y))
                  + (f"   {len(other)} tensors of other types" if other else ""), flush=True)
    for path in (ours, theirs, plain, whole):
        if os.path.exists(path):
            os.remove(path)
    os.rmdir(folder)


if __name__ == "__main__":
    main()
