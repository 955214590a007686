/* Nearest entries of the codebooks of IQ1, IQ2 and IQ3 (tensor/grids.h).
 *
 * Each number is first rounded to the levels that the codebook's numbers have; that point's list of
 * nearest entries is then searched with the weights. The lists are made at a codebook's first use,
 * once, under a lock: at most 100 ms and 210 KB each, kept in static memory. */
#ifndef QUANT_GRID_H
#define QUANT_GRID_H

#include <stdint.h>

#include "quant/lanes.h"

enum { GRID_NEAR = 32, GRID_MOST_ENTRIES = 2048, GRID_MOST_POINTS = 6561 };

typedef enum GridName {
    GRID_IQ1, /* -1, 0, 1 */
    GRID_IQ2_XXS,
    GRID_IQ2_XS,
    GRID_IQ2_S,
    GRID_IQ3_XXS,
    GRID_IQ3_S,
    GRID_COUNT
} GridName;

typedef struct Grid {
    int numbers, levels, entries; /* 8 numbers of 3 levels, or 4 of 8 */
    float middle[7];              /* between neighbouring levels */
    float place[8];               /* levels^i */
    const float *entry;           /* (entries, numbers) */
    const uint16_t *near;         /* (levels^numbers, GRID_NEAR), nearest first */
} Grid;

const Grid *grid_open(GridName name);

/* The entry among the `limit` nearest with the least sum of w (y - entry)^2; y in the units of the
 * codebook. */
int grid_nearest(const Grid *g, const float *y, const float *w, int limit);

#endif
