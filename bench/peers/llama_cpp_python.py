"""One turn of measuring llama.cpp as the PyPI package llama-cpp-python builds it for this machine.
Works on the C interface below the package's Python classes; prints one JSON line.

    python llama_cpp_python.py MODEL.gguf PROMPT GENERATE DEPTH SEQUENCES THREADS
"""
import ctypes
import json
import sys
import time

import llama_cpp as c

BATCH = 512


@c.llama_log_callback
def quiet(level, text, data):
    pass


def ids(n):
    return [100 + (i * 7919) % 30000 for i in range(n)]


class Context:
    def __init__(self, path, n_ctx, sequences, threads):
        model = c.llama_model_default_params()
        model.n_gpu_layers = 0
        self.model = c.llama_model_load_from_file(path.encode(), model)
        if not self.model:
            sys.exit(f"{path}: llama.cpp does not load it")
        params = c.llama_context_default_params()
        params.n_ctx = n_ctx * sequences
        params.n_batch = params.n_ubatch = BATCH
        params.n_seq_max = sequences
        params.n_threads = params.n_threads_batch = threads
        params.no_perf = True
        self.context = c.llama_init_from_model(self.model, params)
        if not self.context:
            sys.exit("no context")
        self.batch = c.llama_batch_init(BATCH, 0, 1)

    def step(self, rows):
        """rows: (token, position, sequence, wanted)"""
        b = self.batch
        b.n_tokens = len(rows)
        for i, (token, position, sequence, wanted) in enumerate(rows):
            b.token[i] = token
            b.pos[i] = position
            b.n_seq_id[i] = 1
            b.seq_id[i][0] = sequence
            b.logits[i] = wanted
        if c.llama_decode(self.context, b) != 0:
            sys.exit("llama_decode failed")
        c.llama_synchronize(self.context)

    def feed(self, tokens, position, sequence):
        for first in range(0, len(tokens), BATCH):
            run = tokens[first:first + BATCH]
            last = first + len(run) == len(tokens)
            self.step([(t, position + first + i, sequence, last and i == len(run) - 1)
                       for i, t in enumerate(run)])

    def forget(self):
        c.llama_memory_clear(c.llama_get_memory(self.context), True)


def main():
    path = sys.argv[1]
    prompt, generate, depth, sequences, threads = map(int, sys.argv[2:])
    c.llama_log_set(quiet, ctypes.c_void_p(0))
    c.llama_backend_init()
    start = time.perf_counter()
    x = Context(path, prompt + depth + generate + 64, sequences, threads)
    answer = {"version": "llama-cpp-python " + c.__version__, "load_s": time.perf_counter() - start}
    tokens = ids(prompt + depth + 1)
    if prompt:
        x.feed(tokens[:64], 0, 0)
        x.forget()
        if depth:
            x.feed(tokens[:depth], 0, 0)
        start = time.perf_counter()
        x.feed(tokens[depth:depth + prompt], depth, 0)
        answer["prefill"] = prompt / (time.perf_counter() - start)
        x.forget()
    if generate:
        for s in range(sequences):
            if depth:
                x.feed(tokens[:depth], 0, s)
        for i in range(generate + 2):
            if i == 2:
                start = time.perf_counter()
            x.step([(tokens[i % len(tokens)], depth + i, s, True) for s in range(sequences)])
        answer["decode"] = generate * sequences / (time.perf_counter() - start)
    print(json.dumps(answer))


main()
