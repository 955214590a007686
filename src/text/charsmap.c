/* Looking up a compiled normaliser (see charsmap.h). */
#include "text/charsmap.h"

#include <string.h>

/* Longer texts to replace than this, or replacements, are no honest map's: they bound the work of
 * one look and how much a text can grow. */
enum { MOST_KEY = 128, MOST_TEXT = 512 };

static uint32_t unit_at(const Charsmap *m, uint32_t i)
{
    uint32_t u;
    memcpy(&u, m->units + (size_t)i * 4, 4);
    return u;
}

bt_status charsmap_open(Span blob, Charsmap *out, bt_error *err)
{
    uint32_t size;
    *out = (Charsmap){0};
    if (!blob.size) return BT_OK;
    if (blob.size < 4 || blob.size > CHARSMAP_MOST)
        return bt_fail(err, BT_E_FORMAT, "precompiled_charsmap: %zu bytes; 4 to %u are read",
                       blob.size, CHARSMAP_MOST);
    memcpy(&size, blob.data, 4);
    if (size % 4 || size < 4 || size > blob.size - 4)
        return bt_fail(err, BT_E_FORMAT,
                       "precompiled_charsmap: a trie of %u bytes in %zu; convert the model again",
                       size, blob.size);
    out->units = (const unsigned char *)blob.data + 4;
    out->n_units = size / 4;
    out->texts = (Span){blob.data + 4 + size, blob.size - 4 - size};
    size_t run = 0;
    for (size_t i = 0; i < out->texts.size; i++) {
        run = out->texts.data[i] ? run + 1 : 0;
        if (run > MOST_TEXT)
            return bt_fail(err, BT_E_FORMAT,
                           "precompiled_charsmap: a replacement of more than %d bytes", MOST_TEXT);
    }
    if (run) return bt_fail(err, BT_E_FORMAT, "precompiled_charsmap: its last text has no end");
    return BT_OK;
}

/* Of a unit: bits 0-7 and 31 the byte that leads to it (bit 31: a value, which no byte equals), bit
 * 8 whether a text ends there, the others how far its children are, in 256s if bit 9. */
static uint32_t children(uint32_t unit)
{
    return unit >> 10 << ((unit & 1u << 9) >> 6);
}

bool charsmap_find(const Charsmap *m, const char *p, size_t n, Span *to, size_t *length)
{
    bool found = false;
    if (!m->n_units) return false;
    uint32_t at = children(unit_at(m, 0));
    for (size_t i = 0; i < n && i < MOST_KEY; i++) {
        uint32_t byte = (unsigned char)p[i];
        at ^= byte;
        if (at >= m->n_units) break;
        uint32_t unit = unit_at(m, at);
        if ((unit & (1u << 31 | 0xFF)) != byte) break;
        at ^= children(unit);
        if (!(unit >> 8 & 1)) continue;
        if (at >= m->n_units) break;
        uint32_t text = unit_at(m, at) & ~(1u << 31);
        if (text >= m->texts.size) break;
        const char *start = m->texts.data + text;
        *to = (Span){start, strnlen(start, m->texts.size - text)};
        *length = i + 1;
        found = true;
    }
    return found;
}
