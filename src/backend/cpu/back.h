/* Training on the CPU, inside the folder: the table's functions (see backend/training.h) and what
 * they share. */
#ifndef BACKEND_CPU_BACK_H
#define BACKEND_CPU_BACK_H

#include <string.h>

#include "backend/cpu/cpu.h"
#include "backend/training.h"

extern const BackendTraining cpu_training;

/* Row i of a gradient before it is added to: zeroed there and then, in the cache, where the
 * gradient was fresh. */
static inline float *cpu_row_to_add(Tensor d, bool fresh, int64_t i)
{
    float *row = tensor_at(d, i);
    if (fresh) memset(row, 0, tensor_row(d) * sizeof *row);
    return row;
}

void cpu_clear_floats(Cpu *c, float *data, size_t n);
/* sums (row of d) += the sum over rows of d; of d times x. */
void cpu_add_columns(Cpu *c, Tensor d, float *sums);
void cpu_add_products(Cpu *c, Tensor d, Tensor x, float *sums);
/* Matrix `mat` of w. */
void cpu_train_linear(Cpu *c, Tensor x, const Weight *w, int64_t mat, Tensor out, GemmPrecision p);
void cpu_train_linear_back(Cpu *c, Tensor x, TrainWeight w, int64_t mat, Tensor d_out, Tensor d_x,
                           GemmPrecision p);

/* c (m, n) = a w' of a matrix that is packed. */
void cpu_gemm_from_ahead(Cpu *cpu, size_t m, GemmMatrix a, const Weight *w, float *c,
                         size_t c_stride);
bool cpu_gemm_packed(Backend *b, const Weight *w);

void cpu_clear(Backend *b, Tensor x);
void cpu_linear_forth(Backend *b, Tensor x, const Weight *w, Tensor out, GemmPrecision p);
void cpu_linear_back(Backend *b, Tensor x, TrainWeight w, Tensor d_out, Tensor d_x,
                     GemmPrecision p);
void cpu_embed_back(Backend *b, const int32_t *ids, Tensor d_out, float alpha, float *d_table);
void cpu_wanted_back(Backend *b, Tensor d_out, const StepRow *rows, Tensor d_x);
void cpu_norm_back(Backend *b, Tensor x, const Norm *norm, Tensor d_out, Tensor d_x,
                   float *d_weight, float *d_bias, float *work);
void cpu_rope_back(Backend *b, Tensor d, const RopeTable *table);
void cpu_element_back(Backend *b, Tensor x, Tensor y, const ElementOptions *options, Tensor d_out,
                      Tensor d_x, Tensor d_y, float *d_vector);
void cpu_attend_rows(Backend *b, const RowsAttention *a);
void cpu_attend_back(Backend *b, const RowsAttention *a, Tensor d_out, Tensor delta, Tensor d_q,
                     Tensor d_k, Tensor d_v, float *d_sinks);
void cpu_adapt_forth(Backend *b, const AdaptRun *run, GemmPrecision p);
void cpu_adapt_back(Backend *b, const AdaptRun *run, const AdaptGrads *g, GemmPrecision p);
void cpu_moe_forth(Backend *b, const MoeTraining *m, const MoeGrads *trained, GemmPrecision p);
void cpu_moe_back(Backend *b, const MoeTraining *m, const MoeGrads *d, GemmPrecision p);

#endif
