/* Decimal arithmetic on 128-bit integers (see number.h). Every step that would not fit falls back
 * to double; nothing wraps. */
#include "agent/number.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

Number number_of(long long value)
{
    return (Number){.exact = true, .digits = value};
}

Number number_about(double value)
{
    return (Number){.about = value};
}

static Wide power_of_ten(int n)
{
    Wide p = 1;
    while (n-- > 0) p *= 10;
    return p;
}

double number_double(Number a)
{
    return a.exact ? (double)a.digits / (double)power_of_ten(a.scale) : a.about;
}

bool number_is_zero(Number a)
{
    return a.exact ? a.digits == 0 : a.about == 0;
}

static Number trimmed(Number a)
{
    while (a.exact && a.scale > 0 && a.digits % 10 == 0) {
        a.digits /= 10;
        a.scale--;
    }
    return a;
}

size_t number_read(Span s, Number *out)
{
    size_t i = 0, n_digits = 0;
    bool point = false, exact = true;
    Number a = {.exact = true};
    double about = 0, unit = 1;
    for (; i < s.size; i++) {
        char c = s.data[i];
        if (c == '.' && !point && i + 1 < s.size && s.data[i + 1] >= '0' && s.data[i + 1] <= '9') {
            point = true;
            continue;
        }
        if (c < '0' || c > '9') break;
        n_digits++;
        about = about * 10 + (c - '0');
        if (point) unit *= 10;
        if (exact && (__builtin_mul_overflow(a.digits, (Wide)10, &a.digits) ||
                      __builtin_add_overflow(a.digits, (Wide)(c - '0'), &a.digits) ||
                      (point && ++a.scale > NUMBER_MAX_SCALE)))
            exact = false;
    }
    *out = exact ? trimmed(a) : number_about(about / unit);
    return n_digits ? i : 0;
}

Number number_negate(Number a)
{
    a.digits = -a.digits; /* never the least value: products and sums that give it are refused */
    a.about = -a.about;
    return a;
}

/* The least value is not kept, so that every number has its negative. */
static Number fitting(bool overflow, Wide digits, int scale, double about)
{
    Wide positive;
    if (overflow || scale > NUMBER_MAX_SCALE || __builtin_sub_overflow((Wide)0, digits, &positive))
        return number_about(about);
    return trimmed((Number){.exact = true, .digits = digits, .scale = scale});
}

Number number_add(Number a, Number b)
{
    double about = number_double(a) + number_double(b);
    if (!a.exact || !b.exact) return number_about(about);
    if (a.scale < b.scale) {
        Number c = a;
        a = b;
        b = c;
    }
    Wide other = 0, sum = 0;
    bool over = __builtin_mul_overflow(b.digits, power_of_ten(a.scale - b.scale), &other) ||
                __builtin_add_overflow(a.digits, other, &sum);
    return fitting(over, sum, a.scale, about);
}

Number number_subtract(Number a, Number b)
{
    return number_add(a, number_negate(b));
}

Number number_multiply(Number a, Number b)
{
    double about = number_double(a) * number_double(b);
    if (!a.exact || !b.exact) return number_about(about);
    Wide product = 0;
    bool over = __builtin_mul_overflow(a.digits, b.digits, &product);
    return fitting(over, product, a.scale + b.scale, about);
}

Number number_divide(Number a, Number b)
{
    double about = number_double(a) / number_double(b);
    if (!a.exact || !b.exact) return number_about(about);
    Wide top = a.digits, bottom = b.digits;
    int scale = a.scale - b.scale;
    for (; scale < 0; scale++)
        if (__builtin_mul_overflow(top, (Wide)10, &top)) return number_about(about);
    while (top % bottom != 0) {
        if (++scale > NUMBER_MAX_SCALE || __builtin_mul_overflow(top, (Wide)10, &top))
            return number_about(about);
    }
    return fitting(false, top / bottom, scale, about);
}

bool number_is_whole(Number a, long long *out)
{
    const Wide most = (Wide)1 << 62;
    a = trimmed(a);
    if (!a.exact || a.scale || a.digits > most || a.digits < -most) return false;
    *out = (long long)a.digits;
    return true;
}

Number number_round(Number a, int places)
{
    if (!a.exact) {
        double unit = (double)power_of_ten(places);
        return number_about(round(a.about * unit) / unit);
    }
    if (a.scale <= places) return a;
    Wide unit = power_of_ten(a.scale - places), rest = a.digits % unit, whole = a.digits / unit;
    if (rest >= unit - rest) whole++;
    if (-rest >= unit + rest) whole--;
    return trimmed((Number){.exact = true, .digits = whole, .scale = places});
}

/* A double, without the zeros that %f leaves. */
static void write_about(Buf *out, double value, int significant)
{
    char text[400];
    double size = fabs(value);
    if (size != 0 && (size >= 1e15 || size < 1e-6)) {
        buf_printf(out, "%.*g", significant, value);
        return;
    }
    int before = size >= 1 ? (int)floor(log10(size)) + 1 : 1;
    int places = significant > before ? significant - before : 0;
    if (size != 0 && size < 1) places = significant - (int)ceil(log10(size));
    int n = snprintf(text, sizeof text, "%.*f", places, value);
    if (strchr(text, '.')) {
        while (text[n - 1] == '0') n--;
        if (text[n - 1] == '.') n--;
    }
    buf_add(out, text, (size_t)n);
}

static void write_digits(Buf *out, Number a)
{
    char text[80];
    size_t at = sizeof text;
    bool negative = a.digits < 0;
    Wide left = negative ? -a.digits : a.digits;
    for (int place = 0; place <= a.scale || left; place++) {
        if (place == a.scale && place) text[--at] = '.';
        text[--at] = (char)('0' + (int)(left % 10));
        left /= 10;
    }
    if (negative) text[--at] = '-';
    buf_add(out, text + at, sizeof text - at);
}

bool number_write(Buf *out, Number a, int significant)
{
    a = trimmed(a);
    if (!a.exact) {
        write_about(out, a.about, significant);
        return false;
    }
    if (a.scale > 15) {
        write_about(out, number_double(a), significant);
        return false;
    }
    write_digits(out, a);
    return true;
}
