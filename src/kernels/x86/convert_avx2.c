/* Conversions of float types, AVX2 (see kernels/wide/convert.h). */
#include "kernels/x86/wide_avx2.h"

#include "kernels/wide/convert.h"

void kernels_avx2_convert(Kernels *table)
{
    register_convert(table);
}
