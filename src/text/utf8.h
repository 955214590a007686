/* UTF-8, strictly as RFC 3629: no overlong forms, surrogates or values past U+10FFFF. */
#ifndef TEXT_UTF8_H
#define TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_BAD 0xFFFDu

/* Reads one character of p[0..n), n > 0; *length is how many bytes it took (1 for a bad byte,
 * which gives UTF8_BAD). */
uint32_t utf8_next(const char *p, size_t n, size_t *length);
/* Whether all of p[0..n) is. */
bool utf8_valid(const char *p, size_t n);
/* Writes at most 4 bytes; returns how many. */
size_t utf8_put(uint32_t c, char *out);
/* Length of the longest prefix of p[0..n) that does not end inside a character that more bytes
 * could complete. */
size_t utf8_whole(const char *p, size_t n);

#endif
