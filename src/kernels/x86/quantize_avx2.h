/* See kernels.h: quantize_act. */
#ifndef KERNELS_X86_QUANTIZE_AVX2_H
#define KERNELS_X86_QUANTIZE_AVX2_H

#include <stddef.h>
#include <stdint.h>

void quantize_act_avx2(const float *x, size_t k, int8_t *q, float *scale, float *sum32,
                       float *sum16, int16_t *q_sum16);

#endif
