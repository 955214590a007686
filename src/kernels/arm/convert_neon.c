/* Conversions of float types, NEON (see kernels/wide/convert.h). */
#include "kernels/arm/wide_neon.h"

#include "kernels/wide/convert.h"

void kernels_neon_convert(Kernels *table)
{
    register_convert(table);
}
