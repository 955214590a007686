/* UTF-8 by the table of well-formed byte sequences (The Unicode Standard, table 3-7; utf8.h). */
#include "text/utf8.h"

/* How many bytes follow `lead`, and the range of the first of them; -1: never a lead byte. */
static int follow(unsigned char lead, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (lead < 0x80) return 0;
    if (lead < 0xC2) return -1;
    if (lead < 0xE0) return 1;
    if (lead < 0xF0) {
        if (lead == 0xE0) *low = 0xA0;
        if (lead == 0xED) *high = 0x9F;
        return 2;
    }
    if (lead == 0xF0) *low = 0x90;
    if (lead == 0xF4) *high = 0x8F;
    return lead < 0xF5 ? 3 : -1;
}

uint32_t utf8_next(const char *p, size_t n, size_t *length)
{
    const unsigned char *s = (const unsigned char *)p;
    unsigned char low, high;
    *length = 1;
    if (s[0] < 0x80) return s[0];
    if (s[0] >= 0xC2 && s[0] < 0xE0 && n > 1 && (s[1] & 0xC0) == 0x80) {
        *length = 2;
        return (s[0] & 0x1Fu) << 6 | (s[1] & 0x3Fu);
    }
    int more = follow(s[0], &low, &high);
    if (more < 0 || (size_t)more >= n) return UTF8_BAD;
    uint32_t c = s[0] & (0x3Fu >> more);
    for (int i = 1; i <= more; i++) {
        if (s[i] < low || s[i] > high) return UTF8_BAD;
        c = c << 6 | (s[i] & 0x3Fu);
        low = 0x80;
        high = 0xBF;
    }
    *length = (size_t)more + 1;
    return c;
}

bool utf8_valid(const char *p, size_t n)
{
    size_t step;
    for (size_t i = 0; i < n; i += step)
        if (utf8_next(p + i, n - i, &step) == UTF8_BAD && step == 1) return false;
    return true;
}

size_t utf8_put(uint32_t c, char *out)
{
    if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) c = UTF8_BAD;
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

size_t utf8_whole(const char *p, size_t n)
{
    const unsigned char *s = (const unsigned char *)p;
    unsigned char low, high;
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        unsigned char lead = s[n - back];
        if (lead >= 0x80 && lead < 0xC0) continue; /* look for its lead byte */
        int more = follow(lead, &low, &high);
        if (more < (int)back) return n; /* complete, or never to be completed */
        for (size_t i = 1; i < back; i++) {
            if (s[n - back + i] < low || s[n - back + i] > high) return n;
            low = 0x80;
            high = 0xBF;
        }
        return n - back;
    }
    return n;
}
