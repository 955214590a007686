/* A borrowed run of bytes; not NUL-terminated. */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct Span {
    const char *data;
    size_t size;
} Span;

#define SPAN(literal) ((Span){literal, sizeof(literal) - 1})

static inline Span span_of(const char *text)
{
    return (Span){text, text ? strlen(text) : 0};
}

static inline bool span_equal(Span a, Span b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool span_is(Span a, const char *text)
{
    return span_equal(a, span_of(text));
}

static inline bool span_ends(Span a, const char *end)
{
    size_t n = strlen(end);
    return a.size >= n && memcmp(a.data + a.size - n, end, n) == 0;
}

#endif
