/* Products of packed matrices, AVX512 with BF16 (see kernels/wide/gemm.h). */
#include "kernels/x86/wide_avx512bf16.h"

#include "kernels/x86/flush.h"

/* 28 accumulators, 2 columns, 1 row: 31 of 32 registers. */
#define SIDE    14
#define VECTORS 2
#include "kernels/wide/gemm.h"

void kernels_avx512bf16_gemm(Kernels *table)
{
    register_gemm(table);
}
