/* Random numbers in every block type (see make_model.h). */
#ifndef TESTS_MAKE_BLOCKS_H
#define TESTS_MAKE_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>

#include "tensor/dtype.h"

/* Stirs and returns the next of a sequence (splitmix64: Steele, Lea, Flood 2014). */
uint64_t make_random(uint64_t *state);
/* About normal with mean 0 and spread 1: a sum of eight integers, so equal on every machine. */
float make_normal(uint64_t *state);
/* n numbers of this mean and spread as `type`, n a multiple of its block, into out. False: the
 * type is not one that we can make. */
bool make_blocks(DType type, uint64_t n, float mean, float spread, uint64_t *state, void *out);

#endif
