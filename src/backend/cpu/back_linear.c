/* Products with matrices that are trained, and the ways back through products, biases and tables of
 * rows. A sum over rows belongs to a strip of columns: one thread adds it up in order of rows. */
#include <string.h>

#include "backend/cpu/back.h"

#define STRIP 64 /* columns */

void cpu_clear(Backend *b, Tensor x)
{
    cpu_clear_floats((Cpu *)b, x.data, (size_t)x.rows * tensor_row(x));
}

#define CLEAR_PIECE 65536

typedef struct ClearJob {
    float *data;
    size_t n;
} ClearJob;

static void clear_pieces(void *arg, int member, int64_t begin, int64_t end)
{
    const ClearJob *job = arg;
    size_t from = (size_t)begin * CLEAR_PIECE, to = (size_t)end * CLEAR_PIECE;
    (void)member;
    memset(job->data + from, 0, ((to < job->n ? to : job->n) - from) * sizeof(float));
}

void cpu_clear_floats(Cpu *c, float *data, size_t n)
{
    ClearJob job = {data, n};
    int64_t pieces = (int64_t)((n + CLEAR_PIECE - 1) / CLEAR_PIECE);
    cpu_share(c, pieces, 1, (int64_t)(n / 4), clear_pieces, &job);
}

/* ---- sums over rows ---- */

typedef struct ColumnsJob {
    const Kernels *k;
    Tensor d, x;
    float *sums;
    const int32_t *ids;
    float alpha;
    bool products;
} ColumnsJob;

static size_t strip_of(size_t all, int64_t piece)
{
    size_t left = all - (size_t)piece * STRIP;
    return left < STRIP ? left : STRIP;
}

static void sum_strips(void *arg, int member, int64_t begin, int64_t end)
{
    const ColumnsJob *job = arg;
    size_t row = tensor_row(job->d);
    (void)member;
    for (int64_t p = begin; p < end; p++) {
        size_t at = (size_t)p * STRIP, n = strip_of(row, p);
        job->k->norm_columns(
            job->d.data + at, tensor_stride(job->d), job->products ? job->x.data + at : NULL,
            job->products ? tensor_stride(job->x) : 0, NULL, 0, (size_t)job->d.rows, n,
            job->products ? job->sums + at : NULL, job->products ? NULL : job->sums + at);
    }
}

static void sum_columns(Cpu *c, const ColumnsJob *job)
{
    int64_t strips = (int64_t)((tensor_row(job->d) + STRIP - 1) / STRIP);
    ColumnsJob copy = *job;
    copy.k = c->k;
    cpu_share(c, strips, 1, job->d.rows * (int64_t)tensor_row(job->d), sum_strips, &copy);
}

void cpu_add_columns(Cpu *c, Tensor d, float *sums)
{
    sum_columns(c, &(ColumnsJob){.d = d, .sums = sums});
}

void cpu_add_products(Cpu *c, Tensor d, Tensor x, float *sums)
{
    sum_columns(c, &(ColumnsJob){.d = d, .x = x, .sums = sums, .products = true});
}

/* ---- matrices ---- */

typedef struct BiasJob {
    const Kernels *k;
    const float *bias;
    Tensor out;
} BiasJob;

static void bias_rows(void *arg, int member, int64_t begin, int64_t end)
{
    const BiasJob *job = arg;
    (void)member;
    for (int64_t i = begin; i < end; i++)
        job->k->add(tensor_at(job->out, i), job->bias, tensor_row(job->out),
                    tensor_at(job->out, i));
}

static GemmMatrix matrix_of(Tensor x, bool turned)
{
    return (GemmMatrix){x.data, tensor_stride(x), turned};
}

static GemmMatrix weight_of(const Weight *w, int64_t mat, bool turned)
{
    return (GemmMatrix){(const float *)(const void *)weight_rows(w, mat, 0),
                        w->row_bytes / sizeof(float), turned};
}

void cpu_train_linear(Cpu *c, Tensor x, const Weight *w, int64_t mat, Tensor out, GemmPrecision p)
{
    if (cpu_gemm_packed(&c->base, w))
        cpu_gemm_from_ahead(c, (size_t)x.rows, matrix_of(x, false), w, out.data,
                            tensor_stride(out));
    else
        cpu_gemm(&c->base, (size_t)x.rows, (size_t)w->n, (size_t)w->k, matrix_of(x, false),
                 weight_of(w, mat, true), out.data, tensor_stride(out), false, p);
    if (!w->bias) return;
    BiasJob job = {c->k, w->bias + mat * w->n, out};
    cpu_share_rows(c, out.rows, tensor_row(out) / 4, bias_rows, &job);
}

void cpu_train_linear_back(Cpu *c, Tensor x, TrainWeight w, int64_t mat, Tensor d_out, Tensor d_x,
                           GemmPrecision p)
{
    size_t rows = (size_t)x.rows, n = (size_t)w.w->n, k = (size_t)w.w->k;
    bool add = !d_x.data || !tensor_take_fresh(d_x);
    if (d_x.data && w.grad)
        cpu_gemm(&c->base, rows, k, n, matrix_of(d_out, false), weight_of(w.w, mat, false),
                 d_x.data, tensor_stride(d_x), add, p);
    else if (d_x.data)
        cpu_gemm_weight(&c->base, rows, d_out.data, tensor_stride(d_out), w.w, mat, d_x.data,
                        tensor_stride(d_x), add, p);
    if (w.grad)
        cpu_gemm(&c->base, n, k, rows, matrix_of(d_out, true), matrix_of(x, false),
                 w.grad + (size_t)mat * n * k, k, true, p);
    if (w.bias_grad) cpu_add_columns(c, d_out, w.bias_grad + (size_t)mat * n);
}

void cpu_linear_forth(Backend *b, Tensor x, const Weight *w, Tensor out, GemmPrecision p)
{
    cpu_train_linear((Cpu *)b, x, w, 0, out, p);
}

void cpu_linear_back(Backend *b, Tensor x, TrainWeight w, Tensor d_out, Tensor d_x, GemmPrecision p)
{
    cpu_train_linear_back((Cpu *)b, x, w, 0, d_out, d_x, p);
}

/* ---- rows in, rows out ---- */

static void embed_strips(void *arg, int member, int64_t begin, int64_t end)
{
    const ColumnsJob *job = arg;
    size_t row = tensor_row(job->d);
    (void)member;
    for (int64_t p = begin; p < end; p++) {
        size_t at = (size_t)p * STRIP, n = strip_of(row, p);
        for (int64_t i = 0; i < job->d.rows; i++) {
            if (job->ids[i] < 0) continue;
            const float *d = tensor_at(job->d, i) + at;
            job->k->axpy(job->alpha, d, n, job->sums + (size_t)job->ids[i] * row + at);
        }
    }
}

void cpu_embed_back(Backend *b, const int32_t *ids, Tensor d_out, float alpha, float *d_table)
{
    ColumnsJob job = {.k = ((Cpu *)b)->k, .d = d_out, .sums = d_table, .ids = ids, .alpha = alpha};
    int64_t strips = (int64_t)((tensor_row(d_out) + STRIP - 1) / STRIP);
    cpu_share((Cpu *)b, strips, 1, d_out.rows * (int64_t)tensor_row(d_out), embed_strips, &job);
}

void cpu_wanted_back(Backend *b, Tensor d_out, const StepRow *rows, Tensor d_x)
{
    const Kernels *k = ((Cpu *)b)->k;
    int64_t n = 0;
    for (int64_t i = 0; i < d_x.rows; i++) {
        if (!rows[i].want) continue;
        k->add(tensor_at(d_x, i), tensor_at(d_out, n), tensor_row(d_x), tensor_at(d_x, i));
        n++;
    }
}

/* ---- the table ---- */

const BackendTraining cpu_training = {
    .clear = cpu_clear,
    .packed = cpu_gemm_packed,
    .linear = cpu_linear_forth,
    .linear_back = cpu_linear_back,
    .adapt = cpu_adapt_forth,
    .adapt_back = cpu_adapt_back,
    .embed_back = cpu_embed_back,
    .norm_back = cpu_norm_back,
    .rope_back = cpu_rope_back,
    .element_back = cpu_element_back,
    .wanted_back = cpu_wanted_back,
    .attend = cpu_attend_rows,
    .attend_back = cpu_attend_back,
    .moe = cpu_moe_forth,
    .moe_back = cpu_moe_back,
};
