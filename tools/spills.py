"""hot loops of the kernels do not spill

Reads the disassembly of every kernel object of a build folder. A loop is the span of a backward
jump inside one function; it is innermost when it holds no other, and hot when it multiplies and
adds (dot products, FMA). A vector register stored to the stack inside such a loop is a spill: the
compiler ran out of registers, or keeps an array where it should keep registers. (Values that are
only read from there, such as constants, cost no more than any load.) A function that means to do
so says why in its source: a comment `spills NAME: why`.
"""
import os
import re
import subprocess

FUNCTION = re.compile(r"^[0-9a-f]+ <([^>]+)>:$")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\t(\S+)\s*(.*)$")
TARGET = re.compile(r"^(?:.*[, ])?([0-9a-f]+) <([^>+]+)(?:\+0x[0-9a-f]+)?>")
JUMP = re.compile(r"^(j[a-z]+|b|b\.[a-z]+|cbn?z|tbn?z)$")
HOT = re.compile(r"^(vpdpbu?s?[us]ds?|vdpbf16ps|vfn?m(add|sub)\d*[ps][sd]|tdpb\w+"
                 r"|[su]dot|usdot|fmla|fmls|[su]mmla|usmmla|bfdot|bfmmla|bfmlal[bt])$")
X86_STORE = re.compile(r"^v?mov(a|u|dq|nt)")
X86_SPILL = re.compile(r"^%[xyz]mm\d+,-?(0x)?[0-9a-f]*\(%r[sb]p\)")
ARM_SPILL = re.compile(r"^[qdv]\d+\b.*\[(sp|x29)\b")
ALLOWED = re.compile(r"\bspills (\w+): \w")


def kernel_objects(build):
    """Object files of the kernels (not of their tests)."""
    for folder, _, files in os.walk(os.path.join(build, "src")):
        for name in files:
            if name.endswith(".o") and ("kernels" in folder or name.startswith("kernels_")):
                yield os.path.join(folder, name)


def functions(objdump, path):
    """(name, [(address, mnemonic, operands)]) of every function of an object."""
    listing = subprocess.run([objdump, "-d", "--no-show-raw-insn", path], check=True,
                             stdout=subprocess.PIPE, universal_newlines=True).stdout
    name, code = None, []
    for line in listing.splitlines():
        match = FUNCTION.match(line)
        if match:
            if name:
                yield name, code
            name, code = match.group(1), []
            continue
        match = INSTRUCTION.match(line)
        if match:
            code.append((int(match.group(1), 16), match.group(2), match.group(3)))
    if name:
        yield name, code


def innermost_loops(name, code):
    """(first, last) addresses of the backward jumps that hold no other."""
    spans = []
    for address, mnemonic, operands in code:
        match = TARGET.match(operands) if JUMP.match(mnemonic) else None
        if match and match.group(2) == name and int(match.group(1), 16) <= address:
            spans.append((int(match.group(1), 16), address))
    for a, b in spans:
        if not any((c, d) != (a, b) and a <= c and d <= b for c, d in spans):
            yield a, b


def spilled(mnemonic, operands):
    if X86_STORE.match(mnemonic):
        return bool(X86_SPILL.match(operands))
    return mnemonic in ("str", "stp", "stur") and bool(ARM_SPILL.match(operands))


def findings(build, objdump, sources):
    allowed = {m.group(1) for f in sources for m in ALLOWED.finditer(f.text)}
    if is_unoptimised(build):
        return
    for path in kernel_objects(build):
        for name, code in functions(objdump, path):
            if name.split(".")[0] in allowed:
                continue
            for first, last in innermost_loops(name, code):
                body = [c for c in code if first <= c[0] <= last]
                if not any(HOT.match(m) for _, m, _ in body):
                    continue
                count = sum(spilled(m, o) for _, m, o in body)
                if count:
                    yield (os.path.relpath(path, build), 0,
                           f"{name}: {count} spills in the hot loop {first:#x}..{last:#x} "
                           f"({len(body)} instructions)")


def is_unoptimised(build):
    """Sanitized and debug builds spill by design; they are not judged."""
    try:
        with open(os.path.join(build, "build.ninja"), encoding="utf-8") as handle:
            text = handle.read()
    except OSError:
        return False
    return "-fsanitize" in text or " -O3" not in text
