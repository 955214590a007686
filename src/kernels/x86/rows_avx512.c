/* Element-wise and row kernels, AVX512 (see kernels/wide/rows.h). */
#include "kernels/x86/wide_avx512.h"

#include "kernels/wide/rows.h"

void kernels_avx512_rows(Kernels *table)
{
    register_rows(table);
}
