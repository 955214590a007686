/* Products with float weights, NEON (see kernels/wide/matmul_rows.h). */
#include "kernels/arm/wide_neon.h"

/* 16 accumulators, 4 weights, 1 activation: 21 of 32 registers; with more GCC 12 spills. */
#define TILE_COLUMNS       2
#define EACH_TILE(X, type) X(type, 1) X(type, 2)
#include "kernels/wide/matmul_rows.h"

void kernels_neon_matmul_rows(Kernels *table)
{
    register_matmul_rows(table);
}
