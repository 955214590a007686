/* Kernels of training, AVX512 (see kernels/wide/train.h). */
#include "kernels/x86/wide_avx512.h"

#include "kernels/wide/train.h"

void kernels_avx512_train(Kernels *table)
{
    register_train(table);
}
