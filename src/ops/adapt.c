/* Adapters at work (see adapt.h): rows are cut into runs that have the same, and each run goes to
 * the backend. Where no row has adapters nothing is looked at but a count. */
#include "ops/adapt.h"

#include <string.h>

#include "ops/shapes.h"

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

static void adapt_run(Step *s, Tensor x, const Weight *w, Tensor out, const LowRank *d,
                      int64_t first, int64_t end, float *h)
{
    size_t k = (size_t)w->k, n = (size_t)w->n;
    for (int64_t mat = 0; mat < w->n_mats; mat++)
        s->backend->ops->adapt(s->backend,
                               &(AdaptRun){.delta = d,
                                           .w = w,
                                           .mat = mat,
                                           .x = tensor_at(x, first) + (size_t)mat * k,
                                           .x_stride = tensor_stride(x),
                                           .h = h,
                                           .out = tensor_at(out, first) + (size_t)mat * n,
                                           .out_stride = tensor_stride(out),
                                           .rows = end - first});
}

void step_adapt(Step *s, Tensor x, const Weight *w, Tensor out)
{
    if (!s->n_sets || step_failed(s) || !step_adapts(s, w)) return;
    size_t mark = arena_mark(s->arena);
    float *h = step_adapt_room(s, &w, 1, x.rows);
    int32_t at = -1;
    if (step_failed(s)) return;
    for (int64_t i = 0, end; step_computes(s) && i < x.rows; i = end) {
        const Adapters *own;
        end = run_end(s, x.rows, i, &at, &own);
        const LowRank *d = adapters_find(own, w);
        if (d) adapt_run(s, x, w, out, d, i, end, h);
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
