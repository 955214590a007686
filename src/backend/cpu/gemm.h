/* Products of matrices for training: both sides are float32 in memory, nothing is packed ahead but
 * what is frozen and asked for (cpu_gemm_ahead). The result has the same bits whatever the number
 * of threads. No product fails. The first takes work memory, 4 MiB and 1.25 MiB a thread, that is
 * kept; where there is none it is slow. */
#ifndef BACKEND_CPU_GEMM_H
#define BACKEND_CPU_GEMM_H

#include "backend/backend.h"
#include "base/status.h"
#include "kernels/gemm.h"

/* c (m,n) = a (m,k) x (k,n), plus c where `add`. c overlaps neither. k 0: nothing is added. */
void cpu_gemm(Backend *b, size_t m, size_t n, size_t k, GemmMatrix a, GemmMatrix x, float *c,
              size_t c_stride, bool add, GemmPrecision precision);

/* c (m,k) = dy (m,n) times matrix `mat` of w (n,k), as its rows or panels are dequantised, times
 * its factor if it has one; plus c where `add`. The way back through a frozen weight. */
void cpu_gemm_weight(Backend *b, size_t m, const float *dy, size_t stride, const Weight *w,
                     int64_t mat, float *c, size_t c_stride, bool add, GemmPrecision precision);

/* Packs the matrices of float rows (F32, F16, BF16) among w (n), which are not changed until the
 * backend is closed, once for products of this precision: 2 or 4 bytes a weight that the backend
 * keeps. BackendTraining.packed is true of these from then on. Matrices of other types, with
 * factors, and stacks of experts are passed over. BT_E_MEMORY: nothing was packed. */
bt_status cpu_gemm_ahead(Backend *b, Weight *const *w, size_t n, GemmPrecision precision,
                         bt_error *err);
uint64_t cpu_gemm_ahead_bytes(const Backend *b, Weight *const *w, size_t n,
                              GemmPrecision precision);

#endif
