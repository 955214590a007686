/* Readers of block types, one a type: n weights, a multiple of the block, from unaligned bytes. */
#ifndef KERNELS_REF_DEQUANT_H
#define KERNELS_REF_DEQUANT_H

#include <stddef.h>

void dequant_q2_k(const void *src, float *dst, size_t n);
void dequant_q3_k(const void *src, float *dst, size_t n);
void dequant_q4_k(const void *src, float *dst, size_t n);
void dequant_q5_k(const void *src, float *dst, size_t n);
void dequant_q6_k(const void *src, float *dst, size_t n);
void dequant_iq4_xs(const void *src, float *dst, size_t n);
void dequant_tq1_0(const void *src, float *dst, size_t n);
void dequant_tq2_0(const void *src, float *dst, size_t n);
void dequant_iq1_s(const void *src, float *dst, size_t n);
void dequant_iq1_m(const void *src, float *dst, size_t n);
void dequant_iq2_xxs(const void *src, float *dst, size_t n);
void dequant_iq2_xs(const void *src, float *dst, size_t n);
void dequant_iq2_s(const void *src, float *dst, size_t n);
void dequant_iq3_xxs(const void *src, float *dst, size_t n);
void dequant_iq3_s(const void *src, float *dst, size_t n);

#endif
