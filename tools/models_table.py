#!/usr/bin/env python3
"""Writes docs/models.md from the registry of architectures, src/models/models.def.

    tools/models_table.py [--check]

--check writes nothing and exits 1 when the page is not what the registry gives.
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/models.md"
HEAD = """# Models

Every architecture that Bantam runs, by the name a GGUF file carries in `general.architecture`. The
page is made by `tools/models_table.py` from `src/models/models.def`; a row is added there.

*Remembers* says what layers keep of a sequence: `all` its tokens, those of a `window` or `chunk`,
`compressed` keys and values, another layer's state (`shared`), a `recurrent` state or the tail of a
`convolution`. `bantam info` prints the bill of a file. *Verified* says against what: `golden`,
logits of an independent engine, at most 1e-8 apart (normalised mean squared error; 1e-7 where the
other engine reads GELU from a half-precision table); `fixture`, logits of the makers' reference
implementation on a tiny random configuration, in `tests/data/families` or `tests/data/folders`.
Both fed at once, one by one, in chunks, beside other sequences, after truncation, and after saving
and loading.
"""


def rows():
    text = (ROOT / "src/models/models.def").read_text()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    for row in re.findall(r"^X\((.*?)\)$", text, flags=re.S | re.M):
        cells = re.findall(r'"((?:[^"\\]|\\.)*)"', row)
        if len(cells) != 6:
            sys.exit(f"models.def: a row of {len(cells)} texts instead of 6: {row[:60]}")
        yield cells


def page():
    lines = [HEAD, "| name | models | particular | remembers | template | verified |",
             "| --- | --- | --- | --- | --- | --- |"]
    lines += [f"| `{c[0]}` | " + " | ".join(c[1:]) + " |" for c in rows()]
    return "\n".join(lines) + "\n"


def main():
    want = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(want)
    elif not PAGE.exists() or PAGE.read_text() != want:
        sys.exit("docs/models.md is behind src/models/models.def; run tools/models_table.py")


if __name__ == "__main__":
    main()
