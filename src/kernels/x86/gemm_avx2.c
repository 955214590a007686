/* Products of packed matrices, AVX2 (see kernels/wide/gemm.h). */
#include "kernels/x86/wide_avx2.h"

#include "kernels/x86/flush.h"

/* 12 accumulators, 2 columns, 1 row: 15 of 16 registers. */
#define SIDE    6
#define VECTORS 2
#include "kernels/wide/gemm.h"

void kernels_avx2_gemm(Kernels *table)
{
    register_gemm(table);
}
