/* Kernels of training, NEON (see kernels/wide/train.h). */
#include "kernels/arm/wide_neon.h"

#include "kernels/wide/train.h"

void kernels_neon_train(Kernels *table)
{
    register_train(table);
}
