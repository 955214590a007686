/* Drawing and judging: the rules of check.h. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "private.h"
#include "tensor/half.h"

uint64_t check_random(Check *c)
{
    /* xorshift64* (Marsaglia 2003, Vigna 2016) */
    c->random ^= c->random >> 12;
    c->random ^= c->random << 25;
    c->random ^= c->random >> 27;
    return c->random * 0x2545f4914f6cdd1du;
}

size_t check_below(Check *c, size_t n)
{
    return n ? (size_t)((check_random(c) >> 32) % n) : 0;
}

size_t check_size(Check *c, size_t most)
{
    size_t n;
    switch (check_below(c, 4)) {
    case 0: n = check_below(c, 20); break;
    case 1: n = 64 * check_below(c, most / 64 + 1) + check_below(c, 3); break;
    default: n = check_below(c, most + 1);
    }
    return n > most ? most : n;
}

bool check_rounds_to_bf16(const Check *c)
{
    return strstr(c->fast->name, "bf16") != NULL;
}

static __attribute__((format(printf, 2, 0))) void say(Check *c, const char *format, va_list args)
{
    printf("# %s %s: ", c->row->name, c->fast->name);
    vprintf(format, args);
    printf("\n");
    c->failed = true;
}

void check_fail(Check *c, const char *format, ...)
{
    if (c->failed) return;
    va_list args;
    va_start(args, format);
    say(c, format, args);
    va_end(args);
}

/* Distance in representable numbers; -0 and +0 are the same one. */
static uint64_t ulps(float a, float b)
{
    int64_t x = f32_bits(a) & 0x7fffffff, y = f32_bits(b) & 0x7fffffff;
    if (signbit(a)) x = -x;
    if (signbit(b)) y = -y;
    return (uint64_t)(x > y ? x - y : y - x);
}

static bool agrees(const CheckRow *row, float want, float got, float size)
{
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got);
    if (f32_bits(want) == f32_bits(got)) return true;
    switch (row->rule) {
    case CHECK_EXACT: return false;
    case CHECK_ULP: return (double)ulps(want, got) <= row->bound;
    case CHECK_EPSILON: return fabs((double)want - got) <= row->bound * size;
    }
    return false;
}

bool check_equal(Check *c, const float *want, const float *got, size_t n, const float *size,
                 const char *format, ...)
{
    for (size_t i = 0; i < n; i++) {
        if (agrees(c->row, want[i], got[i], size ? size[i] : fabsf(want[i]))) continue;
        if (c->failed) return false;
        va_list args;
        va_start(args, format);
        say(c, format, args);
        va_end(args);
        printf("#   at %zu of %zu: wanted %.9g, got %.9g, %llu ulp apart", i, n, (double)want[i],
               (double)got[i], (unsigned long long)ulps(want[i], got[i]));
        if (size) printf(", against a size of %.3g", (double)size[i]);
        printf("\n");
        return false;
    }
    return true;
}

bool check_bytes(Check *c, const void *want, const void *got, size_t bytes, const char *format, ...)
{
    const unsigned char *w = want, *g = got;
    size_t i = 0;
    while (i < bytes && w[i] == g[i]) i++;
    if (i == bytes) return true;
    if (c->failed) return false;
    va_list args;
    va_start(args, format);
    say(c, format, args);
    va_end(args);
    printf("#   byte %zu of %zu: wanted %02x, got %02x\n", i, bytes, w[i], g[i]);
    return false;
}
