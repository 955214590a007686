/* Each part fills its pointers into the table; faster ones are laid over slower ones. */
#ifndef KERNELS_PARTS_H
#define KERNELS_PARTS_H

#include "kernels/kernels.h"

/* Every part that exists for some machine: X(function, features it needs, name it gives the table
 * or ""). In order of speed: later rows win. */
#define KERNEL_PARTS_ANY(X)                                                                        \
    X(kernels_ref_vector, 0, "")                                                                   \
    X(kernels_ref_convert, 0, "")                                                                  \
    X(kernels_ref_matmul_rows, 0, "")                                                              \
    X(kernels_ref_attend, 0, "")                                                                   \
    X(kernels_ref_quant, 0, "")                                                                    \
    X(kernels_ref_recurrent, 0, "")                                                                \
    X(kernels_ref_gemm, 0, "")                                                                     \
    X(kernels_ref_train, 0, "")

#define KERNEL_PARTS_X86(X)                                                                        \
    X(kernels_avx2_rows, CPU_AVX2, "avx2")                                                         \
    X(kernels_avx2_attend, CPU_AVX2, "")                                                           \
    X(kernels_avx2_convert, CPU_AVX2, "")                                                          \
    X(kernels_avx2_matmul_rows, CPU_AVX2, "")                                                      \
    X(kernels_avx2_quant, CPU_AVX2, "")                                                            \
    X(kernels_avx2_recurrent, CPU_AVX2, "")                                                        \
    X(kernels_avx2_train, CPU_AVX2, "")                                                            \
    X(kernels_avx2_gemm, CPU_AVX2, "")                                                             \
    X(kernels_avxvnni_quant, CPU_AVX2 | CPU_AVXVNNI, "avx2+vnni")                                  \
    X(kernels_avx512_rows, CPU_AVX2 | CPU_AVX512, "avx512")                                        \
    X(kernels_avx512_attend, CPU_AVX2 | CPU_AVX512, "")                                            \
    X(kernels_avx512_convert, CPU_AVX2 | CPU_AVX512, "")                                           \
    X(kernels_avx512_matmul_rows, CPU_AVX2 | CPU_AVX512, "")                                       \
    X(kernels_avx512_recurrent, CPU_AVX2 | CPU_AVX512, "")                                         \
    X(kernels_avx512_train, CPU_AVX2 | CPU_AVX512, "")                                             \
    X(kernels_avx512_gemm, CPU_AVX2 | CPU_AVX512, "")                                              \
    X(kernels_avx512vnni_quant, CPU_AVX2 | CPU_AVX512 | CPU_AVX512VNNI, "avx512+vnni")             \
    X(kernels_amxint8_quant, KERNEL_AMXINT8, "avx512+vnni+amx")                                    \
    X(kernels_avx512bf16_attend, KERNEL_BF16, "avx512+vnni+bf16")                                  \
    X(kernels_avx512bf16_matmul_rows, KERNEL_BF16, "")                                             \
    X(kernels_avx512bf16_gemm, KERNEL_BF16, "")                                                    \
    X(kernels_amxbf16_attend, KERNEL_AMXBF16, "avx512+amx")                                        \
    X(kernels_amxbf16_gemm, KERNEL_AMXBF16, "")

#define KERNEL_AMXINT8 (CPU_AVX2 | CPU_AVX512 | CPU_AVX512VNNI | CPU_AMXINT8)
#define KERNEL_AMXBF16 (CPU_AVX2 | CPU_AVX512 | CPU_AMXBF16)
/* What cpu_choose leaves out where it is slow. */
#define KERNEL_BF16 (CPU_AVX2 | CPU_AVX512 | CPU_AVX512VNNI | CPU_AVX512BF16)

#define KERNEL_PARTS_ARM(X)                                                                        \
    X(kernels_neon_rows, CPU_NEON, "neon")                                                         \
    X(kernels_neon_convert, CPU_NEON, "")                                                          \
    X(kernels_neon_matmul_rows, CPU_NEON, "")                                                      \
    X(kernels_neon_attend, CPU_NEON, "")                                                           \
    X(kernels_neon_recurrent, CPU_NEON, "")                                                        \
    X(kernels_neon_train, CPU_NEON, "")                                                            \
    X(kernels_neon_gemm, CPU_NEON, "")                                                             \
    X(kernels_neon_quant, CPU_NEON, "")                                                            \
    X(kernels_dotprod_quant, CPU_NEON | CPU_DOTPROD, "neon+dotprod")                               \
    X(kernels_i8mm_quant, CPU_NEON | CPU_DOTPROD | CPU_I8MM, "neon+i8mm")

#define KERNEL_PART_DECLARE(fn, features, name) void fn(Kernels *table);
KERNEL_PARTS_ANY(KERNEL_PART_DECLARE)
KERNEL_PARTS_X86(KERNEL_PART_DECLARE)
KERNEL_PARTS_ARM(KERNEL_PART_DECLARE)
#undef KERNEL_PART_DECLARE

#endif
