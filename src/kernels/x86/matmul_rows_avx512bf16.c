/* Products with float weights, AVX512 with BF16 (see kernels/wide/matmul_rows.h). */
#include "kernels/x86/wide_avx512bf16.h"

/* 24 accumulators, 4 weights, 1 activation: 29 of 32 registers. */
#define TILE_COLUMNS       6
#define EACH_TILE(X, type) X(type, 1) X(type, 2) X(type, 3) X(type, 4) X(type, 5) X(type, 6)
#include "kernels/wide/matmul_rows.h"

void kernels_avx512bf16_matmul_rows(Kernels *table)
{
    register_matmul_rows(table);
}
