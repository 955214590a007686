/* exp, log and random numbers of the sampler, in plain double arithmetic: the C library's differ
 * between machines in the last bit, and one bit can change a draw and so the whole text. With
 * contraction off (meson.build) these give the same bits wherever doubles are IEEE 754. */
#ifndef ENGINE_SAMPLER_MATH_H
#define ENGINE_SAMPLER_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define SAMPLER_LN2 0.693147180559945309417

/* e^x for x <= 0 within 2 ulp; below -700 (and for NaN) e^-700, which is nothing here. Splits x
 * into k ln 2 + r and sums the Taylor series of r, |r| <= ln 2 / 2. No branch: it vectorises. */
static inline double sampler_exp(double x)
{
    const double magic = 0x1.8p52; /* adding it rounds to an integer, left in the low bits */
    x = x > -700.0 ? x : -700.0;
    double shifted = x * 1.44269504088896340736 + magic;
    double k = shifted - magic;
    double r =
        x - k * 6.93147180369123816490e-01; /* ln 2 in two parts: k times the first is exact */
    r -= k * 1.90821492927058770002e-10;
    double y = 1.0 / 6227020800.0;
    y = y * r + 1.0 / 479001600.0;
    y = y * r + 1.0 / 39916800.0;
    y = y * r + 1.0 / 3628800.0;
    y = y * r + 1.0 / 362880.0;
    y = y * r + 1.0 / 40320.0;
    y = y * r + 1.0 / 5040.0;
    y = y * r + 1.0 / 720.0;
    y = y * r + 1.0 / 120.0;
    y = y * r + 1.0 / 24.0;
    y = y * r + 1.0 / 6.0;
    y = y * r + 0.5;
    y = y * r + 1.0;
    y = y * r + 1.0;
    uint64_t bits, exponent;
    memcpy(&bits, &y, sizeof bits);
    memcpy(&exponent, &shifted, sizeof exponent);
    bits += exponent << 52; /* times 2^k */
    memcpy(&y, &bits, sizeof y);
    return y;
}

/* Natural logarithm of a finite x > 0: the series of 2 artanh((m - 1) / (m + 1)) for the
 * mantissa m in [sqrt 1/2, sqrt 2). */
static inline double sampler_log(double x)
{
    int exponent;
    double m = frexp(x, &exponent);
    if (m < 0.70710678118654752440) {
        m *= 2;
        exponent--;
    }
    double s = (m - 1) / (m + 1), s2 = s * s, sum = 0;
    for (int i = 23; i >= 1; i -= 2) sum = sum * s2 + 1.0 / i;
    return 2 * s * sum + exponent * SAMPLER_LN2;
}

/* xoshiro256** 1.0 of David Blackman and Sebastiano Vigna (2018), its state filled by splitmix64
 * as its authors advise. Not for secrets. */
typedef struct SamplerRandom {
    uint64_t state[4];
} SamplerRandom;

static inline void sampler_random_seed(SamplerRandom *random, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        random->state[i] = z ^ (z >> 31);
    }
}

static inline uint64_t sampler_rotate(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

static inline uint64_t sampler_random_next(SamplerRandom *random)
{
    uint64_t *s = random->state, result = sampler_rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = sampler_rotate(s[3], 45);
    return result;
}

/* Uniform in [0, 1), 53 bits. */
static inline double sampler_random_unit(SamplerRandom *random)
{
    return (double)(sampler_random_next(random) >> 11) * 0x1p-53;
}

#endif
