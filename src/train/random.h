/* Random numbers of training: a function of a key and an index, with no state, so that any part of
 * a sequence can be had on any thread, and the same bits on any machine (no libm). */
#ifndef TRAIN_RANDOM_H
#define TRAIN_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* The i-th 64 bits of a key (SplitMix64, Steele et al. 2014). */
static inline uint64_t random_bits(uint64_t key, uint64_t i)
{
    uint64_t z = key + (i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* About normal, standard deviation 1, within 3.47: four uniform numbers added (Irwin-Hall). */
static inline float random_normal(uint64_t key, uint64_t i)
{
    uint64_t bits = random_bits(key, i);
    uint32_t sum = (uint32_t)(bits & 65535) + (uint32_t)(bits >> 16 & 65535) +
                   (uint32_t)(bits >> 32 & 65535) + (uint32_t)(bits >> 48);
    return ((float)sum - 131070.0f) * (1.7320508f / 65536.0f); /* variance of the sum: 4 / 12 */
}

static inline void random_normals(uint64_t key, float spread, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++) out[i] = spread * random_normal(key, i);
}

#endif
