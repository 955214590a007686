/* Conversions of float types, AVX512 (see kernels/wide/convert.h). */
#include "kernels/x86/wide_avx512.h"

#include "kernels/wide/convert.h"

void kernels_avx512_convert(Kernels *table)
{
    register_convert(table);
}
