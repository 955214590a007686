/* The searches that the block types share.
 *
 * quant.c cuts a row into blocks and hands each over in its own units: multiplied by a power of two
 * so that the largest |x| lies in [0.5, 1) (or all are zero), weights divided by their mean. Sums
 * of squares then neither overflow nor vanish, whatever the row holds.
 *
 * Four trials (lanes) are computed side by side. */
#ifndef QUANT_FIT_H
#define QUANT_FIT_H

#include <stdbool.h>
#include <stdint.h>

#include "quant/lanes.h"

/* Numbers so small beside the largest of their block are zero. */
#define FIT_VANISHING 0x1p-60f

/* A block in its own units; x times 2^exponent is what the row holds. */
typedef struct QuantBlock {
    const float *x, *w; /* w > 0 */
    int exponent;
} QuantBlock;

/* Stores a (in the block's units) as float16, saturated; returns what a reader will see, in the
 * block's units again. */
float fit_half(float a, int exponent, uint8_t out[2]);

/* Some numbers of a block with their weights. */
typedef struct FitPart {
    const float *x, *w;
    int n;
} FitPart;

/* Numbers against the values v (not yet scaled) that they get at scale d, r = x - d v:
 * sums of w r r (the error), w r v and w v v. The best scale for these values is d + rv / vv, its
 * error rr - rv rv / vv. Residuals, because sums of squares lose the error in their last bits. */
typedef struct FitSums {
    Lanes rr, rv, vv;
} FitSums;
/* Chooses values for each of four scales, none of them 0; only the first n are looked at. */
typedef FitSums FitFn(const void *codes, FitPart p, Lanes d, int n);

/* FitFn for whole numbers lo..hi: codes is a FitRange. */
typedef struct FitRange {
    float lo, hi;
} FitRange;
FitFn fit_range;

/* Trial scales: those that put the largest |x| at value first, first + step ..., `count` of them;
 * with `both` at -first ... too. */
typedef struct FitTrials {
    float first, step;
    int count;
    bool both;
} FitTrials;

/* A scale of small error, that error, and the sum of w v v; scale 0 where all x are. */
typedef struct FitScale {
    float scale, error, vv;
} FitScale;
FitScale fit_scale(FitPart p, FitTrials t, FitFn *sums, const void *codes);

/* x as scale * code + offset, codes 0..hi; scale >= 0. `below`: offset <= 0. */
typedef struct FitLine {
    float scale, offset, error;
    float qq, w; /* sums of w q q and w */
} FitLine;
FitLine fit_line(FitPart p, float hi, bool below);

/* With codes nearest for each of four lines, r = x - scale q - offset: sums of w r r, w r, w r q,
 * w q, w q q and w. */
typedef struct FitLineSums {
    Lanes rr, r, rq, q, qq, w;
} FitLineSums;
FitLineSums fit_line_sums(FitPart p, float hi, Lanes scale, Lanes offset);
/* The offsets of least error for scales that have been rounded, near those given. */
Lanes fit_offset(FitPart p, float hi, Lanes scale, Lanes offset);
/* The errors of four lines. */
Lanes fit_line_error(FitPart p, float hi, Lanes scale, Lanes offset);

/* Nearest codes: round((x - offset) / scale) within [lo, hi]; where scale is 0, 0 or what of
 * [lo, hi] is nearest to it. */
void fit_codes(const float *x, int n, float scale, float offset, FitRange range, int8_t *q);

#endif
