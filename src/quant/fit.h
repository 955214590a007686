/* The searches that the block types share, and how their writers are called.
 *
 * quant.c cuts a row into blocks and hands each over in its own units: multiplied by a power of two
 * so that the largest |x| lies in [0.5, 1) (or all are zero), weights divided by their mean. Sums
 * of squares then neither overflow nor vanish, whatever the row holds. */
#ifndef QUANT_FIT_H
#define QUANT_FIT_H

#include <stdint.h>

#include "tensor/half.h"

/* A block in its own units; x times 2^exponent is what the row holds. */
typedef struct QuantBlock {
    const float *x, *w; /* w > 0 */
    int exponent;
} QuantBlock;

/* Writes one block. */
typedef void (*QuantFn)(const QuantBlock *b, uint8_t *out);

void quant_q8_0(const QuantBlock *b, uint8_t *out);
void quant_q4_0(const QuantBlock *b, uint8_t *out);
void quant_q4_1(const QuantBlock *b, uint8_t *out);
void quant_q5_0(const QuantBlock *b, uint8_t *out);
void quant_q5_1(const QuantBlock *b, uint8_t *out);

/* Stores a (in the block's units) as float16, saturated; returns what a reader will see, in the
 * block's units again. */
float fit_half(float a, int exponent, uint8_t out[2]);

/* Some numbers of a block with their weights; n a multiple of 4. */
typedef struct FitPart {
    const float *x, *w;
    int n;
} FitPart;

/* Codes are whole numbers in [lo, hi]. Trial scales put the largest |x| at `first`, first + step
 * ... last codes (beyond the range: it is clipped), and, where lo != -hi, at -first ... too. */
typedef struct FitCodes {
    float lo, hi, first, last, step;
} FitCodes;

/* The scale d for which d * code comes closest; 0 where all x are. */
float fit_scale(FitPart p, FitCodes c);

/* x as scale * code + offset, codes 0..hi. */
typedef struct FitLine {
    float scale, offset, error;
} FitLine;
/* The closest line; scale >= 0. `below`: the offset must be <= 0. */
FitLine fit_line(FitPart p, float hi, int below);

/* The offset of least error for a scale that has been rounded, near the one that was. */
float fit_offset(FitPart p, float hi, float scale, float offset);

/* Nearest codes: round((x - offset) / scale) within [lo, hi]; (0 or the nearest) where scale is 0.
 */
void fit_codes(const float *x, int n, float scale, float offset, float lo, float hi, int8_t *q);

#endif
