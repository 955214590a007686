/* Attention, NEON (see kernels/wide/attend.h). */
#include "kernels/arm/wide_neon.h"

/* 16 sums, 4 values, 1 weight: 21 of 32 registers. */
#define VALUE_VECTORS 4
#include "kernels/wide/attend.h"

void kernels_neon_attend(Kernels *table)
{
    register_attend(table);
}
