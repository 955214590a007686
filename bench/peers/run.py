#!/usr/bin/env python3
"""`make bench-peers`: how fast Bantam and other engines run the same files on this machine.

Installs the peers into build-peers/ (npm and PyPI; the second one compiles for this machine, some
ten minutes, once), then measures turn by turn: every engine once, then every engine again, so that
a machine that slows down for a while slows all of them. Each of Bantam's turns measures the
machine's limits too, and the share of them that it reached: in prefill of int8 arithmetic by
vectors, in decode of reading memory. Medians, spreads and ratios are printed and appended to
bench/results/DATE.csv.

    bench/peers/run.py BUILD MODEL.gguf ... [--turns 5] [--threads 2] [--only node,python]
                                            [--work prefill,decode,decode4,decode16]
"""
import argparse
import csv
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HERE = ROOT / "bench/peers"
PEERS = ROOT / "build-peers"
NPM = PEERS / "npm"
VENV = PEERS / "venv"

# name: prompt, tokens to generate, depth, sequences
WORK = {
    "prefill": (512, 0, 0, 1),
    "prefill-deep": (512, 0, 8192, 1),
    "decode": (0, 64, 512, 1),
    "decode4": (0, 32, 128, 4),
    "decode16": (0, 16, 128, 16),
}


def say(text):
    print(text, file=sys.stderr, flush=True)


def install_node():
    if (NPM / "node_modules/node-llama-cpp").exists():
        return True
    NPM.mkdir(parents=True, exist_ok=True)
    (NPM / "package.json").write_text('{"name": "peers", "private": true}\n')
    say("installing node-llama-cpp (npm) ...")
    return subprocess.run(["npm", "install", "--no-audit", "--no-fund", "node-llama-cpp"], cwd=NPM,
                          stdout=subprocess.DEVNULL).returncode == 0


def install_python():
    if (VENV / "done").exists():
        return True
    say("building llama-cpp-python for this machine (PyPI; some ten minutes) ...")
    if subprocess.run([sys.executable, "-m", "venv", VENV]).returncode:
        return False
    build = dict(os.environ, CMAKE_BUILD_PARALLEL_LEVEL=str(os.cpu_count() or 1))
    if "amx_int8" in cpu_flags():
        # llama.cpp 0.3.36's AMX products, compiled by GCC 12, end in a segmentation fault; the
        # npm package, compiled elsewhere, has them.
        off = "-mno-amx-int8 -mno-amx-bf16 -mno-amx-tile"
        build["CMAKE_ARGS"] = f"-DCMAKE_C_FLAGS='{off}' -DCMAKE_CXX_FLAGS='{off}'"
    ok = subprocess.run([VENV / "bin/pip", "install", "-q", "llama-cpp-python"],
                        env=build).returncode == 0
    if ok:
        (VENV / "done").touch()
    return ok


def one_turn(command):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    start = done.stdout.find("{")
    if done.returncode or start < 0:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        what = words[-1] if words else f"signal or status {done.returncode}"
        say(f"  {pathlib.Path(str(command[0])).name} failed: {what}")
        return None
    return json.loads(done.stdout[start:])


class Bantam:
    name = "bantam"

    def __init__(self, build):
        self.program = pathlib.Path(build) / "bantam"
        self.limits = []  # of the turns of the work that is measured
        self.version = subprocess.run([self.program, "--version"], stdout=subprocess.PIPE,
                                      text=True).stdout.strip()

    def turn(self, model, work, threads):
        prompt, generate, depth, sequences = WORK[work]
        row = one_turn([self.program, "bench", model, "-p", prompt, "-n", generate, "-d", depth,
                        "-b", sequences, "-r", 1, "-t", threads, "--roofline", "--json",
                        "--quiet"])
        if row is None:
            return None
        part = "prefill" if prompt else "decode"
        self.limits.append(dict(row["roofline"], share=row["roofline"][part + "_share"]))
        return row[part]["tokens_per_s"]

    def limit(self, name):
        return statistics.median(turn[name] for turn in self.limits) if self.limits else 0


class Peer:
    def __init__(self, name, command):
        self.name, self.command, self.version = name, command, ""

    def turn(self, model, work, threads):
        prompt, generate, depth, sequences = WORK[work]
        row = one_turn(self.command + [model, prompt, generate, depth, sequences, threads])
        if row is None:
            return None
        self.version = row["version"]
        return row["prefill" if prompt else "decode"]


def engines(options):
    found = [Bantam(options.build)]
    if "node" in options.only and install_node():
        found.append(Peer("node-llama-cpp", ["node", HERE / "node_llama.mjs", NPM]))
    if "python" in options.only and install_python():
        found.append(Peer("llama-cpp-python",
                          [VENV / "bin/python", HERE / "llama_cpp_python.py"]))
    return found


def cpu_line(key):
    """A line of /proc/cpuinfo, or nothing where there is none (macOS)."""
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(key):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return ""


def cpu_flags():
    return cpu_line("flags").split()


def machine():
    return f"{cpu_line('model name') or platform.machine()}, {os.cpu_count()} CPUs"


def spread(values):
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def measure(options, all_engines, model, work):
    values = {e.name: [] for e in all_engines}
    all_engines[0].limits.clear()
    for turn in range(options.turns):
        for e in list(all_engines):
            value = e.turn(model, work, options.threads)
            if value is not None:
                values[e.name].append(value)
        say(f"  {pathlib.Path(model).name} {work}: turn {turn + 1} of {options.turns}: " +
            ", ".join(f"{n} {v[-1]:.1f}" for n, v in values.items() if v))
    return values


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("build")
    ap.add_argument("models", nargs="+")
    ap.add_argument("--turns", type=int, default=5)
    ap.add_argument("--threads", type=int, default=os.cpu_count())
    ap.add_argument("--only", default="node,python", help="which peers")
    ap.add_argument("--work", default="prefill,decode,decode4,decode16")
    ap.add_argument("--out", help="the CSV file; default bench/results/DATE.csv")
    options = ap.parse_args()
    works = options.work.split(",")
    unknown = [w for w in works if w not in WORK]
    if unknown:
        ap.error(f"--work knows {', '.join(WORK)}, not {unknown[0]}")
    for model in options.models:
        if not os.path.exists(model):
            ap.error(f"{model}: no such file")
    today = datetime.date.today().isoformat()
    out = pathlib.Path(options.out) if options.out else ROOT / f"bench/results/{today}.csv"
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = not out.exists()
    all_engines = engines(options)
    print(f"{machine()}, {options.threads} threads, {options.turns} turns, tokens/s: "
          "median (least to most)\n")
    print("| file | work | " + " | ".join(e.name for e in all_engines) + " | ratio | of limit |")
    print("| --- | --- |" + " --- |" * (len(all_engines) + 2))
    with out.open("a", newline="") as file:
        table = csv.writer(file)
        if fresh:
            table.writerow(["time", "machine", "threads", "file", "bytes", "work", "engine",
                            "version", "median", "least", "most", "turns", "memory_gb_s",
                            "int8_tops", "share"])
        bantam = all_engines[0]
        for model in options.models:
            for work in works:
                values = measure(options, all_engines, model, work)
                now = time.strftime("%Y-%m-%dT%H:%M:%S")
                for e in all_engines:
                    if v := values[e.name]:
                        table.writerow([now, machine(), options.threads, pathlib.Path(model).name,
                                        os.path.getsize(model), work, e.name, e.version,
                                        f"{statistics.median(v):.2f}", f"{min(v):.2f}",
                                        f"{max(v):.2f}", len(v),
                                        f"{bantam.limit('memory_gb_s'):.1f}",
                                        f"{bantam.limit('int8_tops'):.2f}",
                                        f"{bantam.limit('share'):.3f}" if e is bantam else ""])
                file.flush()
                ours = values["bantam"]
                others = [statistics.median(v) for n, v in values.items() if n != "bantam" and v]
                ratio = f"{statistics.median(ours) / max(others):.2f}" if ours and others else "-"
                print(f"| {pathlib.Path(model).name} | {work} | " +
                      " | ".join(spread(v) if (v := values[e.name]) else "failed"
                                 for e in all_engines) +
                      f" | {ratio} | {bantam.limit('share'):.0%} |", flush=True)
    say(f"appended to {out}")
    for e in all_engines:
        say(f"{e.name}: {e.version}")


main()
