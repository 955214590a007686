#!/usr/bin/env python3
"""Writes src/tensor/grids.inc, the codebooks of the IQ1, IQ2 and IQ3 block types.

usage: tools/grid_tables.py > src/tensor/grids.inc

They are facts of the format: chosen once by its author and published with it (ggml). Read from
the `gguf` package (PyPI), which holds them as GGUF readers in Python need them; needs numpy.
An entry is one 16-bit number: the place of each of its 8 (4) numbers among the values that the
codebook knows, 2 (3) bits each from the lowest.
"""
from gguf import quants

BOOKS = [("IQ1", quants.IQ1_S, 2), ("IQ2_XXS", quants.IQ2_XXS, 2), ("IQ2_XS", quants.IQ2_XS, 2),
         ("IQ2_S", quants.IQ2_S, 2), ("IQ3_XXS", quants.IQ3_XXS, 3), ("IQ3_S", quants.IQ3_S, 3)]


def entries(book, bits):
    book.init_grid()
    places = {float(v): i for i, v in enumerate(book.grid_map)}
    for row in book.grid.reshape(book.grid_shape):
        yield sum(places[float(v)] << bits * i for i, v in enumerate(row))


print("/* Made by tools/grid_tables.py: do not edit. */\n/* clang-format off */")
for name, book, bits in BOOKS:
    codes = list(entries(book, bits))
    lines = [" ".join(f"X(0x{c:04x})" for c in codes[i:i + 9]) for i in range(0, len(codes), 9)]
    print(f"#define GRID_{name}(X) \\\n    " + " \\\n    ".join(lines))
print("/* clang-format on */")
