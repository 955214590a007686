/* A PEFT folder read (see peft.h). */
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "convert/peft_parts.h"
#include "convert/values.h"

typedef struct PeftReader {
    const char *folder;
    Convert *plan;
    PeftConfig config;
    Safetensors *st;
    Lora *lora;
    bt_error *err;
} PeftReader;

/* ---- names ---- */

static Span cut(Span s, const char *end)
{
    return span_ends(s, end) ? (Span){s.data, s.size - strlen(end)} : s;
}

/* The maker's path of a module: without PEFT's wrapping before and behind. */
static void module_path(Span stem, char out[ST_MAX_NAME + 40])
{
    static const char before[] = "base_model.model.";
    size_t n = sizeof before - 1;
    if (stem.size > n && memcmp(stem.data, before, n) == 0)
        stem = (Span){stem.data + n, stem.size - n};
    while (span_ends(stem, ".base_layer")) stem = cut(stem, ".base_layer");
    snprintf(out, ST_MAX_NAME + 40, "%.*s", (int)stem.size, stem.data);
}

static const StTensor *beside(const PeftReader *r, Span stem, const char *end)
{
    char name[ST_MAX_NAME + 40];
    snprintf(name, sizeof name, "%.*s%s", (int)stem.size, stem.data, end);
    return st_find(r->st, span_of(name));
}

static bt_status bad(PeftReader *r, const StTensor *t, const char *what)
{
    char shape[200];
    return bt_fail(r->err, BT_E_FORMAT, "%s: tensor '%.*s' (%s) %s", r->folder, (int)t->name.size,
                   t->name.data, st_shape_text(t, shape, sizeof shape), what);
}

/* ---- one pair ---- */

typedef struct Pair {
    char path[ST_MAX_NAME + 40]; /* of the module; of experts' parameters with their name */
    const StTensor *a, *b, *magnitude;
    int64_t mats, rank, rows, cols; /* mats 0: a plain matrix */
    bool lookup;                    /* of an embedding */
} Pair;

static float number(const StTensor *t, int64_t at)
{
    float x;
    value_load(t, (uint64_t)at, 1, 1, &x);
    return x;
}

/* Row of A, and of B: experts' parameters are stored with the experts of A outside, those of B
 * inside. */
static float value_a(const Pair *p, int64_t mat, int64_t j, int64_t i)
{
    if (p->lookup) return number(p->b, i * p->rank + j);
    return number(p->a, (mat * p->rank + j) * p->cols + i);
}

static float value_b(const Pair *p, int64_t mat, int64_t row, int64_t j)
{
    int64_t mats = p->mats ? p->mats : 1;
    if (p->lookup) return number(p->a, j * p->rows + row);
    return number(p->b, (row * p->rank + j) * mats + mat);
}

static void fill(const Pair *p, const PeftWay *w, LoraMatrix *m)
{
    const ConvOut *o = w->out;
    int64_t mats = p->mats ? p->mats : 1;
    for (int64_t e = 0; e < mats; e++) {
        int64_t mat = w->expert >= 0 ? w->expert : e;
        for (int64_t j = 0; j < p->rank; j++)
            for (int64_t i = 0; i < w->k; i++)
                m->a[(mat * p->rank + j) * w->k + i] = value_a(p, e, j, peft_column(o, i));
        for (int64_t r = 0; r < w->n; r++) {
            int64_t from = peft_row(o, r);
            float factor = o->row_factor ? o->row_factor[r] : 1;
            for (int64_t j = 0; j < p->rank; j++)
                m->b[(mat * w->n + r) * p->rank + j] = factor * value_b(p, e, from, j);
            if (m->magnitude) m->magnitude[mat * w->n + r] = factor * number(p->magnitude, from);
        }
    }
}

/* Experts that come one by one share a matrix. */
static LoraMatrix *place_for(PeftReader *r, const Pair *p, const PeftWay *w, float scale)
{
    LoraMatrix *m = (LoraMatrix *)(uintptr_t)lora_find(r->lora, w->out->name);
    if (m && (w->expert < 0 || m->rank != p->rank || m->k != w->k || m->n != w->n ||
              m->n_mats != w->n_mats || m->scale != scale ||
              (m->magnitude != NULL) != (p->magnitude != NULL))) {
        bt_fail(r->err, BT_E_UNSUPPORTED,
                "%s: '%s' is adapted twice, or its experts with different ranks or scales",
                r->folder, w->out->name);
        return NULL;
    }
    if (m) return m;
    m = lora_add(r->lora, w->out->name, w->k, w->n, w->n_mats, (int32_t)p->rank,
                 p->magnitude != NULL);
    if (m)
        m->scale = scale;
    else
        bt_fail_memory(r->err, "an adapter", (uint64_t)(w->k + w->n) * (uint64_t)p->rank * 4);
    return m;
}

static bt_status add_pair(PeftReader *r, const Pair *p, const char *lead)
{
    PeftWay ways[PEFT_MOST_WAYS];
    float scale = peft_scale(&r->config, p->path, (int32_t)p->rank);
    int n = peft_ways(r->plan, lead, p->mats, p->rows, p->cols, ways);
    if (!n) return r->plan->status ? r->plan->status : BT_E_FORMAT;
    for (int i = 0; i < n; i++) {
        LoraMatrix *m = place_for(r, p, &ways[i], scale);
        if (!m) return r->err->status;
        fill(p, &ways[i], m);
    }
    return BT_OK;
}

static bool is_floats(const StTensor *t)
{
    return t->type == ST_F32 || t->type == ST_F16 || t->type == ST_BF16 || t->type == ST_F64;
}

/* The parameters of experts are told apart by their widths: PEFT does not name them. */
static bt_status experts_pair(PeftReader *r, Pair *p)
{
    const ConvSize *s = &r->plan->size;
    size_t n = strlen(p->path);
    bool up = p->cols == s->embd && p->rows == 2 * (int64_t)s->ff;
    p->mats = s->experts;
    if (!s->experts || p->rank % s->experts)
        return bad(r, p->a, "belongs to experts, but its rows are no multiple of their number");
    p->rank /= s->experts;
    snprintf(p->path + n, sizeof p->path - n, "%s", up ? ".gate_up_proj" : ".down_proj");
    return add_pair(r, p, p->path);
}

static bt_status read_pair(PeftReader *r, Span stem, const StTensor *a, bool lookup)
{
    Pair p = {.a = a, .lookup = lookup};
    p.b = beside(r, stem, lookup ? ".lora_embedding_B" : ".lora_B.weight");
    if (!p.b) return bad(r, a, "has no B beside it; the file is cut short");
    p.magnitude = beside(r, stem, ".lora_magnitude_vector");
    if (!p.magnitude) p.magnitude = beside(r, stem, ".lora_magnitude_vector.weight");
    if (!is_floats(a) || !is_floats(p.b) || (p.magnitude && !is_floats(p.magnitude)))
        return bad(r, a, "and its B must be floating-point numbers");
    if (a->n_dims != 2 || p.b->n_dims != 2 || a->shape[0] != p.b->shape[1] || !a->shape[0] ||
        !a->shape[1] || !p.b->shape[0] || a->shape[1] > LORA_MOST_WIDTH ||
        p.b->shape[0] > LORA_MOST_WIDTH)
        return bad(r, a, "does not fit its B");
    p.rank = (int64_t)a->shape[0];
    p.cols = (int64_t)(lookup ? p.b->shape[0] : a->shape[1]);
    p.rows = (int64_t)(lookup ? a->shape[1] : p.b->shape[0]);
    if (p.magnitude &&
        (lookup || p.magnitude->n_dims < 1 || p.magnitude->shape[0] != (uint64_t)p.rows ||
         p.magnitude->bytes != (uint64_t)p.rows * st_type_bytes(p.magnitude->type)))
        return bad(r, p.magnitude, "has not one magnitude a row");
    module_path(stem, p.path);
    bool experts = span_ends(span_of(p.path), ".experts");
    if (experts && !p.magnitude && !lookup) {
        if (p.rank > (int64_t)LORA_MOST_RANK * PLAN_MOST_EXPERTS) return bad(r, a, "is too large");
        return experts_pair(r, &p);
    }
    if (p.rank > LORA_MOST_RANK) return bad(r, a, "has too many rows");
    char lead[ST_MAX_NAME + 60];
    snprintf(lead, sizeof lead, "%s.weight", p.path);
    return add_pair(r, &p, lead);
}

static bt_status read_tensor(PeftReader *r, const StTensor *t)
{
    Span n = t->name;
    if (span_ends(n, ".lora_A.weight")) return read_pair(r, cut(n, ".lora_A.weight"), t, false);
    if (span_ends(n, ".lora_embedding_A"))
        return read_pair(r, cut(n, ".lora_embedding_A"), t, true);
    if (span_ends(n, ".lora_B.weight") || span_ends(n, ".lora_embedding_B")) {
        bool plain = span_ends(n, ".lora_B.weight");
        Span stem = cut(n, plain ? ".lora_B.weight" : ".lora_embedding_B");
        if (beside(r, stem, plain ? ".lora_A.weight" : ".lora_embedding_A")) return BT_OK;
        return bad(r, t, "has no A beside it; the file is cut short");
    }
    Span stem = cut(cut(n, ".weight"), ".lora_magnitude_vector");
    if (stem.size < n.size && beside(r, stem, ".lora_A.weight")) return BT_OK;
    if (span_ends(n, ".base_layer.weight")) return BT_OK; /* the base's own, saved beside */
    return bt_fail(r->err, BT_E_UNSUPPORTED,
                   "%s: tensor '%.*s' is no half of a LoRA pair; whole weights in an adapter are "
                   "not read: merge it with PEFT and convert the result",
                   r->folder, (int)n.size, n.data);
}

/* ---- all ---- */

static bt_status read_all(PeftReader *r, const Gguf *base)
{
    bt_status status = peft_plan_open(r->folder, base, &r->plan, r->err);
    if (status) return status;
    r->lora = lora_new();
    if (!r->lora) return bt_fail_memory(r->err, r->folder, sizeof *r->lora);
    r->lora->arch = mem_strdup(r->plan->arch);
    if (r->config.base.size) r->lora->base = mem_strndup(r->config.base.data, r->config.base.size);
    if (!r->lora->arch || (r->config.base.size && !r->lora->base))
        return bt_fail_memory(r->err, r->folder, r->config.base.size);
    for (size_t i = 0; i < st_n_tensors(r->st) && !status; i++)
        status = read_tensor(r, st_tensor(r->st, i));
    if (!status && !r->lora->n)
        status = bt_fail(r->err, BT_E_FORMAT, "%s: the adapter has no tensors", r->folder);
    for (size_t i = 0; i < r->lora->n && !status; i++)
        status = lora_check(&r->lora->items[i], r->folder, r->err);
    for (int i = 0; i < st_n_shards(r->st) && !status; i++)
        status = os_map_check(st_shard(r->st, i), st_shard_path(r->st, i), r->err);
    return status;
}

static bt_status finish(PeftReader *r, Jdoc *doc, const Gguf *base, bt_status status, Lora **out)
{
    if (!status) {
        status = peft_config_read(doc, r->folder, &r->config, r->err);
        if (!status) status = read_all(r, base);
        peft_config_close(&r->config);
    } else {
        jdoc_close(&doc);
    }
    if (r->plan) r->plan->err = NULL;
    convert_close(&r->plan);
    st_close(&r->st);
    if (status) lora_close(&r->lora);
    *out = r->lora;
    return status;
}

bt_status peft_read(const char *folder, const Gguf *base, Lora **out, bt_error *err)
{
    bt_error own;
    char path[4096];
    Jdoc *doc = NULL;
    PeftReader r = {.folder = folder, .err = err ? err : &own};
    struct stat at;
    *out = NULL;
    snprintf(path, sizeof path, "%s/adapter_config.json", folder);
    bt_status status = jdoc_open_file(path, &doc, r.err);
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", folder);
    if (!status && stat(path, &at) != 0)
        status = bt_fail(r.err, BT_E_IO,
                         "%s: there is no adapter_model.safetensors; adapters in other files "
                         "(.bin) are not read: save it again with PEFT",
                         folder);
    if (!status) status = st_open(path, &r.st, r.err);
    return finish(&r, doc, base, status, out);
}

bt_status peft_read_memory(Span config, Span weights, const Gguf *base, Lora **out, bt_error *err)
{
    bt_error own;
    Jdoc *doc = NULL;
    PeftReader r = {.folder = "memory", .err = err ? err : &own};
    *out = NULL;
    bt_status status = jdoc_open(config.data, config.size, "memory", &doc, r.err);
    if (!status) status = st_open_memory(weights.data, weights.size, "memory", &r.st, r.err);
    return finish(&r, doc, base, status, out);
}
