/* The normaliser that SentencePiece compiles into a vocabulary: a trie of texts and what stands in
 * their place (NFKC and more, or what a maker wrote). The bytes come from a file: every step in
 * them is checked. Layout: 32-bit size of the trie, the trie as darts-clone writes it (units of 32
 * bits, little-endian), then the replacements, each ended by a NUL. Source: normalizer.cc of
 * SentencePiece, darts.h of darts-clone. */
#ifndef TEXT_CHARSMAP_H
#define TEXT_CHARSMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

#define CHARSMAP_MOST (16u << 20) /* bytes; SentencePiece's own are 0.3 MB */

typedef struct Charsmap {
    const unsigned char *units; /* borrowed */
    uint32_t n_units;
    Span texts;
} Charsmap;

/* An empty blob is a map that changes nothing. BT_E_FORMAT: damaged. */
bt_status charsmap_open(Span blob, Charsmap *out, bt_error *err);
/* The longest text of the map that p[0..n) begins with: *length bytes become *to. False: none. */
bool charsmap_find(const Charsmap *map, const char *p, size_t n, Span *to, size_t *length);

#endif
