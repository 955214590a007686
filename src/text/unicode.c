/* Character classes, lower case, base letters (see unicode.h): two-level table and binary search.
 */
#include "text/unicode.h"

/* A run of characters whose other case is at one distance, every `step` characters. */
typedef struct CaseRun {
    uint32_t first, last;
    int32_t distance;
    uint32_t step;
} CaseRun;

#include "text/unicode_tables.inc"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

unsigned unicode_class(uint32_t c)
{
    if (c > 0x10FFFF) return UC_CONTROL;
    return unicode_kinds[unicode_cells[unicode_blocks[c >> 7]][c & 127]];
}

static uint32_t other_case(const CaseRun *runs, size_t n, uint32_t c)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (runs[mid].last < c)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == n || c < runs[low].first || (c - runs[low].first) % runs[low].step) return c;
    return (uint32_t)((int32_t)c + runs[low].distance);
}

uint32_t unicode_lower(uint32_t c)
{
    if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 32 : c;
    return other_case(unicode_lower_runs, COUNT(unicode_lower_runs), c);
}

size_t unicode_upper(uint32_t c, uint32_t out[3])
{
    out[0] = c >= 'a' && c <= 'z' ? c - 32 : c;
    if (c < 0x80) return 1;
    for (size_t i = 0; i < COUNT(unicode_uppers); i++) {
        if (unicode_uppers[i].from != c) continue;
        size_t n = 0;
        for (; n < 3 && unicode_uppers[i].to[n]; n++) out[n] = unicode_uppers[i].to[n];
        return n;
    }
    out[0] = other_case(unicode_upper_runs, COUNT(unicode_upper_runs), c);
    return 1;
}

/* Hangul syllables decompose by arithmetic (The Unicode Standard, 3.12). */
static size_t hangul(uint32_t s, uint32_t out[3])
{
    out[0] = 0x1100 + s / 588;
    out[1] = 0x1161 + s % 588 / 28;
    out[2] = 0x11A7 + s % 28;
    return s % 28 ? 3 : 2;
}

size_t unicode_base(uint32_t c, uint32_t out[3])
{
    if (c >= 0xAC00 && c < 0xAC00 + 11172) return hangul(c - 0xAC00, out);
    size_t low = 0, high = c < 0xC0 ? 0 : COUNT(unicode_bases);
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (unicode_bases[mid].from < c)
            low = mid + 1;
        else
            high = mid;
    }
    if (c >= 0xC0 && low < COUNT(unicode_bases) && unicode_bases[low].from == c) {
        size_t n = 0;
        while (n < 3 && unicode_bases[low].to[n]) {
            out[n] = unicode_bases[low].to[n];
            n++;
        }
        return n;
    }
    if (unicode_class(c) & UC_NONSPACING) return 0;
    out[0] = c;
    return 1;
}
