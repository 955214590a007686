/* Four floats at a time, in the vectors every 64-bit machine has. The searches put four trials side
 * by side, not four numbers of a row: nothing is summed across a vector then, and sums are the same
 * on every machine. */
#ifndef QUANT_LANES_H
#define QUANT_LANES_H

#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

typedef float Lanes __attribute__((vector_size(16)));
typedef int32_t LaneMask __attribute__((vector_size(16))); /* all bits of a lane set, or none */

static inline Lanes lanes_load(const float *p)
{
    Lanes a;
    memcpy(&a, p, sizeof a);
    return a;
}

static inline void lanes_store(float *p, Lanes a)
{
    memcpy(p, &a, sizeof a);
}

static inline Lanes lanes_set(float a)
{
    return (Lanes){a, a, a, a};
}

static inline Lanes lanes_min(Lanes a, Lanes b)
{
#if defined(__SSE2__)
    return (Lanes)_mm_min_ps((__m128)a, (__m128)b);
#elif defined(__ARM_NEON)
    return (Lanes)vminq_f32((float32x4_t)a, (float32x4_t)b);
#else
    for (int i = 0; i < 4; i++) a[i] = a[i] < b[i] ? a[i] : b[i];
    return a;
#endif
}

static inline Lanes lanes_max(Lanes a, Lanes b)
{
#if defined(__SSE2__)
    return (Lanes)_mm_max_ps((__m128)a, (__m128)b);
#elif defined(__ARM_NEON)
    return (Lanes)vmaxq_f32((float32x4_t)a, (float32x4_t)b);
#else
    for (int i = 0; i < 4; i++) a[i] = a[i] > b[i] ? a[i] : b[i];
    return a;
#endif
}

static inline Lanes lanes_abs(Lanes a)
{
    return lanes_max(a, -a);
}

/* a where the mask is set, else b. */
static inline Lanes lanes_pick(LaneMask mask, Lanes a, Lanes b)
{
    return (Lanes)(((LaneMask)a & mask) | ((LaneMask)b & ~mask));
}

/* To the nearest whole number, halves to even; |a| < 2^22. */
static inline Lanes lanes_round(Lanes a)
{
    Lanes magic = lanes_set(0x1.8p23f);
    return (a + magic) - magic;
}

static inline float lanes_sum(Lanes a)
{
    return (a[0] + a[2]) + (a[1] + a[3]);
}

#endif
