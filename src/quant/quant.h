/* Writes rows of numbers as the block types of GGUF: the counterpart of dequant_row.
 *
 * Every writer searches for the scales (and grid points) of least squared error, sum of
 * w (x - value)^2; docs/quantize.md says how. A row is independent of every other: rows may be
 * written on many threads at once. Nothing is allocated; 64 KB of stack. */
#ifndef QUANT_QUANT_H
#define QUANT_QUANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes the n numbers at x (n a multiple of the type's block) as blocks of `type` to dst,
 * dtype_row_bytes(type, n) bytes. `importance`: n weights >= 0, the mean squared activation that
 * meets each column, or NULL: the type's own weighting. The same input gives the same bytes on
 * every machine. What is read back is finite for all finite input: numbers that a type cannot hold
 * (beyond 65,504 times its largest code, mostly) are saturated.
 * False, with dst untouched: a type without a writer, n not whole blocks, a number that is not
 * finite, or a weight that is not finite or negative. */
bool quant_row(uint32_t type, const float *x, size_t n, const float *importance, void *dst);

/* Whether there is a writer: every floating-point and block type but Q8_1, Q8_K and F64. */
bool quant_supported(uint32_t type);

/* Whether the type is too coarse to be of use without importance: IQ1 and IQ2, as measured on
 * language models by those who published the types. quant_row works all the same. */
bool quant_needs_importance(uint32_t type);

#endif
