/* Adapters at work (see adapt.h): rows are cut into runs that have the same, and each run goes to
 * the backend. Where no row has adapters nothing is looked at but a count. */
#include "ops/adapt.h"

#include <string.h>

#include "ops/back.h"
#include "ops/tape.h"

bool step_adapts(const Step *s, const Weight *w)
{
    for (int32_t i = 0; i < s->n_sets; i++)
        if (adapters_find(s->sets[i], w)) return true;
    return false;
}

float *step_adapt_room(Step *s, const Weight *const *w, int count, int64_t rows)
{
    int32_t most = 0;
    for (int32_t i = 0; i < s->n_sets; i++)
        for (int j = 0; j < count; j++) {
            const LowRank *d = adapters_find(s->sets[i], w[j]);
            if (d && d->rank > most) most = d->rank;
        }
    return step_memory(s, (size_t)rows * (size_t)most * sizeof(float));
}

/* The row of the step that row `i` of a tensor of `rows` is; *at is that of the row before, or -1.
 */
static const StepRow *row_of(const Step *s, int64_t rows, int64_t i, int32_t *at)
{
    if (rows == s->n_rows) {
        *at = (int32_t)i;
    } else {
        ++*at;
        while (*at < s->n_rows - 1 && !s->rows[*at].want) ++*at;
    }
    return &s->rows[*at];
}

/* Rows [first, end) have the same adapters; returns end. */
static int64_t run_end(const Step *s, int64_t rows, int64_t first, int32_t *at,
                       const Adapters **out)
{
    int32_t here = *at;
    int64_t end = first + 1;
    *out = row_of(s, rows, first, at)->adapters;
    for (; end < rows; end++) {
        here = *at;
        if (row_of(s, rows, end, &here)->adapters != *out) break;
        *at = here;
    }
    return end;
}

static AdaptRun run_of(Tensor x, const Weight *w, Tensor out, const LowRank *d, int64_t first,
                       int64_t end, int64_t mat)
{
    return (AdaptRun){.delta = d,
                      .w = w,
                      .mat = mat,
                      .x = tensor_at(x, first) + mat * w->k,
                      .x_stride = tensor_stride(x),
                      .out = tensor_at(out, first) + mat * w->n,
                      .out_stride = tensor_stride(out),
                      .rows = end - first};
}

/* ---- training: all rows have the same adapters ---- */

typedef struct AdaptRecord {
    Tensor x, out;
    const Weight *w;
    const LowRank *d;
    float *h, *sum;
} AdaptRecord;

static float *at_mat(float *grad, int64_t mat, size_t stride)
{
    return grad ? grad + (size_t)mat * stride : NULL;
}

static void adapt_back(Step *s, const void *saved)
{
    const AdaptRecord *r = saved;
    const LowRank *d = r->d;
    Tensor d_out = tape_grad(s, r->out), d_x = tape_grad(s, r->x);
    float *h = step_memory(s, (size_t)r->x.rows * (size_t)d->rank * sizeof *h);
    float *a = tape_param(s, d->a), *b = tape_param(s, d->b), *m = tape_param(s, d->magnitude);
    if (step_failed(s) || !step_computes(s)) return;
    for (int64_t mat = 0; mat < r->w->n_mats; mat++) {
        AdaptRun run = run_of(r->x, r->w, r->out, d, 0, r->x.rows, mat);
        run.h = r->h + mat * r->x.rows * d->rank;
        run.sum = r->sum;
        AdaptGrads g = {.out = tensor_at(d_out, 0) + mat * r->w->n,
                        .x = d_x.data ? tensor_at(d_x, 0) + mat * r->w->k : NULL,
                        .a = at_mat(a, mat, d->a_stride),
                        .b = at_mat(b, mat, d->b_stride),
                        .magnitude = at_mat(m, mat, d->factor_stride),
                        .h = h};
        training_of(s)->adapt_back(s->backend, &run, &g, s->tape->precision);
    }
}

static void train_adapt(Step *s, Tensor x, const Weight *w, Tensor out)
{
    const LowRank *d = adapters_find(s->sets[0], w);
    size_t rows = (size_t)x.rows, h_floats = rows * (size_t)w->n_mats * (size_t)d->rank;
    AdaptRecord r = {.x = x, .out = out, .w = w, .d = d};
    if (s->n_sets != 1 || (d->factor && w->n_mats > 1)) {
        step_fail(s, BT_E_UNSUPPORTED, "%s: these adapters cannot be trained", w->name);
        return;
    }
    r.h = step_memory(s, h_floats * sizeof *r.h);
    if (d->whole) r.sum = step_memory(s, rows * (size_t)w->n * sizeof *r.sum);
    for (int64_t mat = 0; step_computes(s) && mat < w->n_mats; mat++) {
        AdaptRun run = run_of(x, w, out, d, 0, x.rows, mat);
        run.h = r.h + mat * x.rows * d->rank;
        run.sum = r.sum;
        training_of(s)->adapt(s->backend, &run, s->tape->precision);
    }
    tape_record(s, adapt_back, &r, sizeof r);
    tape_reserve(s, rows * (size_t)d->rank * sizeof(float));
}

/* ---- */

void step_adapt(Step *s, Tensor x, const Weight *w, Tensor out)
{
    if (!s->n_sets || step_failed(s) || !step_adapts(s, w)) return;
    if (s->tape) {
        train_adapt(s, x, w, out);
        return;
    }
    size_t mark = arena_mark(s->arena);
    float *h = step_adapt_room(s, &w, 1, x.rows);
    int32_t at = -1;
    if (step_failed(s)) return;
    for (int64_t i = 0, end; step_computes(s) && i < x.rows; i = end) {
        const Adapters *own;
        end = run_end(s, x.rows, i, &at, &own);
        const LowRank *d = adapters_find(own, w);
        for (int64_t mat = 0; d && mat < w->n_mats; mat++) {
            AdaptRun run = run_of(x, w, out, d, i, end, mat);
            run.h = h;
            s->backend->ops->adapt(s->backend, &run);
        }
    }
    arena_reset(s->arena, mark);
}

/* A row of the table is that of its token plus the token's row of B times A. */
void step_adapt_embedding(Step *s, const Weight *table, const int32_t *ids, Tensor out)
{
    for (int64_t i = 0; s->n_sets && i < out.rows; i++) {
        const Adapters *own = s->rows[i].adapters;
        const LowRank *d = own ? &own->embedding : NULL;
        if (!d || !d->rank || s->rows[i].embedding) continue;
        const float *b = d->b + (size_t)ids[i] * (size_t)d->rank;
        float *to = tensor_at(out, i);
        for (int32_t j = 0; j < d->rank; j++)
            for (int64_t c = 0; c < table->k; c++) to[c] += b[j] * d->a[j * table->k + c];
    }
}
