/* Products of matrices for training: both sides are float32 in memory, nothing is packed ahead. The
 * result has the same bits whatever the number of threads. No call fails. The first takes work
 * memory, 4 MiB and 1.25 MiB a thread, that is kept; where there is none it is slow. */
#ifndef BACKEND_CPU_GEMM_H
#define BACKEND_CPU_GEMM_H

#include "backend/backend.h"
#include "kernels/gemm.h"

/* c (m,n) = a (m,k) x (k,n), plus c where `add`. c overlaps neither. k 0: nothing is added. */
void cpu_gemm(Backend *b, size_t m, size_t n, size_t k, GemmMatrix a, GemmMatrix x, float *c,
              size_t c_stride, bool add, GemmPrecision precision);

/* c (m,k) = dy (m,n) times matrix `mat` of w (n,k), as its rows or panels are dequantised, times
 * its factor if it has one; plus c where `add`. The way back through a frozen weight. */
void cpu_gemm_weight(Backend *b, size_t m, const float *dy, size_t stride, const Weight *w,
                     int64_t mat, float *c, size_t c_stride, bool add, GemmPrecision precision);

#endif
