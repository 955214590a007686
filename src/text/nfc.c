/* NFC (see nfc.h): decompose, order the marks of a run by class, compose. Text between starters is
 * short in honest texts and not in hostile ones: a run is sorted by counting its classes, and marks
 * look up to one starter only, so that no text takes more than linear time. */
#include "text/nfc.h"

#include <stdint.h>
#include <string.h>

#include "text/nfc_tables.inc"
#include "text/utf8.h"

enum {
    HANGUL = 0xAC00,
    LEADS = 19,
    VOWELS = 21,
    TAILS = 28,
    LEAD = 0x1100,
    VOWEL = 0x1161,
    TAIL = 0x11A7,
    SYLLABLES = LEADS * VOWELS * TAILS
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define RAW      0x80000000u /* a byte that is no UTF-8 */

static unsigned class_of(uint32_t c)
{
    size_t low = 0, high = COUNT(nfc_classes);
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (c > nfc_classes[mid].last)
            low = mid + 1;
        else if (c < nfc_classes[mid].first)
            high = mid;
        else
            return nfc_classes[mid].order;
    }
    return 0;
}

/* Writes at most 4 characters. */
static size_t decompose(uint32_t c, uint32_t out[4])
{
    size_t low = 0, high = COUNT(nfc_parts), n = 0;
    if (c >= HANGUL && c < HANGUL + SYLLABLES) {
        uint32_t s = c - HANGUL;
        out[n++] = LEAD + s / (VOWELS * TAILS);
        out[n++] = VOWEL + s / TAILS % VOWELS;
        if (s % TAILS) out[n++] = TAIL + s % TAILS;
        return n;
    }
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (c == nfc_parts[mid].from) {
            while (n < 4 && nfc_parts[mid].to[n]) {
                out[n] = nfc_parts[mid].to[n];
                n++;
            }
            return n;
        }
        if (c > nfc_parts[mid].from)
            low = mid + 1;
        else
            high = mid;
    }
    out[0] = c;
    return 1;
}

static uint32_t compose(uint32_t a, uint32_t b)
{
    size_t low = 0, high = COUNT(nfc_pairs);
    if (a >= LEAD && a < LEAD + LEADS && b >= VOWEL && b < VOWEL + VOWELS)
        return HANGUL + ((a - LEAD) * VOWELS + (b - VOWEL)) * TAILS;
    if (a >= HANGUL && a < HANGUL + SYLLABLES && (a - HANGUL) % TAILS == 0 && b > TAIL &&
        b < TAIL + TAILS)
        return a + b - TAIL;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (a == nfc_pairs[mid].left && b == nfc_pairs[mid].right) return nfc_pairs[mid].whole;
        if (a > nfc_pairs[mid].left || (a == nfc_pairs[mid].left && b > nfc_pairs[mid].right))
            low = mid + 1;
        else
            high = mid;
    }
    return 0;
}

/* A run: a starter and the marks after it, decomposed. */
typedef struct Run {
    Buf chars, sorted; /* uint32_t each, the class in the top byte */
    Buf *out;
    uint32_t starter;
    bool has_starter;
} Run;

static void put_char(Buf *out, uint32_t c)
{
    char text[4];
    if (c & RAW)
        buf_char(out, (char)c);
    else
        buf_add(out, text, utf8_put(c, text));
}

/* Marks in the order of their classes, equal ones as they stood. */
static const uint32_t *sort_marks(Run *r, size_t n)
{
    uint32_t *marks = (uint32_t *)(void *)r->chars.data;
    size_t start[257] = {0};
    bool in_order = true;
    for (size_t i = 0; i < n; i++) {
        start[(marks[i] >> 24) + 1]++;
        in_order = in_order && (i == 0 || marks[i] >> 24 >= marks[i - 1] >> 24);
    }
    if (in_order) return marks;
    buf_clear(&r->sorted);
    buf_add(&r->sorted, marks, n * sizeof *marks);
    if (r->sorted.failed) return NULL;
    uint32_t *sorted = (uint32_t *)(void *)r->sorted.data;
    for (int k = 0; k < 256; k++) start[k + 1] += start[k];
    for (size_t i = 0; i < n; i++) sorted[start[marks[i] >> 24]++] = marks[i];
    return sorted;
}

/* Composes the run with its starter. The starter stays open when nothing blocks the next one. */
static void flush(Run *r, bool last, uint32_t next)
{
    size_t n = r->chars.size / sizeof(uint32_t), kept = 0;
    const uint32_t *marks = n ? sort_marks(r, n) : NULL;
    Buf left = {0};
    unsigned blocked = 0;
    if (n && !marks) r->out->failed = true;
    for (size_t i = 0; marks && i < n; i++) {
        unsigned k = marks[i] >> 24;
        uint32_t c = marks[i] & 0xffffff;
        uint32_t whole = r->has_starter && k != blocked ? compose(r->starter, c) : 0;
        if (whole) {
            r->starter = whole;
        } else {
            blocked = k;
            put_char(&left, c);
            kept++;
        }
    }
    uint32_t whole = !last && r->has_starter && !kept ? compose(r->starter, next) : 0;
    if (whole) {
        r->starter = whole;
    } else {
        if (r->has_starter) put_char(r->out, r->starter);
        buf_add(r->out, left.data, left.size);
        r->starter = next;
        r->has_starter = !last;
    }
    r->out->failed = r->out->failed || left.failed;
    buf_close(&left);
    buf_clear(&r->chars);
}

static void add_char(Run *r, uint32_t c)
{
    unsigned k = c & RAW ? 0 : class_of(c);
    if (k) {
        uint32_t mark = c | k << 24;
        buf_add(&r->chars, &mark, sizeof mark);
        r->out->failed = r->out->failed || r->chars.failed;
    } else {
        flush(r, false, c);
    }
}

/* Characters below U+0300 neither decompose differently nor combine: Latin letters with marks are
 * composed already. */
static bool is_plain(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)p[i] >= 0xCC) return false;
    return true;
}

bool nfc_text(const char *p, size_t n, Buf *out)
{
    size_t before = out->size;
    if (is_plain(p, n)) return false;
    Run r = {.out = out};
    for (size_t at = 0, length; at < n && !out->failed; at += length) {
        uint32_t parts[4], c = utf8_next(p + at, n - at, &length);
        if (c == UTF8_BAD && length == 1) {
            add_char(&r, RAW | (unsigned char)p[at]);
            continue;
        }
        size_t count = decompose(c, parts);
        for (size_t i = 0; i < count; i++) add_char(&r, parts[i]);
    }
    flush(&r, true, 0);
    buf_close(&r.chars);
    buf_close(&r.sorted);
    if (!out->failed && out->size - before == n && memcmp(out->data + before, p, n) == 0) {
        out->size = before;
        return false;
    }
    return !out->failed;
}
