/* Which instructions this CPU has, one bit a feature set that kernels are compiled for. */
#ifndef BASE_CPU_H
#define BASE_CPU_H

#include <stdint.h>

/* Names as in BANTAM_CPU_MASK and `bantam doctor`. A bit implies those it stands on. */
#define CPU_FEATURES(X)                                                                            \
    X(CPU_AVX2, 0, "avx2")       /* AVX2 + FMA + F16C + BMI2 */                                    \
    X(CPU_AVXVNNI, 1, "avxvnni") /* 256-bit vpdpbusd */                                            \
    X(CPU_AVX512, 2, "avx512")   /* F, BW, DQ, VL, VBMI */                                         \
    X(CPU_AVX512VNNI, 3, "avx512vnni")                                                             \
    X(CPU_AVX512BF16, 4, "avx512bf16")                                                             \
    X(CPU_AMXINT8, 5, "amxint8") /* tiles of int8 */                                               \
    X(CPU_AMXBF16, 6, "amxbf16") /* tiles of bf16, and AVX-512's conversions to it */              \
    X(CPU_NEON, 8, "neon")                                                                         \
    X(CPU_DOTPROD, 9, "dotprod")                                                                   \
    X(CPU_I8MM, 10, "i8mm")                                                                        \
    X(CPU_ARMBF16, 11, "armbf16")

enum {
#define CPU_BIT(name, bit, text) name = 1 << (bit),
    CPU_FEATURES(CPU_BIT)
#undef CPU_BIT
};

#define CPU_NONE 0x80000000u /* mask value: plain C only (0 would mean "all") */

/* What this CPU has and this system saves the registers of. */
uint32_t cpu_features(void);
/* Those to choose kernels by: of what is there, what `mask` names (CPU_NONE: nothing). With mask 0
 * all but what is slower here than going without: avx512bf16 where vdpbf16ps is not known to do
 * twice what float32 does (docs/kernels.md). */
uint32_t cpu_choose(uint32_t mask);
/* The features in a comma-separated list and those they stand on ("avx2,avxvnni"; "none");
 * CPU_NONE|0 for "none"; 0 for an unknown name. */
uint32_t cpu_mask_parse(const char *list);
/* Comma-separated names of `features`, "none" when there are none; out must hold 128 bytes.
 * Returns out. */
char *cpu_names(uint32_t features, char *out);

#endif
