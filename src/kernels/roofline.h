/* What this machine can do at most, measured: reading memory, and arithmetic in float32, bf16 and
 * int8. A kernel's speed is told as a share of these. */
#ifndef KERNELS_ROOFLINE_H
#define KERNELS_ROOFLINE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/team.h"

/* All members of the team together; 0: this CPU has no such instruction (or none that we know). */
typedef struct Roofline {
    int threads;
    double memory;               /* GB/s: bytes read / 1e9 */
    double f32;                  /* TFLOP/s: a fused multiply-add is two */
    double bf16;                 /* TFLOP/s, products of bf16 summed in float32 */
    double int8;                 /* TOP/s, products of int8 summed in int32 */
    double tile_bf16, tile_int8; /* the same by a matrix unit apart from the vectors (AMX) */
} Roofline;

/* Measures what `features` (CPU_* bits of base/cpu.h) allow: each limit the best of five, about a
 * second in all. Takes 1 GiB of memory meanwhile, less where a quarter of what is free is less, and
 * refuses below 64 MiB: a buffer that fits the caches measures them. Other programs at work make
 * every number smaller; call it in the minute in which kernels are timed. */
bt_status roofline_measure(Team *team, uint32_t features, Roofline *out, bt_error *err);

/* ---- for the files of each instruction set ---- */

/* One chain of dependent instructions a register, CHAINS of them, `rounds` times. */
enum { ROOFLINE_CHAINS = 12 };
typedef void (*RooflineChains)(int64_t rounds);

typedef struct RooflineProbes {
    uint64_t (*read)(const void *data, size_t bytes); /* bytes a multiple of 256; any value */
    RooflineChains f32, bf16, int8, tile_bf16, tile_int8;
    /* operations of one instruction: 2 a multiply-add */
    int f32_ops, bf16_ops, int8_ops, tile_bf16_ops, tile_int8_ops;
} RooflineProbes;

/* X(function, features it needs): each lays its probes over slower ones. */
#define ROOFLINE_PARTS_X86(X)                                                                      \
    X(roofline_avx2, CPU_AVX2)                                                                     \
    X(roofline_avxvnni, CPU_AVX2 | CPU_AVXVNNI)                                                    \
    X(roofline_avx512, CPU_AVX2 | CPU_AVX512)                                                      \
    X(roofline_avx512vnni, CPU_AVX2 | CPU_AVX512 | CPU_AVX512VNNI)                                 \
    X(roofline_avx512bf16, CPU_AVX2 | CPU_AVX512 | CPU_AVX512BF16)                                 \
    X(roofline_amxint8, CPU_AMXINT8)                                                               \
    X(roofline_amxbf16, CPU_AMXBF16)

#define ROOFLINE_PARTS_ARM(X)                                                                      \
    X(roofline_neon, CPU_NEON)                                                                     \
    X(roofline_dotprod, CPU_NEON | CPU_DOTPROD)

#define ROOFLINE_DECLARE(fn, features) void fn(RooflineProbes *probes);
ROOFLINE_PARTS_X86(ROOFLINE_DECLARE)
ROOFLINE_PARTS_ARM(ROOFLINE_DECLARE)
#undef ROOFLINE_DECLARE

/* The body of a chain probe: twelve registers of type V set to zero, STEP(c) advances one. */
#define ROOFLINE_TWELVE(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11)

#endif
