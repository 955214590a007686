/* Recurrences, AVX-512 (see kernels/wide/recurrent.h). */
#include "kernels/x86/wide_avx512.h"

#include "kernels/wide/recurrent.h"

void kernels_avx512_recurrent(Kernels *table)
{
    register_recurrent(table);
}
