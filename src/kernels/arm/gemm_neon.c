/* Products of packed matrices, NEON (see kernels/wide/gemm.h). */
#include "kernels/arm/wide_neon.h"

/* 16 accumulators, 4 columns, 1 row: 21 of 32 registers. */
#define SIDE    4
#define VECTORS 4
#include "kernels/wide/gemm.h"

void kernels_neon_gemm(Kernels *table)
{
    register_gemm(table);
}
