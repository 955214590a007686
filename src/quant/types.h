/* The writers of block types, a function each: one block to its bytes. */
#ifndef QUANT_TYPES_H
#define QUANT_TYPES_H

#include "quant/fit.h"

typedef void QuantFn(const QuantBlock *b, uint8_t *out);

QuantFn quant_q8_0, quant_q4_0, quant_q4_1, quant_q5_0, quant_q5_1;
QuantFn quant_q2_k, quant_q3_k, quant_q4_k, quant_q5_k, quant_q6_k;
QuantFn quant_tq1_0, quant_tq2_0, quant_q1_0, quant_q2_0;
QuantFn quant_iq4_nl, quant_iq4_xs, quant_mxfp4, quant_nvfp4;
QuantFn quant_iq1_s, quant_iq1_m, quant_iq2_xxs, quant_iq2_xs, quant_iq2_s;
QuantFn quant_iq3_xxs, quant_iq3_s;

#endif
