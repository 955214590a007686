/* Numbers as people write them: exact decimals as long as they fit (about 37 digits), else double.
 * So 0.1 + 0.2 is 0.3 and 15% of 80 is 12; a third is a double, and said to about 12 digits. */
#ifndef AGENT_NUMBER_H
#define AGENT_NUMBER_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/span.h"

__extension__ typedef __int128 Wide;

typedef struct Number {
    bool exact;
    Wide digits; /* value = digits / 10^scale, scale 0 .. NUMBER_MAX_SCALE */
    int scale;
    double about; /* where it is not exact */
} Number;

enum { NUMBER_MAX_SCALE = 30 };

Number number_of(long long value);
Number number_about(double value);
double number_double(Number a);
/* Digits with at most one point, as much of `text` as is one; bytes used, 0: none. Digits beyond
 * what fits make it a double. */
size_t number_read(Span text, Number *out);
Number number_add(Number a, Number b);
Number number_subtract(Number a, Number b);
Number number_multiply(Number a, Number b);
Number number_negate(Number a);
/* Exact where the quotient is a decimal that fits. b is not zero. */
Number number_divide(Number a, Number b);
bool number_is_zero(Number a);
bool number_is_whole(Number a, long long *out); /* and fits */
/* Rounded half away from zero to `places` decimals, 0 .. 15. */
Number number_round(Number a, int places);
/* Digits without exponent where they are not too many, no zeros at the end; inexact ones to
 * `significant` digits. Returns false when digits were dropped. */
bool number_write(Buf *out, Number a, int significant);

#endif
