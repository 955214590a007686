/* Kernels of training, AVX2 (see kernels/wide/train.h). */
#include "kernels/x86/wide_avx2.h"

#include "kernels/wide/train.h"

void kernels_avx2_train(Kernels *table)
{
    register_train(table);
}
