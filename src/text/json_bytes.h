/* Runs of bytes that a reader of JSON need not look at one by one, eight at a time. */
#ifndef TEXT_JSON_BYTES_H
#define TEXT_JSON_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define JSON_EACH_BYTE(byte) (0x0101010101010101u * (uint64_t)(byte))

/* A bit in each byte that is `byte`; the lowest such bit is exact, those above it may be more. */
static inline uint64_t json_bytes_are(uint64_t word, unsigned char byte)
{
    uint64_t x = word ^ JSON_EACH_BYTE(byte);
    return (x - JSON_EACH_BYTE(1)) & ~x & JSON_EACH_BYTE(0x80);
}

/* How many bytes come before the first quote or backslash. */
static inline size_t json_run_of_string(const char *p, size_t n)
{
    size_t i = 0;
    for (uint64_t word; i + 8 <= n; i += 8) {
        memcpy(&word, p + i, 8);
        if (json_bytes_are(word, '"') | json_bytes_are(word, '\\')) break;
    }
    while (i < n && p[i] != '"' && p[i] != '\\') i++;
    return i;
}

/* How many bytes of a string stand for themselves: ASCII, no quote, backslash or control. */
static inline size_t json_run_of_plain(const char *p, size_t n)
{
    size_t i = 0;
    for (uint64_t word; i + 8 <= n; i += 8) {
        memcpy(&word, p + i, 8);
        uint64_t low = (word - JSON_EACH_BYTE(0x20)) & ~word;
        if ((json_bytes_are(word, '"') | json_bytes_are(word, '\\') | low | word) &
            JSON_EACH_BYTE(0x80))
            break;
    }
    while (i < n && p[i] >= 0x20 && p[i] < 0x7F && p[i] != '"' && p[i] != '\\') i++;
    return i;
}

/* How many spaces, by eight. */
static inline size_t json_run_of_spaces(const char *p, size_t n)
{
    size_t i = 0;
    for (uint64_t word; i + 8 <= n; i += 8) {
        memcpy(&word, p + i, 8);
        if (word != JSON_EACH_BYTE(' ')) break;
    }
    return i;
}

#endif
