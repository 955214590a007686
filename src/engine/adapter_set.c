/* Adapters laid together for the rows that have them (see adapter.h).
 *
 * W with adapters in turn is factor (W) + B A: without magnitudes factor is 1, and the A's and B's
 * of all stand side by side. An adapter with magnitudes (DoRA, arXiv 2402.09353) divides each row
 * of what is there by its length and multiplies it: that scales the factor and the B's so far. */
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "engine/adapter.h"

#define MOST_USES 16

static void *keep(AdapterSet *s, size_t count, size_t size)
{
    if (s->n_memory == s->memory_capacity) {
        size_t capacity = s->memory_capacity ? 2 * s->memory_capacity : 64;
        void **more = mem_realloc(s->memory, capacity * sizeof *more);
        if (!more) return NULL;
        s->memory = more;
        s->memory_capacity = capacity;
    }
    void *memory = mem_zalloc(count ? count : 1, size);
    if (memory) s->memory[s->n_memory++] = memory;
    return memory;
}

void adapter_set_close(AdapterSet **set)
{
    AdapterSet *s = *set;
    if (!s) return;
    for (size_t i = 0; i < s->n; i++) bt_adapter_close(&s->uses[i].adapter);
    for (size_t i = 0; i < s->n_memory; i++) mem_free(s->memory[i]);
    mem_free(s->memory);
    mem_free(s->uses);
    mem_free(s);
    *set = NULL;
}

bool adapter_set_is(const AdapterSet *s, const bt_adapter_use *uses, size_t n)
{
    if (n != s->n) return false;
    for (size_t i = 0; i < n; i++)
        if (uses[i].adapter != s->uses[i].adapter || uses[i].scale != s->uses[i].scale)
            return false;
    return true;
}

void adapter_row(const LoraMatrix *const *lora, const float *scale, size_t n, int64_t mat,
                 int64_t row, float *x, double *factors)
{
    for (size_t i = 0; i < n; i++) {
        const LoraMatrix *l = lora[i];
        if (factors) factors[i] = 1;
        if (!l) continue;
        const float *b = l->b + (mat * l->n + row) * l->rank;
        for (int32_t j = 0; j < l->rank; j++) {
            const float *a = l->a + (mat * l->rank + j) * l->k;
            float s = scale[i] * l->scale * b[j];
            for (int64_t c = 0; c < l->k; c++) x[c] += s * a[c];
        }
        if (!l->magnitude) continue;
        double sum = 0, m = (double)l->magnitude[mat * l->n + row];
        for (int64_t c = 0; c < l->k; c++) sum += (double)x[c] * (double)x[c];
        double factor = sum > 0 ? m / sqrt(sum) : 0;
        for (int64_t c = 0; c < l->k; c++) x[c] = (float)(x[c] * factor);
        if (factors) factors[i] = factor;
    }
}

/* What the adapters of a set make of one tensor. */
typedef struct Together {
    const LoraMatrix *of[MOST_USES];
    float scale[MOST_USES]; /* the caller's */
    size_t n;
    int64_t k, rows, n_mats; /* of the tensor */
    int32_t rank;
    bool dora;
    float *a, *b, *factor;
} Together;

/* ---- magnitudes ---- */

typedef struct FactorJob {
    const Together *t;
    const Weight *w;
    float *x;        /* (members, k) */
    double *factors; /* (members, rows of w, n): each adapter's */
    TeamQueue queue;
} FactorJob;

/* What is multiplied after the i-th: B of the i-th takes all factors from its own on. */
static void apply_factors(const Together *t, int64_t mat, int64_t row, const double *factors)
{
    double all = 1;
    int32_t at = t->rank;
    float *b = t->b + (mat * t->rows + row) * t->rank;
    for (size_t i = t->n; i-- > 0;) {
        if (!t->of[i]) continue;
        all *= factors[i];
        at -= t->of[i]->rank;
        for (int32_t j = 0; j < t->of[i]->rank; j++) b[at + j] = (float)(b[at + j] * all);
    }
    t->factor[mat * t->rows + row] = (float)all;
}

static void factor_rows(void *arg, int member, int n_members)
{
    FactorJob *job = arg;
    const Together *t = job->t;
    const Weight *w = job->w;
    float *x = job->x + (int64_t)member * t->k;
    double factors[MOST_USES];
    int64_t begin, end;
    (void)n_members;
    while (queue_take(&job->queue, &begin, &end))
        for (int64_t i = begin; i < end; i++) {
            int64_t mat = i / w->n, row = i % w->n;
            dequant_row(w->type, weight_rows(w, mat, row), x, (size_t)w->k);
            if (w->scale)
                for (int64_t c = 0; c < w->k; c++) x[c] *= w->scale[mat];
            adapter_row(t->of, t->scale, t->n, mat, w->first + row, x, factors);
            apply_factors(t, mat, w->first + row, factors);
        }
}

static bt_status find_factors(bt_model *m, const char *tensor, const Together *t, bt_error *err)
{
    const Weight *w;
    float *x = mem_alloc((size_t)team_size(m->team) * (size_t)t->k * sizeof *x);
    if (!x) return bt_fail_memory(err, "an adapter", (uint64_t)t->k * sizeof *x);
    for (size_t i = 0; (w = adapter_weight(m, tensor, i)); i++) {
        bool again = false; /* of the same rows, by another name in the model */
        for (size_t j = 0; j < i; j++) {
            const Weight *other = adapter_weight(m, tensor, j);
            again = again || (other->first == w->first && other->n == w->n);
        }
        if (again) continue;
        FactorJob job = {.t = t, .w = w, .x = x};
        queue_start(&job.queue, w->n * w->n_mats, 16);
        pthread_mutex_lock(&m->lock);
        team_run(m->team, factor_rows, &job);
        pthread_mutex_unlock(&m->lock);
    }
    mem_free(x);
    return BT_OK;
}

/* ---- A and B side by side ---- */

static void lay(Together *t)
{
    int32_t at = 0;
    for (size_t i = 0; i < t->n; i++) {
        const LoraMatrix *l = t->of[i];
        if (!l) continue;
        float s = t->scale[i] * l->scale;
        for (int64_t mat = 0; mat < t->n_mats; mat++) {
            memcpy(t->a + (mat * t->rank + at) * t->k, l->a + mat * l->rank * t->k,
                   (size_t)(l->rank * t->k) * sizeof *t->a);
            for (int64_t r = 0; r < t->rows; r++)
                for (int32_t j = 0; j < l->rank; j++)
                    t->b[(mat * t->rows + r) * t->rank + at + j] =
                        s * l->b[(mat * t->rows + r) * l->rank + j];
        }
        at += l->rank;
    }
}

static void bind(const bt_model *m, const char *tensor, const Together *t, AdapterSet *s)
{
    LowRank *of = (LowRank *)(uintptr_t)s->adapters.of;
    const Weight *w;
    LowRank d = {.a = t->a,
                 .b = t->b,
                 .factor = t->factor,
                 .a_stride = (size_t)(t->rank * t->k),
                 .b_stride = (size_t)(t->rank * t->rows),
                 .factor_stride = (size_t)t->rows,
                 .rank = t->rank,
               .scale = 1};
    if (strcmp(tensor, LORA_EMBEDDING) == 0) {
        s->adapters.embedding = d;
        return;
    }
    for (size_t i = 0; (w = adapter_weight(m, tensor, i)); i++) {
        of[w->id] = d;
        of[w->id].b += w->first * t->rank;
        if (d.factor) of[w->id].factor += w->first;
    }
}

static bt_status add_tensor(bt_model *m, AdapterSet *s, const char *tensor, bt_error *err)
{
    Together t = {.n = s->n};
    for (size_t i = 0; i < s->n; i++) {
        const LoraMatrix *l = t.of[i] = lora_find(s->uses[i].adapter->lora, tensor);
        t.scale[i] = s->uses[i].scale;
        if (!l) continue;
        t.k = l->k;
        t.rows = l->n;
        t.n_mats = l->n_mats;
        t.rank += l->rank;
        t.dora = t.dora || l->magnitude;
    }
    size_t mats = (size_t)t.n_mats, rank = (size_t)t.rank, rows = (size_t)t.rows;
    t.a = keep(s, mats * rank * (size_t)t.k, sizeof *t.a);
    t.b = keep(s, mats * rows * rank, sizeof *t.b);
    if (t.dora) t.factor = keep(s, mats * rows, sizeof *t.factor);
    if (!t.a || !t.b || (t.dora && !t.factor))
        return bt_fail_memory(err, "an adapter",
                              mats * rank * ((size_t)t.k + rows) * sizeof(float));
    lay(&t);
    bt_status status = t.dora ? find_factors(m, tensor, &t, err) : BT_OK;
    bind(m, tensor, &t, s);
    return status;
}

static bt_status fill(bt_model *m, AdapterSet *s, bt_error *err)
{
    int32_t most = m->embedding->id;
    for (size_t i = 0; i < m->n_matrices; i++)
        if (m->matrices[i]->id > most) most = m->matrices[i]->id;
    s->adapters.of = keep(s, (size_t)most + 1, sizeof *s->adapters.of);
    s->adapters.n = most + 1;
    if (!s->adapters.of) return bt_fail_memory(err, "an adapter", (uint64_t)most);
    for (size_t i = 0; i < s->n; i++) {
        const Lora *l = s->uses[i].adapter->lora;
        for (size_t j = 0; j < l->n; j++) {
            bool before = false;
            for (size_t k = 0; k < i; k++)
                before = before || lora_find(s->uses[k].adapter->lora, l->items[j].name);
            bt_status status = before ? BT_OK : add_tensor(m, s, l->items[j].name, err);
            if (status) return status;
        }
    }
    return BT_OK;
}

static bt_status check_uses(const bt_model *m, const bt_adapter_use *uses, size_t n, bt_error *err)
{
    if (n > MOST_USES)
        return bt_fail(err, BT_E_LIMIT, "%zu adapters at once; at most %d", n, MOST_USES);
    for (size_t i = 0; i < n; i++) {
        if (!uses[i].adapter)
            return bt_fail(err, BT_E_ARGUMENT, "adapter %zu of %zu is none", i + 1, n);
        if (uses[i].adapter->model != m)
            return bt_fail(err, BT_E_ARGUMENT, "%s: was opened for another model",
                           uses[i].adapter->path);
        if (!isfinite(uses[i].scale))
            return bt_fail(err, BT_E_ARGUMENT, "%s: its scale is no number", uses[i].adapter->path);
    }
    return BT_OK;
}

bt_status adapter_set_open(bt_model *m, const bt_adapter_use *uses, size_t n, AdapterSet **out,
                           bt_error *err)
{
    *out = NULL;
    bt_status status = check_uses(m, uses, n, err);
    if (status) return status;
    AdapterSet *s = mem_zalloc(1, sizeof *s);
    if (!s) return bt_fail_memory(err, "an adapter", sizeof *s);
    s->uses = mem_zalloc(n + 1, sizeof *s->uses);
    if (!s->uses) status = bt_fail_memory(err, "an adapter", n * sizeof *s->uses);
    for (size_t i = 0; i < n && !status; i++) {
        struct {
            uint64_t hash, before;
            double scale;
        } row = {uses[i].adapter->hash, s->hash, (double)uses[i].scale};
        s->uses[s->n++] = uses[i];
        adapter_hold(uses[i].adapter);
        s->hash = hash_bytes(&row, sizeof row, n);
    }
    if (!status) status = fill(m, s, err);
    if (status) adapter_set_close(&s);
    *out = s;
    return status;
}
