/* Activations to int8 and scale streams to floats: one version for every ARM set (kernels.h says
 * what they do). */
#ifndef KERNELS_ARM_QUANT_NEON_H
#define KERNELS_ARM_QUANT_NEON_H

#include <stddef.h>
#include <stdint.h>

void quantize_act_neon(const float *x, size_t k, int8_t *q, float *scale, float *sum32,
                       float *sum16, int16_t *q_sum16);
void panel_scales_neon(uint32_t type, const void *scales, size_t k, float *scale, float *min);

#endif
