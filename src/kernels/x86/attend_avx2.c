/* Attention, AVX2 (see kernels/wide/attend.h). */
#include "kernels/x86/wide_avx2.h"

/* 8 sums, 2 values, 1 weight: 11 of 16 registers. */
#define VALUE_VECTORS 2
#include "kernels/wide/attend.h"

void kernels_avx2_attend(Kernels *table)
{
    register_attend(table);
}
