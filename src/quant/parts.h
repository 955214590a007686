/* Blocks whose weights lie in parts, each with a scale (or a scale and a minimum) of few bits,
 * times one number (or two) of the block. */
#ifndef QUANT_PARTS_H
#define QUANT_PARTS_H

#include "quant/fit.h"

enum { MOST_PARTS = 16 };

/* `parts` parts of `size` numbers. Part scale: d * (base + pitch * a), a in [lo, hi]. */
typedef struct PartShape {
    int parts, size;
    float base, pitch;
    int lo, hi;
    FitTrials trials;  /* of a part's scale */
    FitFn *sums;       /* how numbers become codes at a scale */
    const void *codes; /* for `sums` */
    const void *quick; /* the same for trials, if not NULL */
} PartShape;

typedef struct PartFit {
    float d;              /* as it was stored */
    int code[MOST_PARTS]; /* a of each part */
} PartFit;
/* Stores d at half[0..1]. */
PartFit fit_parts(const QuantBlock *b, const PartShape *s, uint8_t half[2]);
/* The scale of part g. */
static inline float part_scale(const PartShape *s, const PartFit *f, int g)
{
    return f->d * (s->base + s->pitch * (float)f->code[g]);
}

/* x = d a q - m b: codes q up to `hi`, a and b up to `top`. */
typedef struct LineShape {
    int parts, size;
    float hi;
    int top;
} LineShape;

typedef struct LineFit {
    float d, m; /* as they were stored */
    uint8_t scale[MOST_PARTS], min[MOST_PARTS];
} LineFit;
LineFit fit_lines(const QuantBlock *b, const LineShape *s, uint8_t half_d[2], uint8_t half_m[2]);

#endif
