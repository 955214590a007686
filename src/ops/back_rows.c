/* Records and ways back of ops on rows, norms, matrices and elements (see back.h). */
#include "ops/back.h"

#include "tensor/dtype.h"

TrainWeight train_weight(const Step *s, const Weight *w)
{
    if (!w) return (TrainWeight){0};
    return (TrainWeight){w, tape_param(s, w), tape_param(s, w->bias)};
}

bool train_by_gemm(Step *s, const Weight *w)
{
    if (!w || !tape_param(s, w)) return false;
    if (w->type == DT_F32 && !w->paneled && !w->scale && w->row_bytes % sizeof(float) == 0)
        return true;
    step_fail(s, BT_E_INTERNAL, "weight %s is trained but is not rows of F32 without a factor",
              w->name);
    return false;
}

Tensor train_twin(Step *s, Tensor x, const Weight *a, const Weight *b, const Weight *c)
{
    bool reads = (a && a->paneled) || (b && b->paneled) || (c && c->paneled);
    return reads ? step_twin(s, x) : x;
}

/* ---- rows in and out ---- */

typedef struct EmbedRecord {
    const int32_t *ids;
    float alpha;
    float *d_table;
    Tensor out;
} EmbedRecord;

static void embed_back(Step *s, const void *saved)
{
    const EmbedRecord *r = saved;
    training_of(s)->embed_back(s->backend, r->ids, tape_grad(s, r->out), r->alpha, r->d_table);
}

void record_embed(Step *s, const Weight *table, const int32_t *ids, float alpha, Tensor out)
{
    EmbedRecord r = {ids, alpha, tape_param(s, table), out};
    if (r.d_table) tape_record(s, embed_back, &r, sizeof r);
}

typedef struct WantedRecord {
    Tensor x, out;
} WantedRecord;

static void wanted_back(Step *s, const void *saved)
{
    const WantedRecord *r = saved;
    training_of(s)->wanted_back(s->backend, tape_grad(s, r->out), s->rows, tape_grad(s, r->x));
}

void record_wanted(Step *s, Tensor x, Tensor out)
{
    WantedRecord r = {x, out};
    tape_record(s, wanted_back, &r, sizeof r);
}

/* ---- norms and rotations ---- */

typedef struct NormRecord {
    Tensor x, out;
    Norm norm;
} NormRecord;

static void norm_back(Step *s, const void *saved)
{
    const NormRecord *r = saved;
    float *work = step_memory(s, norm_back_work(r->x) * sizeof *work);
    if (step_failed(s)) return;
    training_of(s)->norm_back(s->backend, r->x, &r->norm, tape_grad(s, r->out),
                              tape_grad_fresh(s, r->x), tape_param(s, r->norm.weight),
                              tape_param(s, r->norm.bias), work);
}

void record_norm(Step *s, Tensor x, const Norm *norm, Tensor out)
{
    NormRecord r = {x, out, *norm};
    tape_record(s, norm_back, &r, sizeof r);
    tape_reserve(s, norm_back_work(x) * sizeof(float));
}

typedef struct RopeRecord {
    Tensor x;
    RopeTable table;
} RopeRecord;

static void rope_back(Step *s, const void *saved)
{
    const RopeRecord *r = saved;
    training_of(s)->rope_back(s->backend, tape_grad(s, r->x), &r->table);
}

void record_rope(Step *s, Tensor x, const RopeTable *table)
{
    RopeRecord r = {x, *table};
    tape_record(s, rope_back, &r, sizeof r);
}

/* ---- matrices ---- */

typedef struct LinearRecord {
    Tensor x, out;
    const Weight *w;
} LinearRecord;

static void linear_back(Step *s, const void *saved)
{
    const LinearRecord *r = saved;
    training_of(s)->linear_back(s->backend, r->x, train_weight(s, r->w), tape_grad(s, r->out),
                                tape_grad_fresh(s, r->x), s->tape->precision);
}

void record_linear(Step *s, Tensor x, const Weight *w, Tensor out)
{
    LinearRecord r = {x, out, w};
    tape_record(s, linear_back, &r, sizeof r);
}

/* ---- elements ---- */

typedef struct ElementRecord {
    Tensor x, y, out;
    ElementOptions options;
} ElementRecord;

static void element_back(Step *s, const void *saved)
{
    const ElementRecord *r = saved;
    training_of(s)->element_back(s->backend, r->x, r->y, &r->options, tape_grad(s, r->out),
                                 tape_grad_fresh(s, r->x), tape_grad_fresh(s, r->y),
                                 tape_param(s, r->options.vector));
}

void record_element(Step *s, Tensor x, Tensor y, const ElementOptions *options, Tensor out)
{
    ElementRecord r = {x, y, out, *options};
    tape_record(s, element_back, &r, sizeof r);
}

void back_add(Step *s, Tensor d, Tensor x)
{
    Tensor to = tape_grad_fresh(s, x);
    if (tensor_take_fresh(to))
        s->backend->ops->element(s->backend, d, d,
                                 &(ElementOptions){.op = ELEMENT_SCALE, .alpha = 1}, to);
    else
        s->backend->ops->add(s->backend, to, d, to);
}

static void add_back(Step *s, const void *saved)
{
    const ElementRecord *r = saved;
    Tensor d = tape_grad(s, r->out);
    back_add(s, d, r->x);
    back_add(s, d, r->y);
}

void record_add(Step *s, Tensor x, Tensor y, Tensor out)
{
    ElementRecord r = {.x = x, .y = y, .out = out};
    tape_record(s, add_back, &r, sizeof r);
}
