/* Products with float weights, AVX2 (see kernels/wide/matmul_rows.h). */
#include "kernels/x86/wide_avx2.h"

/* 8 accumulators, 4 weights, 1 activation: 13 of 16 registers. */
#define TILE_COLUMNS       2
#define EACH_TILE(X, type) X(type, 1) X(type, 2)
#include "kernels/wide/matmul_rows.h"

void kernels_avx2_matmul_rows(Kernels *table)
{
    register_matmul_rows(table);
}
