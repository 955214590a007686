#!/usr/bin/env python3
"""Holds the number of instructions of the main kernels, and of whole steps, under committed bounds:
a slowdown is seen without a clock, on any machine, however busy.

    run.py COUNT [--write]      COUNT: the program of count.c; prints TAP; --write: sets the bounds

valgrind's callgrind counts (it knows AVX2, so that is the set of kernels held). The counts are the
compiler's too: they are held where bounds.tsv names its version, and skipped elsewhere. A count
may grow by 2 % of its bound; one that fell by more than 10 % is told, so that the bound follows.
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

BOUNDS = pathlib.Path(__file__).resolve().parent / "bounds.tsv"
GROWTH, FALL = 1.02, 0.90


def skip(reason):
    print(f"1..1\nok 1 - instruction counts # SKIP {reason}")
    sys.exit(0)


def compiler(program):
    """What built it, by the note that GCC and clang leave in the file."""
    found = re.findall(rb"GCC: \([^)]*\) (\d+)|clang version (\d+)",
                       pathlib.Path(program).read_bytes())
    names = {f"gcc {g.decode()}" if g else f"clang {c.decode()}" for g, c in found}
    return " and ".join(sorted(n for n in names if n.startswith("clang")) or sorted(names)[-1:])


def count(program):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "count"
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--collect-atstart=no",
             "--toggle-collect=count_this", "--dump-after=count_this",
             f"--callgrind-out-file={out}", program],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        names = done.stdout.splitlines()
        if done.returncode or not names:
            sys.exit(f"{program} failed under valgrind:\n{done.stderr}")
        counts = {}
        for i, name in enumerate(names, 1):
            part = pathlib.Path(f"{out}.{i}").read_text()
            counts[name] = int(re.search(r"^(?:totals|summary): (\d+)", part, re.M).group(1))
        return counts


def read_bounds():
    lines = BOUNDS.read_text().splitlines() if BOUNDS.exists() else []
    made_by = next((x[2:].strip() for x in lines if x.startswith("# ")), "")
    rows = (x.split("\t") for x in lines if x and not x.startswith("#"))
    return made_by, {name: int(n) for name, n in rows}


def main():
    program = sys.argv[1]
    if not shutil.which("valgrind"):
        skip("valgrind is missing: make setup installs it")
    made_by, bounds = read_bounds()
    here = compiler(program)
    if "--write" in sys.argv:
        BOUNDS.write_text(f"# {here}\n" +
                          "".join(f"{k}\t{v}\n" for k, v in count(program).items()))
        return
    if here != made_by:
        skip(f"built by {here}, the bounds are of {made_by}")
    counts = count(program)
    names = list(counts) + [name for name in bounds if name not in counts]
    bad = 0
    print(f"1..{len(names)}")
    for i, name in enumerate(names, 1):
        have, bound = counts.get(name), bounds.get(name)
        if have is None or bound is None:
            words = "is not counted any more" if have is None else f"{have} has no bound"
            good = False
        else:
            good = have <= bound * GROWTH
            words = f"{have} of {bound}" + (" (tighten the bound)" if have < bound * FALL else "")
        bad += not good
        print(f"{'ok' if good else 'not ok'} {i} - {name}: {words}")
    if bad:
        print("# if that is meant: tests/instructions/run.py "
              "BUILD/tests/instructions/count --write")
    sys.exit(bad > 0)


main()
