/* Attention, AVX512 (see kernels/wide/attend.h). */
#include "kernels/x86/wide_avx512.h"

/* 16 sums, 4 values, 1 weight: 21 of 32 registers. */
#define VALUE_VECTORS 4
#include "kernels/wide/attend.h"

void kernels_avx512_attend(Kernels *table)
{
    register_attend(table);
}
