/* Denormals are zero between FLUSH_ON and FLUSH_OFF, which puts things back as they were. */
#ifndef KERNELS_X86_FLUSH_H
#define KERNELS_X86_FLUSH_H

#include <immintrin.h>

#define FLUSH_ON(before)                                                                           \
    ((before) = _mm_getcsr(), _mm_setcsr((before) | _MM_FLUSH_ZERO_ON | _MM_DENORMALS_ZERO_ON))
#define FLUSH_OFF(before) _mm_setcsr(before)

#endif
