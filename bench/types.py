#!/usr/bin/env python3
"""Times every block type of GGUF on one shape: 484 million random weights, all of one type.

    bench/types.py BUILD [--types q4_k,iq4_xs] [--dir FOLDER] [--threads N] [--repeats N]
                         [--csv FILE]

8 layers of Llama 3.2 1B's width with next to no vocabulary, made by tests/support/mkmodel; reading
128 tokens, then writing 32 from an empty state. Each type is a process of its own; the machine's
limits are measured in it, after the model. Rows are printed as a table and appended to the CSV.
"""
import argparse
import csv
import datetime
import json
import os
import subprocess
import sys
import tempfile

TYPES = ("q4_0 q4_1 q5_0 q5_1 q8_0 q2_k q3_k q4_k q5_k q6_k iq1_s iq1_m iq2_xxs iq2_xs iq2_s "
         "iq3_xxs iq3_s iq4_nl iq4_xs tq1_0 tq2_0 mxfp4 nvfp4 q1_0 q2_0 bf16 f16").split()
SHAPE = ("--embd 2048 --ff 8192 --layers 8 --heads 32 --kv-heads 8 --head-dim 64 "
         "--ctx 2048").split()


def measure(build, kind, options):
    path = os.path.join(options.dir, kind + ".gguf")
    if not os.path.exists(path):
        subprocess.run([f"{build}/tests/support/mkmodel", "llama", path, "--type", kind, *SHAPE],
                       check=True)
    command = [f"{build}/bantam", "bench", path, "-p", "128", "-n", "32", "--repeats",
               str(options.repeats), "--threads", str(options.threads), "--no-cache", "--roofline",
               "--json", "--quiet"]
    told = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    limits = told["roofline"]
    return {"date": datetime.date.today().isoformat(), "type": kind,
            "bits": round(os.path.getsize(path) * 8 / told["parameters"], 2),
            "prefill": round(told["prefill"]["tokens_per_s"], 1),
            "prefill_share": round(limits["prefill_share"], 3),
            "decode": round(told["decode"]["tokens_per_s"], 1),
            "decode_share": round(limits["decode_share"], 3),
            "memory_gb_s": round(limits["memory_gb_s"], 1),
            "int8_tops": round(limits["int8_tops"], 2), "threads": told["threads"]}


def main():
    a = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("build")
    a.add_argument("--types", default=",".join(TYPES))
    a.add_argument("--dir", default=os.path.join(tempfile.gettempdir(), "bantam-types"))
    a.add_argument("--threads", type=int, default=0)
    a.add_argument("--repeats", type=int, default=3)
    a.add_argument("--csv", help="file to append to")
    o = a.parse_args()
    os.makedirs(o.dir, exist_ok=True)
    print("| type | bits a weight | decode | of memory read | prefill 128 | of the int8 limit |")
    print("| --- | --- | --- | --- | --- | --- |")
    for kind in o.types.split(","):
        row = measure(o.build, kind, o)
        print(f"| {kind.upper()} | {row['bits']:.2f} | {row['decode']:.0f} tokens/s | "
              f"{row['decode_share']:.0%} | {row['prefill']:.0f} tokens/s | "
              f"{row['prefill_share']:.0%} |", flush=True)
        if o.csv:
            fresh = not os.path.exists(o.csv)
            with open(o.csv, "a", newline="") as f:
                w = csv.DictWriter(f, row)
                if fresh:
                    w.writeheader()
                w.writerow(row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
