/* Inside convert/: numbers of a safetensors tensor as float32. */
#ifndef CONVERT_VALUES_H
#define CONVERT_VALUES_H

#include "io/safetensors.h"

/* n numbers, `step` elements apart, from element `at` on; NaN for types that hold no weights. */
void value_load(const StTensor *t, uint64_t at, uint64_t step, uint64_t n, float *out);

#endif
