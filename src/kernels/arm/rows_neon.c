/* Element-wise and row kernels, NEON (see kernels/wide/rows.h). */
#include "kernels/arm/wide_neon.h"

#include "kernels/wide/rows.h"

void kernels_neon_rows(Kernels *table)
{
    register_rows(table);
}
