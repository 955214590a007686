/* Element-wise and row kernels, AVX2 (see kernels/wide/rows.h). */
#include "kernels/x86/wide_avx2.h"

#include "kernels/wide/rows.h"

void kernels_avx2_rows(Kernels *table)
{
    register_rows(table);
}
