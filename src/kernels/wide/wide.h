/* Float kernels written once for vectors of any width.
 *
 * A file of this folder is the body of a kernel family in terms of a small set of vector functions;
 * x86/NAME_avx512.c and its like include first the vectors of their instruction set, then the body,
 * and register the result. So every instruction set computes in the same way, and a new one is one
 * header. A header of vectors gives:
 *
 *   LANES          floats a vector; a power of two, 4 to 16
 *   vf, v4         the vector; four floats
 *   vf_set load store load_part store_part      part: n < LANES lanes, the rest zero / untouched
 *   vf_add sub mul div fma max min abs          fma(a, b, c) = a b + c, rounded once; max and min
 *                                               give the second operand where one is NaN
 *   vf_round       to nearest even
 *   vf_sqrt        the square root, rounded once
 *   vf_scale2      a * 2^n, n whole, |n| <= 252, right also where the result is denormal
 *   vf_within      lanes [from, to) of a, the rest of b
 *   vf_first       lane 0
 *   vf_sum vf_top  of all lanes
 *   vf_sum4        v4 of the sums of four vectors
 *   vf_turn        LANES vectors: rows become columns, in place
 *   v4_load v4_add v4_store v4_first
 *   vf_from_bf16 vf_from_f16 (and _part), vf_from_i8, vf_to_bf16, vf_to_f16, vf_to_i8
 *   vf_from_low4 vf_from_high4    of LANES bytes the lower, the upper four bits, less 8
 *   vf_even_bf16 vf_odd_bf16      of 2 LANES bf16: those of even, of odd index
 *   vf_even vf_odd vf_zip_store   the same for floats, and back
 *
 * and, where the instruction set multiplies bf16 in pairs, PAIRS and (a vector holds LANES pairs of
 * neighbours, or the same as raw bits in a float):
 *
 *   vf_dot_pairs(a, b, c)         lane i: c + the products of pair i, in float32; denormals are
 * zero vf_load_pairs vf_load_pairs_part      2 LANES bf16; n < 2 LANES of them, then zeros
 *   vf_pairs_of vf_pairs_of_part  the same from floats, rounded to nearest even
 *   vf_split_pairs                2 LANES floats x: rounded, and what that leaves, rounded; the two
 *                                 add up to x within 2^-17. What rounds to infinity counts as such
 *   vf_zip_pairs                  the first and the last LANES of 2 LANES pairs (a[i], b[i])
 *   vf_first_of_pairs vf_second_of_pairs  the other half of each pair zero
 *   vf_round_pairs(p, v, n)       stores the first n lanes rounded to bf16; returns all of them so
 *
 * This file adds what follows from them: exponential, hyperbolic tangent, log(1 + exp x). */
#ifndef KERNELS_WIDE_WIDE_H
#define KERNELS_WIDE_WIDE_H

#include <math.h>

#include "kernels/wide/unroll.h"

/* Vectors that are summed apart where eight lanes would be one: sums across k have at least eight
 * parts, so that NEON adds up as AVX2 does, as exactly and to the bit. */
enum { SIDES = LANES < 8 ? 2 : 1 };

/* exp(x) = 2^n (1 + t), n whole and the rest r within ln 2 / 2: t = exp(r) - 1 by its Taylor series
 * to r^7, whose next term is below 2^-27. ln 2 is split in two so that r is exact (Cody and Waite,
 * "Software Manual for the Elementary Functions", 1980). */
WIDE vf exp_parts(vf x, vf *n)
{
    *n = vf_round(vf_mul(x, vf_set(1.44269504f)));
    vf r = vf_fma(*n, vf_set(-0.693145752f), x);
    r = vf_fma(*n, vf_set(-1.42860677e-6f), r);
    vf p = vf_set(1.0f / 5040);
    p = vf_fma(p, r, vf_set(1.0f / 720));
    p = vf_fma(p, r, vf_set(1.0f / 120));
    p = vf_fma(p, r, vf_set(1.0f / 24));
    p = vf_fma(p, r, vf_set(1.0f / 6));
    p = vf_fma(p, r, vf_set(0.5f));
    return vf_fma(vf_mul(r, r), p, r);
}

/* Within 1 ulp; infinity above 88.8, zero below -104; NaN stays NaN. */
WIDE vf vf_exp(vf x)
{
    vf n, t = exp_parts(vf_max(vf_set(-105), vf_min(vf_set(89), x)), &n);
    return vf_scale2(vf_add(vf_set(1), t), n);
}

/* tanh(x) = t / (t + 2) with t = exp(2x) - 1, which keeps small x exact. Within 3 ulp. */
WIDE vf vf_tanh(vf x)
{
    x = vf_max(vf_set(-10), vf_min(vf_set(10), x)); /* beyond it is 1 */
    vf n, t = exp_parts(vf_add(x, x), &n), two = vf_scale2(vf_set(1), n);
    t = vf_fma(two, t, vf_sub(two, vf_set(1)));
    return vf_div(t, vf_add(t, vf_set(2)));
}

/* max(x, 0) + log(1 + t), t = exp(-|x|) within (0, 1]; log(1 + t) = 2 artanh(t / (2 + t)), whose
 * series in u <= 1/3 is cut below 2^-26. */
WIDE vf vf_softplus(vf x)
{
    vf t = vf_exp(vf_sub(vf_set(0), vf_abs(x))), u = vf_div(t, vf_add(t, vf_set(2)));
    vf u2 = vf_mul(u, u), p = vf_set(1.0f / 15);
    p = vf_fma(p, u2, vf_set(1.0f / 13));
    p = vf_fma(p, u2, vf_set(1.0f / 11));
    p = vf_fma(p, u2, vf_set(1.0f / 9));
    p = vf_fma(p, u2, vf_set(1.0f / 7));
    p = vf_fma(p, u2, vf_set(1.0f / 5));
    p = vf_fma(p, u2, vf_set(1.0f / 3));
    p = vf_fma(p, u2, vf_set(1));
    return vf_add(vf_max(x, vf_set(0)), vf_mul(vf_add(u, u), p));
}

#endif
