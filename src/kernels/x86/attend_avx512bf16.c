/* Attention, AVX512 with BF16 (see kernels/wide/attend.h). */
#include "kernels/x86/wide_avx512bf16.h"

/* 16 sums, 4 values, 1 pair of weights: 21 of 32 registers. */
#define VALUE_VECTORS 4
#include "kernels/wide/attend.h"

void kernels_avx512bf16_attend(Kernels *table)
{
    register_attend(table);
}
