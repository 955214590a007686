/* Recurrences, AVX2 (see kernels/wide/recurrent.h). */
#include "kernels/x86/wide_avx2.h"

#include "kernels/wide/recurrent.h"

void kernels_avx2_recurrent(Kernels *table)
{
    register_recurrent(table);
}
