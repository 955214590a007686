/* Tokens inside JSON strings (see token_set.h): which may follow where a character of a string
 * begins, by how many characters they have, and where the string's closing quote is. What is known
 * here of JSON is what schema_string.c writes of any string: every escape but \u0000 and halves of
 * surrogate pairs. */
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/mem.h"
#include "text/token_set.h"
#include "text/utf8.h"

/* Bytes of the four digits after \u that are there, their value in *code (the missing ones 0); 5:
 * others stand among them. */
static size_t digits(Span text, unsigned *code)
{
    size_t n = 0;
    *code = 0;
    for (; n < 4 && n < text.size; n++) {
        int digit = hex_digit(text.data[n]);
        if (digit < 0) return 5;
        *code |= (unsigned)digit << (12 - 4 * n);
    }
    return n;
}

/* Bytes of the escape that the text begins with, all there are where it goes on; 0: it is none. */
static size_t escape(Span text)
{
    unsigned code;
    if (text.size == 1) return 1;
    if (text.data[1] != 'u') return text.data[1] && strchr("\"\\/bfnrt", text.data[1]) ? 2 : 0;
    size_t n = digits((Span){text.data + 2, text.size - 2}, &code);
    if (n == 5 || (n == 4 && code == 0)) return 0;
    if (n < 2) return text.size;
    if (code >= 0xDC00 && code < 0xE000) return 0;
    if (code < 0xD800 || code >= 0xE000 || n < 4) return n < 4 ? text.size : 6;
    /* the other half of a pair */
    if (text.size > 6 && text.data[6] != '\\') return 0;
    if (text.size > 7 && text.data[7] != 'u') return 0;
    if (text.size <= 8) return text.size;
    n = digits((Span){text.data + 8, text.size - 8}, &code);
    if (n == 5 || (code & 0xF000) != 0xD000) return 0;
    if (n > 1 && (code < 0xDC00 || code >= 0xE000)) return 0;
    return n < 4 ? text.size : 12;
}

/* Characters of a text from the beginning of one up to a closing quote, which is at *quote, or the
 * end; the last may be begun only. SIZE_MAX: no string has it. */
static size_t length(Span text, size_t *quote)
{
    size_t whole = utf8_whole(text.data, text.size), n = 0, step = 0;
    for (size_t i = 0; i < whole; i += step, n++) {
        unsigned char c = (unsigned char)text.data[i];
        *quote = i;
        if (c == '"') return n;
        if (c < 0x20) return SIZE_MAX;
        if (c == '\\') {
            step = escape((Span){text.data + i, text.size - i});
            if (!step) return SIZE_MAX;
            continue;
        }
        utf8_next(text.data + i, whole - i, &step);
        if (step == 1 && c >= 0x80) return SIZE_MAX;
    }
    *quote = text.size;
    return n + (whole < text.size);
}

static int by_chars(const void *left, const void *right)
{
    const TokenInner *a = left, *b = right;
    if (a->chars != b->chars) return a->chars < b->chars ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

bool token_set_find_strings(TokenSet *set, TokenEntry *rest, uint32_t n)
{
    uint32_t n_close = 0;
    set->inner = mem_alloc((n + 1) * sizeof *set->inner);
    set->odd = mem_alloc((n + 1) * sizeof *set->odd);
    if (!set->inner || !set->odd) return false;
    for (uint32_t i = 0; i < n; i++) {
        size_t quote = 0, chars = length(rest[i].text, &quote);
        if (chars == SIZE_MAX) continue;
        if (quote == rest[i].text.size && chars < 255) {
            set->inner[set->n_inner++] = (TokenInner){rest[i].id, (uint32_t)chars};
        } else if (chars > 63 || quote == rest[i].text.size) {
            set->odd[set->n_odd++] = rest[i].id;
        } else {
            rest[n_close] = rest[i];
            rest[n_close].before = (uint8_t)chars;
            rest[n_close].text.data += quote;
            rest[n_close++].text.size -= quote;
        }
    }
    qsort(set->inner, set->n_inner, sizeof *set->inner, by_chars);
    return token_after_build(&set->close, rest, n_close);
}
