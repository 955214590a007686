/* Arrays of vectors are registers only where every loop over them is unrolled. */
#ifndef KERNELS_WIDE_UNROLL_H
#define KERNELS_WIDE_UNROLL_H

/* Before a loop of few, constant rounds over registers. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#endif
