/* Recurrences, NEON (see kernels/wide/recurrent.h). */
#include "kernels/arm/wide_neon.h"

#include "kernels/wide/recurrent.h"

void kernels_neon_recurrent(Kernels *table)
{
    register_recurrent(table);
}
